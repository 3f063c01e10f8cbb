"""Fully connected layer: y = x W + b."""
from npcbnet.kernels import dense
from npcbnet.layers.base import Layer, aligned_empty, expect, images_first, images_last, positive

BATCH = 32  # images from which on training multiplies by BLAS


class Dense(Layer):
    """x (N, D) -> y (N, O). weight (D, O), bias (O,)."""

    name = "dense"
    fields = ("in_features", "out_features")

    def __init__(self, in_features, out_features):
        super().__init__()
        positive("Dense", in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = int(in_features), int(out_features)

    def param_shapes(self):
        return {"weight": (self.in_features, self.out_features), "bias": (self.out_features,)}

    def fans(self):
        return self.in_features, self.out_features

    def output_shape(self, shape):
        expect(tuple(shape) == (self.in_features,), self, shape, f"({self.in_features},) features an image")
        return (self.out_features,)

    def macs(self, shape):
        return self.in_features * self.out_features

    def forward(self, x, train=False, rng=None):
        self.output_shape(x.shape[1:])
        weight, bias = self.params["weight"], self.params["bias"]
        x = images_last(x).astype(weight.dtype, copy=False)
        y = aligned_empty((self.out_features, x.shape[1]), weight.dtype)
        # Of a batch, BLAS is faster; but its bits depend on the batch, which prediction promises they do not
        multiply = dense.forward_numpy if train and x.shape[1] >= BATCH else dense.forward
        multiply(x, weight, bias, y)
        if not train:
            return images_first(y), None

        def backward(dy, need_dx=True):
            dy = images_last(dy)
            grads = {"weight": x @ dy.T, "bias": dy.sum(axis=1)}
            return (images_first(weight @ dy) if need_dx else None), grads

        return images_first(y), backward

