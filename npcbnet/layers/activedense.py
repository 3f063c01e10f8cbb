"""Fully connected layer that computes some outputs from some inputs: the neurons that a subgraph keeps."""
import numpy as np

from npcbnet.kernels import dense
from npcbnet.layers.activeconv2d import checked_level
from npcbnet.layers.base import Layer, aligned_empty, expect, images_first, images_last, positive
from npcbnet.layers.dense import BATCH


class ActiveDense(Layer):
    """x (N, D) -> y (N, O): y[o] = sum over active d of x[d] weight[d, o] + bias[o] where o is active, elsewhere 0.

    Active are the outputs with level[o] <= upto and the inputs with input_level[d] <= upto: those that can be anything
    but 0 behind the active neurons before them. weight (D, O), bias (O,); level (O,), input_level (D,) int8, at least
    0. Levels and `upto` as ActiveConv2d's.
    """

    name = "activedense"
    fields = ("in_features", "out_features", "upto")
    defaults = {"upto": 0}
    statistics = integers = levels = ("level", "input_level")

    def __init__(self, in_features, out_features, upto=0):
        super().__init__()
        positive("ActiveDense", in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = int(in_features), int(out_features)
        self.upto = checked_level("ActiveDense", upto)

    def param_shapes(self):
        return {"weight": (self.in_features, self.out_features), "bias": (self.out_features,),
                "level": (self.out_features,), "input_level": (self.in_features,)}

    def fans(self):
        return self.in_features, self.out_features

    def output_shape(self, shape):
        expect(tuple(shape) == (self.in_features,), self, shape, f"({self.in_features},) features an image")
        return (self.out_features,)

    def macs(self, shape):
        return int(self.active().sum()) * int(self.active_inputs().sum())

    def active(self):
        """Which outputs are computed, (O,) bool; all of them as long as there are no parameters."""
        return self.params["level"] <= self.upto if "level" in self.params else np.ones(self.out_features, bool)

    def active_inputs(self):
        """Which inputs are read, (D,) bool; all of them as long as there are no parameters."""
        known = "input_level" in self.params
        return self.params["input_level"] <= self.upto if known else np.ones(self.in_features, bool)

    def packed(self):
        """(weight, bias) of the active inputs and outputs alone, C-contiguous."""
        on = self.active()
        return np.ascontiguousarray(self.params["weight"][np.ix_(self.active_inputs(), on)]), self.params["bias"][on]

    def forward(self, x, train=False, rng=None):
        self.output_shape(x.shape[1:])
        on, inputs, (weight, bias) = self.active(), self.active_inputs(), self.packed()
        x = images_last(x).astype(weight.dtype, copy=False)[inputs]
        some = aligned_empty((len(bias), x.shape[1]), weight.dtype)
        multiply = dense.forward_numpy if train and x.shape[1] >= BATCH else dense.forward  # as Dense does, and why
        multiply(x, weight, bias, some)
        y = np.zeros((self.out_features, x.shape[1]), weight.dtype)
        y[on] = some
        if not train:
            return images_first(y), None
        levels = {name: np.zeros_like(self.params[name]) for name in self.levels}  # they ask for no step

        def backward(dy, need_dx=True):
            dy, dx = images_last(dy), None
            dweight, dbias = np.zeros((len(inputs), len(on)), dy.dtype), np.zeros(len(on), dy.dtype)
            dweight[np.ix_(inputs, on)], dbias[on] = x @ dy[on].T, dy[on].sum(axis=1)
            if need_dx:
                dx = np.zeros((len(inputs), dy.shape[1]), dy.dtype)
                dx[inputs] = weight @ dy[on]
                dx = images_first(dx)
            return dx, {"weight": dweight, "bias": dbias, **levels}

        return images_first(y), backward
