"""What every test file may ask for."""
import importlib.util
import sys
import warnings

import pytest


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
