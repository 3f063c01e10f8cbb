"""Rectifier."""
import numpy as np

from npcbnet.layers.base import Layer


class ReLU(Layer):
    """y = max(x, 0) for any shape (N, ...). NaN stays NaN; the gradient at 0 is 0."""

    name = "relu"

    def forward(self, x, train=False, rng=None):
        y = np.maximum(x, 0)
        if not train:
            return y, None
        return y, lambda dy, need_dx=True: (np.multiply(dy, y > 0), {})
