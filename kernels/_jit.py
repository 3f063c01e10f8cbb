"""The one place where Numba is asked to compile. Where it is missing or switched off, the NumPy twins serve.

`COMPILED` tells which of the two this process uses: False without numba and under NUMBA_DISABLE_JIT=1.
"""
import os
import warnings

try:
    import numba
except Exception:  # not installed, or a numba that cannot load on this machine (old NumPy, 32-bit Arm, broken llvmlite)
    numba = None

COMPILED = numba is not None and os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0")
_warned = False


def jit(loop=None, *, fastmath=("contract",)):
    """Compile a bare loop at its first call; the machine code is cached on disk where a folder can be written.

    fastmath: LLVM's flags for this loop. "contract" (fused multiply-add) keeps the order of a sum; pure reductions add
    "reassoc". Nothing that meets a NaN, an entropy or a threshold may have more.
    """
    if loop is None:
        return lambda function: jit(function, fastmath=fastmath)
    if numba is None:
        return loop
    options = {"nogil": True, "error_model": "numpy", "fastmath": set(fastmath) or False}
    try:
        return _forgiving(numba.njit(cache=True, **options)(loop))
    except RuntimeError:  # no folder for the cache can be written: a read-only install without a home
        _warn_once("npcbnet: no folder to keep compiled code in, so it is compiled anew at every start; "
                   "set NUMBA_CACHE_DIR to a writable folder to start faster")
        return numba.njit(**options)(loop)


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


def choose(loop, twin):
    """The compiled loop where Numba serves, else its NumPy twin; both take the same arguments, fill the same array."""
    return loop if COMPILED else twin
