"""Reading 32x32 colour images kept as columns of WebP images in an .npz, a form of CIFAR-10 that takes half the room.

Arrays: webp (bytes of all columns, one after the other), offset (where each column begins, and the end of the last),
label (N,) and split (N,) of the images from top to bottom through all columns (split 0: training, 1: test), and
class_names. A column is 32 pixels wide and 32 high for each of its images. It takes 2 s to decode 60,000, so nothing is
cached.
"""
import io
import warnings
import zipfile

import numpy as np

from npcbnet.data import convert, npz
from npcbnet.data.dataset import Split, check_names
from npcbnet.errors import DataError

SIDE = 32
_MOST_COLUMNS = 100_000
_ARRAYS = ("webp", "offset", "label", "split", "class_names")


def holds(path):
    """Is the file at `path` such an .npz?"""
    try:
        with zipfile.ZipFile(path) as archive:
            return {f"{name}.npy" for name in _ARRAYS} <= set(archive.namelist())
    except (OSError, zipfile.BadZipFile, ValueError, RuntimeError):
        return False


def read(path):
    """(training Split, test Split, class names) of the .npz at `path`. Raises DataError naming the file."""
    with npz.opened(path) as archive:
        class_names = npz.strings(archive, path, "class_names")
        webp, offset, label, split = (_integers(archive, path, name) for name in _ARRAYS[:4])
    check_names(class_names, f"{path}: class_names")
    _check(path, webp, offset, label, split)
    convert.check_bytes((len(label), 3, SIDE, SIDE), str(path))
    _check_decoder(path)
    images = [np.empty((np.count_nonzero(split == part), 3, SIDE, SIDE), np.uint8) for part in (0, 1)]
    data, done, filled = memoryview(webp), 0, [0, 0]
    for number, (start, end) in enumerate(zip(offset.tolist(), offset[1:].tolist())):
        column = _column(data[start:end], len(label) - done, f"{path}: column {number}")
        for part in (0, 1):
            chosen = column[split[done:done + len(column)] == part]
            images[part][filled[part]:filled[part] + len(chosen)] = chosen.transpose(0, 3, 1, 2)
            filled[part] += len(chosen)
        done += len(column)
    if done != len(label):
        raise DataError(f"{path} has {done:,} images but {len(label):,} labels; copy the file again")
    train, test = (Split(images[part], label[split == part].astype(np.int64)) for part in (0, 1))
    return train, test, class_names


def _integers(archive, path, name):
    found = npz.array(archive, path, name)
    if found.ndim != 1 or found.dtype.kind not in "iu" or (name == "webp" and found.dtype != np.uint8):
        raise DataError(f"{path}: {name} is {found.dtype} {convert.text(found.shape)}; expected one row of integers")
    return found


def _check(path, webp, offset, label, split):
    """DataError unless the arrays fit together."""
    if len(label) != len(split) or not set(np.unique(split).tolist()) == {0, 1}:
        raise DataError(f"{path}: split must say 0 (training) or 1 (test) for each of {len(label):,} labels, and both")
    steps = offset[1:] > offset[:-1]
    if not 2 <= len(offset) <= _MOST_COLUMNS or not steps.all() or offset[0] != 0 or offset[-1] != len(webp):
        raise DataError(f"{path}: offset must rise from 0 to the {len(webp):,} bytes of webp; copy the file again")


def _check_decoder(path):
    """DataError where Pillow was built without WebP."""
    from PIL import features
    if not features.check("webp"):
        raise DataError(f"{path} holds WebP images, which this Pillow cannot read: install another "
                        "(pip install --force-reinstall pillow), or unpack the file elsewhere")


def _column(data, most, where):
    """One column as uint8 (n, SIDE, SIDE, 3), n at most `most`: its header says the size before it is decoded."""
    from PIL import Image
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one line of error is enough
            with Image.open(io.BytesIO(data), formats=("WEBP",)) as image:
                width, height = image.size
                fits = width == SIDE and height % SIDE == 0 and 0 < height <= SIDE * most
                if not fits or getattr(image, "n_frames", 1) > 1:
                    raise DataError(f"{where} is {width}x{height}; expected one picture, {SIDE} wide and {SIDE} high "
                                    f"for each of at most {most:,} images")
                return np.asarray(image.convert("RGB")).reshape(-1, SIDE, SIDE, 3)
    except DataError:
        raise
    except Exception as error:  # the decoder raises whatever it likes on a damaged image
        reason = str(error).split("\n")[0][:120] or type(error).__name__
        raise DataError(f"{where} cannot be read as a WebP image ({reason}); copy the file again") from error
