"""One number for each channel: the mean or the maximum of its whole map."""
import numpy as np

from npcbnet.kernels import pool
from npcbnet.layers.base import Layer, aligned_empty, expect, images_first, images_last


class GlobalAvgPool2d(Layer):
    """x (N, C, H, W) -> y (N, C, 1, 1), the mean of each map: average pooling by one window that covers it."""

    name = "globalavgpool2d"

    def output_shape(self, shape):
        expect(len(shape) == 3 and min(shape) > 0, self, shape, "(C, H, W) images")
        return (shape[0], 1, 1)

    def forward(self, x, train=False, rng=None):
        shape = self.output_shape(x.shape[1:])
        x = images_last(x)
        x_shape, kernel = x.shape, max(x.shape[1:3])
        y = np.empty((*shape, x.shape[3]), x.dtype)
        pool.average_forward(x, kernel, kernel, 0, False, y)
        if not train:
            return images_first(y), None

        def backward(dy, need_dx=True):
            dx = aligned_empty(x_shape, dy.dtype)
            pool.average_backward(images_last(dy), kernel, kernel, 0, False, dx)
            return images_first(dx), {}

        return images_first(y), backward


class GlobalMaxPool2d(Layer):
    """x (N, C, H, W) -> y (N, C, 1, 1), the maximum of each map; of equal pixels the first has the gradient."""

    name = "globalmaxpool2d"

    def output_shape(self, shape):
        expect(len(shape) == 3 and min(shape) > 0, self, shape, "(C, H, W) images")
        return (shape[0], 1, 1)

    def forward(self, x, train=False, rng=None):
        self.output_shape(x.shape[1:])
        x = images_last(x)
        x_shape, x = x.shape, x.reshape(x.shape[0], x.shape[1] * x.shape[2], x.shape[3])
        y = images_first(x.max(axis=1)[:, None, None])
        if not train:
            return y, None
        winner = x.argmax(axis=1)[:, None]

        def backward(dy, need_dx=True):
            dx = np.zeros(x.shape, dy.dtype)
            np.put_along_axis(dx, winner, images_last(dy).reshape(winner.shape), axis=1)
            return images_first(dx.reshape(x_shape)), {}

        return y, backward
