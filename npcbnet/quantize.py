"""Numbers in 8 bits and back, in NumPy: what the formulas of ONNX's QuantizeLinear and its kin say, step by step.

An 8-bit value q stands for scale * (q - zero_point). The type of zero_point, uint8 or int8, is the type of q. scale and
zero_point are single numbers, or one for each index along `axis` of x (of a convolution's weights: one a channel).
"""
import numpy as np

from npcbnet.errors import ShapeError


def quantize(x, scale, zero_point, axis=1):
    """x of any shape, float -> q = round(x / scale) + zero_point, to the nearest that 8 bits hold; ties to even.

    Raises ShapeError for NaN, a scale that is not positive, another type than 8 bits, or as dequantize does.
    """
    x, zero_point = np.asarray(x), np.asarray(zero_point)
    scale, offset = _along(x, scale, axis), _along(x, zero_point, axis)
    _check_type(zero_point)
    if np.isnan(x).any() or not (scale > 0).all():
        raise ShapeError("quantize takes numbers and positive scales; x holds NaN, or a scale is 0 or less")
    limits = np.iinfo(zero_point.dtype)
    return np.clip(np.rint(x / scale) + offset, limits.min, limits.max).astype(zero_point.dtype)


def dequantize(q, scale, zero_point, axis=1):
    """q of any shape, 8 bits -> scale * (q - zero_point), float32.

    Raises ShapeError where scale or zero_point are neither one number nor one for each index along `axis`.
    """
    q, zero_point = np.asarray(q), np.asarray(zero_point)
    _check_type(zero_point)
    return ((q.astype(np.int32) - _along(q, zero_point, axis)) * _along(q, scale, axis)).astype(np.float32)


def dynamic_quantize(x):
    """x float -> (q uint8, scale float32, zero_point uint8): 0 and all of x fit, and 0 is met exactly.

    As ONNX's DynamicQuantizeLinear; where the scale would be 0, all of x being 0 or nearly, it is 1. Raises ShapeError
    for NaN and infinity.
    """
    x = np.asarray(x, np.float32)
    if not np.isfinite(x).all():
        raise ShapeError("dynamic_quantize takes finite numbers; x holds NaN or infinity")
    low, high = x.min(initial=0), x.max(initial=0)
    scale = (high - low) / np.float32(255) or np.float32(1)
    zero_point = np.uint8(np.clip(np.rint(-low / scale), 0, 255))
    return quantize(x, scale, zero_point), np.float32(scale), zero_point


def _along(x, values, axis):
    """values, one number or one for each index along `axis` of x, shaped so that they meet x there."""
    values = np.asarray(values)
    values = values.astype(np.int32) if values.dtype.kind in "iu" else values
    if values.size == 1:
        return values.reshape(())
    if values.ndim != 1 or not -x.ndim <= axis < x.ndim or len(values) != x.shape[axis]:
        raise ShapeError(f"{values.shape} scales or zero points do not fit axis {axis} of an array of shape {x.shape}")
    return values.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])


def _check_type(zero_point):
    if zero_point.dtype not in (np.uint8, np.int8):
        raise ShapeError(f"a zero point is uint8 or int8, not {zero_point.dtype}")
