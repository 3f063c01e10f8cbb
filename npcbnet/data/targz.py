"""Reading files out of a .tar.gz in passing: nothing is unpacked onto the disk, and no byte of it is trusted.

The format: blocks of 512 bytes; a header block (POSIX.1-1988 ustar, IEEE Std 1003.1 "pax", section "ustar Interchange
Format") before each member's content, which is filled up to whole blocks; two blocks of zeros at the end. Only ordinary
files are read; other headers (folders, long names, pax records) are passed over, links and devices refused.
"""
import gzip
import zlib

from npcbnet.errors import DataError

MAX_BYTES = 512 << 20  # of an archive, unpacked
MAX_MEMBERS = 1000
_BLOCK, _REST = 512, 1 << 20  # bytes; a block, and more than any program fills up an archive with
_PASSED_OVER = b"5xgLK"  # a folder; pax records of one member or of all; GNU's long names
_FILE = b"0\0"


def members(path, sizes):
    """Yield (name, content) of the members that `sizes` {name: most bytes} names, as they come in the archive.

    A member may be called ./NAME, too; all others are passed over. Raises DataError naming the archive for a member
    that is there twice or too large, for a link or a device, and for damage.
    """
    try:
        with open(path, "rb") as file:
            yield from _members(gzip.GzipFile(fileobj=file), path, dict(sizes))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is truncated or damaged ({error}); copy or download it again") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def _members(stream, path, sizes):
    done = 0
    for _ in range(MAX_MEMBERS):
        header = _exactly(stream, _BLOCK, path)
        if not any(header):
            if len(stream.read(_REST)) == _REST:  # to the end, where gzip's checksum is compared
                raise DataError(f"{path} goes on after its end; it is not the published archive")
            return
        name, size, kind = _parsed(header, path)
        blocks = -(-size // _BLOCK) * _BLOCK
        done += _BLOCK + blocks
        if done > MAX_BYTES:
            raise DataError(f"{path} unpacks to more than {MAX_BYTES:,} bytes; it is not the published archive")
        if kind in _FILE and name in sizes:
            most = sizes.pop(name)
            if most is None or size > most:
                raise DataError(f"{path}: {name} is there twice, or its {size:,} bytes are too many; it is not the "
                                "published archive")
            sizes[name] = None
            yield name, _exactly(stream, size, path)
            blocks -= size
        elif kind not in _FILE + _PASSED_OVER:
            raise DataError(f"{path}: {name[:60]!r} is a link or a device, which is never followed; it is not the "
                            "published archive")
        _pass_over(stream, blocks, path)
    raise DataError(f"{path} has more than {MAX_MEMBERS:,} members; it is not the published archive")


def _parsed(header, path):
    """(name, bytes of content, kind) of a header block, whose checksum is compared first."""
    try:
        # The checksum is the sum of all bytes, its own eight counted as spaces.
        if int(header[148:156].strip(b" \0"), 8) != sum(header) - sum(header[148:156]) + 8 * ord(" "):
            raise ValueError("its checksum differs")
        digits = header[124:136].strip(b" \0")
        if not digits or set(digits) - set(b"01234567"):  # int() would take a sign, too; GNU's base 256 is for 8 GB
            raise ValueError("its size is no octal number")
        return header[:100].split(b"\0")[0].decode("latin-1").removeprefix("./"), int(digits, 8), header[156:157]
    except ValueError as error:
        raise DataError(f"{path} is no .tar.gz, or is damaged (a header: {str(error)[:80]}); copy or download it "
                        "again") from error


def _exactly(stream, count, path):
    """`count` bytes as a bytearray, in steps, so that a size that is a lie takes no memory."""
    content = bytearray()
    while len(content) < count:
        piece = stream.read(min(count - len(content), 1 << 20))
        if not piece:
            raise DataError(f"{path} is truncated; copy or download it again")
        content += piece
    return content


def _pass_over(stream, count, path):
    for start in range(0, count, 1 << 20):
        _exactly(stream, min(count - start, 1 << 20), path)
