"""A list of layers as the operations that the engine does: what can be done on the way is done on the way.

    Conv2d, BatchNorm2d, MaxPool2d(2), ReLU     ->  one convolution: other weights, the maximum and the clamp in its end
    Dense, ReLU                                 ->  one dense layer with a clamp in its end
    Dropout, Reshape, Flatten                   ->  nothing

A clamp (ReLU, ReLU6, Clip) may come before or after the maximum: neither changes the order of values.
"""
from dataclasses import dataclass, field, replace

import numpy as np

from npcbnet.layers import AvgPool2d, Clip, Conv2d, Dense, Dropout, Flatten, MaxPool2d, ReLU, Reshape

NO_BOUNDS = (-np.inf, np.inf)


@dataclass(frozen=True)
class Operation:
    """One operation: `kind`, the layer it comes from, shapes before and after, and what was fused into it.

    weight, bias: float32 parameters, already with a batch normalisation's scale. pool: followed by a 2x2 maximum.
    bounds: the result is clamped to them.
    """

    kind: str
    layer: object
    before: tuple
    after: tuple
    weight: np.ndarray = None
    bias: np.ndarray = None
    pool: bool = False
    bounds: tuple = NO_BOUNDS
    extra: dict = field(default_factory=dict)


def bounds_of(layer):
    """The (least, greatest) result of a layer that only clamps, None for any other."""
    if isinstance(layer, ReLU):
        return 0.0, np.inf
    if isinstance(layer, Clip):
        return layer.low, layer.high
    return None


def fuse(layers, shape):
    """The operations of `layers` on images of `shape`, and the shape behind them."""
    operations = []
    for layer in layers:
        after = layer.output_shape(shape)
        last = operations[-1] if operations else None
        bounds = bounds_of(layer)
        if isinstance(layer, (Dropout, Flatten, Reshape)):
            if last is not None:
                operations[-1] = replace(last, after=after)
        elif bounds is not None and last is not None:
            low, high = last.bounds
            operations[-1] = replace(last, bounds=tuple(float(np.clip(b, *bounds)) for b in (low, high)))
        elif _halves(layer) and last is not None and last.kind == "conv" and not last.pool:
            operations[-1] = replace(last, after=after, pool=True, extra={"pooled": after[1:]})
        else:
            operations.append(_operation(layer, shape, after, bounds))
        shape = after
    return operations, shape


def _halves(layer):
    """Is it the 2x2 maximum that a convolution can do in its end?"""
    return isinstance(layer, MaxPool2d) and (layer.kernel, layer.stride, layer.pad) == (2, 2, 0)


def _operation(layer, before, after, bounds):
    made = Operation(layer.name, layer, before, after)
    if isinstance(layer, (Conv2d, Dense)):
        kind = "conv" if isinstance(layer, Conv2d) else "dense"
        return replace(made, kind=kind, weight=layer.params["weight"].astype(np.float32),
                       bias=layer.params["bias"].astype(np.float32))
    if isinstance(layer, (MaxPool2d, AvgPool2d)):
        return replace(made, kind="pool")
    if bounds is not None:
        return replace(made, kind="clamp", bounds=bounds)
    return made
