"""Data sets: `load(name_or_path)` gives train, validation and test as uint8 (N, C, H, W) with int64 (N,) labels."""
import os
from pathlib import Path

import numpy as np

from npcbnet.data import cifar, convert, dataset, folder, npz, published
from npcbnet.data.dataset import Dataset, Raw, Split
from npcbnet.errors import DataError, NpcbnetError, UsageError

__all__ = ["NAMES", "Dataset", "Split", "load"]

NAMES = ("digits", *published.SOURCES, cifar.NAME)


def load(name_or_path, *, seed=0, validation=1 / 12, shape=None):
    """Load a data set by name (`NAMES`) or from a path (an .npz, a folder of IDX files, of CIFAR-10's files, or
    one with a sub-folder per class).

    seed: of the splits and, for `digits`, of the images; the same seed gives the same bits. validation: fraction of the
    training images held out, stratified (1/12: 5,000 of MNIST's 60,000). A source without test part first gives up one
    sixth as such. shape: (C, H, W) to convert and resize all images to; None keeps theirs.
    Raises DataError or UsageError, one line each, and nothing else. A name wins over a file called so: write ./mnist.
    """
    try:
        seed, validation = dataset.check_options(seed, validation)
        shape = convert.check_shape(shape)
        return dataset.assemble(_read(name_or_path, seed, shape), seed=seed, validation=validation, shape=shape)
    except NpcbnetError as error:
        if len(str(error).splitlines()) > 1:  # a file's name may hold a line break
            raise type(error)(" ".join(str(error).splitlines())) from error
        raise
    except MemoryError as error:
        raise DataError(f"{name_or_path} needs more memory than there is; use fewer or smaller images") from error
    except (OSError, ValueError) as error:  # what no reader foresaw, such as a path with a zero byte
        raise DataError(f"cannot load {name_or_path!r}: {' '.join(str(error).split())}") from error


def _read(name_or_path, seed, shape):
    """The Raw data set; only `folder` needs `shape`, as files of mixed sizes cannot be held in one array."""
    if name_or_path == "digits":
        return _digits(seed)
    if isinstance(name_or_path, str) and name_or_path in published.SOURCES:
        return published.read(name_or_path)
    if name_or_path == cifar.NAME:
        return cifar.read()
    if not isinstance(name_or_path, (str, os.PathLike)) or not os.fspath(name_or_path):
        raise UsageError(f"expected a data set's name ({', '.join(NAMES)}) or a path, not {name_or_path!r}")
    path = Path(os.fsdecode(name_or_path))
    if found := cifar.read_at(path):
        return found
    if path.is_dir():
        return folder.read(path, shape=shape)
    if path.is_file():
        return npz.read(path)
    raise UsageError(f"unknown data set {str(path)!r}: known names are {', '.join(NAMES)}; a path is accepted too "
                     "(an .npz, a folder of IDX files, of CIFAR-10's, or of one sub-folder of images per class), but "
                     "nothing is there")


def _digits(seed):
    """12,000 generated training images and 2,000 test images from a seed of their own."""
    from npcbnet.data import digits
    test_seed = int(np.random.SeedSequence([seed, 1]).generate_state(1)[0])
    train, test = digits.generate(12_000, seed=seed), digits.generate(2_000, seed=test_seed)
    return Raw("digits", "digits (generated)", "digits", Split(*train), Split(*test), tuple("0123456789"))
