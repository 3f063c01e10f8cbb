"""The files of CIFAR-10: the binary version, the Python version, and the archives of both.

A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009; www.cs.toronto.edu/~kriz/cifar.html
says how they are laid out: five batches to train on and one to test, each of N images (10,000); an image is 3072
bytes, 32x32 red, then green, then blue. In the binary version its label is the byte before it; in the Python version a
batch is a pickled dict, which is read without unpickling (`plainpickle`).
"""
from dataclasses import dataclass
from typing import Callable

import numpy as np

from npcbnet.data import plainpickle, targz
from npcbnet.data.convert import text
from npcbnet.data.dataset import Split, check_labels, check_names
from npcbnet.errors import DataError

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SHAPE, PIXELS = (3, 32, 32), 3072
_MOST_BYTES, _MOST_NAME_BYTES = plainpickle.MAX_BYTES, 1 << 16  # of a batch (twice the published), of the class names


@dataclass(frozen=True)
class Version:
    """A form of the files. batch(content, where) -> (pixels (N, 3072), labels (N,)); class_names(content, where)."""
    folder: str
    archive: str
    batches: tuple
    names: str
    batch: Callable
    class_names: Callable

    def split(self, content, where):
        """The Split that a batch's `content` (bytes) holds. Raises DataError, `where` naming the file."""
        pixels, labels = self.batch(content, where)
        check_labels(labels, len(CLASS_NAMES), where)
        return Split(pixels.reshape(-1, *SHAPE), labels.astype(np.int64))  # a view: 30 MB less to copy


def from_folder(version, folder):
    """(train Split, test Split, class names) of the files of `version` in `folder`. Raises DataError."""
    missing = [file for file in version.batches if not (folder / file).is_file()]
    if missing:
        raise DataError(f"{folder} has no {', '.join(missing)}; add what is missing, or remove the other batches")
    splits = [version.split(_content(folder / file, _MOST_BYTES), folder / file) for file in version.batches]
    path = folder / version.names
    names = version.class_names(_content(path, _MOST_NAME_BYTES), path) if path.is_file() else None
    return _joined(splits, names, path)


def _content(path, most):
    """The bytes of a file that has `most` at most."""
    try:
        with open(path, "rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    if len(content) > most:
        raise DataError(f"{path} has more than {most:,} bytes; it is not one of CIFAR-10's files")
    return content


def from_archive(path):
    """As `from_folder`, from the archive of either version, of which nothing is unpacked onto the disk."""
    versions = {file: version for version in VERSIONS for file in (*version.batches, version.names)}
    sizes = {f"{inside}{file}": _MOST_BYTES if file in version.batches else _MOST_NAME_BYTES
             for file, version in versions.items() for inside in ("", f"{version.folder}/")}
    found = {}
    for name, content in targz.members(path, sizes):
        file = name.split("/")[-1]
        version, where = versions[file], f"{path}: {name}"
        if file in found:
            raise DataError(f"{where} is there in two folders; it is not the published archive")
        found[file] = (version.split if file in version.batches else version.class_names)(content, where)
    for version in VERSIONS:
        missing = [file for file in version.batches if file not in found]
        if not missing:
            return _joined([found[file] for file in version.batches], found.get(version.names), path)
        if len(missing) < len(version.batches):
            raise DataError(f"{path} has no {', '.join(missing)}; download it again")
    names = ", ".join(version.batches[0] for version in VERSIONS)
    raise DataError(f"{path} holds no batch of CIFAR-10 ({names}, ...); other archives are not read")


def _joined(splits, class_names, where):
    """(train Split, test Split, class names) of six batches; without names of their own the published ones."""
    names = tuple(CLASS_NAMES if class_names is None else class_names)
    if len(names) != len(CLASS_NAMES) or not all(
            isinstance(name, str) and name.isprintable() and 0 < len(name) <= 200 for name in names):
        raise DataError(f"{where}: expected the names of {len(CLASS_NAMES)} classes; get the published file again")
    check_names(names, where)
    train = Split(*(np.concatenate([getattr(split, part) for split in splits[:-1]]) for part in ("images", "labels")))
    return train, splits[-1].take(slice(None)), names


def _binary_batch(content, where):
    """Records of a label byte and the pixels."""
    if not content or len(content) % (1 + PIXELS):
        raise DataError(f"{where} has {len(content):,} bytes, no whole number of images of {1 + PIXELS:,} bytes; copy "
                        "or download it again")
    records = np.frombuffer(content, np.uint8).reshape(-1, 1 + PIXELS)
    return records[:, 1:], records[:, 0]


def _binary_names(content, where):
    """A line for each class."""
    try:
        return [line.strip() for line in content.decode("utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is no text; get the published file again") from error


def _python_batch(content, where):
    """A dict with `data`, uint8 (N, 3072), and `labels`, a list of N ints or uint8 (N,)."""
    pixels, labels = _entries(content, where, "data", "labels")
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.shape[1] != PIXELS or not len(pixels):
        shape = text(pixels.shape) if isinstance(pixels, np.ndarray) else "no array"
        raise DataError(f"{where}: data is {shape}; expected uint8 Nx{PIXELS}, a row for each image")
    if isinstance(labels, list) and all(type(label) is int for label in labels):
        labels = np.array(labels, np.int64)
    if not isinstance(labels, np.ndarray) or labels.shape != pixels.shape[:1]:
        raise DataError(f"{where}: labels must be {len(pixels):,} whole numbers, one for each row of data")
    return pixels, labels


def _python_names(content, where):
    """A dict with `label_names`, a list of text."""
    names, = _entries(content, where, "label_names")
    if not isinstance(names, list) or not all(isinstance(name, (str, bytes)) for name in names):
        raise DataError(f"{where}: label_names must be a list of names; get the published file again")
    return [name.decode("latin-1") if isinstance(name, bytes) else name for name in names]


def _entries(content, where, *keys):
    """The values of a pickled dict; Python 2's keys are bytes."""
    found = plainpickle.loads(content, where)
    if not isinstance(found, dict):
        raise DataError(f"{where} holds no dict; get the published file again")
    values = [found.get(key, found.get(key.encode())) for key in keys]
    for key, value in zip(keys, values):
        if value is None:
            raise DataError(f"{where} has no {key}; get the published file again")
    return values


BINARY = Version("cifar-10-batches-bin", "cifar-10-binary.tar.gz",
                 (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"), "batches.meta.txt",
                 _binary_batch, _binary_names)
PYTHON = Version("cifar-10-batches-py", "cifar-10-python.tar.gz",
                 (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"), "batches.meta",
                 _python_batch, _python_names)
VERSIONS = (BINARY, PYTHON)
