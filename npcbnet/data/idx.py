"""Reading IDX files (the format of MNIST's four files), plain or gzipped, without trusting a byte of them.

The format: two zero bytes, a type code (8: unsigned byte), the number of axes, one big-endian uint32 per axis, the data
(Y. LeCun, "The MNIST database of handwritten digits", section "The IDX file format").
"""
import gzip
import hashlib
import math
import os
import zlib
from pathlib import Path

import numpy as np

from npcbnet.data.convert import MAX_BYTES, text
from npcbnet.errors import DataError

_CHUNK = 1 << 20
_DEFLATE_RATIO = 1032  # deflate cannot pack tighter (RFC 1951: 258 bytes from 2 bits): a larger claim is a lie


def read(path, axes, *, shape=None, sha256=None):
    """The uint8 array of the IDX file at `path`, gzipped or not (told from its content).

    axes: the acceptable numbers of axes, (3, 4) for images, (1,) for labels. shape: the exact shape, where known.
    sha256: hex digest of the unpacked file, where known. Raises DataError naming the file.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise DataError(f"{path} is not a file; expected an IDX file")
        with open(path, "rb") as file:
            return parse(file, os.fstat(file.fileno()).st_size, path, axes, shape=shape, sha256=sha256)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def parse(file, size_bytes, where, axes, *, shape=None, sha256=None):
    """As `read`, from an open binary `file` of `size_bytes`; `where` names it in errors."""
    packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    limit = size_bytes * _DEFLATE_RATIO if packed else size_bytes
    stream = gzip.GzipFile(fileobj=file) if packed else file
    digest = hashlib.sha256()
    try:
        found = _header(stream, digest, where, axes, limit)
        # The shape is compared before the data is read: a bomb of the wrong shape costs nothing.
        if shape is not None and found != tuple(shape):
            raise DataError(f"{where} holds {text(found)}, expected {text(shape)}: is it the file its name says?")
        data = _data(stream, digest, where, math.prod(found))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{where} is truncated or damaged ({error}); copy or download it again") from error
    if sha256 is not None and digest.hexdigest() != sha256:
        raise DataError(f"{where} is not the published file: sha256 of its content is {digest.hexdigest()[:16]}..., "
                        f"expected {sha256[:16]}...; delete it and download it again")
    return data.reshape(found)


def _header(stream, digest, where, axes, limit):
    """The shape that the header claims, once it is plausible for a file of at most `limit` unpacked bytes."""
    magic = _exactly(stream, 4, digest, where)
    if magic[:2] != b"\0\0" or magic[3] == 0:
        raise DataError(f"{where} is not an IDX file: it begins with {magic.hex()} instead of 000008..")
    if magic[2] != 8:
        raise DataError(f"{where} holds IDX type 0x{magic[2]:02x}; only 0x08, unsigned bytes, is read")
    if magic[3] not in axes:
        kind = {1: "labels (one axis)", 3: "images (three axes)"}.get(magic[3], f"{magic[3]} axes")
        wanted = "labels (one axis)" if 1 in axes else "images (three axes)"
        raise DataError(f"{where} holds {kind} where {wanted} are expected: are the image and label files swapped?")
    shape = tuple(int(side) for side in np.frombuffer(_exactly(stream, 4 * magic[3], digest, where), ">u4"))
    size = math.prod(shape)
    if size == 0:
        raise DataError(f"{where} is empty: its header says {text(shape)}")
    if size > min(limit - 4 - 4 * len(shape), MAX_BYTES):
        raise DataError(f"{where} is truncated or damaged: its header says {text(shape)}, {size:,} bytes, "
                        "more than the file can hold; copy or download it again")
    return shape


def _data(stream, digest, where, size):
    """Exactly `size` bytes as uint8 (size,), and nothing after them."""
    data = np.empty(size, np.uint8)
    view, done = memoryview(data), 0
    while done < size:
        got = stream.readinto(view[done:done + _CHUNK])
        if not got:
            raise DataError(f"{where} is truncated: {done:,} of {size:,} bytes of data; copy or download it again")
        digest.update(view[done:done + got])
        done += got
    if stream.read(1):
        raise DataError(f"{where} has bytes after the {size:,} its header announces; copy or download it again")
    return data


def _exactly(stream, count, digest, where):
    found = stream.read(count)
    if len(found) != count:
        raise DataError(f"{where} is truncated: it ends inside its header; copy or download it again")
    digest.update(found)
    return found
