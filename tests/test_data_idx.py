"""npcbnet.data.idx: every byte of an IDX file is distrusted."""
import gzip
import hashlib
import random
import struct
import tracemalloc

import numpy as np
import pytest

from npcbnet.data import idx
from npcbnet.errors import DataError


def idx_bytes(array, type_code=8):
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, type_code, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


IMAGES = np.random.default_rng(0).integers(0, 256, (7, 5, 4), np.uint8)
CONTENT = idx_bytes(IMAGES)


def read(tmp_path, content, axes=(3, 4), **options):
    path = tmp_path / "some-idx"
    path.write_bytes(content)
    return idx.read(path, axes, **options)


def refused(tmp_path, content, match, axes=(3, 4), **options):
    with pytest.raises(DataError, match=match) as caught:
        read(tmp_path, content, axes, **options)
    assert "some-idx" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_round_trip_with_shape_and_hash(tmp_path, pack):
    digest = hashlib.sha256(CONTENT).hexdigest()
    np.testing.assert_array_equal(read(tmp_path, pack(CONTENT), shape=(7, 5, 4), sha256=digest), IMAGES)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_truncated_anywhere(tmp_path, pack):
    packed = pack(CONTENT)
    for end in range(len(packed)):
        with pytest.raises(DataError):
            read(tmp_path, packed[:end])


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_mutated_anywhere_is_refused_or_read_to_the_same_shape(tmp_path, pack):
    generator = random.Random(1)
    for _ in range(300):
        content = bytearray(pack(CONTENT))
        content[generator.randrange(len(content))] = generator.randrange(256)
        try:
            array = read(tmp_path, bytes(content))
        except DataError:
            continue
        assert array.dtype == np.uint8 and array.size == IMAGES.size


@pytest.mark.parametrize("content, match", [
    (b"", "truncated"),
    (b"hello, I am a text file", "not an IDX file"),
    (b"PK\x03\x04" + CONTENT, "not an IDX file"),
    (idx_bytes(IMAGES, type_code=0x0D), "unsigned bytes"),
    (idx_bytes(np.zeros(9)), "swapped"),
    (idx_bytes(np.zeros((2, 2))), "2 axes"),
    (idx_bytes(np.zeros((0, 5, 4))), "empty"),
    (CONTENT + b"x", "bytes after"),
    (gzip.compress(CONTENT + b"x"), "bytes after"),
    (struct.pack(">BBBB3I", 0, 0, 8, 3, *[2**32 - 1] * 3), "more than the file can hold"),
    (gzip.compress(struct.pack(">BBBB3I", 0, 0, 8, 3, *[2**32 - 1] * 3)), "more than the file can hold"),
])
def test_hostile_content(tmp_path, content, match):
    refused(tmp_path, content, match)


def test_images_where_labels_belong(tmp_path):
    refused(tmp_path, CONTENT, "swapped", axes=(1,))


def test_wrong_hash_and_wrong_shape(tmp_path):
    refused(tmp_path, CONTENT, "not the published file", sha256="0" * 64)
    refused(tmp_path, CONTENT, "7x5x4, expected 8x5x4", shape=(8, 5, 4))


def test_bombs_take_no_memory(tmp_path):
    """50 MB of zeros behind a small header, and a header that claims 50 MB with nothing behind it."""
    zeros = bytes(50_000_000)
    bombs = [gzip.compress(CONTENT + zeros, 9), idx_bytes(np.zeros((1, 1, 1)))[:4] + struct.pack(">3I", 50, 1000, 1000)]
    del zeros
    for bomb in bombs:
        tracemalloc.start()
        try:
            with pytest.raises(DataError):
                read(tmp_path, bomb)
            assert tracemalloc.get_traced_memory()[1] < 2_000_000
        finally:
            tracemalloc.stop()


def test_missing_file_and_folder(tmp_path):
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(DataError, match="not a file"):
            idx.read(path, (1,))
