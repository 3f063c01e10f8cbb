"""A convolution as two: each channel alone, then all channels of a pixel mixed (MobileNets: Howard et al., 2017)."""
import numpy as np

from npcbnet.errors import UsageError
from npcbnet.layers import Conv2d


def separate(layer):
    """Conv2d (C -> F, K x K) -> [Conv2d (C -> C, K x K, depthwise), Conv2d (C -> F, 1 x 1)].

    Of each input channel, the F kernels that read it become multiples of one kernel: the best in squares, by the SVD of
    the (F, K K) matrix of that channel. Raises UsageError for a convolution in groups.
    """
    if layer.groups > 1:
        raise UsageError(f"{layer!r} has groups; only a convolution of all channels can be separated")
    weight, F, C, K = layer.params["weight"], layer.out_channels, layer.in_channels, layer.kernel
    depthwise = Conv2d(C, C, K, layer.stride, layer.pad, groups=C, bias=False)
    pointwise = Conv2d(C, F, 1)
    u, s, v = np.linalg.svd(weight.astype(np.float64).transpose(1, 0, 2, 3).reshape(C, F, K * K), full_matrices=False)
    root = np.sqrt(s[:, :1])
    depthwise.params = {"weight": (root * v[:, 0]).reshape(C, 1, K, K).astype(weight.dtype, order="C")}
    pointwise.params = {"weight": (root * u[:, :, 0]).T.reshape(F, C, 1, 1).astype(weight.dtype, order="C"),
                        "bias": layer.params["bias"].copy() if layer.bias else np.zeros(F, weight.dtype)}
    return [depthwise, pointwise]
