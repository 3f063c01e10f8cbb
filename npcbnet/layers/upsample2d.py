"""Bilinear enlargement by two."""
import numpy as np

from npcbnet.layers.base import Layer, expect, images_first, images_last


def _double(x, axis):
    """Every pixel becomes two, a quarter pixel to each side: 3/4 of itself + 1/4 of its neighbour (edges repeat)."""
    first, last = np.take(x, [0], axis), np.take(x, [-1], axis)
    size = x.shape[axis]
    inner = [slice(None)] * x.ndim
    inner[axis] = slice(0, size - 1)
    outer = list(inner)
    outer[axis] = slice(1, size)
    near = x * x.dtype.type(0.75)
    quarter = x.dtype.type(0.25)
    before = near + quarter * np.concatenate([first, x[tuple(inner)]], axis)
    after = near + quarter * np.concatenate([x[tuple(outer)], last], axis)
    shape = list(x.shape)
    shape[axis] *= 2
    return np.stack([before, after], axis + 1).reshape(shape)


def _halve(dy, axis):
    """The transpose of _double: what each pixel gave to the two made of it, and to its neighbours' two."""
    shape = list(dy.shape)
    shape[axis:axis + 1] = [shape[axis] // 2, 2]
    before, after = np.moveaxis(dy.reshape(shape), axis + 1, 0)
    dx = dy.dtype.type(0.75) * (before + after)
    quarter = dy.dtype.type(0.25)
    size = shape[axis]

    def at(start, stop):
        return (slice(None),) * axis + (slice(start, stop),)

    dx[at(0, 1)] += quarter * before[at(0, 1)]
    dx[at(0, size - 1)] += quarter * before[at(1, size)]
    dx[at(size - 1, size)] += quarter * after[at(size - 1, size)]
    dx[at(1, size)] += quarter * after[at(0, size - 1)]
    return dx


class Upsample2d(Layer):
    """x (N, C, H, W) -> y (N, C, 2H, 2W), bilinear with half-pixel centres (PyTorch's align_corners=False)."""

    name = "upsample2d"

    def output_shape(self, shape):
        expect(len(shape) == 3 and min(shape) > 0, self, shape, "(C, H, W) images")
        return (shape[0], 2 * shape[1], 2 * shape[2])

    def forward(self, x, train=False, rng=None):
        self.output_shape(x.shape[1:])
        y = images_first(_double(_double(images_last(x), 1), 2))
        if not train:
            return y, None
        return y, lambda dy, need_dx=True: (images_first(_halve(_halve(images_last(dy), 2), 1)), {})
