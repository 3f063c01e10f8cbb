"""What every trained model offers: predict, predict_proba, explain, its cost, a configuration to rebuild it from."""
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from npcbnet.errors import ShapeError
from npcbnet.kernels._jit import compiled
from npcbnet.layers import Sequential
from npcbnet.nets.images import as_floats, as_images

LARGEST_MAP = 2 ** 22  # values (16 MB): fewer images at a time where they are large, for a Pi with little memory


@dataclass(frozen=True)
class Explanation:
    """What a model thought of N images.

    label (N,) int64; confidence (N,), the label's probability; entropy (N,) in nats, at the exit taken; exit (N,)
    int64, 1 is the first; converted (N, C, H, W) float32 in 0..1, what the classifier saw in the images' place (None
    without a converter).
    """

    label: np.ndarray
    confidence: np.ndarray
    entropy: np.ndarray
    exit: np.ndarray
    converted: np.ndarray | None


class Model(ABC):
    """Base of the nets. A subclass names its `parts` (Sequentials) and computes `_run`."""

    kind = ""
    parts = ()

    def __init__(self, input_shape, class_names):
        if len(input_shape) != 3 or not all(isinstance(side, (int, np.integer)) and side > 0 for side in input_shape):
            raise ShapeError(f"input_shape must be (channels, rows, columns), whole and positive, not {input_shape!r}")
        if len(class_names) < 2:
            raise ShapeError(f"a classifier needs at least two classes, not {len(class_names)}")
        self.input_shape = tuple(int(side) for side in input_shape)
        self.class_names = tuple(str(name) for name in class_names)
        self.record = {}  # how it was trained: command, data, seed, accuracies; stored in the model file

    @property
    def classes(self):
        """Number of classes, O."""
        return len(self.class_names)

    @property
    def params(self):
        """All parameters by name, "part.layer.name": the arrays themselves, not copies."""
        return {f"{part}.{name}": array for part in self.parts for name, array in getattr(self, part).params.items()}

    @property
    def statistics(self):
        """Names of the parameters that are measured in training, not learned."""
        return self._named("statistics")

    @property
    def integers(self):
        """Names of the parameters that are int8."""
        return self._named("integers")

    @property
    def levels(self):
        """Names of the integers that say which subgraphs a neuron belongs to."""
        return self._named("levels")

    @property
    def scales(self):
        """Names of the parameters that say what an integer is worth."""
        return self._named("scales")

    def _named(self, group):
        return tuple(f"{part}.{name}" for part in self.parts for name in getattr(getattr(self, part), group))

    def param_shapes(self):
        """{name: shape} of all parameters, without allocating any."""
        return {f"{part}.{name}": shape for part in self.parts
                for name, shape in getattr(self, part).param_shapes().items()}

    def set_params(self, arrays):
        """Take the given arrays, {name: array}, as parameters (no copies)."""
        for key, array in arrays.items():
            part, name = key.split(".", 1)
            getattr(self, part).params = {name: array}

    def input_shapes(self):
        """{part: shape of one of its inputs}."""
        return dict.fromkeys(self.parts, self.input_shape)

    def parameter_count(self):
        """Number of parameters that are learned; publications count no others."""
        measured = self.statistics
        return sum(math.prod(shape) for name, shape in self.param_shapes().items() if name not in measured)

    def parameter_bytes(self):
        """Bytes of all parameters as the model computes with them: float32, or int8."""
        whole = self.integers
        return sum(math.prod(shape) * (1 if name in whole else 4) for name, shape in self.param_shapes().items())

    def predict(self, images):
        """Labels (N,) int64 of the images; as_images tells what arrays it takes. Raises ShapeError."""
        return self.predict_proba(images).argmax(axis=1).astype(np.int64, copy=False)

    def predict_proba(self, images):
        """Probabilities (N, O) float32, rows sum to 1. Raises ShapeError."""
        return self._answer(images)[0]

    def explain(self, images):
        """An Explanation: each image's label, confidence, entropy, exit and converted image. Raises ShapeError."""
        p, entropy, exits, converted = self._answer(images)
        return Explanation(p.argmax(axis=1).astype(np.int64), p.max(axis=1), entropy, exits, converted)

    def _answer(self, images):
        """_run on checked images; no parameters or too little memory become a ShapeError that says so."""
        images = as_images(images, self.input_shape)
        try:
            return self._run(images)
        except MemoryError:
            raise ShapeError(f"too little memory for {len(images)} images at once; pass fewer") from None
        except KeyError as error:
            raise ShapeError(f"this model has no parameter {error} yet: load or train it first") from None

    @abstractmethod
    def _run(self, images):
        """Checked images (N, C, H, W) -> p (N, O), entropy (N,), exit (N,), converted (N, C, H, W) or None."""

    def _empty_answer(self, count):
        """p (N, O), entropy (N,) and exit (N,) to be filled; every image is expected at exit 1."""
        return np.empty((count, self.classes), np.float32), np.empty(count), np.ones(count, np.int64)


def together():
    """How many images are worked on together.

    The compiled loops give an image the same bits in any company. NumPy's matrix product does not promise that, and an
    exit must never depend on the neighbours, so without Numba images go one by one.
    """
    return 64 if compiled() else 1


def chunk_size(shape, peak=0):
    """How many images (C, H, W) go through a net at once: at most together(), fewer where its maps are large.

    peak: values of one image in the net's largest map, where that may be more than 8 for each value of the image.
    """
    return max(1, min(together(), LARGEST_MAP // max(1, peak, 8 * math.prod(shape))))


def chunks(images, peak=0):
    """(slice, float images (n, C, H, W)) one after the other, n at most chunk_size(images.shape[1:], peak)."""
    size = chunk_size(images.shape[1:], peak)
    for start in range(0, len(images), size):
        here = slice(start, min(start + size, len(images)))
        yield here, as_floats(images[here])


def check_logits(net: Sequential, shape, classes, what):
    """Raise ShapeError unless `net` turns an input of `shape` into one logit for each class."""
    given = net.output_shape(shape)
    if given != (classes,):
        raise ShapeError(f"{what} ends in an output of shape {given}, but there are {classes} classes")
