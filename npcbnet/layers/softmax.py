"""Softmax over an image's features."""
import numpy as np

from npcbnet.errors import ShapeError
from npcbnet.layers.base import Layer, expect, images_first, images_last, real


class Softmax(Layer):
    """x (N, D) -> y (N, D) = total * exp(x) / sum exp(x); every image's outputs sum to `total`.

    The papers' converting autoencoder ends in a softmax (CBNet, Table I). Read literally its 784 outputs sum to 1 and
    no picture has that sum; with `total` the mean ink of an easy image it works (facts: the K * softmax reading).
    """

    name = "softmax"
    fields = ("total",)

    def __init__(self, total=1.0):
        super().__init__()
        self.total = real("Softmax", "total", total)
        if self.total <= 0:
            raise ShapeError(f"Softmax: total must be positive, not {total!r}")

    def output_shape(self, shape):
        expect(len(shape) == 1 and shape[0] > 0, self, shape, "(D,) features an image; put Flatten before it")
        return tuple(shape)

    def forward(self, x, train=False, rng=None):
        self.output_shape(x.shape[1:])
        # exp(-80) is 2e-35: far below any effect, still no denormal number (100 times slower on some processors)
        x = images_last(x)
        share = np.exp(np.maximum(x - x.max(axis=0), -80))
        # A running sum, because its order, and so its bits, are the same for one image and for many.
        share /= np.add.accumulate(share, axis=0)[-1]
        share = images_first(share)
        y = share * x.dtype.type(self.total)
        if not train:
            return y, None

        def backward(dy, need_dx=True):
            return y * (dy - (dy * share).sum(axis=1, keepdims=True)), {}

        return y, backward
