"""Logistic sigmoid."""
import numpy as np

from npcbnet.layers.base import Layer


class Sigmoid(Layer):
    """y = 1 / (1 + exp(-x)) for any shape (N, ...), without overflow on either side."""

    name = "sigmoid"

    def forward(self, x, train=False, rng=None):
        small = np.exp(-np.abs(x))
        y = np.where(x >= 0, 1, small) / (1 + small)
        if not train:
            return y, None
        return y, lambda dy, need_dx=True: (dy * y * (1 - y), {})
