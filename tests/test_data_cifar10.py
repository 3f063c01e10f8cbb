"""npcbnet.data.cifar: CIFAR-10's files in every form, what is downloaded and believed, and hostile copies of them.

tests/test_data_plainpickle.py has what is hostile in pickles, tests/test_data_published.py the other data sets.
"""
import hashlib
import io
import os
import pickle
import random
import tarfile
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from npcbnet import data, recipes
from npcbnet.data import augment, cifar, cifarfiles, targz, webp
from npcbnet.errors import DataError, NpcbnetError
from tests.test_data_published import DEAD, empty_home, server, url  # noqa: F401 (fixtures)

pytestmark = pytest.mark.independent

RNG = np.random.default_rng(0)
COUNT = 20  # images a batch
PIXELS = RNG.integers(0, 256, (6, COUNT, 3072), np.uint8)
LABELS = np.array([RNG.permutation(np.arange(COUNT) % 10) for _ in range(6)])
TRAIN = PIXELS[:5].reshape(-1, 3, 32, 32)
NAMES = ("file", "batch", "name", "label", "colour", "pixel", "image", "class", "record", "byte")
BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
REAL = Path(os.environ.get("NPCBNET_DATA") or Path(__file__).parents[2] / "shared" / "data", "cifar10")


def binary_files(**changed):
    """{name: content} of the binary version; changed: other contents, by name without .bin, None for none."""
    files = {name: np.concatenate([labels[:, None].astype(np.uint8), pixels], axis=1).tobytes()
             for name, labels, pixels in zip(BATCHES, LABELS, PIXELS)}
    files = {f"{name}.bin": content for name, content in {**files, **changed}.items() if content is not None}
    return {"batches.meta.txt": "\n".join(NAMES).encode() + b"\n\n", **files}


def python_files(protocol=4, **changed):
    """{name: content} of the Python version, pickled by this Python; changed: other values of every batch's dict."""
    files = {}
    for name, labels, pixels in zip(BATCHES, LABELS, PIXELS):
        batch = {"batch_label": name, "labels": labels.tolist(), "data": pixels, "filenames": ["a.png"] * COUNT}
        files[name] = pickle.dumps({**batch, **changed}, protocol)
    return {"batches.meta": pickle.dumps({"num_vis": 3072, "label_names": list(NAMES)}, protocol), **files}


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def archive(path, files, inside="cifar-10-batches-bin/", form=tarfile.GNU_FORMAT, add=()):
    """A .tar.gz of files {name: content}, and of what `add` holds: (TarInfo, content)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz", format=form, compresslevel=1) as tar:
        if inside:
            folder = tarfile.TarInfo(inside)
            folder.type = tarfile.DIRTYPE
            tar.addfile(folder)
        for name, content in files.items():
            member = tarfile.TarInfo(f"{inside}{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member, content in add:
            tar.addfile(member, io.BytesIO(content))
    return path


def columns(path, side=32, per_column=50, lossless=True, **changed):
    """The .npz of WebP columns; changed: other arrays, by name."""
    from PIL import Image, features
    if not features.check("webp"):
        pytest.skip("Pillow has no WebP")
    images = PIXELS.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)[:, :, :side]
    parts = []
    for start in range(0, len(images), per_column):
        file = io.BytesIO()
        column = np.ascontiguousarray(images[start:start + per_column]).reshape(-1, side, 3)
        Image.fromarray(column).save(file, "WEBP", lossless=lossless, method=0)
        parts.append(file.getvalue())
    arrays = {"webp": np.frombuffer(b"".join(parts), np.uint8), "offset": np.cumsum([0, *map(len, parts)]),
              "label": LABELS.reshape(-1).astype(np.uint8), "split": np.repeat([0, 1], (5 * COUNT, COUNT)),
              "class_names": np.array(NAMES)}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{**arrays, **changed})
    return path


def refused(match, path, **options):
    with pytest.raises(DataError, match=match) as caught:
        data.load(path, **options)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


# --- every form, the same images ---
FORMS = {
    "binary": lambda p: write(p, binary_files()),
    "binary in its folder": lambda p: write(p / "cifar-10-batches-bin", binary_files()).parent,
    "binary archive": lambda p: archive(p / "cifar-10-binary.tar.gz", binary_files()),
    "folder of the binary archive": lambda p: archive(p / "cifar-10-binary.tar.gz", binary_files()).parent,
    "binary archive, pax": lambda p: archive(p / "mine.tgz", binary_files(), "./", tarfile.PAX_FORMAT),
    "python 3": lambda p: write(p, python_files(3)),
    "python 5, in its folder": lambda p: write(p / "cifar-10-batches-py", python_files(5)).parent,
    "python archive": lambda p: archive(p / "cifar-10-python.tar.gz", python_files(), "cifar-10-batches-py/"),
    "columns": lambda p: columns(p / "mine.npz"),
    "folder of columns": lambda p: columns(p / "cifar10-webp.npz").parent}


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_hold_the_same_images(tmp_path, form):
    path = FORMS[form](tmp_path / "some")
    before = sorted(tmp_path.rglob("*"))
    raw = cifar.read_at(path)
    assert (raw.title, raw.name, raw.class_names) == ("CIFAR-10's files (100/20 images)", "cifar10-part", NAMES)
    np.testing.assert_array_equal(raw.train.images, TRAIN)
    np.testing.assert_array_equal(raw.test.images, PIXELS[5].reshape(-1, 3, 32, 32))
    np.testing.assert_array_equal(raw.train.labels, LABELS[:5].reshape(-1))
    np.testing.assert_array_equal(raw.test.labels, LABELS[5])
    assert raw.train.images.flags.c_contiguous and raw.test.images.flags.c_contiguous
    assert sorted(tmp_path.rglob("*")) == before  # nothing is unpacked onto the disk
    loaded = data.load(str(path), validation=0.1)
    assert loaded.input_shape == (3, 32, 32) and (len(loaded.train), len(loaded.validation)) == (90, 10)


def test_without_a_file_of_names_they_are_the_published_ones(tmp_path):
    write(tmp_path, binary_files())
    (tmp_path / "batches.meta.txt").unlink()
    assert cifar.read_at(tmp_path).class_names == cifarfiles.CLASS_NAMES
    assert cifarfiles.CLASS_NAMES[3] == "cat" and len(set(cifarfiles.CLASS_NAMES)) == 10


def test_other_folders_and_files_are_not_taken_for_these(tmp_path):
    (tmp_path / "data_batch_1").mkdir()  # a class of images may be called so
    np.savez(tmp_path / "set.npz", webp=PIXELS[0])
    (tmp_path / "a.npz").write_text("no zip")
    for path in (tmp_path, tmp_path / "set.npz", tmp_path / "a.npz", tmp_path / "nothing"):
        assert cifar.read_at(path) is None
    refused("has no x_train", tmp_path / "set.npz")
    refused("holds no batch of CIFAR-10", archive(tmp_path / "x.tar.gz", {"readme.html": b"hello"}))


# --- by name ---
def source(content=b"", *urls):
    return cifar.Source(urls or (DEAD,), hashlib.sha256(content).hexdigest(), len(content), (5 * COUNT, COUNT))


def test_by_name_npcbnet_data_goes_before_the_cache(empty_home, monkeypatch):  # noqa: F811
    assert not cifar.at_hand("cifar10")
    write(empty_home / "cache/npcbnet/cifar10", binary_files(test_batch=b"damaged"))
    assert cifar.at_hand("cifar10") and not cifar.at_hand("mnist") and not cifar.at_hand(None)
    with pytest.raises(DataError, match="test_batch.bin has 7 bytes"):
        cifar.read(source())
    write(empty_home / "own/cifar10", python_files())
    monkeypatch.setenv("NPCBNET_DATA", str(empty_home / "own"))
    raw = cifar.read(source())
    np.testing.assert_array_equal(raw.train.images, TRAIN)
    assert raw.where == str(empty_home / "own/cifar10")
    assert "100 + 20 images where CIFAR-10 has 50,000 + 10,000" in refused("./cifar10", "cifar10")


def test_the_title_says_which_files_they_are(tmp_path, monkeypatch):
    files = binary_files()
    md5s = tuple(hashlib.md5(files[f"{name}.bin"]).hexdigest() for name in BATCHES)
    monkeypatch.setattr(cifar, "SOURCE", replace(cifar.SOURCE, images=(5 * COUNT, COUNT)))
    monkeypatch.setattr(cifar, "BATCH", COUNT)
    monkeypatch.setattr(cifar, "TITLES", {md5s: "CIFAR-10"})
    assert cifar.read_at(write(tmp_path / "a", files)).title == "CIFAR-10"
    assert cifar.read_at(write(tmp_path / "b", python_files())).title == "CIFAR-10"
    changed = bytearray(files["data_batch_4.bin"])
    changed[-1] ^= 1
    write(tmp_path / "a", {"data_batch_4.bin": changed})
    raw = cifar.read_at(tmp_path / "a")
    assert (raw.title, raw.name) == ("CIFAR-10 (not the published files)", "cifar10")


def test_the_tables_are_complete():
    assert "cifar10" in data.NAMES and cifar.SOURCE.images == (50_000, 10_000) and len(cifar.SOURCE.sha256) == 64
    assert all(place.startswith("https://") and place.endswith("cifar-10-binary.tar.gz") for place in cifar.SOURCE.urls)
    assert all(len(md5s) == 6 and {len(md5) for md5 in md5s} == {32} for md5s in cifar.TITLES)


# --- download ---
def test_download_then_cache(empty_home, server):  # noqa: F811
    content = archive(empty_home / "a.tar.gz", binary_files()).read_bytes()
    server.files = {"cifar-10-binary.tar.gz": content}
    places = DEAD + "none.tar.gz", url(server) + "cifar-10-binary.tar.gz"
    for _ in range(2):
        np.testing.assert_array_equal(cifar.read(source(content, *places)).train.images, TRAIN)
    assert len(server.asked) == 1 and cifar.at_hand("cifar10")
    assert [path.name for path in (empty_home / "cache/npcbnet/cifar10").iterdir()] == ["cifar-10-binary.tar.gz"]


@pytest.mark.parametrize("served, match", [
    (b"<html>log in</html>", "its sha256 differs"), (bytes(200), "sent more than 99 bytes"), (None, "Not Found")])
def test_wrong_downloads_are_not_kept(empty_home, server, served, match):  # noqa: F811
    server.files = {"cifar-10-binary.tar.gz": served}
    with pytest.raises(DataError, match=match) as caught:
        cifar.read(source(bytes(99), url(server) + "cifar-10-binary.tar.gz"))
    assert len(str(caught.value).splitlines()) == 1
    assert not [path for path in (empty_home / "cache").rglob("*") if path.is_file()]


def test_missing_files_are_one_clear_line(empty_home, monkeypatch):  # noqa: F811
    monkeypatch.setenv("NPCBNET_DATA", str(empty_home))
    with pytest.raises(DataError, match="missing cifar-10-binary.tar.gz, and the download failed") as caught:
        cifar.read(source())
    message = str(caught.value)
    assert str(empty_home / "cifar10") in message and "train digits" in message and len(message.splitlines()) == 1


def test_cache_that_cannot_be_written(empty_home, server):  # noqa: F811
    (empty_home / "cache").write_text("a file where a folder is needed")
    server.files = {"cifar-10-binary.tar.gz": b"1"}
    with pytest.raises(DataError, match="XDG_CACHE_HOME"):
        cifar.read(source(b"1", url(server) + "cifar-10-binary.tar.gz"))


# --- damaged and hostile files ---
@pytest.mark.parametrize("changed, match", [
    ({"data_batch_3": None}, "has no data_batch_3.bin"), ({"data_batch_3": b""}, "data_batch_3.bin has 0 bytes"),
    ({"test_batch": bytes(3073 * 3 - 1)}, "no whole number"), ({"data_batch_2": b"\x0a" + bytes(3072)}, "label 10"),
    ({"data_batch_2": bytes(64 * 2**20 + 1)}, "more than 67,108,864 bytes")])
def test_damaged_binary_files(tmp_path, changed, match):
    refused(match, write(tmp_path / "folder", binary_files(**changed)))
    if "data_batch_2" not in changed or len(changed["data_batch_2"]) < 9999:
        refused(match, archive(tmp_path / "a.tar.gz", binary_files(**changed)))


@pytest.mark.parametrize("names", [b"", b"cat\n" * 10, b"\xff\xfe" * 9, b"a\nb\nc", b"x" * 70_000,
                                   "\n".join((*NAMES[:9], "\x07")).encode(), "\n".join((*NAMES, "more")).encode()])
def test_damaged_names(tmp_path, names):
    refused("batches.meta.txt", write(tmp_path, {**binary_files(), "batches.meta.txt": names}))


@pytest.mark.parametrize("changed, match", [
    ({"labels": LABELS[0].tolist()[1:]}, "20 whole numbers"), ({"labels": ["cat"] * COUNT}, "whole numbers"),
    ({"labels": [True] * COUNT}, "whole numbers"), ({"labels": [10] * COUNT}, "label 10"),
    ({"labels": [-1] * COUNT}, "label -1"), ({"labels": np.zeros((COUNT, 1), np.uint8)}, "whole numbers"),
    ({"labels": None}, "has no labels"), ({"data": None}, "has no data"), ({"data": [0] * COUNT}, "data is no array"),
    ({"data": PIXELS[0][:, :-1]}, "data is 20x3071"), ({"data": PIXELS[0][0]}, "data is 3072"),
    ({"data": PIXELS[0].reshape(-1, 3, 32, 32)}, "data is 20x3x32x32"), ({"data": PIXELS[0][:0]}, "data is 0x3072"),
    ({"data": PIXELS[0].astype(np.int16)}, "must be uint8"), ({"data": np.array([{}, 1], object)}, "must be uint8"),
    ({"data": np.asfortranarray(PIXELS[0])}, "data_batch_1 ")])
def test_wrong_python_batches(tmp_path, changed, match):
    for protocol in (3, 4, 5):
        refused(match, write(tmp_path, python_files(protocol, **changed)))


def test_labels_may_be_a_uint8_array(tmp_path):
    files = python_files(labels=LABELS[0].astype(np.uint8))
    np.testing.assert_array_equal(cifar.read_at(write(tmp_path, files)).test.labels, LABELS[0])


@pytest.mark.parametrize("meta", [[1], {}, {"label_names": "cat"}, {"label_names": [1] * 10},
                                  {"label_names": ["a"] * 10}, {"label_names": list(NAMES[:9])}])
def test_wrong_python_names(tmp_path, meta):
    refused("batches.meta", write(tmp_path, {**python_files(), "batches.meta": pickle.dumps(meta)}))


def linked(name, kind, target="/etc/passwd"):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


def sized(name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    return member, content


FIRST = "cifar-10-batches-bin/data_batch_1.bin"


@pytest.mark.parametrize("add, match", [
    ([linked(FIRST, tarfile.SYMTYPE)], "link or a device"), ([linked(FIRST, tarfile.LNKTYPE)], "link or a device"),
    ([linked("evil", tarfile.CHRTYPE)], "link or a device"), ([linked("evil", tarfile.FIFOTYPE)], "link or a device"),
    ([linked("evil", b"S")], "link or a device"),
    ([sized(f"../../{FIRST}", b"x")], "has no data_batch_1.bin"), ([sized(f"/{FIRST}", b"x")], "has no data_batch_1"),
    ([sized("elsewhere/data_batch_1.bin", b"x")], "has no data_batch_1.bin"),
    ([sized(FIRST, bytes(3073)), sized(FIRST, bytes(3073))], "there twice"),
    ([sized(FIRST, bytes(3073)), sized("data_batch_1.bin", bytes(3073))], "in two folders"),
    ([sized("cifar-10-batches-bin/batches.meta.txt", bytes(70_000))], "too many")])
def test_hostile_archives(tmp_path, add, match):
    files = binary_files(data_batch_1=None)
    files.pop("batches.meta.txt")
    refused(match, archive(tmp_path / "a.tar.gz", files, add=add))
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar.gz"]


def retarred(path, change):
    """The archive at `path` after change(bytearray of the tar)."""
    import gzip
    tar = bytearray(gzip.decompress(path.read_bytes()))
    changed = change(tar) or tar
    path.write_bytes(gzip.compress(changed, 1))
    return path


def header(tar, size):
    """Write another size field into the second header of a tar, and the checksum that belongs to it."""
    tar[512 + 124:512 + 136] = size
    tar[512 + 148:512 + 156] = b" " * 8
    tar[512 + 148:512 + 156] = b"%06o\0 " % sum(tar[512:1024])


@pytest.mark.parametrize("change, match", [
    (lambda tar: header(tar, b"77777777777\0"), "more than 536,870,912"),
    (lambda tar: header(tar, b"-0000000001\0"), "octal"),
    (lambda tar: header(tar, b"\x80" + bytes(10) + b"\x10"), "octal"),
    (lambda tar: header(tar, b"99999999999\0"), "octal"),
    (lambda tar: header(tar, b" " * 12), "octal"), (lambda tar: tar.__setitem__(520, 65), "checksum"),
    (lambda tar: tar[:9000], "truncated"), (lambda tar: b"text" * 1000, "a header"),
    (lambda tar: tar + bytes(1 << 20), "goes on after its end")])
def test_damaged_headers(tmp_path, change, match):
    refused(match, retarred(archive(tmp_path / "a.tar.gz", binary_files()), change))


def test_archives_that_lie_about_their_size(tmp_path, monkeypatch):
    path = archive(tmp_path / "a.tar.gz", binary_files(), add=[sized(f"{i}", b"") for i in range(targz.MAX_MEMBERS)])
    refused("more than 1,000 members", path)
    monkeypatch.setattr(targz, "MAX_BYTES", 100_000)
    refused("unpacks to more than 100,000", archive(path, {}, add=[sized("bomb", bytes(200_000))]))


def test_an_archive_cut_short_or_changed_is_refused_or_read(tmp_path):
    content = archive(tmp_path / "a.tar.gz", binary_files()).read_bytes()
    for end in (0, 1, 10, 1000, len(content) // 2, len(content) - 9, len(content) - 1):
        (tmp_path / "a.tar.gz").write_bytes(content[:end])
        refused("a.tar.gz", tmp_path / "a.tar.gz")
    generator = random.Random(1)
    for _ in range(40):
        mutated = bytearray(content)
        mutated[generator.randrange(10, len(mutated))] ^= 1 << generator.randrange(8)
        (tmp_path / "a.tar.gz").write_bytes(mutated)
        refused("a.tar.gz", tmp_path / "a.tar.gz")  # gzip's checksum finds every changed bit


# --- columns of WebP images ---
@pytest.mark.parametrize("changed, match", [
    ({"label": LABELS.reshape(-1)[1:]}, "split must say"), ({"split": np.zeros(6 * COUNT, np.uint8)}, "split must say"),
    ({"split": np.arange(6 * COUNT)}, "split must say"), ({"offset": np.array([0, 5])}, "offset must rise"),
    ({"offset": np.array([], np.int64)}, "empty"), ({"offset": np.array([0, 9, 3, 5])}, "offset must rise"),
    ({"label": np.full(6 * COUNT, "cat")}, "one row of integers"), ({"webp": np.zeros(9)}, "one row of integers"),
    ({"label": np.full(6 * COUNT, 10)}, "label 10"), ({"class_names": np.array(["a", None], object)}, "unpickling"),
    ({"class_names": np.array([*NAMES[:9], NAMES[0]])}, "class_names has the class 'file' twice"),
    ({"webp": np.zeros(99, np.uint8), "offset": np.array([0, 99])}, "column 0 cannot be read"),
    ({"label": LABELS.reshape(-1)[:99], "split": np.arange(99) % 2}, "column 1 is 32x1600"),
    ({"label": np.zeros(150, int), "split": np.arange(150) % 2}, "120 images but 150 labels")])
def test_damaged_columns(tmp_path, changed, match):
    refused(match, columns(tmp_path / "a.npz", **changed))


def test_columns_of_another_width_or_kind(tmp_path):
    refused("column 0 is 31x1600", columns(tmp_path / "a.npz", side=31))
    from PIL import Image
    file = io.BytesIO()
    Image.fromarray(np.zeros((32 * 120, 32, 3), np.uint8)).save(file, "JPEG")
    jpeg = np.frombuffer(file.getvalue(), np.uint8)
    refused("cannot be read as a WebP", columns(tmp_path / "a.npz", webp=jpeg, offset=np.array([0, len(jpeg)])))
    file = io.BytesIO()
    frames = [Image.fromarray(np.full((32 * 120, 32, 3), grey, np.uint8)) for grey in (0, 200)]
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    moving = np.frombuffer(file.getvalue(), np.uint8)
    refused("expected one picture", columns(tmp_path / "a.npz", webp=moving, offset=np.array([0, len(moving)])))


def test_columns_cut_short_or_changed_are_refused_or_read(tmp_path):
    path = columns(tmp_path / "a.npz")
    content, generator = path.read_bytes(), random.Random(2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile's and NumPy's remarks on the damage
        for _ in range(100):
            mutated = bytearray(content)
            for _ in range(generator.choice((1, 4))):
                mutated[generator.randrange(len(mutated))] = generator.randrange(256)
            path.write_bytes(mutated[:generator.choice((len(mutated), generator.randrange(len(mutated))))])
            try:
                assert data.load(path).input_shape == (3, 32, 32)
            except NpcbnetError as error:
                assert len(str(error).splitlines()) == 1


def test_a_pillow_without_webp_is_named(tmp_path, monkeypatch):
    from PIL import features
    path = columns(tmp_path / "a.npz")
    monkeypatch.setattr(features, "check", lambda name: False)
    refused("this Pillow cannot read: install another", path)


# --- augmentation, as training uses it ---
@pytest.mark.parametrize("shape, pixels", [((64, 3, 32, 32), 4), ((9, 1, 28, 28), 1), ((3, 2, 5, 7), 6)])
def test_a_shift_is_a_crop_of_the_padded_image(shape, pixels):
    images = RNG.integers(0, 256, shape, np.uint8)
    found = augment.shifted(images, pixels, np.random.default_rng(3))
    moves = np.random.default_rng(3).integers(0, 2 * pixels + 1, (len(images), 2))
    for image, moved, (down, right) in zip(images, found, moves):
        padded = np.pad(image, ((0, 0), (pixels, pixels), (pixels, pixels)))
        np.testing.assert_array_equal(moved, padded[:, down:down + shape[2], right:right + shape[3]])
    assert found.flags.c_contiguous and found.dtype == np.uint8 and set(moves.ravel()) <= set(range(2 * pixels + 1))


def test_recipes_know_what_each_data_set_may_suffer(tmp_path):
    loaded = data.load(write(tmp_path, binary_files()))
    plan = recipes.classifier_plan(loaded, seed=0)
    assert (plan.shift, plan.flip) == (4, True)
    assert recipes.converter_plan(recipes.recipe("fast", loaded), loaded, seed=0).shift == 4
    for name, shift, flip in (("mnist", 1, False), ("fmnist", 0, True), ("kmnist-8000-2000", 1, False)):
        other = replace(loaded, name=name)
        plan = recipes.classifier_plan(other, seed=0)
        assert (plan.shift, plan.flip) == (shift, flip)
        assert recipes.converter_plan(recipes.recipe("fast", other), other, seed=0).shift == shift
        assert recipes.converter_plan(recipes.recipe("paper", other), other, seed=0).shift == 0


# --- the real images, where this machine has them ---
def test_real_columns(monkeypatch):
    if not (REAL / cifar.WEBP).exists():
        pytest.skip(f"no {REAL / cifar.WEBP}")
    monkeypatch.setenv("NPCBNET_DATA", str(REAL.parent))
    loaded = data.load("cifar10", seed=1)
    assert loaded.title == "CIFAR-10 (rearranged, 1,135 images from JPEG copies)" and loaded.name == "cifar10"
    assert loaded.class_names == cifarfiles.CLASS_NAMES and loaded.input_shape == (3, 32, 32)
    assert (len(loaded.train), len(loaded.validation), len(loaded.test)) == (45_833, 4_167, 10_000)
    assert np.all(np.bincount(loaded.test.labels) == 1000)
    assert webp.holds(REAL / cifar.WEBP)
