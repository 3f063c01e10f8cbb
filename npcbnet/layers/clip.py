"""Values held between two bounds."""
import numpy as np

from npcbnet.errors import ShapeError
from npcbnet.layers.base import Layer


class Clip(Layer):
    """y = min(max(x, low), high) for any shape (N, ...); NaN stays NaN, the gradient outside the bounds is 0."""

    name = "clip"
    fields = ("low", "high")

    def __init__(self, low=0.0, high=1.0):
        super().__init__()
        if not all(isinstance(bound, (int, float)) for bound in (low, high)) or not low < high:
            raise ShapeError(f"Clip: low must be a number below high, not {low!r}, {high!r}")
        self.low, self.high = float(low), float(high)

    def forward(self, x, train=False, rng=None):
        y = np.clip(x, x.dtype.type(self.low), x.dtype.type(self.high))
        if not train:
            return y, None
        return y, lambda dy, need_dx=True: (dy * ((x >= self.low) & (x <= self.high)), {})
