"""Bringing image arrays to one form: uint8, (N, C, H, W), contiguous; and to a requested (C, H, W)."""
import math

import numpy as np

from npcbnet.errors import DataError, UsageError

MAX_BYTES = 2 << 30  # no single array or file may claim more: a hostile header must not decide how much memory we take
MAX_SIDE = 1 << 15   # of an image to be resized: it bounds the resampling matrix
_BLOCK_BYTES = 32 << 20  # of float64 at a time, so that temporaries stay small beside the uint8 result

# ITU-R BT.601 section 2.5.1: luma from gamma-encoded R, G, B (the weights of PIL's "L" and OpenCV's grey).
_LUMA = np.array([0.299, 0.587, 0.114])


def to_nchw(images, where):
    """Return `images` as contiguous uint8 (N, C, H, W); `where` names the array in errors (DataError).

    uint8 is taken as it is; floats must lie in 0..1 and become round(255 x). The layout is told from the shape alone:

    - (N, H, W): grey.
    - (N, H, W, C) when the last axis is 1 or 3; (N, C, H, W) when the second axis is 1 to 4. Where both readings are
      possible, or neither, it is an error rather than a guess.
    """
    if 0 in images.shape:
        raise DataError(f"{where} has shape {text(images.shape)}: it is empty")
    if images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4:
        images = _channels_first(images, where)
    else:
        raise DataError(f"{where} has shape {text(images.shape)}; expected (N, H, W), (N, C, H, W) or (N, H, W, C)")
    if images.dtype.kind == "f":
        return _from_float(images, where)
    if images.dtype != np.uint8:
        raise DataError(f"{where} is {str(images.dtype)[:40]}; expected uint8 in 0..255 (use .astype(numpy.uint8)), "
                        "or float in 0..1")
    return np.ascontiguousarray(images)


def _channels_first(images, where):
    """(N, C, H, W) or (N, H, W, C) -> a view as (N, C, H, W)."""
    first, last = images.shape[1] in (1, 2, 3, 4), images.shape[3] in (1, 3)
    if first and last:
        raise DataError(f"{where} has shape {text(images.shape)}: channels may be axis 1 or axis 3; "
                        "make the images wider than 3 pixels, or store grey ones as (N, H, W)")
    if not first and not last:
        raise DataError(f"{where} has shape {text(images.shape)}; expected (N, C, H, W) with C of 1 to 4, or "
                        "(N, H, W, C) with C of 1 or 3: transpose it")
    return images if first else images.transpose(0, 3, 1, 2)


def _from_float(images, where):
    """Floats in 0..1, any layout of strides -> uint8 of the same shape."""
    result = np.empty(images.shape, np.uint8)
    step = max(1, _BLOCK_BYTES // (8 * math.prod(images.shape[1:])))
    for start in range(0, len(images), step):
        block = images[start:start + step].astype(np.float64)
        if not (block.min() >= 0 and block.max() <= 1):  # false for NaN too
            raise DataError(f"{where} is float with values from {block.min():.4g} to {block.max():.4g}; "
                            "floats must lie in 0..1, or store uint8 in 0..255")
        result[start:start + step] = np.rint(block * 255)
    return result


def check_shape(shape):
    """Return a requested `shape` as a tuple (C, H, W) of ints, or None; UsageError when it is neither."""
    if shape is None:
        return None
    try:
        channels, height, width = (int(side) for side in shape if side == int(side))
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"shape must be (C, H, W), three positive integers, not {shape!r}") from None
    if min(channels, height, width) < 1 or max(channels, height, width) > 4096:
        raise UsageError(f"shape must be (C, H, W), three integers from 1 to 4096, not {shape!r}")
    return channels, height, width


def to_shape(images, shape, where):
    """Convert uint8 (N, C, H, W) to `shape` = (C', H', W'): colour to grey by luma, grey to 3 by repetition, resized.

    Resizing is bilinear, smoothed when it shrinks, and stretches to fit (no aspect ratio is kept). Errors: DataError.
    """
    if shape is None or images.shape[1:] == shape:
        return images
    check_bytes((len(images), *shape), where)
    if images.shape[1] not in (shape[0], 1, 3) or (images.shape[1] != shape[0] and shape[0] not in (1, 3)):
        raise DataError(f"{where} has {images.shape[1]} channels, which cannot become {shape[0]}: "
                        "only 3 -> 1 (luma) and 1 -> 3 (repetition) are defined")
    if max(images.shape[2:]) > MAX_SIDE:
        raise DataError(f"{where} has images of {text(images.shape[1:])}; sides of at most {MAX_SIDE} can be resized")
    result = np.empty((len(images), *shape), np.uint8)
    block = max(1, _BLOCK_BYTES // (8 * math.prod(images.shape[1:])))
    for start in range(0, len(images), block):
        result[start:start + block] = _convert_block(images[start:start + block], shape)
    return result


def _convert_block(block, shape):
    """uint8 (N, C, H, W) -> float64 whole numbers in 0..255, broadcastable to (N, *shape)."""
    if block.shape[1] == 3 and shape[0] == 1:
        block = np.einsum("nchw,c->nhw", block, _LUMA)[:, None]
    if block.shape[2:] != shape[1:]:
        rows, columns = (_triangle_weights(old, new) for old, new in zip(block.shape[2:], shape[1:]))
        block = np.matmul(np.matmul(rows, block), columns.T)
    # A tie such as 1.5 must not fall to either side by the last bit of a sum, which differs between BLAS libraries.
    return np.floor(block + (0.5 + 1e-6))  # one channel becomes three by broadcasting


def _triangle_weights(old, new):
    """Matrix (new, old) that resamples a line of pixels: bilinear, widened by old / new when shrinking, edges repeated.

    The triangle filter of D. Schumacher, "General filtered image rescaling", Graphics Gems III, 1992 (Pillow's too).
    """
    scale = old / new
    centres = (np.arange(new) + 0.5) * scale
    distance = np.abs(np.arange(old) + 0.5 - centres[:, None]) / max(scale, 1.0)
    weights = np.clip(1 - distance, 0, None)
    return weights / weights.sum(axis=1, keepdims=True)


def check_bytes(shape, where, itemsize=1):
    """Return the bytes of an array of `shape`; DataError when they exceed MAX_BYTES. To be called before allocating."""
    size = math.prod(shape) * itemsize
    if size > MAX_BYTES:
        raise DataError(f"{where} would need {size:,} bytes as {text(shape)}; at most {MAX_BYTES:,} are accepted")
    return size


def text(shape):
    """(60000, 28, 28) -> "60000x28x28"."""
    return "x".join(str(side) for side in shape) or "a single value"
