"""Batch normalisation of image channels (Ioffe and Szegedy, 2015)."""
import numpy as np

from npcbnet.errors import ShapeError
from npcbnet.layers.base import Layer, expect, images_first, images_last, positive, real


class BatchNorm2d(Layer):
    """x (N, C, H, W) -> y = weight * (x - mean) / sqrt(variance + eps) + bias, per channel. weight, bias (C,).

    In training, mean and variance are those of the images that go through together: a shard of at most 64 images
    (training.py), whatever the number of threads. In prediction they are running_mean and running_var (C,), which
    training moves by `momentum` towards what it measured, as PyTorch does: the variance measured for them is the
    unbiased one. backward gives these steps among the gradients.
    """

    name = "batchnorm2d"
    fields = ("channels", "eps", "momentum")
    statistics = ("running_mean", "running_var")
    starts = {"weight": 1, "running_var": 1}

    def __init__(self, channels, eps=1e-5, momentum=0.1):
        super().__init__()
        positive("BatchNorm2d", channels=channels)
        self.channels = int(channels)
        self.eps, self.momentum = real("BatchNorm2d", "eps", eps), real("BatchNorm2d", "momentum", momentum)
        if self.eps <= 0 or not 0 <= self.momentum <= 1:
            raise ShapeError(f"BatchNorm2d: eps must be above 0 and momentum in 0..1, not {eps!r} and {momentum!r}")

    def param_shapes(self):
        return {name: (self.channels,) for name in ("weight", "bias", *self.statistics)}

    def output_shape(self, shape):
        expect(len(shape) == 3 and shape[0] == self.channels and min(shape) > 0, self, shape,
               f"({self.channels}, H, W) images")
        return tuple(shape)

    def forward(self, x, train=False, rng=None):
        self.output_shape(x.shape[1:])
        weight, bias, mean, variance = (self.params[name] for name in ("weight", "bias", *self.statistics))
        x = images_last(x).astype(weight.dtype, copy=False)
        shape, x = x.shape, x.reshape(self.channels, -1)
        if not train:
            scale = weight / np.sqrt(variance + weight.dtype.type(self.eps))
            y = x * scale[:, None]
            y += (bias - mean * scale)[:, None]
            return images_first(y.reshape(shape)), None

        count = x.shape[1]
        measured = x.mean(axis=1, dtype=np.float64).astype(x.dtype)
        normal = x - measured[:, None]
        biased = np.square(normal).mean(axis=1, dtype=np.float64)
        scale = (1 / np.sqrt(biased + self.eps)).astype(x.dtype)
        normal *= scale[:, None]
        y = normal * weight[:, None]
        y += bias[:, None]
        unbiased = (biased * (count / max(1, count - 1))).astype(x.dtype)  # of a single value the variance is 0
        momentum = x.dtype.type(self.momentum)
        steps = {"running_mean": momentum * (mean - measured), "running_var": momentum * (variance - unbiased)}

        def backward(dy, need_dx=True):
            # Ioffe and Szegedy, section 3, the six equations after algorithm 1 in one: mean and variance depend on x.
            dy = images_last(dy).reshape(self.channels, -1)
            dbias, dweight = dy.sum(axis=1), (dy * normal).sum(axis=1)
            grads = {"weight": dweight, "bias": dbias, **steps}
            if not need_dx:
                return None, grads
            dx = dy - normal * (dweight / count)[:, None]
            dx -= (dbias / count)[:, None]
            dx *= (weight * scale)[:, None]
            return images_first(dx.reshape(shape)), grads

        return images_first(y.reshape(shape)), backward
