"""Softmax over an image's features."""
import numpy as np

from npcbnet.errors import ShapeError
from npcbnet.layers.base import Layer, expect


class Softmax(Layer):
    """x (N, D) -> y (N, D) = total * exp(x) / sum exp(x); every image's outputs sum to `total`.

    The papers' converting autoencoder ends in a softmax (CBNet, Table I). Read literally its 784 outputs sum to 1 and no
    picture has that sum; with `total` the mean ink of an easy image it works (facts: the K * softmax reading).
    """

    name = "softmax"
    fields = ("total",)

    def __init__(self, total=1.0):
        super().__init__()
        if isinstance(total, bool) or not isinstance(total, (int, float)) or not 0 < total < float("inf"):
            raise ShapeError(f"Softmax: total must be a positive number, not {total!r}")
        self.total = float(total)

    def output_shape(self, shape):
        expect(len(shape) == 1, self, shape, "(D,) features an image; put Flatten before it")
        return tuple(shape)

    def forward(self, x, train=False, rng=None):
        self.output_shape(x.shape[1:])
        # exp(-80) is 2e-35: far below any effect, still no denormal number, which some processors are 100 times slower on
        share = np.exp(np.maximum(x - x.max(axis=1, keepdims=True), -80))
        share /= share.sum(axis=1, keepdims=True)
        y = share * x.dtype.type(self.total)
        if not train:
            return y, None

        def backward(dy, need_dx=True):
            return y * (dy - (dy * share).sum(axis=1, keepdims=True)), {}

        return y, backward
