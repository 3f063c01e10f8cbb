"""Maximum over windows."""
import numpy as np

from npcbnet.errors import ShapeError
from npcbnet.kernels import pool
from npcbnet.layers.base import Layer, aligned_empty, expect, flag, images_first, images_last, positive


def pooled_side(side, kernel, stride, pad, ceil_mode):
    """Windows along one side of `side` pixels: floor or ceil((side + 2 pad - kernel) / stride) + 1.

    In ceil mode a window that would start beyond the image and its left padding is left out, as in PyTorch and ONNX.
    """
    reach = side + 2 * pad - kernel
    if not ceil_mode:
        return reach // stride + 1
    windows = -(-reach // stride) + 1
    return windows - 1 if (windows - 1) * stride >= side + pad else windows


def pooled_shape(layer, shape):
    """(C, P, Q) of what a pooling layer makes of (C, H, W) images. Raises ShapeError where no window fits."""
    expect(len(shape) == 3 and min(shape) > 0, layer, shape, "(C, H, W) images")
    sides = [pooled_side(side, layer.kernel, layer.stride, layer.pad, layer.ceil_mode) for side in shape[1:]]
    expect(min(sides) >= 1, layer, shape, "images no smaller than its window")
    return (shape[0], *sides)


class MaxPool2d(Layer):
    """x (N, C, H, W) -> y (N, C, P, Q). Padding never wins: windows see only the pixels that exist."""

    name = "maxpool2d"
    fields = ("kernel", "stride", "pad", "ceil_mode")

    def __init__(self, kernel=2, stride=None, pad=0, ceil_mode=True):
        super().__init__()
        stride = kernel if stride is None else stride
        positive("MaxPool2d", kernel=kernel, stride=stride, pad=pad)
        self.kernel, self.stride, self.pad = int(kernel), int(stride), int(pad)
        self.ceil_mode = flag("MaxPool2d", "ceil_mode", ceil_mode)
        if not 2 * self.pad <= self.kernel <= 15:
            raise ShapeError(f"MaxPool2d: kernel must be at most 15 and pad at most half of it, not {kernel} and {pad}")

    def output_shape(self, shape):
        return pooled_shape(self, shape)

    def forward(self, x, train=False, rng=None, rectify=False):
        """As Layer.forward; rectify: followed by a ReLU, in the same pass over the map (Sequential asks for it)."""
        shape = self.output_shape(x.shape[1:])
        x = images_last(x)
        y = aligned_empty((*shape, x.shape[3]), x.dtype)
        winner = aligned_empty(y.shape, np.uint8)
        pool.max_forward(x, self.kernel, self.stride, self.pad, rectify, y, winner)
        if not train:
            return images_first(y), None
        x_shape = x.shape

        def backward(dy, need_dx=True):
            dx = aligned_empty(x_shape, dy.dtype)
            pool.max_backward(images_last(dy), winner, self.kernel, self.stride, self.pad, dx)
            return images_first(dx), {}

        return images_first(y), backward
