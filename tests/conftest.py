"""What every test file may ask for."""
import importlib.util
import signal
import sys
import warnings

import pytest

# A shell that starts pytest in the background lets it, and all that tests start, ignore Ctrl-C
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=["matplotlib", "plain"])
def backend(request, monkeypatch):
    """Its tests run with matplotlib, where it is installed, and as if it were not; a warning is an error."""
    if request.param == "plain":
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        monkeypatch.delitem(sys.modules, "matplotlib.figure", raising=False)
    elif importlib.util.find_spec("matplotlib") is None:
        pytest.skip("matplotlib is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield request.param
