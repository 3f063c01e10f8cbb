"""Two-dimensional convolution with square kernels: of all channels, of groups of them, or of each on its own."""
import numpy as np

from npcbnet.errors import ShapeError
from npcbnet.kernels import conv, conv_weights, depthwise, sums
from npcbnet.layers import winograd, winograd_square
from npcbnet.layers.base import Layer, aligned_empty, expect, flag, images_first, images_last, positive


class Conv2d(Layer):
    """x (N, C, H, W) -> y (N, F, P, Q), P = (H + 2 pad - K) // stride + 1. weight (F, C / groups, K, K), bias (F,).

    groups: the channels in and out are cut into so many groups, and each output sees the inputs of its own group. With
    groups = C = F the convolution is depthwise. bias=False: none, where a BatchNorm2d follows that has its own.
    In training, large enough ones go by winograd.py or winograd_square.py, which round a little differently.
    """

    name = "conv2d"
    fields = ("in_channels", "out_channels", "kernel", "stride", "pad", "groups", "bias")
    defaults = {"groups": 1, "bias": True}

    def __init__(self, in_channels, out_channels, kernel, stride=1, pad=0, groups=1, bias=True):
        super().__init__()
        positive("Conv2d", in_channels=in_channels, out_channels=out_channels, kernel=kernel, stride=stride, pad=pad,
                 groups=groups)
        check_window("Conv2d", in_channels, out_channels, kernel, pad, groups)
        self.in_channels, self.out_channels = int(in_channels), int(out_channels)
        self.kernel, self.stride, self.pad, self.groups = int(kernel), int(stride), int(pad), int(groups)
        self.bias = flag("Conv2d", "bias", bias)

    def param_shapes(self):
        weight = (self.out_channels, self.in_channels // self.groups, self.kernel, self.kernel)
        return {"weight": weight, "bias": (self.out_channels,)} if self.bias else {"weight": weight}

    def fans(self):
        taps = self.kernel ** 2
        return self.in_channels // self.groups * taps, self.out_channels // self.groups * taps

    def output_shape(self, shape):
        expect(len(shape) == 3 and shape[0] == self.in_channels and min(shape) > 0, self, shape,
               f"({self.in_channels}, H, W) images")
        sides = [(side + 2 * self.pad - self.kernel) // self.stride + 1 for side in shape[1:]]
        expect(min(sides) >= 1, self, shape, f"images whose sides are at least {self.kernel - 2 * self.pad} pixels")
        return (self.out_channels, *sides)

    def macs(self, shape):
        _, rows, columns = self.output_shape(shape)
        return self.out_channels * rows * columns * self.in_channels // self.groups * self.kernel ** 2

    def forward(self, x, train=False, rng=None):
        shape = self.output_shape(x.shape[1:])
        weight, bias = self.params["weight"], self.params.get("bias")
        x = images_last(x).astype(weight.dtype, copy=False)
        window, shape = (self.stride, self.pad, self.groups), (*shape, x.shape[3])
        if train and (by_tiles := tiled(x.shape, weight.shape, shape, *window)):
            y, gradients = by_tiles(x, weight, bias, self.pad, shape)
        else:
            y, gradients = convolved(x, weight, bias, *window, shape), direct_gradients(x, weight, *window)
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


def tiled(*shapes):
    """The faster way to train a convolution of these shapes (see winograd.pays), a function; None: the direct one."""
    if winograd_square.pays(*shapes):
        return winograd_square.convolved
    return winograd.convolved if winograd.pays(*shapes) else None


def check_window(name, in_channels, out_channels, kernel, pad, groups):
    """Raise ShapeError unless pad is smaller than the kernel and groups divides the channels in and out."""
    if pad >= kernel:
        raise ShapeError(f"{name}: pad must be smaller than the kernel, not {pad} for a kernel of {kernel}")
    if in_channels % groups or out_channels % groups:
        raise ShapeError(f"{name}: groups must divide the channels in and out, "
                         f"not {groups} for {in_channels} and {out_channels}")


def convolved(x, weight, bias, stride, pad, groups, shape):
    """x (C, H, W, N), weight (F, C / groups, K, K), bias (F,) or None -> y of `shape`, (F, P, Q, N)."""
    y = aligned_empty(shape, weight.dtype)
    bias = np.zeros(len(weight), weight.dtype) if bias is None else bias
    if groups == 1:
        conv.forward(x, weight, bias, stride, pad, y)
    elif groups == len(x) == len(weight):
        depthwise.forward(x, weight[:, 0], bias, stride, pad, y)
    else:
        for mine, own in _groups(len(x), len(weight), groups):
            conv.forward(x[mine], weight[own], bias[own], stride, pad, y[own])
    return y


def direct_gradients(x, weight, stride, pad, groups):
    """The backward pass of y = convolved(x, weight, ...): dy, need_dx -> its gradients by weight and by x (or None)."""
    def gradients(dy, need_dx):
        dx = input_gradient(dy, weight, None, stride, pad, groups, x.shape) if need_dx else None
        return weight_gradient(x, dy, weight, stride, pad, groups), dx

    return gradients


def bias_gradient(dy):
    """The gradient by the bias, (F,), given that by y, dy (F, P, Q, N)."""
    total = np.empty(len(dy), np.float64)
    sums.channels(dy, total)
    return total.astype(dy.dtype)


def weight_gradient(x, dy, weight, stride, pad, groups):
    """The gradient by the weight of y = convolved(x, weight, ...), given that by y, dy (F, P, Q, N)."""
    dw = np.empty(weight.shape, np.float64)
    if groups == 1:
        conv_weights.weight_gradient(x, dy, stride, pad, dw)
    elif groups == len(x) == len(weight):
        depthwise.weight_gradient(x, dy, stride, pad, dw[:, 0])
    else:
        for mine, own in _groups(len(x), len(weight), groups):
            conv_weights.weight_gradient(x[mine], dy[own], stride, pad, dw[own])
    return dw.astype(weight.dtype)


def input_gradient(dy, weight, bias, stride, pad, groups, shape):
    """The gradient by x, of `shape` (C, H, W, N), of y = convolved(x, weight, ...), given dy; plus bias (C,) or None.

    It is dy (F, P, Q, N) convolved with the kernels turned by 180 degrees, channels in and out exchanged. With a
    stride, dy is first spread out, zeros between, to what stride 1 would have given. It is also all that a transposed
    convolution computes (Dumoulin and Visin, 2016, chapter 4).
    """
    K, turned = weight.shape[2], turn(weight, groups)
    if stride == 1 or groups == len(dy) == len(turned):
        return convolved(_spread(dy, stride, pad, K, shape), turned, bias, 1, K - 1 - pad, groups, shape)
    dx = aligned_empty(shape, dy.dtype)
    bias = np.zeros(len(turned), dy.dtype) if bias is None else bias
    for mine, own in _groups(len(dy), len(turned), groups):
        conv.transposed(dy[mine], turned[own], bias[own], stride, K - 1 - pad, dx[own])
    return dx


def turn(weight, groups=1):
    """weight (F, C, K, K) with kernels turned by 180 degrees, channels in and out exchanged within each group.

    (groups * C, F / groups, K, K), C-contiguous.
    """
    F, C, K, _ = weight.shape
    turned = weight[:, :, ::-1, ::-1].reshape(groups, F // groups, C, K, K).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(turned).reshape(groups * C, F // groups, K, K)


def _spread(dy, stride, pad, kernel, shape):
    """dy (F, P, Q, N) of a convolution of `shape`, (C, H, W, N), with zeros where stride 1 had given more outputs."""
    if stride == 1:
        return dy
    spread = np.zeros((len(dy), *(side + 2 * pad - kernel + 1 for side in shape[1:3]), dy.shape[3]), dy.dtype)
    spread[:, ::stride, ::stride] = dy
    return spread


def _groups(inputs, outputs, groups):
    """For each group its channels in and out, as two slices: images last, they lie together in memory."""
    inputs, outputs = inputs // groups, outputs // groups
    return [(slice(i * inputs, (i + 1) * inputs), slice(i * outputs, (i + 1) * outputs)) for i in range(groups)]
