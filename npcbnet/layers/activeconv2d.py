"""Two-dimensional convolution that computes some of its outputs: the neurons that a subgraph keeps."""
import numpy as np

from npcbnet.errors import ShapeError
from npcbnet.kernels import active
from npcbnet.layers.base import Layer, aligned_empty, expect, images_first, images_last, positive
from npcbnet.layers.conv2d import Conv2d, check_window

LAST_LEVEL = 126  # a neuron of level 127 is active in no subgraph


class ActiveConv2d(Layer):
    """x (N, C, H, W) -> y (N, F, P, Q): Conv2d's y[n, f, p, q] where level[f, p, q] <= upto, elsewhere 0.

    A neuron is one output (f, p, q) (Lee and Nirjon, 2020, section IV). weight (F, C, K, K), bias (F,), level (F, P, Q)
    int8, at least 0; P = rows, Q = columns. Levels nest subgraphs in one set of weights: a greater `upto` keeps all
    neurons of a smaller one. Prediction computes active neurons alone; training, which has whole batches, computes all
    of them by Conv2d and leaves the others out.
    """

    name = "activeconv2d"
    fields = ("in_channels", "out_channels", "kernel", "stride", "pad", "rows", "columns", "upto")
    defaults = {"upto": 0}
    statistics = integers = levels = ("level",)

    def __init__(self, in_channels, out_channels, kernel, stride, pad, rows, columns, upto=0):
        super().__init__()
        positive("ActiveConv2d", in_channels=in_channels, out_channels=out_channels, kernel=kernel, stride=stride,
                 pad=pad, rows=rows, columns=columns)
        check_window("ActiveConv2d", in_channels, out_channels, kernel, pad, 1)
        self.in_channels, self.out_channels = int(in_channels), int(out_channels)
        self.kernel, self.stride, self.pad = int(kernel), int(stride), int(pad)
        self.rows, self.columns, self.upto = int(rows), int(columns), checked_level("ActiveConv2d", upto)

    def param_shapes(self):
        return {"weight": (self.out_channels, self.in_channels, self.kernel, self.kernel),
                "bias": (self.out_channels,), "level": (self.out_channels, self.rows, self.columns)}

    def fans(self):
        return self.in_channels * self.kernel ** 2, self.out_channels * self.kernel ** 2

    def output_shape(self, shape):
        made = self._whole().output_shape(shape)
        expect(made[1:] == (self.rows, self.columns), self, shape,
               f"images of which it makes maps of {self.rows} x {self.columns}")
        return made

    def macs(self, shape):
        self.output_shape(shape)
        return int(self.active().sum()) * self.in_channels * self.kernel ** 2

    def active(self):
        """Which neurons are computed, (F, P, Q) bool; all of them as long as there are no parameters."""
        if "level" not in self.params:
            return np.ones((self.out_channels, self.rows, self.columns), bool)
        return self.params["level"] <= self.upto

    def forward(self, x, train=False, rng=None):
        shape, on = self.output_shape(x.shape[1:]), self.active()
        if train:
            return self._trained(x, on)
        weight, bias = self.params["weight"], self.params["bias"]
        x = images_last(x).astype(weight.dtype, copy=False)
        y = aligned_empty((*shape, x.shape[3]), weight.dtype)
        active.forward(x, weight, bias, np.argwhere(on), self.stride, self.pad, y)
        return images_first(y), None

    def _whole(self):
        """The convolution that computes all neurons, with this one's weights."""
        layer = Conv2d(self.in_channels, self.out_channels, self.kernel, self.stride, self.pad)
        layer.params = self.params
        return layer

    def _trained(self, x, on):
        y, whole_backward = self._whole().forward(x, train=True)
        y, level = images_last(y), self.params["level"]
        y[~on] = 0

        def backward(dy, need_dx=True):
            dy = images_last(dy)
            dy = np.where(on[..., None], dy, dy.dtype.type(0))
            dx, grads = whole_backward(images_first(dy), need_dx)
            return dx, {**grads, "level": np.zeros_like(level)}  # levels ask for no step

        return images_first(y), backward


def checked_level(name, upto):
    """The level as an int. Raises ShapeError unless it is one that a subgraph can have."""
    if isinstance(upto, bool) or not isinstance(upto, (int, np.integer)) or not 0 <= upto <= LAST_LEVEL:
        raise ShapeError(f"{name}: upto must be a whole number in 0..{LAST_LEVEL}, not {upto!r:.60}")
    return int(upto)
