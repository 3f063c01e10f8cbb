"""npcbnet.data: splits, layouts, hostile .npz and folders. IDX files: test_data_idx; names: test_data_published."""
import io
import random
import struct
import sys
import time
import tracemalloc
import types
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from npcbnet import data
from npcbnet.data import convert
from npcbnet.data.dataset import Dataset, Split, stratified_split
from npcbnet.errors import DataError, NpcbnetError, UsageError
from tests.test_data_idx import idx_bytes

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (60, 6, 5), np.uint8)
Y = np.arange(60) % 3


def refused(match, path, error=DataError, **options):
    with pytest.raises(error, match=match) as caught:
        data.load(path, **options)
    assert len(str(caught.value).splitlines()) == 1


def npz(tmp_path, **arrays):
    path = tmp_path / "set.npz"
    np.savez_compressed(path, **{"x_train": X, "y_train": Y, **arrays})
    return path


def same(one, other):
    return all(np.array_equal(getattr(a, field), getattr(b, field)) for field in ("images", "labels")
               for a, b in ((one.train, other.train), (one.validation, other.validation), (one.test, other.test)))


# --- splits ---
@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 80), min_size=2, max_size=12), st.floats(0, 0.9), st.integers(0, 5))
def test_split_is_stratified_complete_and_keeps_every_class(counts, fraction, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    kept, held_out = stratified_split(labels, fraction, np.random.default_rng(seed))
    assert np.array_equal(np.sort(np.concatenate([kept, held_out])), np.arange(len(labels)))
    taken = np.bincount(labels[held_out], minlength=len(counts))
    assert np.all(np.abs(taken - np.array(counts) * fraction) < 1 + 1e-6)
    assert np.all(taken < counts)
    assert fraction == 0 or np.all(taken >= np.minimum(1, np.array(counts) - 1))
    if min(counts) * min(fraction, 1 - fraction) >= 1:  # no class pushed to a bound: the total is exact
        assert len(held_out) == round(len(labels) * fraction)


def test_split_of_mnist_proportions_is_5000():
    labels = np.repeat(np.arange(10), [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949])
    kept, held_out = stratified_split(labels, 1 / 12, np.random.default_rng(0))
    assert (len(kept), len(held_out)) == (55_000, 5_000)


def test_seed_decides_the_split(tmp_path):
    path = npz(tmp_path)
    assert same(data.load(path, seed=3), data.load(path, seed=3))
    assert not same(data.load(path, seed=3), data.load(path, seed=4))


def test_fractions(tmp_path):
    loaded = data.load(npz(tmp_path))
    assert (len(loaded.test), len(loaded.validation), len(loaded.train)) == (10, 4, 46)
    loaded = data.load(npz(tmp_path, x_test=X[:9], y_test=Y[:9]), validation=0)
    assert (len(loaded.test), len(loaded.validation), len(loaded.train)) == (9, 0, 60)
    assert loaded.validation.images.shape == (0, 1, 6, 5)


@pytest.mark.parametrize("options", [
    {"seed": -1}, {"seed": 1.5}, {"seed": "1"}, {"seed": True}, {"validation": 1}, {"validation": -0.1},
    {"validation": float("nan")}, {"validation": "0.1"}, {"validation": b"0"}, {"shape": 28}, {"shape": (28, 28)},
    {"shape": (1, 0, 5)}, {"shape": (1, 2.5, 5)}, {"shape": "128"},
    {"shape": (1, 10**9, 10**9)}, {"shape": (1, np.inf, 2)}])
def test_bad_options(tmp_path, options):
    refused(next(iter(options)), npz(tmp_path), UsageError, **options)


# --- dataset ---
def test_split_and_dataset_check_what_they_are_given():
    images, labels = X[:, None], Y.astype(np.int64)
    with pytest.raises(DataError, match="60 images but 59"):
        Split(images, labels[1:])
    for wrong in ((images.astype(np.float32), labels), (X, labels), (images, labels.astype(np.int32))):
        with pytest.raises(DataError, match="expected"):
            Split(*wrong)
    split = Split(images, labels)
    with pytest.raises(DataError, match="class 3"):
        Dataset("a", "a", split, split, split, tuple("wxyz"))
    with pytest.raises(DataError, match="label 2"):
        Dataset("a", "a", split, split, split, tuple("wx"))
    with pytest.raises(DataError, match="at least two"):
        Dataset("a", "a", split, split, split, ("w",))
    with pytest.raises(DataError, match="test images are 1x5x6"):
        Dataset("a", "a", split, split, Split(images.transpose(0, 1, 3, 2), labels), tuple("wxy"))
    whole = Dataset("a", "a", split, split, split, tuple("wxy"))
    assert whole.input_shape == (1, 6, 5) and whole.classes == 3 and len(whole.train) == 60


# --- layouts and conversion ---
def test_layouts():
    grey = X[:, None]
    colour = RNG.integers(0, 256, (4, 3, 6, 5), np.uint8)
    for given_, expected in ((X, grey), (grey, grey), (X[..., None], grey), (colour, colour),
                             (colour.transpose(0, 2, 3, 1), colour), (grey / 255, grey),
                             ((X / 255).astype(np.float32)[..., None], grey)):
        found = convert.to_nchw(given_, "x")
        assert found.flags.c_contiguous and found.dtype == np.uint8
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("array, match", [
    (np.zeros((9, 3, 32, 3), np.uint8), "axis 1 or axis 3"), (np.zeros((9, 1, 28, 1), np.uint8), "axis 1 or axis 3"),
    (np.zeros((9, 28, 28, 5), np.uint8), "transpose"), (np.zeros((9, 784), np.uint8), "expected"),
    (np.zeros((0, 28, 28), np.uint8), "empty"), (np.zeros((9, 28, 0), np.uint8), "empty"),
    (np.zeros((9, 28, 28), np.int64), "uint8"), (np.full((9, 28, 28), 255.0), "0..1"),
    (np.full((9, 28, 28), np.nan), "0..1"), (np.full((9, 28, 28), -0.1), "0..1")])
def test_arrays_refused(array, match):
    with pytest.raises(DataError, match=match):
        convert.to_nchw(array, "x")


def test_colour_grey_and_size():
    red = np.zeros((2, 3, 6, 5), np.uint8)
    red[:, 0] = 200
    assert np.all(convert.to_shape(red, (1, 6, 5), "x") == 60)  # 0.299 * 200 = 59.8
    grey = X[:, None]
    repeated = convert.to_shape(grey, (3, 6, 5), "x")
    assert repeated.shape == (60, 3, 6, 5) and np.all(repeated == grey)
    assert convert.to_shape(grey, (1, 6, 5), "x") is grey
    with pytest.raises(DataError, match="3 channels, which cannot become 2"):
        convert.to_shape(red, (2, 6, 5), "x")


def test_resizing_keeps_images_apart():
    images = np.zeros((3, 3, 8, 8), np.uint8)
    images[1, 2] = 240
    for shape in ((3, 16, 12), (3, 3, 4)):
        resized = convert.to_shape(images, shape, "x")
        assert np.all(resized[1, 2] == 240) and resized.sum() == 240 * shape[1] * shape[2]
    alone = np.concatenate([convert.to_shape(X[i:i + 1, None], (1, 3, 9), "x") for i in range(len(X))])
    np.testing.assert_array_equal(convert.to_shape(X[:, None], (1, 3, 9), "x"), alone)


@pytest.mark.parametrize("height, width", [(3, 4), (6, 5), (14, 9), (60, 41), (1, 1)])
def test_resizing_against_pillow(height, width):
    from PIL import Image
    for source in (X[0], RNG.integers(0, 256, (97, 33), np.uint8)):
        in_floats = Image.fromarray(source.astype(np.float32))  # as uint8, Pillow rounds between rows and columns
        expected = np.asarray(in_floats.resize((width, height), Image.Resampling.BILINEAR))
        found = convert.to_shape(source[None, None], (1, height, width), "x")[0, 0]
        assert np.abs(found - expected).max() < 0.501


def test_resizing_a_photograph_is_quick_and_a_thread_of_pixels_refused():
    photograph = np.full((1, 3, 2000, 3000), 77, np.uint8)
    started = time.perf_counter()
    assert np.all(convert.to_shape(photograph, (1, 28, 28), "x") == 77)
    assert time.perf_counter() - started < 3
    with pytest.raises(DataError, match="at most 32768"):
        convert.to_shape(np.zeros((1, 1, 1, 40_000), np.uint8), (1, 28, 28), "x")


def test_load_brings_all_parts_to_one_shape(tmp_path):
    loaded = data.load(npz(tmp_path, x_test=np.zeros((3, 9, 9, 3), np.uint8), y_test=Y[:3]), shape=(1, 7, 7))
    assert loaded.input_shape == loaded.test.images.shape[1:] == loaded.validation.images.shape[1:] == (1, 7, 7)


# --- npz ---
def test_npz_names_and_titles(tmp_path):
    loaded = data.load(npz(tmp_path, class_names=np.array(["a", "b", "c"])))
    assert (loaded.name, loaded.title, loaded.class_names) == ("set", "set", ("a", "b", "c"))
    assert data.load(str(npz(tmp_path, title="A few"))).title == "A few"
    kmnist = npz(tmp_path).rename(tmp_path / "kmnist-8000-2000.npz")
    assert data.load(kmnist).title == "KMNIST (8,000/2,000 of the test file)"


@pytest.mark.parametrize("arrays, match", [
    ({"y_train": Y[1:]}, "60 images but y_train has 59"), ({"y_train": Y - 1}, "label -1"),
    ({"y_train": Y * 100}, "label 200 is out of range"), ({"y_train": Y * 2}, "class 1"),
    ({"y_train": Y * 0}, "at least two"),
    ({"y_train": Y.astype(float)}, "integers"), ({"y_train": X}, "integers"),
    ({"y_train": Y.astype(np.uint64) + 2**63}, "range"),
    ({"y_train": Y + 10**12}, "out of range"), ({"x_train": Y}, "expected"),
    ({"x_train": X.astype(np.int16)}, "uint8"),
    ({"class_names": ["a", "b"]}, "label 2 of image 2"), ({"class_names": list("abcd")}, r"class 3 \(d\)"),
    ({"class_names": list("aba")}, "twice"), ({"class_names": ["a", "b\n", "c"]}, "printable"),
    ({"class_names": np.array(["a", 1, None], object)}, "unpickling"), ({"class_names": np.arange(3)}, "strings"),
    ({"x_train": np.array([{}, 1], object)}, "unpickling"), ({"x_test": X}, "only one of"),
    ({"y_test": Y}, "only one of"),
    ({"x_test": X[:4, :5], "y_test": Y[:4]}, "test images are 1x5x5"),
    ({"x_test": X[:2], "y_test": Y[:2] + 7}, "test label 7"),
    ({"x_train": X.reshape(60, 30)}, "expected"), ({"x_train": np.zeros((60, 3, 9, 3), np.uint8)}, "axis 1 or axis 3"),
    ({"x_train": X.astype([("a", "u1")])}, "not a plain array"), ({"x_train": X[:0], "y_train": Y[:0]}, "empty")])
def test_npz_refused(tmp_path, arrays, match):
    refused(match, npz(tmp_path, **arrays))


def test_npz_label_columns_and_byte_orders(tmp_path):
    loaded = data.load(npz(tmp_path, y_train=Y[:, None].astype(">i2"), x_train=np.asfortranarray(X)))
    assert same(loaded, data.load(npz(tmp_path)))


def test_npz_missing_arrays(tmp_path):
    np.savez(tmp_path / "set.npz", images=X, y_train=Y)
    refused(r"has no x_train \(it holds 'images.npy'", tmp_path / "set.npz")


def bomb(tmp_path, header_shape, payload):
    """An .npz whose x_train header claims `header_shape` before `payload`."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": header_shape})
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        labels = io.BytesIO()
        np.save(labels, Y)
        archive.writestr("y_train.npy", labels.getvalue())
        archive.writestr("x_train.npy", header.getvalue() + payload)
    return tmp_path / "bomb.npz"


def test_npz_shape_bomb_and_zip_bomb(tmp_path):
    refused("at most", bomb(tmp_path, (10**6, 10**6, 10**6), b""))
    refused("does not hold", bomb(tmp_path, (60, 1000, 1000), b"1234"))
    refused("does not hold", bomb(tmp_path, (60, 6, 5), bytes(5_000_000)))
    refused("empty", bomb(tmp_path, (60, -6, -5), X.tobytes()))


def test_npz_of_a_huge_header_or_too_many_names(tmp_path):
    path, claimed = npz(tmp_path), 64 << 20
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("title.npy", b"\x93NUMPY\x02\x00" + struct.pack("<I", claimed) + b" " * claimed)
    tracemalloc.start()
    refused("title has a damaged .npy header", path)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
    refused("1 to 65,536 strings", npz(tmp_path, class_names=np.zeros(70_000, "U1")))


def test_npz_truncated_or_mutated_is_refused_or_read(tmp_path):
    content = npz(tmp_path, class_names=list("abc")).read_bytes()
    target = tmp_path / "mutated.npz"
    for end in range(0, len(content), 23):
        target.write_bytes(content[:end])
        refused("mutated.npz", target)
    generator = random.Random(2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile's and NumPy's remarks on the damage
        for _ in range(500):
            mutated = bytearray(content)
            for _ in range(generator.choice((1, 1, 4))):
                mutated[generator.randrange(len(mutated))] = generator.randrange(256)
            target.write_bytes(mutated)
            try:
                assert data.load(target).input_shape == (1, 6, 5)
            except NpcbnetError:
                pass


# --- folders ---
def save_image(path, pixels):
    from skimage.io import imsave
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-image remarks on writing booleans
        imsave(path, pixels, check_contrast=False)


def image_folder(tmp_path, shape=(6, 5), per_class=4):
    for name in ("cat", "dog"):
        for number in range(per_class):
            save_image(tmp_path / "pets" / name / f"{number}.png", RNG.integers(0, 256, shape, np.uint8))
    return tmp_path / "pets"


def test_folder_of_images(tmp_path):
    path = image_folder(tmp_path)
    (path / ".DS_Store").write_text("clutter")
    (path / "cat" / "Thumbs.db").write_text("clutter")
    loaded = data.load(path)
    assert loaded.title == "pets" and loaded.class_names == ("cat", "dog") and loaded.input_shape == (1, 6, 5)
    assert len(loaded.train) + len(loaded.validation) + len(loaded.test) == 8
    parts = loaded.train, loaded.validation, loaded.test
    assert all(np.bincount(part.labels, minlength=2).min() >= 1 for part in parts)
    assert data.load(image_folder(tmp_path, (6, 5, 3)), shape=(3, 8, 8)).input_shape == (3, 8, 8)


def test_folder_of_mixed_sizes(tmp_path):
    path = image_folder(tmp_path)
    save_image(path / "dog" / "9.png", np.zeros((7, 7, 3), np.uint8))
    refused(r"dog.9.png is 3x7x7 .* but .*cat.0.png is 1x6x5; bring all to one size", path)
    assert data.load(path, shape=(1, 6, 5)).input_shape == (1, 6, 5)


@pytest.mark.parametrize("pixels, expected", [
    (np.full((4, 4), 257 * 200, np.uint16), (200,)), (np.full((4, 4, 4), (10, 20, 30, 255), np.uint8), (10, 20, 30)),
    (np.full((4, 4, 4), (10, 20, 30, 0), np.uint8), (255, 255, 255)), (np.full((4, 4), True), (255,))])
def test_pixel_formats(tmp_path, pixels, expected):
    from npcbnet.data import folder
    save_image(tmp_path / "a.png", pixels)
    image = folder._read_image(tmp_path / "a.png")
    assert image.shape == (1, len(expected), 4, 4) and np.all(image[0, :, 0, 0] == expected)


def test_folder_refused(tmp_path):
    refused("neither IDX files", tmp_path)
    path = image_folder(tmp_path)
    (path / "eel").mkdir()
    refused("eel is an empty class", path)
    (path / "eel" / "deep").mkdir()
    refused("deep is not a file", path)
    (path / "eel" / "deep").rmdir()
    for content in (b"only text\nin two lines", b"", (path / "cat" / "0.png").read_bytes()[:60]):
        (path / "eel" / "a.png").write_bytes(content)
        refused("a.png cannot be read as an image", path)


def test_image_bomb_is_not_decoded(tmp_path):
    import struct
    import zlib
    path = image_folder(tmp_path)
    chunk = lambda kind, body: struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    header = struct.pack(">IIBBBBB", 9000, 9000, 8, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IEND", b"")
    (path / "cat" / "big.png").write_bytes(png)
    refused("big.png is 9000x9000", path)
    (path / "cat" / "big.png").write_bytes(png.replace(struct.pack(">I", 9000) * 2, struct.pack(">I", 90000) * 2))
    refused("big.png", path)


def tiff(side, offset, length):
    """A TIFF of two samples of 16 bits a pixel, which Pillow does not know; its pixels are said to lie at offset."""
    entries = [(256, 4, side), (257, 4, side), (258, 3, 16 | 16 << 16), (259, 3, 1), (262, 3, 1), (273, 4, offset),
               (277, 3, 2), (278, 4, side), (279, 4, length)]
    entries = [struct.pack("<HHII", tag, kind, 2 if tag == 258 else 1, value) for tag, kind, value in entries]
    return b"II*\x00" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + bytes(4)


def test_tiffs_that_pillow_does_not_know(tmp_path):
    path, pixels = image_folder(tmp_path), np.arange(2 * 36, dtype="<u2").tobytes()
    whole = tiff(6, 0, len(pixels))
    (path / "cat" / "a.tif").write_bytes(tiff(6, len(whole), len(pixels)) + pixels)
    refused("a.tif", path)  # it has two channels, read or not
    (path / "cat" / "a.tif").write_bytes(tiff(20_000, len(whole), 8) + pixels)
    refused("a.tif is 20000x20000; at most", path)
    (path / "cat" / "a.tif").write_bytes(tiff(6, 0, 0))
    refused("a.tif lacks some of its pixels", path)


def idx_folder(tmp_path, **content):
    files = {"train-images-idx3-ubyte": X, "train-labels-idx1-ubyte": Y, "t10k-images-idx3-ubyte": X[:9],
             "t10k-labels-idx1-ubyte": Y[:9]}
    tmp_path.joinpath("idx").mkdir(exist_ok=True)
    for name, array in files.items():
        array = content.get(name[:9].rstrip("-").replace("-", "_"), array)
        if array is not None:
            (tmp_path / "idx" / name).write_bytes(idx_bytes(array))
    return tmp_path / "idx"


def test_folder_of_idx_files(tmp_path):
    loaded = data.load(idx_folder(tmp_path))
    assert loaded.name == "idx" and loaded.input_shape == (1, 6, 5) and len(loaded.test) == 9 and loaded.classes == 3
    np.testing.assert_array_equal(loaded.test.images[:, 0], X[:9])


def test_folder_of_idx_files_refused(tmp_path):
    folder = idx_folder(tmp_path)
    (folder / "train-images-idx3-ubyte").rename(folder / "kept")
    refused("has no train-images-idx3-ubyte", folder)
    (folder / "train-labels-idx1-ubyte").rename(folder / "train-images-idx3-ubyte")
    (folder / "kept").rename(folder / "train-labels-idx1-ubyte")
    refused("swapped", folder)
    folder = idx_folder(tmp_path)
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(Y[:8]))
    refused("9 images but .* 8 labels", folder)
    (folder / "t10k-labels-idx1-ubyte").unlink()
    refused("has no t10k-labels-idx1-ubyte", folder)
    (folder / "t10k-images-idx3-ubyte").unlink()
    assert len(data.load(folder).test) == 10


# --- load ---
@pytest.mark.parametrize("wrong", ["minst", "", None, 3, b"", "a\0b", "x" * 5000, "/dev/null", ["mnist"]])
def test_unknown_names(wrong):
    with pytest.raises(NpcbnetError) as caught:
        data.load(wrong)
    assert len(str(caught.value).splitlines()) == 1
    if wrong == "minst":
        assert "digits, mnist, fmnist, kmnist" in str(caught.value) and "path" in str(caught.value)


def test_a_line_break_in_a_path_stays_on_one_line(tmp_path):
    path = tmp_path / "two\nlines.npz"
    path.write_text("no zip")
    refused("two lines.npz", path)


def test_digits_come_from_two_seeds(monkeypatch):
    seeds = []

    def generate(n, *, seed, difficulty=0.5):
        seeds.append((n, seed))
        return np.random.default_rng(seed).integers(0, 256, (n, 1, 28, 28), np.uint8), np.arange(n) % 10

    module = types.ModuleType("npcbnet.data.digits")
    module.generate = generate
    monkeypatch.setitem(sys.modules, "npcbnet.data.digits", module)
    monkeypatch.setattr(data, "digits", module, raising=False)
    loaded = data.load("digits", seed=5)
    assert (len(loaded.train), len(loaded.validation), len(loaded.test)) == (11_000, 1_000, 2_000)
    assert [n for n, _ in seeds] == [12_000, 2_000] and seeds[0][1] == 5 != seeds[1][1]
