"""Fully connected layer on 8-bit integers."""
from npcbnet.layers.base import expect, positive
from npcbnet.layers.quantized import Quantized


class QuantizedDense(Quantized):
    """x (N, D) -> y (N, O), as Quantized says.

    weight (D, O) int8; weight_scale, bias (O,) and input_scale (1,) float32.
    """

    name = "quantizeddense"
    fields = ("in_features", "out_features", "signed")

    def __init__(self, in_features, out_features, signed=False):
        positive("QuantizedDense", in_features=in_features, out_features=out_features)
        super().__init__(in_features, signed)
        self.in_features, self.out_features = int(in_features), int(out_features)

    def param_shapes(self):
        return {"weight": (self.in_features, self.out_features), "weight_scale": (self.out_features,),
                "input_scale": (1,), "bias": (self.out_features,)}

    def output_shape(self, shape):
        expect(tuple(shape) == (self.in_features,), self, shape, f"({self.in_features},) features an image")
        return (self.out_features,)

    def macs(self, shape):
        return self.in_features * self.out_features

    @staticmethod
    def sums(q, weight):
        """q (N, D), weight (D, O), whole numbers as float64 -> their products' sums (N, O): exact below 2^53."""
        return q @ weight
