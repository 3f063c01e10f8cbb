"""What a data set is once it is loaded, the checks it has passed, and the seeded stratified split.

Every reader (published, npz, folder, digits) returns `Raw`; `assemble` makes it the `Dataset` everything else uses.
"""
from collections import Counter
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np

from npcbnet.data import convert
from npcbnet.errors import DataError, UsageError

TEST_FRACTION = 1 / 6  # held out when a source has no test part: as many as MNIST has per training image


@dataclass(frozen=True, eq=False)
class Split:
    """Images uint8 (N, C, H, W) with labels int64 (N,). DataError when the arrays are anything else."""
    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self):
        images, labels = np.asarray(self.images), np.asarray(self.labels)
        if images.dtype != np.uint8 or images.ndim != 4:
            raise DataError(f"images are {images.dtype} {convert.text(images.shape)}; expected uint8 (N, C, H, W)")
        if labels.dtype != np.int64 or labels.ndim != 1:
            raise DataError(f"labels are {labels.dtype} {convert.text(labels.shape)}; expected int64 (N,)")
        if len(images) != len(labels):
            raise DataError(f"{len(images)} images but {len(labels)} labels; each image needs one label")

    def __len__(self):
        return len(self.labels)

    def take(self, index):
        """The images at `index` (M,) as a new Split."""
        return Split(np.ascontiguousarray(self.images[index]), self.labels[index])


@dataclass(frozen=True, eq=False)
class Dataset:
    """A loaded data set. Labels are 0..O-1; every class has a training image; all parts share one (C, H, W)."""
    name: str
    title: str
    train: Split
    validation: Split
    test: Split
    class_names: tuple

    def __post_init__(self):
        if len(self.class_names) < 2:
            raise DataError(f"{self.name} has {len(self.class_names)} class; at least two are needed")
        for part in ("train", "validation", "test"):
            split = getattr(self, part)
            if split.images.shape[1:] != self.train.images.shape[1:]:
                raise DataError(f"{self.name}: {part} images are {convert.text(split.images.shape[1:])} but train "
                                f"images are {convert.text(self.train.images.shape[1:])}")
            check_labels(split.labels, len(self.class_names), f"{self.name}: {part}")
        check_no_class_empty(self.train.labels, self.class_names, self.name)

    @property
    def input_shape(self):
        """(C, H, W) of every image."""
        return self.train.images.shape[1:]

    @property
    def classes(self):
        """O, the number of classes."""
        return len(self.class_names)


@dataclass(frozen=True, eq=False)
class Raw:
    """What a reader returns: `where` names the source in errors; `test` and `class_names` may be None."""
    name: str
    title: str
    where: str
    train: Split
    test: Split | None = None
    class_names: tuple | None = None


def assemble(raw, *, seed, validation, shape):
    """Check `raw`, bring its images to `shape` (C, H, W) if given, split test (if absent) and validation off train."""
    class_names = raw.class_names or _names_from(raw.train.labels, raw.where)
    check_labels(raw.train.labels, len(class_names), f"{raw.where}: train")
    check_no_class_empty(raw.train.labels, class_names, raw.where)
    train, test = (_reshaped(part, shape, raw.where) for part in (raw.train, raw.test))
    if test is None:
        train, test = split_off(train, TEST_FRACTION, np.random.default_rng([seed, 1]))
    else:
        check_labels(test.labels, len(class_names), f"{raw.where}: test")
        if test.images.shape[1:] != train.images.shape[1:]:
            raise DataError(f"{raw.where}: test images are {convert.text(test.images.shape[1:])} but train images "
                            f"are {convert.text(train.images.shape[1:])}; pass shape=(C, H, W) to make them one size")
    train, held_out = split_off(train, validation, np.random.default_rng([seed, 0]))
    return Dataset(raw.name, raw.title, train, held_out, test, tuple(class_names))


def stratified_split(labels, fraction, rng):
    """Indices (kept, held_out), both ascending, of `labels` (N,): round(fraction N) held out, in proportion by class.

    Largest-remainder rounding, so each class is within one image of its share; a class of two or more gives at least
    one (the total may then exceed the rounding), and every class keeps at least one. `fraction` 0 holds nothing out.
    """
    classes = np.bincount(labels)
    share = classes * fraction
    count = np.floor(share).astype(np.int64)
    # Rounded first: 6000 / 12 computed in floats must not lose its remainder order to noise in the last bit.
    by_remainder = np.argsort(-np.round(share - count, 9), kind="stable")
    missing = max(int(round(len(labels) * fraction)) - int(count.sum()), 0)
    count[by_remainder[:missing]] += 1
    if fraction > 0:
        count = np.clip(count, np.minimum(1, classes), None)
    count = np.minimum(count, np.maximum(classes - 1, 0))
    held_out = np.zeros(len(labels), bool)
    for label in np.flatnonzero(count):
        members = np.flatnonzero(labels == label)
        held_out[rng.permutation(members)[:count[label]]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def split_off(split, fraction, rng):
    """(rest, part): two Splits by `stratified_split`."""
    kept, held_out = stratified_split(split.labels, fraction, rng)
    return split.take(kept), split.take(held_out)


def check_labels(labels, classes, where):
    """DataError unless every label (N,) lies in 0..classes-1."""
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        raise DataError(f"{where} label {labels[wrong[0]]} of image {wrong[0]} is out of range; "
                        f"{classes} classes need labels from 0 to {classes - 1}")


def check_no_class_empty(labels, class_names, where):
    """DataError when a class has no image among the training `labels` (N,), each already known to be in range."""
    empty = np.flatnonzero(np.bincount(labels, minlength=len(class_names)) == 0)
    if len(empty):
        raise DataError(f"{where}: class {empty[0]} ({class_names[empty[0]]}) has no training image; "
                        "add some, or renumber the labels without it")


def check_no_part_empty(dataset, parts=("validation", "test")):
    """DataError when one of these parts of a Dataset has no image: so few cannot judge."""
    for part in parts:
        if not len(getattr(dataset, part)):
            raise DataError(f"{dataset.title} has no {part} images; give each class at least three images")


def check_names(class_names, where):
    """DataError when two classes have the same name."""
    for name, count in Counter(class_names).items():
        if count > 1:
            raise DataError(f"{where} has the class {name!r} twice; give each class a name of its own")


def check_options(seed, validation):
    """Return (seed, validation) as int and float; UsageError when they cannot be used."""
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise UsageError(f"seed must be an integer of 0 or more, not {seed!r}")
    if isinstance(validation, bool) or not isinstance(validation, Real) or not 0 <= validation < 1:
        raise UsageError(f"validation must be a fraction of the training images, 0 to less than 1, not {validation!r}")
    return int(seed), float(validation)


def _names_from(labels, where):
    """Class names "0".."O-1" from the largest label; refused before a wild label makes a wild number of classes."""
    for label in (labels.min(), labels.max()):
        if not 0 <= label < len(labels):
            raise DataError(f"{where}: label {label} is out of range for {len(labels)} training images, as every class "
                            "from 0 up needs one; renumber the labels from 0 without gaps")
    return tuple(str(label) for label in range(int(labels.max()) + 1))


def _reshaped(split, shape, where):
    return None if split is None else Split(convert.to_shape(split.images, shape, where), split.labels)
