"""A zip of .npy arrays in the one exact form that npcbnet writes (numpy.load opens it, too).

Nothing is parsed that can be compared instead. Whoever reads an entry knows its type and shape, so the .npy header is
compared byte for byte with the one that belongs there, and an entry's size is known before any memory is asked for.
`describe` and `numbers` are for files that others wrote with numpy.savez: floats of any shape, nothing else.
"""
import io
import math
import re
import struct
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np

from npcbnet.errors import ModelFileError

HEADER = 128  # bytes of every .npy header that is written here
MAX_ENTRIES = 4096
MAX_FILE_BYTES = (1 << 30) + (1 << 24)
# A file may unpack to so many times its size, plus so many bytes: trained weights hardly shrink, zeros 1,000-fold.
MAX_INFLATION, FREE_BYTES = 100, 1 << 24

_END = struct.Struct("<4s4H2LH")  # the zip's last record: entries, and size and place of the list of entries
_ZLIB_FRAME = 6  # bytes around deflated data that a zip leaves out
_ZIP64_BYTES = 20  # of the record before the last one that points to a longer list
_DIRECTORY_BYTES = 512  # an entry in that list is 46 bytes and its name
_MODEL = "copy the file again, or train and save the model anew"
_FLOATS = re.compile(r"\{'descr': '([<>]f[248])', 'fortran_order': (True|False), 'shape': \(([0-9, ]{0,60})\), \} *\n")


def damaged(reason, remedy=_MODEL):
    """A ModelFileError for what should not be in such a file; of `reason` one line of at most 140 characters."""
    return ModelFileError(f"{one_line(reason, 140)}; {remedy}")


def one_line(text, limit):
    """`text` as one printable line of at most `limit` characters."""
    text = "".join(c if c.isprintable() else "?" for c in str(text)[:limit + 1])
    return text if len(text) <= limit else text[:limit - 3] + "..."


def header(dtype, shape):
    """The .npy header (format 1.0) of a C-contiguous array: bytes of length HEADER."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {tuple(shape)!r}, }}"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", HEADER - 10) + text.ljust(HEADER - 11).encode("ascii") + b"\n"


def pack(entries, more=0):
    """A zip archive, as bytes. entries: {name: (dtype, array)}; equal arrays give equal bytes (dates are fixed).

    more: bytes that whoever reads the entries makes of them, beyond their own.
    """
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, (data, _, deflate) in _packed(entries, more).items():
            info = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, 0o644 << 16
            archive.writestr(info, data, zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED, 9)
    return memory.getvalue()


def packed_bytes(entries, more=0):
    """Bytes that the entries take in pack's archive, without their names."""
    return sum(size for _, size, _ in _packed(entries, more).values())


def _packed(entries, more):
    """{name: (bytes with their header, bytes in the archive, are they deflated?)}."""
    stored = {name: header(dtype, array.shape) + array.astype(dtype).tobytes()
              for name, (dtype, array) in entries.items()}
    packed = {name: len(zlib.compress(data, 9)) for name, data in stored.items()}
    # Where everything together shrinks like a bomb, `contents` would refuse it: then nothing is deflated.
    harmless = believable(sum(map(len, stored.values())) + more, sum(packed.values()))
    made = {}
    for name, data in stored.items():
        deflate = harmless and packed[name] < 0.95 * len(data)
        made[name] = data, packed[name] - _ZLIB_FRAME if deflate else len(data), deflate
    return made


def believable(total, size):
    """May a file of `size` bytes unpack to `total`?"""
    return total <= MAX_INFLATION * size + FREE_BYTES


def contents(file):
    """Open a binary file as a ZipFile and check its list of entries: (archive, {name without .npy: ZipInfo}).

    Raises ModelFileError for anything that `pack` does not write.
    """
    _check_end(file)
    archive = zipfile.ZipFile(file)
    found, total = {}, 0
    for info in archive.infolist():
        if not info.filename.endswith(".npy") or info.filename[:-4] in found:
            raise damaged(f"holds {info.filename[:60]!r} twice, or it is not an array")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 0x61:
            raise damaged(f"{info.filename[:60]!r} is encrypted or packed by an unusual method")
        found[info.filename[:-4]] = info
        total += info.file_size
    if not believable(total, file.seek(0, io.SEEK_END)):
        raise damaged(f"would unpack to {total:,} bytes, far more than a file of its size holds")
    return archive, found


def _check_end(file):
    """Refuse files too large, and check the zip's last record: zipfile takes any number of entries on trust."""
    size = file.seek(0, io.SEEK_END)
    if size == 0:
        raise damaged("is empty")
    if size > MAX_FILE_BYTES:
        raise damaged(f"has {size:,} bytes; no model file is larger than {MAX_FILE_BYTES:,}")
    file.seek(max(0, size - _END.size - _ZIP64_BYTES))
    behind = file.read(_ZIP64_BYTES) if size >= _END.size + _ZIP64_BYTES else b""
    file.seek(max(0, size - _END.size))
    end = file.read(_END.size)
    if len(end) < _END.size or not end.startswith(b"PK\x05\x06"):
        raise damaged("is not a model file, or is cut short")
    _, disk, first_disk, here, entries, directory, start, comment = _END.unpack(end)
    if (disk, first_disk, here, comment) != (0, 0, entries, 0) or start + directory + _END.size != size:
        raise damaged("is not a model file, or is cut short, or has something added")
    if behind.startswith(b"PK\x06\x07"):  # where zipfile would look for another, longer list
        raise damaged("has zip64 records, which no model file needs")
    if entries > MAX_ENTRIES or directory > entries * _DIRECTORY_BYTES:
        raise damaged(f"claims {entries:,} arrays; no model has more than {MAX_ENTRIES:,}")
    file.seek(0)


def read(archive, info, dtype, shape):
    """The bytes of one array, after its header. Raises ModelFileError unless it is exactly of that dtype and shape."""
    name = info.filename[:-4]
    size = np.dtype(dtype).itemsize * math.prod(shape)
    with archive.open(info) as file:
        head = file.read(HEADER)
        if b"'|O'" in head:
            raise damaged(f"array {name!r:.60} holds pickled Python objects, which are never loaded")
        if head != header(dtype, shape) or info.file_size != HEADER + size:
            raise damaged(f"array {name!r:.60} is not stored as {dtype} of shape {tuple(shape)!r:.60}")
        data = file.read(size)  # with a size: read() would first unpack everything the entry hides behind its end
    if len(data) != size:
        raise damaged(f"array {name!r:.60} is cut short")
    return data


@dataclass(frozen=True)
class Floats:
    """What an entry's header says: its dtype, its shape, in which order the values lie, where they begin."""

    dtype: str
    shape: tuple
    order: str
    start: int


def describe(archive, info):
    """The Floats of an entry that numpy.savez wrote. Raises ModelFileError unless it holds floats, all of them."""
    name = info.filename[:-4]
    with archive.open(info) as file:
        begin = file.read(10)
        length = struct.unpack("<H", begin[8:])[0] if len(begin) == 10 and begin.startswith(b"\x93NUMPY\x01\x00") else 0
        found = _FLOATS.fullmatch(file.read(min(length, 1024)).decode("latin-1"))
    if found is None:
        raise damaged(f"array {name!r:.60} is no array of floats")
    dtype, turned, sides = found.groups()
    try:
        shape = tuple(int(side) for side in sides.replace(" ", "").rstrip(",").split(",") if sides.strip())
    except ValueError:
        raise damaged(f"array {name!r:.60} has no shape") from None
    made = Floats(dtype, shape, "F" if turned == "True" else "C", 10 + length)
    if info.file_size != made.start + np.dtype(dtype).itemsize * math.prod(shape):
        raise damaged(f"array {name!r:.60} does not hold what its header says, {dtype} of shape {shape!r:.60}")
    return made


def numbers(archive, info, floats):
    """The array of an entry, in its own dtype. floats: what `describe` said of it."""
    with archive.open(info) as file:
        file.read(floats.start)
        data = file.read(info.file_size - floats.start)
        if len(data) != info.file_size - floats.start or file.read(1):  # the end is where zipfile checks the CRC
            raise damaged(f"array {info.filename[:-4]!r:.60} is cut short")
    return np.frombuffer(data, floats.dtype).reshape(floats.shape, order=floats.order)
