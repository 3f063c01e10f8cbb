"""What every layer is, and where the images lie in memory.

A layer's arrays are (N, C, H, W) or (N, D) to everyone who reads or calls it. In memory the images are last:
`(C, H, W, N)`, so that the inner loop of every kernel runs over neighbouring floats. A layer takes any array, brings it
into that order (no copy when it already is), and returns a view that reads (N, ...) again.
"""
import math
from abc import ABC, abstractmethod

import numpy as np

from npcbnet.errors import ShapeError

MAY_BE_ZERO = ("pad", "output_padding", "before", "after")  # fields that are paddings


class Layer(ABC):
    """One operator: its parameters, forward, backward, output shape and cost.

    `fields` names the constructor's arguments; with the class's `name` they are the layer's whole configuration. A
    field in `defaults` is left out of it at that value: so a field can be added, and files from before it still load.
    `params` maps a parameter's name to its array; it is empty until `initialise` or a loaded model fills it. Those in
    `statistics` are measured in training, not learned: in their gradient's place stands the step that they ask for, to
    be subtracted as it is. `starts`, {name: constant}, is for parameters that begin neither drawn nor at 0. Those in
    `integers` are int8, all others floats; those in `levels` are integers of at least 0; those in `scales` are
    positive, and a model file never rounds them.
    """

    name = ""
    fields = ()
    defaults = {}
    nested = ()  # fields that hold layers themselves
    statistics = ()
    integers = ()
    levels = ()
    scales = ()
    starts = {}

    def __init__(self):
        self.params = {}

    def config(self):
        """The layer as plain JSON values: {"layer": name, field: value, ...}."""
        return {"layer": self.name, **self._values()}

    def _values(self):
        """{field: value} without those at their default."""
        values = {field: getattr(self, field) for field in self.fields}
        return {field: value for field, value in values.items()
                if field not in self.defaults or value != self.defaults[field]}

    def param_shapes(self):
        """{parameter name: shape}, computed without allocating anything."""
        return {}

    def fans(self):
        """(fan in, fan out) of the weight, as the initialisers use them."""
        return 1, 1

    def output_shape(self, shape):
        """Shape of one output, (C, H, W) or (D,), given that of one input. Raises ShapeError where it cannot work."""
        return tuple(shape)

    def macs(self, shape):
        """Multiply-adds for one image whose input has this shape, (C, H, W) or (D,)."""
        return 0

    def peak(self, shape):
        """Values of one image in the largest map that forward makes, inside or at the end."""
        return math.prod(self.output_shape(shape))

    @abstractmethod
    def forward(self, x, train=False, rng=None):
        """x (N, ...) -> (y (N, ...), backward).

        backward(dy, need_dx=True) -> (dx or None, {parameter name: gradient}); None instead of backward without train.
        rng: numpy.random.Generator, used by layers that draw (Dropout) and only in training.
        """

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{field}={value!r}' for field, value in self._values().items())})"


def images_last(x):
    """x (N, ...) -> C-contiguous (..., N); no copy if x is a view of such an array.

    A read-only array is copied: Numba would compile every loop once more for it.
    """
    x = x.T if x.ndim == 2 else x.transpose(*range(1, x.ndim), 0)
    return np.ascontiguousarray(x) if x.flags.writeable else np.array(x, order="C")


def images_first(x):
    """x (..., N) -> view (N, ...)."""
    return x.T if x.ndim == 2 else x.transpose(-1, *range(x.ndim - 1))


def aligned_empty(shape, dtype):
    """An uninitialised array that starts on a cache line: vector loads then never straddle two of them."""
    dtype = np.dtype(dtype)
    size = dtype.itemsize
    for side in shape:
        size *= side
    if size < 65536:  # what fits the first-level cache gains nothing
        return np.empty(shape, dtype)
    memory = np.empty(size + 64, np.uint8)
    start = -memory.__array_interface__["data"][0] % 64
    return np.ndarray(shape, dtype, memory, start)


def positive(name, **values):
    """Raise ShapeError unless every value is a whole number of at least 1 (of at least 0 for those in MAY_BE_ZERO)."""
    for field, value in values.items():
        least = 0 if field in MAY_BE_ZERO else 1
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise ShapeError(f"{name}: {field} must be a whole number of at least {least}, not {value!r}")


def real(name, field, value):
    """The value as a float. Raises ShapeError unless it is a finite number."""
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not abs(value) < 1e300:
        raise ShapeError(f"{name}: {field} must be a number, not {value!r:.60}")
    return float(value)


def flag(name, field, value):
    """The value. Raises ShapeError unless it is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ShapeError(f"{name}: {field} must be true or false, not {value!r:.60}")
    return bool(value)


def expect(condition, layer, shape, wanted):
    """Raise ShapeError, naming layer and shapes, unless condition holds."""
    if not condition:
        raise ShapeError(f"{layer!r} takes {wanted}, not an input of shape {tuple(shape)}")
