"""Rectifier that lets a little through below 0 (Maas et al., 2013)."""
import numpy as np

from npcbnet.layers.base import Layer, real


class LeakyReLU(Layer):
    """y = x above 0, else slope * x, for any shape (N, ...). NaN stays NaN; the gradient at 0 is `slope`."""

    name = "leakyrelu"
    fields = ("slope",)

    def __init__(self, slope=0.01):
        super().__init__()
        self.slope = real("LeakyReLU", "slope", slope)

    def forward(self, x, train=False, rng=None):
        slope = x.dtype.type(self.slope)
        y = np.where(x > 0, x, slope * x)
        if not train:
            return y, None
        return y, lambda dy, need_dx=True: (np.where(x > 0, dy, slope * dy), {})
