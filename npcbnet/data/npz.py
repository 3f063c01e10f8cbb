"""Reading a data set from an .npz: x_train, y_train[, x_test, y_test, class_names, title]; never unpickles.

numpy.load would believe the sizes in the file; here each array's header is first compared with what the zip holds.
"""
import math
import struct
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from npcbnet.data import convert
from npcbnet.data.dataset import Raw, Split, check_names
from npcbnet.errors import DataError

# Files from before the optional `title`, whose results must not be mistaken for those on the whole data set.
TITLES = {"kmnist-8000-2000": "KMNIST (8,000/2,000 of the test file)"}
MOST_NAMES = MOST_HEADER = 1 << 16  # class names; bytes of an array's header
_DEFLATE_RATIO = 1032  # see idx.py
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError, IndexError, TypeError, SyntaxError,
           RuntimeError, OverflowError, struct.error)  # RuntimeError: also zipfile's NotImplementedError


def read(path):
    """Raw data set of the file at `path`. x_*: uint8, or float in 0..1, shaped as `convert.to_nchw` reads it;
    y_*: integers (N,) or (N, 1). Raises DataError naming the file and the array."""
    with opened(path) as archive:
        return _read(archive, Path(path))


@contextmanager
def opened(path):
    """The .npz at `path` as an open ZipFile; within the block, damage found in it is a DataError naming the file."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except _DAMAGE as error:
        reason = str(error).replace("\n", " ")[:120] or type(error).__name__
        raise DataError(f"{path} is no .npz file or is damaged ({reason}); write it again with numpy.savez") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def _read(archive, path):
    names = set(archive.namelist())
    missing = [name for name in ("x_train", "y_train") if f"{name}.npy" not in names]
    if missing:
        found = ", ".join(sorted(repr(name[:40]) for name in names)[:6]) or "nothing"
        raise DataError(f"{path} has no {' and no '.join(missing)} (it holds {found}); "
                        "needed are x_train, y_train and, if you have them, x_test, y_test, class_names")
    if ("x_test.npy" in names) != ("y_test.npy" in names):
        raise DataError(f"{path} has only one of x_test and y_test; add the other or leave both out")
    train = _split(archive, path, "train")
    test = _split(archive, path, "test") if "x_test.npy" in names else None
    class_names = strings(archive, path, "class_names") if "class_names.npy" in names else None
    check_names(class_names or (), f"{path}: class_names")
    title = strings(archive, path, "title")[0] if "title.npy" in names else TITLES.get(path.stem, path.stem)
    return Raw(path.stem, title, str(path), train, test, class_names)


def _split(archive, path, part):
    """The Split of x_`part` and y_`part`."""
    images, labels = (array(archive, path, f"{axis}_{part}") for axis in "xy")
    where = f"{path}: y_{part}"
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(f"{where} is {labels.dtype} {convert.text(labels.shape)}; expected integers (N,)")
    if len(labels) != len(images):
        raise DataError(f"{path}: x_{part} has {len(images)} images but y_{part} has {len(labels)} labels")
    images = convert.to_nchw(images, f"{path}: x_{part}")
    if labels.max() > np.iinfo(np.int64).max:  # a huge uint64 must not turn negative
        raise DataError(f"{where} label {labels.max()} is out of range")
    return Split(images, labels.astype(np.int64))


def strings(archive, path, name):
    """A text array as a tuple of printable strings."""
    stored = array(archive, path, name)
    if stored.dtype.kind not in "US" or stored.ndim > 1 or not 1 <= stored.size <= MOST_NAMES:
        raise DataError(f"{path}: {name} is {stored.dtype} {convert.text(stored.shape)}; expected an array of 1 to "
                        f"{MOST_NAMES:,} strings")
    found = tuple(item.decode() if isinstance(item, bytes) else item for item in stored.reshape(-1).tolist())
    for item in found:
        if not item or not item.isprintable() or len(item) > 200:
            raise DataError(f"{path}: {name} has an entry that is empty, too long or not printable: {item[:40]!r}")
    return found


def array(archive, path, name):
    """The array `name`, its claimed size checked against the zip's before anything of that size is allocated."""
    info = archive.getinfo(f"{name}.npy")
    where = f"{path}: {name}"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{where} is packed by an unusual method; write it again with numpy.savez")
    with archive.open(info) as file:
        shape, fortran, dtype = _header(file, where)
        size = convert.check_bytes(shape, where, dtype.itemsize)
        if size + file.tell() != info.file_size or info.file_size > (info.compress_size + 1) * _DEFLATE_RATIO:
            raise DataError(f"{where} claims {dtype} {convert.text(shape)}, {size:,} bytes, which the file does not "
                            "hold; it is damaged")
        data = file.read(size)
        if len(data) != size or file.read(1):  # reading past the end is what makes zipfile check the CRC
            raise DataError(f"{where} is truncated; copy the file again")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


class _Limited:
    """A file for reading a header from: NumPy asks for as many bytes as the file claims, up to 4 GB, at once."""

    def __init__(self, file):
        self._file = file

    def read(self, size):
        """At most MOST_HEADER bytes."""
        if size > MOST_HEADER:
            raise ValueError(f"a header of {size:,} bytes")
        return self._file.read(size)


def _header(file, where):
    """(shape, fortran_order, dtype) of an open .npy, refused when it holds objects (that is, a pickle)."""
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise DataError(f"{where} is .npy version {version[0]}.{version[1]}; only 1.0 and 2.0 are read")
    try:
        shape, fortran, dtype = readers[version](_Limited(file))
    except Exception as error:  # NumPy parses the header as Python text: the kinds of failure differ between versions
        raise DataError(f"{where} has a damaged .npy header") from error
    if dtype.hasobject:
        raise DataError(f"{where} holds Python objects, which only unpickling could read and which is refused; "
                        "store plain numbers, and names as an array of strings")
    if dtype.itemsize == 0 or dtype.fields or dtype.subdtype or min(shape, default=0) < 0 or math.prod(shape) == 0:
        raise DataError(f"{where} is {str(dtype)[:40]} {convert.text(shape)}: empty, or not a plain array")
    return shape, fortran, dtype
