"""Dropout (Srivastava et al., 2014), scaled at training so that prediction needs nothing."""
import numpy as np

from npcbnet.errors import ShapeError
from npcbnet.layers.base import Layer, real


class Dropout(Layer):
    """Any shape (N, ...). In training each value is 0 with chance `rate`, else divided by 1 - rate; else identity."""

    name = "dropout"
    fields = ("rate",)

    def __init__(self, rate=0.5):
        super().__init__()
        self.rate = real("Dropout", "rate", rate)
        if not 0 <= self.rate < 1:
            raise ShapeError(f"Dropout: rate must be in 0 <= rate < 1, not {rate!r}")

    def forward(self, x, train=False, rng=None):
        if not train:
            return x, None
        if rng is None:
            raise ShapeError("Dropout draws random numbers in training: "
                             "pass rng=numpy.random.default_rng(seed) to forward")
        kept = (rng.random(x.shape, np.float32) >= self.rate) * x.dtype.type(1 / (1 - self.rate))
        return x * kept, lambda dy, need_dx=True: (dy * kept, {})
