"""Transposed convolution: from small maps to large ones, the way decoders go."""
from npcbnet.errors import ShapeError
from npcbnet.layers.base import Layer, expect, flag, images_first, images_last, positive
from npcbnet.layers.conv2d import bias_gradient, check_window, convolved, input_gradient, tiled, turn, weight_gradient


class ConvTranspose2d(Layer):
    """x (N, C, H, W) -> y (N, F, P, Q), P = (H - 1) stride - 2 pad + K + output_padding.

    weight (C, F / groups, K, K), bias (F,). It computes what the backward of the Conv2d from F to C channels with the
    same weight, stride, pad and groups sends to its input (Dumoulin and Visin, 2016, chapter 4), so that Conv2d's
    functions serve, each in the other's place. output_padding: of the sizes that such a Conv2d brings to the same
    H, the smallest has 0. In training, large enough ones of stride 1 go by winograd.py or winograd_square.py.
    """

    name = "convtranspose2d"
    fields = ("in_channels", "out_channels", "kernel", "stride", "pad", "output_padding", "groups", "bias")
    defaults = {"groups": 1, "bias": True}

    def __init__(self, in_channels, out_channels, kernel, stride=1, pad=0, output_padding=0, groups=1, bias=True):
        super().__init__()
        positive("ConvTranspose2d", in_channels=in_channels, out_channels=out_channels, kernel=kernel, stride=stride,
                 pad=pad, output_padding=output_padding, groups=groups)
        check_window("ConvTranspose2d", in_channels, out_channels, kernel, pad, groups)
        if output_padding >= stride:
            raise ShapeError(f"ConvTranspose2d: output_padding must be smaller than the stride, "
                             f"not {output_padding} for a stride of {stride}")
        self.in_channels, self.out_channels, self.kernel = int(in_channels), int(out_channels), int(kernel)
        self.stride, self.pad, self.output_padding = int(stride), int(pad), int(output_padding)
        self.groups, self.bias = int(groups), flag("ConvTranspose2d", "bias", bias)

    def param_shapes(self):
        weight = (self.in_channels, self.out_channels // self.groups, self.kernel, self.kernel)
        return {"weight": weight, "bias": (self.out_channels,)} if self.bias else {"weight": weight}

    def fans(self):
        taps = self.kernel ** 2
        return self.in_channels // self.groups * taps, self.out_channels // self.groups * taps

    def output_shape(self, shape):
        expect(len(shape) == 3 and shape[0] == self.in_channels and min(shape) > 0, self, shape,
               f"({self.in_channels}, H, W) images")
        more = self.kernel - 2 * self.pad + self.output_padding
        sides = [(side - 1) * self.stride + more for side in shape[1:]]
        least = 1 - (more - 1) // self.stride
        expect(min(sides) >= 1, self, shape, f"images whose sides are at least {least} pixels")
        return (self.out_channels, *sides)

    def macs(self, shape):
        self.output_shape(shape)
        _, rows, columns = shape
        return self.in_channels * rows * columns * self.out_channels // self.groups * self.kernel ** 2

    def forward(self, x, train=False, rng=None):
        shape = self.output_shape(x.shape[1:])
        weight, bias = self.params["weight"], self.params.get("bias")
        x = images_last(x).astype(weight.dtype, copy=False)
        window, shape = (self.stride, self.pad, self.groups), (*shape, x.shape[3])
        turned_shape = self.out_channels, len(weight), self.kernel, self.kernel
        if train and (by_tiles := tiled(x.shape, turned_shape, shape, *window)):
            y, gradients = _turned(by_tiles, x, weight, bias, self.pad, shape)
        else:
            y, gradients = input_gradient(x, weight, bias, *window, shape), _direct_gradients(x, weight, *window)
        if not train:
            return images_first(y), None

        def backward(dy, need_dx=True):
            dy = images_last(dy)
            dweight, dx = gradients(dy, need_dx)
            grads = {"weight": dweight}
            if bias is not None:
                grads["bias"] = bias_gradient(dy)
            return (images_first(dx) if need_dx else None), grads

        return images_first(y), backward


def _direct_gradients(x, weight, stride, pad, groups):
    """dy, need_dx -> the gradients by weight and by x (or None): x and dy in each other's place."""
    def gradients(dy, need_dx):
        dx = convolved(dy, weight, None, stride, pad, groups, x.shape) if need_dx else None
        return weight_gradient(dy, x, weight, stride, pad, groups), dx

    return gradients


def _turned(by_tiles, x, weight, bias, pad, shape):
    """With stride 1 it is a convolution with the kernels turned: y of `shape` and its gradients."""
    y, turned_gradients = by_tiles(x, turn(weight), bias, weight.shape[2] - 1 - pad, shape)

    def gradients(dy, need_dx):
        dturned, dx = turned_gradients(dy, need_dx)
        return turn(dturned), dx

    return y, gradients
