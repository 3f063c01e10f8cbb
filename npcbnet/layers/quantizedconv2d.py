"""Two-dimensional convolution on 8-bit integers."""
import numpy as np

from npcbnet.layers.base import positive
from npcbnet.layers.conv2d import Conv2d, check_window
from npcbnet.layers.quantized import Quantized


class QuantizedConv2d(Quantized):
    """x (N, C, H, W) -> y (N, F, P, Q), as Quantized says; stride, pad and groups are Conv2d's.

    weight (F, C / groups, K, K) int8; weight_scale, bias (F,) and input_scale (1,) float32.
    """

    name = "quantizedconv2d"
    fields = ("in_channels", "out_channels", "kernel", "stride", "pad", "groups", "signed")
    defaults = {"groups": 1, "signed": False}

    def __init__(self, in_channels, out_channels, kernel, stride=1, pad=0, groups=1, signed=False):
        positive("QuantizedConv2d", in_channels=in_channels, out_channels=out_channels, kernel=kernel, stride=stride,
                 pad=pad, groups=groups)
        check_window("QuantizedConv2d", in_channels, out_channels, kernel, pad, groups)
        super().__init__(in_channels // groups * kernel ** 2, signed)
        self.in_channels, self.out_channels = int(in_channels), int(out_channels)
        self.kernel, self.stride, self.pad, self.groups = int(kernel), int(stride), int(pad), int(groups)

    def param_shapes(self):
        return {"weight": (self.out_channels, self.in_channels // self.groups, self.kernel, self.kernel),
                "weight_scale": (self.out_channels,), "input_scale": (1,), "bias": (self.out_channels,)}

    output_shape, macs = Conv2d.output_shape, Conv2d.macs

    def peak(self, shape):
        """The engine sums at every place before it takes each stride-th."""
        F = self.output_shape(shape)[0]
        rows, columns = (side + 2 * self.pad - self.kernel + 1 for side in shape[1:])
        return F * rows * columns

    def sums(self, q, weight):
        """q (N, C, H, W), weight as the layer's, whole numbers as float64 -> their products' sums (N, F, P, Q)."""
        N, (F, P, Q), G, s = len(q), self.output_shape(q.shape[1:]), self.groups, self.stride
        framed = np.pad(q, ((0, 0), (0, 0), (self.pad, self.pad), (self.pad, self.pad)))
        total = np.zeros((N, G, F // G, P * Q))
        for k, l in np.ndindex(self.kernel, self.kernel):  # each tap is a matrix product of channels
            seen = framed[:, :, k:k + s * (P - 1) + 1:s, l:l + s * (Q - 1) + 1:s]
            total += weight[:, :, k, l].reshape(G, F // G, -1) @ seen.reshape(N, G, -1, P * Q)
        return total.reshape(N, F, P, Q)
