"""A convolution as SqueezeNet's fire module (Iandola et al., 2016, section 3.2): few channels, two kernels on them.

    conv 10 -> 20, 5 x 5      ->      conv 10 -> 5, 1 x 1; ReLU; conv 5 -> 10, 3 x 3  beside  conv 5 -> 10, 5 x 5

SqueezeNet's expand kernels are 1 x 1 and 3 x 3. Here the large one is the layer's own, the small one the least that
gives a map of the same size: with a padding of 3 no 1 x 1 kernel does.
"""
import numpy as np

from npcbnet.errors import UsageError
from npcbnet.layers import Concatenate, Conv2d, ReLU, Sequential


def small_window(layer):
    """(kernel, padding) of the least kernel that makes a map of the layer's size; None if only its own does."""
    for kernel in range(2 - layer.kernel % 2, layer.kernel, 2):
        pad = layer.pad - (layer.kernel - kernel) // 2
        if 0 <= pad < kernel:
            return kernel, pad
    return None


def can_burn(layer):
    """Can a fire module stand in the place of a Conv2d?"""
    return layer.groups == 1 and min(layer.in_channels, layer.out_channels) > 1 and small_window(layer) is not None


def fire(layer):
    """Conv2d (C -> F, K x K) -> [Conv2d (C -> S, 1 x 1), ReLU, Concatenate(small kernels, large kernels)], S = C / 2.

    Begun from the trained weights: the squeeze lets the S most influential channels through (those that come from a
    ReLU pass this one unchanged), the large kernels are the layer's own for them, the small ones their middle. Raises
    UsageError where can_burn is false.
    """
    if not can_burn(layer):
        raise UsageError(f"{layer!r} cannot become a fire module: it needs two channels in and out, no groups, and "
                         "padding enough for a smaller kernel")
    weight, F = layer.params["weight"], layer.out_channels
    S, half, (kernel, pad) = -(-layer.in_channels // 2), F // 2, small_window(layer)
    edge = (layer.kernel - kernel) // 2
    norms = np.linalg.norm(weight.astype(np.float64).transpose(1, 0, 2, 3).reshape(layer.in_channels, -1), axis=1)
    chosen = np.sort(np.argsort(-norms, kind="stable")[:S])
    squeeze = Conv2d(layer.in_channels, S, 1)
    small = Conv2d(S, half, kernel, layer.stride, pad)
    large = Conv2d(S, F - half, layer.kernel, layer.stride, layer.pad)
    through = np.zeros(squeeze.param_shapes()["weight"], weight.dtype)
    through[np.arange(S), chosen] = 1
    squeeze.params = {"weight": through, "bias": np.zeros(S, weight.dtype)}
    bias = layer.params["bias"] if layer.bias else np.zeros(F, weight.dtype)
    middle = slice(edge, edge + kernel)
    small.params = {"weight": np.ascontiguousarray(weight[:half, chosen, middle, middle]), "bias": bias[:half].copy()}
    large.params = {"weight": np.ascontiguousarray(weight[half:, chosen]), "bias": bias[half:].copy()}
    return [squeeze, ReLU(), Concatenate(Sequential([small]), Sequential([large]))]
