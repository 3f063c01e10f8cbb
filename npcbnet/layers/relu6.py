"""Rectifier with a ceiling (Howard et al., 2017; the activation of MobileNets)."""
import numpy as np

from npcbnet.layers.base import Layer


class ReLU6(Layer):
    """y = min(max(x, 0), 6) for any shape (N, ...). NaN stays NaN; the gradient at 0 and at 6 is 0."""

    name = "relu6"

    def forward(self, x, train=False, rng=None):
        y = np.minimum(np.maximum(x, 0), 6)
        if not train:
            return y, None
        return y, lambda dy, need_dx=True: (dy * ((y > 0) & (y < 6)), {})
