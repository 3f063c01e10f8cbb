"""Two-dimensional convolution with square kernels."""
import numpy as np

from npcbnet.errors import ShapeError
from npcbnet.kernels import conv
from npcbnet.layers.base import Layer, aligned_empty, expect, images_first, images_last, positive


class Conv2d(Layer):
    """x (N, C, H, W) -> y (N, F, P, Q), P = (H + 2 pad - K) // stride + 1. weight (F, C, K, K), bias (F,)."""

    name = "conv2d"
    fields = ("in_channels", "out_channels", "kernel", "stride", "pad")

    def __init__(self, in_channels, out_channels, kernel, stride=1, pad=0):
        super().__init__()
        positive("Conv2d", in_channels=in_channels, out_channels=out_channels, kernel=kernel, stride=stride, pad=pad)
        if pad >= kernel:
            raise ShapeError(f"Conv2d: pad must be smaller than the kernel, not {pad} for a kernel of {kernel}")
        self.in_channels, self.out_channels = int(in_channels), int(out_channels)
        self.kernel, self.stride, self.pad = int(kernel), int(stride), int(pad)

    def param_shapes(self):
        return {"weight": (self.out_channels, self.in_channels, self.kernel, self.kernel), "bias": (self.out_channels,)}

    def fans(self):
        return self.in_channels * self.kernel ** 2, self.out_channels * self.kernel ** 2

    def output_shape(self, shape):
        expect(len(shape) == 3 and shape[0] == self.in_channels and min(shape) > 0, self, shape,
               f"({self.in_channels}, H, W) images")
        sides = [(side + 2 * self.pad - self.kernel) // self.stride + 1 for side in shape[1:]]
        expect(min(sides) >= 1, self, shape, f"images whose sides are at least {self.kernel - 2 * self.pad} pixels")
        return (self.out_channels, *sides)

    def macs(self, shape):
        _, rows, columns = self.output_shape(shape)
        return self.out_channels * rows * columns * self.in_channels * self.kernel ** 2

    def forward(self, x, train=False, rng=None):
        shape = self.output_shape(x.shape[1:])
        weight, bias = self.params["weight"], self.params["bias"]
        x = images_last(x).astype(weight.dtype, copy=False)
        y = aligned_empty((*shape, x.shape[3]), weight.dtype)
        conv.forward(x, weight, bias, self.stride, self.pad, y)
        if not train:
            return images_first(y), None

        def backward(dy, need_dx=True):
            dy = images_last(dy)
            dw = np.empty(weight.shape, np.float64)
            conv.weight_gradient(x, dy, self.stride, self.pad, dw)
            grads = {"weight": dw.astype(weight.dtype), "bias": dy.reshape(len(bias), -1).sum(axis=1)}
            return (images_first(self._input_gradient(weight, dy, x.shape)) if need_dx else None), grads

        return images_first(y), backward

    def _input_gradient(self, weight, dy, shape):
        """dx (C, H, W, N): dy (F, P, Q, N) convolved with the kernel turned by 180 degrees, channels exchanged.

        With a stride, dy is first spread out, zeros between, to what stride 1 would have given.
        """
        turned = np.ascontiguousarray(weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3))
        channels, height, width, images = shape
        if self.stride > 1:
            spread = np.zeros((self.out_channels, height + 2 * self.pad - self.kernel + 1,
                               width + 2 * self.pad - self.kernel + 1, images), dy.dtype)
            spread[:, ::self.stride, ::self.stride] = dy
            dy = spread
        dx = aligned_empty(shape, weight.dtype)
        conv.forward(dy, turned, np.zeros(channels, weight.dtype), 1, self.kernel - 1 - self.pad, dx)
        return dx
