"""What layers that compute with 8-bit integers share: scales, the inputs rounded to integers, sums back to floats."""
import numpy as np

from npcbnet.errors import ShapeError, UsageError
from npcbnet.layers.base import Layer, flag

MOST_SUMMED = 2 ** 31 // (255 * 128)  # products of 8-bit numbers whose sum fits 32 bits, whatever they are


class Quantized(Layer):
    """y[o] = (sum over d of q[d] weight[d, o]) * (input_scale * weight_scale[o]) + bias[o], q = round(x / input_scale).

    Symmetric quantisation with one scale for each output and one for all inputs (Jacob et al., 2018, eq. 5 with zero
    points of 0). weight is int8; weight_scale (O,), input_scale (1,) and bias (O,) are float32. q is rounded to even
    and clipped to 0..255, with `signed` to -127..127; its sums are whole numbers of 32 bits, exact in any order.

    Such layers only predict; `npcbnet.compress` makes them from trained ones. NaN in an input becomes NaN in its image.
    """

    integers = ("weight",)
    scales = statistics = ("weight_scale", "input_scale")
    defaults = {"signed": False}

    def __init__(self, summed, signed):
        super().__init__()
        if summed > MOST_SUMMED:
            raise ShapeError(f"{type(self).__name__}: an output sums {summed:,} products; "
                             f"32 bits hold the sum of {MOST_SUMMED:,}")
        self.summed = summed
        self.signed = flag(type(self).__name__, "signed", signed)

    @property
    def limits(self):
        """The least and greatest q."""
        return (-127, 127) if self.signed else (0, 255)

    def scale(self):
        """(O,) float32: what one unit of each output's sum is worth."""
        return self.params["input_scale"] * self.params["weight_scale"]

    def forward(self, x, train=False, rng=None):
        if train:
            raise UsageError(f"{type(self).__name__} computes with integers and cannot be trained; "
                             "train the model first, then quantise it with npcbnet.compress")
        self.output_shape(x.shape[1:])
        x = np.asarray(x, np.float32)
        q = np.clip(np.rint(x / self.params["input_scale"]), *self.limits).astype(np.float64)
        sums = self.sums(q, self.params["weight"].astype(np.float64)).astype(np.float32)
        along = (-1,) + (1,) * (sums.ndim - 2)  # outputs are axis 1
        return sums * self.scale().reshape(along) + self.params["bias"].reshape(along), None
