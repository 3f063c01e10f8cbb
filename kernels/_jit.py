"""The one place where Numba is asked to compile. Where it is missing or switched off, the NumPy twins serve.

Numba is imported when the first loop is called, not before: it takes longer to load than a whole prediction through
the engine, which needs none of it. `compiled()`, or the name `COMPILED`, tells whether it serves in this process, and
imports it to find out: False without numba and under NUMBA_DISABLE_JIT=1.
"""
import os
import threading
import warnings
from contextlib import contextmanager
from functools import cache, update_wrapper
from importlib.util import find_spec
from pathlib import Path

SWITCHED_OFF = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
_INSTALLED = find_spec("numba") is not None
_lock = threading.Lock()
_warned = False


@cache
def _numba():
    """Numba; None where it is missing, switched off, or cannot load (old NumPy, 32-bit Arm, broken llvmlite)."""
    if SWITCHED_OFF:
        return None
    try:
        import numba
        return numba
    except Exception:
        return None


def compiled():
    """Do compiled loops serve in this process?"""
    return _numba() is not None


def __getattr__(name):
    """COMPILED is compiled(), for whoever wants a name."""
    if name == "COMPILED":
        return compiled()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class Loop:
    """A bare loop that nobody has called yet. At the first call of any loop of a file, all of that file's are replaced.

    They are replaced by what Numba makes of them, and together, as a compiled loop may call another of its file.
    """

    def __init__(self, loop, fastmath):
        update_wrapper(self, loop)
        self.loop, self.fastmath, self.twin, self.serves = loop, fastmath, None, None

    def __call__(self, *arguments):
        if self.serves is None:
            _settle(self.loop.__globals__)
        return self.serves(*arguments)


def jit(loop=None, *, fastmath=("contract",)):
    """Compile a bare loop at its first call; the machine code is cached on disk where a folder can be written.

    fastmath: LLVM's flags for this loop. "contract" (fused multiply-add) keeps the order of a sum; pure reductions add
    "reassoc". Nothing that meets a NaN, an entropy or a threshold may have more.
    """
    if loop is None:
        return lambda function: jit(function, fastmath=fastmath)
    return Loop(loop, fastmath) if _INSTALLED and not SWITCHED_OFF else loop


def choose(loop, twin):
    """The compiled loop where Numba serves, else its NumPy twin; both take the same arguments, fill the same array."""
    if not isinstance(loop, Loop):
        return twin
    loop.twin = twin
    return loop


def _settle(names):
    """Let what serves from now on take the place of the Loops among the names of a kernel file."""
    with _lock:
        waiting = {name: value for name, value in names.items() if isinstance(value, Loop)}
        for value in waiting.values():
            if value.serves is None:
                value.serves = _compiled_loop(value) if compiled() else value.twin or value.loop
        names.update({name: value.serves for name, value in waiting.items()})  # all at once, for other threads


def cache_folder(told=None):
    """The folder for machine code: npcbnet/ in the folder `told`, else in the user's for such things; made if need be.

    It is the user's alone, as what lies there is run. Raises OSError where it cannot be written or is somebody else's,
    RuntimeError where there is no home.
    """
    given = os.environ.get("XDG_CACHE_HOME", "")
    folder = Path(told or (given if os.path.isabs(given) else Path.home() / ".cache")) / "npcbnet"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder} cannot be written")
    if hasattr(os, "getuid"):
        found = folder.stat()
        if found.st_uid != os.getuid():
            raise PermissionError(f"{folder} is another user's")
        if found.st_mode & 0o022:
            folder.chmod(0o700)
    return folder


@contextmanager
def _kept_apart(config):
    """Let Numba keep machine code in cache_folder() unless it was told a folder, not among the package's files.

    There it would stay behind when the package is uninstalled, and the folder around it would hide an editable install.
    """
    told = config.CACHE_DIR
    try:
        config.CACHE_DIR = told or str(cache_folder())
    except (OSError, RuntimeError):  # then Numba's own choice
        config.CACHE_DIR = told
    try:
        yield
    finally:
        config.CACHE_DIR = told


def _compiled_loop(waiting):
    """Numba's dispatcher of a Loop; it compiles at its first call."""
    numba, options = _numba(), {"nogil": True, "error_model": "numpy", "fastmath": set(waiting.fastmath) or False}
    try:
        with _kept_apart(numba.config):
            return _forgiving(numba.njit(cache=True, **options)(waiting.loop))
    except RuntimeError:  # no folder for the cache can be written: a read-only install without a home
        _warn_once("npcbnet: no folder to keep compiled code in, so it is compiled anew at every start; "
                   "set NUMBA_CACHE_DIR to a writable folder to start faster")
        return numba.njit(**options)(waiting.loop)


def _forgiving(dispatcher):
    """Let no trouble with the disk cache (a full disk, a file cut short by a power failure) reach whoever predicts."""
    cache = getattr(dispatcher, "_cache", None)
    if cache is None or not hasattr(cache, "load_overload") or not hasattr(cache, "save_overload"):
        return dispatcher  # another version of Numba: then its own behaviour
    load, save = cache.load_overload, cache.save_overload

    def load_overload(signature, context):
        try:
            return load(signature, context)
        except Exception:  # damaged: forget it, so that saving heals it, and compile anew
            try:
                cache.flush()
            except Exception:
                return None
            return None

    def save_overload(signature, data):
        try:
            save(signature, data)
        except Exception as error:
            _warn_once(f"npcbnet: compiled code could not be kept ({type(error).__name__}: {error}), so the next start "
                       "compiles it anew; free some space, or set NUMBA_CACHE_DIR to another folder")

    cache.load_overload, cache.save_overload = load_overload, save_overload
    return dispatcher


def _warn_once(message):
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(message, RuntimeWarning, stacklevel=4)
