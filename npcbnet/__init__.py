"""npcbnet: image classification for a Raspberry Pi and its like, in NumPy with Numba-compiled hot loops.

    import npcbnet
    model = npcbnet.load("mnist-cbnet")          # a pretrained name, or the path of a model file
    predictor = npcbnet.compile(model)           # one native call from image to label
    labels = predictor.predict(images)           # (N, 1, 28, 28) or (28, 28) uint8 -> (N,) int64

One legend of shapes, used in every docstring:
N images, C channels (in), F channels (out), H W image rows and columns, P Q rows and columns of an output map,
K kernel side, D features, O classes. Image arrays are (N, C, H, W) everywhere.
"""
from importlib import import_module
from pathlib import Path

__version__ = "0.1.0"

# In a checkout that was never installed, `kernels/` lies beside this folder instead of inside it.
if not (Path(__file__).parent / "kernels").is_dir():
    __path__.append(str(Path(__file__).parent.parent))

_LAZY = {"load": "npcbnet.modelfile", "save": "npcbnet.modelfile", "compile": "npcbnet.runtime",
         "NpcbnetError": "npcbnet.errors"}
__all__ = ["__version__", *_LAZY]


def __getattr__(name):
    """Import the heavy parts only when they are first used."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'npcbnet' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
