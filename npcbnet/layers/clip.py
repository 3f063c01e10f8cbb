"""Values held between two bounds."""
import numpy as np

from npcbnet.errors import ShapeError
from npcbnet.layers.base import Layer, real


class Clip(Layer):
    """y = min(max(x, low), high) for any shape (N, ...); NaN stays NaN, the gradient outside the bounds is 0."""

    name = "clip"
    fields = ("low", "high")

    def __init__(self, low=0.0, high=1.0):
        super().__init__()
        self.low, self.high = real("Clip", "low", low), real("Clip", "high", high)
        if not self.low < self.high:
            raise ShapeError(f"Clip: low must be below high, not {low!r}, {high!r}")

    def forward(self, x, train=False, rng=None):
        y = np.clip(x, x.dtype.type(self.low), x.dtype.type(self.high))
        if not train:
            return y, None
        return y, lambda dy, need_dx=True: (dy * ((x >= self.low) & (x <= self.high)), {})
