"""The engine: a trained model as one native call, with the answers that its layers give.

    from npcbnet import runtime
    predictor = runtime.compile(model)         # a Classifier, MultiExit, CBNet or Converter
    labels = predictor.predict(images)

The README beside this file draws how it works. It needs llvmlite, which comes with Numba; without it, the layers
answer.
"""
import warnings

from npcbnet.errors import UsageError
from npcbnet.runtime.layerwise import Layerwise


def compile(model, threads=1):
    """A Predictor for the model as it is now (weights are copied). threads: how many it may use for large batches.

    Where this machine has no engine (no llvmlite, NUMBA_DISABLE_JIT=1, a 32-bit processor), a Layerwise with the same
    methods, which calls the layers one by one. Raises UsageError for impossible `threads` and for what is no model,
    ShapeError for a model without parameters.
    """
    if not hasattr(model, "params"):
        raise UsageError(f"compile takes a model, not {model!r:.60}; load it first: npcbnet.compile(npcbnet.load(...))")
    from npcbnet.kernels._jit import SWITCHED_OFF
    if SWITCHED_OFF or not _llvmlite_loads():
        return Layerwise(model, threads)
    try:
        from npcbnet.runtime.target import host
        host()
    except (ImportError, OSError) as error:
        warnings.warn(f"npcbnet: {error}, so the layers are called one by one, which is slower", RuntimeWarning, 2)
        return Layerwise(model, threads)
    from npcbnet.runtime.predictor import Predictor
    return Predictor(model, threads)


def _llvmlite_loads():
    """Can machine code be made here? Numba, which brings llvmlite along, need not be loaded for that."""
    try:
        import llvmlite.binding  # noqa: F401
    except Exception:  # not installed, or its library cannot load on this machine
        return False
    return True
