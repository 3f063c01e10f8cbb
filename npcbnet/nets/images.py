"""What a user hands to `predict`, brought into the one form that nets take."""
import os

import numpy as np

from npcbnet.errors import ShapeError

PIXEL = np.float32(1 / 255)  # uint8 -> 0..1


def as_images(images, input_shape, check_values=True):
    """images -> (N, C, H, W) uint8 or float32, checked. input_shape (C, H, W) is the model's.

    check_values: look for NaN and values outside 0..1; False where whoever reads float32 pixels does that on the way.
    Takes uint8, or float in 0..1, shaped (N, C, H, W); (H, W) for one image of a one-channel model; three-dimensional
    arrays are (N, H, W) for a one-channel model and (C, H, W) for a colour model. Raises ShapeError with the remedy.
    """
    if isinstance(images, np.ma.MaskedArray):
        raise ShapeError("images are a masked array; fill what is masked first, e.g. images.filled(0)")
    if isinstance(images, (str, os.PathLike)):
        raise ShapeError(f"{str(images)!r:.80} is a file's name; read it first, e.g. with skimage.io.imread, or give "
                         "it to python -m npcbnet.predict")
    try:
        images = np.asarray(images)
    except Exception as error:  # images of different sizes in one list; whatever a foreign object's own code raises
        reason = " ".join(str(error).split())[:120]
        raise ShapeError(f"images cannot be made one array ({reason}); make them arrays of the same size") from None
    channels = input_shape[0]
    wanted = "x".join(map(str, input_shape))
    shape = images.shape
    if images.ndim == 2 and channels == 1:
        images = images[None, None]
    elif images.ndim == 3:
        images = images[:, None] if channels == 1 else images[None]
    if images.ndim != 4 or images.shape[1:] != tuple(input_shape):
        raise ShapeError(f"images of shape {shape} do not fit this model, which takes {wanted} "
                         "(channels x rows x columns) images: resize or transpose them first")
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f":
        raise ShapeError(f"images are {images.dtype}; use uint8 in 0..255 or float in 0..1, "
                         "e.g. images.astype('uint8')")
    if (check_values or images.dtype != np.float32) and images.size and not (images.min() >= 0 and images.max() <= 1):
        what = "NaN" if np.isnan(images).any() else f"values from {images.min():g} to {images.max():g}"
        raise ShapeError(f"float images hold {what}; they must lie in 0..1 (divide by 255, or pass uint8)")
    return images.astype(np.float32, copy=False)


def as_floats(images):
    """(N, C, H, W) uint8 or float32 -> float32 in 0..1, shaped alike, images last in memory (no copy for one image)."""
    turned = images.transpose(1, 2, 3, 0)
    floats = np.ascontiguousarray(turned) if images.dtype != np.uint8 else np.multiply(turned, PIXEL, order="C")
    return floats.transpose(3, 0, 1, 2)
