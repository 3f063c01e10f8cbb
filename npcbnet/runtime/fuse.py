"""A list of layers as the operations that the engine does: what can be done on the way is done on the way.

    Conv2d, BatchNorm2d, MaxPool2d(2), ReLU     ->  one convolution: other weights, the maximum and the clamp in its end
    Dense, ReLU                                 ->  one dense layer with a clamp in its end
    Concatenate, MaxPool2d(2)                   ->  both ways with the maximum in their ends, and a copy
    ConvTranspose2d                             ->  pixels spread out with zeros between, and a convolution
    Dropout                                     ->  nothing

A clamp (ReLU, ReLU6, Clip) may come before or after the maximum: neither changes the order of values.
"""
from dataclasses import dataclass, replace

import numpy as np

from npcbnet.errors import ShapeError
from npcbnet.layers import (ActiveConv2d, ActiveDense, BatchNorm2d, Clip, Concatenate, Conv2d, ConvTranspose2d, Dense,
                            Dropout, Flatten, MaxPool2d, Quantized, QuantizedConv2d, ReLU, ReLU6, Reshape, Residual,
                            Sequential)

NO_BOUNDS = (-np.inf, np.inf)
TOO_FAR = 1e30  # from zero: sums on the way (Winograd's are larger than their results) might overflow
POOLS = ("maxpool2d", "avgpool2d", "globalavgpool2d", "globalmaxpool2d")
CONVOLUTIONS = ("conv", "quantizedconv2d", "activeconv2d")
DENSE = ("dense", "activedense")
CLAMPING = (*CONVOLUTIONS, *DENSE, "quantizeddense", "pool", "clamp", "scale", "residual", "concatenate",
            "upsample2d")  # on the way


@dataclass(frozen=True)
class Operation:
    """One operation: its kind, the layer it comes from, shapes before and after, and what was fused into it.

    weight, bias: float32 (a quantised layer's weight: int8); of a convolution (F, C / groups, K, K) and (F,), already
    with a batch normalisation's scale. window: a convolution's (stride, pad, groups); behind: (P, Q), its rows and
    columns before a fused 2x2 maximum (pool). bounds: the result is clamped to them. parts: the operations of a
    residual's body and of its shortcut, or of the two ways that are concatenated. active: of an active convolution,
    which outputs it computes, (F, P, Q) bool; an active dense layer's weight and bias are those of its active inputs
    and outputs alone. reach: no result, nor any sum on the way, is further from zero, for images in 0..1.
    """

    kind: str
    layer: object
    before: tuple
    after: tuple
    weight: np.ndarray = None
    bias: np.ndarray = None
    window: tuple = ()
    behind: tuple = ()
    pool: bool = False
    bounds: tuple = NO_BOUNDS
    parts: tuple = ()
    active: np.ndarray = None
    reach: float = np.inf

    @property
    def sure(self):
        """Can neither it nor anything before it overflow? Then no NaN can arise in it, and none needs care."""
        return self.reach < TOO_FAR

    @property
    def reach_behind(self):
        """How far from zero its results can be when they are clamped; infinite where there may be NaN."""
        return max(abs(float(np.clip(end, *self.bounds))) for end in (-self.reach, self.reach)) if self.sure else np.inf


def fuse(layers, shape):
    """The operations of `layers` on images of `shape`. Raises ShapeError where a layer has no parameters yet."""
    operations = []
    for layer in _flat(layers):
        if isinstance(layer, Dropout):
            continue
        after, last, bounds = tuple(layer.output_shape(shape)), operations[-1] if operations else None, bounds_of(layer)
        try:
            if bounds is not None and last is not None and _can_clamp(last, bounds):
                operations[-1] = replace(last, bounds=tuple(float(np.clip(b, *bounds)) for b in last.bounds))
            elif _halves(layer) and last is not None and last.kind in CONVOLUTIONS and not last.pool \
                    and (last.window[0] == 1 or last.active is not None):
                operations[-1] = replace(last, after=after, pool=True)
            elif _halves(layer) and last is not None and last.kind == "concatenate" and last.bounds == NO_BOUNDS \
                    and last.after == tuple(shape) == last.layer.output_shape(last.before):
                ways = tuple(fuse([way, layer], last.before) for way in (last.layer.first, last.layer.second))
                operations[-1] = replace(last, after=after, parts=ways)
            elif isinstance(layer, BatchNorm2d) and last is not None and _plain_conv(last):
                scale, shift = scale_and_shift(layer)
                operations[-1] = replace(last, weight=last.weight * scale[:, None, None, None],
                                         bias=last.bias * scale + shift)
            else:
                operations += _operations(layer, tuple(shape), after, bounds)
        except KeyError as error:
            raise ShapeError(f"this model has no parameter {error} yet: load or train it first") from None
        shape = after
    return operations


def reaching(operations, reach):
    """The operations with their `reach`, given how far from zero their inputs can be (infinite: or NaN)."""
    known = []
    for operation in operations:
        reach = _reach(operation, reach) if reach < TOO_FAR else np.inf
        known.append(replace(operation, reach=reach))
        reach = known[-1].reach_behind
    return known


def _reach(operation, before):
    """How far from zero an operation's results can be before they are clamped, given how far its inputs can be."""
    layer = operation.layer
    if operation.kind in ("conv", "activeconv2d", "scale", *DENSE):
        weight = np.abs(operation.weight, dtype=np.float64)
        sums = weight.sum(axis=0 if operation.kind in DENSE else tuple(range(1, weight.ndim)))
        return float((sums * before + np.abs(operation.bias)).max(initial=0))
    if isinstance(layer, Quantized):
        return float((128 * 256 * layer.summed * layer.scale().astype(np.float64) + np.abs(operation.bias)).max())
    if operation.parts:
        parts = [reaching(part, before) for part in operation.parts]
        if not all(step.sure for part in parts for step in part):
            return np.inf
        ends = [part[-1].reach_behind if part else before for part in parts]
        return sum(ends) if operation.kind == "residual" else max(ends)
    if operation.kind in ("sigmoid", "tanh"):
        return 1.0
    if operation.kind == "softmax":
        return max(1.0, layer.total)
    if operation.kind == "localresponsenorm":
        return before * max(1.0, layer.k ** -layer.beta) if layer.beta >= 0 else np.inf
    return before * max(1.0, abs(layer.slope)) if operation.kind == "leakyrelu" else before


def bounds_of(layer):
    """The (least, greatest) result of a layer that only clamps, None for any other."""
    if isinstance(layer, ReLU):
        return 0.0, np.inf
    if isinstance(layer, ReLU6):
        return 0.0, 6.0
    return (layer.low, layer.high) if isinstance(layer, Clip) else None


def scale_and_shift(norm):
    """Batch normalisation as y = scale x + shift, (C,) each, float32."""
    weight, bias, mean, variance = (norm.params[name].astype(np.float64)
                                    for name in ("weight", "bias", "running_mean", "running_var"))
    scale = weight / np.sqrt(variance + norm.eps)
    return scale.astype(np.float32), (bias - mean * scale).astype(np.float32)


def _flat(layers):
    """The layers, those of inner Sequentials among them."""
    for layer in layers:
        if isinstance(layer, Sequential):
            yield from _flat(layer)
        else:
            yield layer


def _can_clamp(operation, bounds):
    """Can a clamp be done in an operation's end? Inactive outputs are not even written, so their 0 must stay."""
    keeps_zero = operation.kind not in ("activeconv2d", "activedense") or bounds[0] <= 0 <= bounds[1]
    return operation.kind in CLAMPING and keeps_zero


def _halves(layer):
    """Is it the 2x2 maximum that a convolution can do in its end?"""
    return isinstance(layer, MaxPool2d) and (layer.kernel, layer.stride, layer.pad) == (2, 2, 0)


def _plain_conv(operation):
    return operation.kind == "conv" and not operation.pool and operation.bounds == NO_BOUNDS


def _bias(layer, outputs):
    return layer.params["bias"].astype(np.float32) if "bias" in layer.param_shapes() else np.zeros(outputs, np.float32)


def _operations(layer, before, after, bounds):
    """The one or two operations that a layer is."""
    if isinstance(layer, ConvTranspose2d):
        return _transposed(layer, before, after)
    made = Operation(layer.name, layer, before, after)
    if isinstance(layer, Conv2d):
        made = replace(made, kind="conv", weight=layer.params["weight"].astype(np.float32),
                       bias=_bias(layer, after[0]), window=(layer.stride, layer.pad, layer.groups), behind=after[1:])
    elif isinstance(layer, Dense):
        made = replace(made, weight=layer.params["weight"].astype(np.float32), bias=_bias(layer, after[0]))
    elif isinstance(layer, ActiveConv2d):
        on = layer.active()
        made = replace(made, kind="conv" if on.all() else made.kind, weight=layer.params["weight"].astype(np.float32),
                       bias=_bias(layer, after[0]), window=(layer.stride, layer.pad, 1), behind=after[1:],
                       active=None if on.all() else on)
    elif isinstance(layer, ActiveDense):
        weight, bias = layer.packed()
        made = replace(made, weight=weight.astype(np.float32), bias=bias.astype(np.float32))
    elif isinstance(layer, Quantized):
        window = (layer.stride, layer.pad, layer.groups) if isinstance(layer, QuantizedConv2d) else ()
        made = replace(made, weight=layer.params["weight"], bias=layer.params["bias"], window=window, behind=after[1:])
    elif isinstance(layer, (Flatten, Reshape)):
        made = replace(made, kind="reshape")
    elif layer.name in POOLS:
        made = replace(made, kind="pool")
    elif bounds is not None:
        made = replace(made, kind="clamp", bounds=tuple(float(bound) for bound in bounds))
    elif isinstance(layer, BatchNorm2d):
        scale, shift = scale_and_shift(layer)
        made = replace(made, kind="scale", weight=scale, bias=shift)
    elif isinstance(layer, Concatenate):
        made = replace(made, parts=(fuse([layer.first], before), fuse([layer.second], before)))
    elif isinstance(layer, Residual):
        shortcut = [layer.shortcut] if layer.shortcut is not None else []
        made = replace(made, parts=(fuse([layer.body], before), fuse(shortcut, before)))
    return [made]


def _transposed(layer, before, after):
    """A transposed convolution: zeros between the pixels, then a convolution with the kernel turned by 180 degrees."""
    C, H, W = before
    sides = [(side - 1) * layer.stride + 1 + layer.output_padding for side in (H, W)]
    spread = Operation("spread", layer, before, (C, *sides))
    parts = [part.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1] for part in np.split(layer.params["weight"], layer.groups)]
    weight = np.concatenate(parts).astype(np.float32)
    return [spread, Operation("conv", layer, spread.after, after, weight, _bias(layer, after[0]),
                              (1, layer.kernel - 1 - layer.pad, layer.groups), after[1:])]
