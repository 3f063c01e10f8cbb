"""CIFAR-10 by name or path: found on disk in whichever form, or downloaded and checked to be the published archive.

Forms: the files of the binary or the Python version, in the folder itself or in the one of the published archive; the
archive of either; cifar10-webp.npz (`webp`). Files on disk are held to their structure; the title says what they are.
"""
import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from npcbnet.data import cifarfiles, places, webp
from npcbnet.data.dataset import Raw
from npcbnet.errors import DataError

NAME = "cifar10"
WEBP = "cifar10-webp.npz"
BATCH = 10_000  # images


@dataclass(frozen=True)
class Source:
    """Where the archive of the binary version is published, what it must be, and how many images it holds."""
    urls: tuple
    sha256: str
    size_bytes: int
    images: tuple  # to train on, to test


# sha256: JuliaML/MLDatasets.jl and gomlx/gomlx hold the archive to it; the authors' page gives its md5,
# c32a1d4ab5d03f1284b67883e8d87530. Their page names no licence.
SOURCE = Source(("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                 "https://cave.cs.toronto.edu/kriz/cifar-10-binary.tar.gz"),
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd", 170_052_171, (50_000, 10_000))

# md5 of each batch as a file of the binary version: of the published ones (rai-project/dldataset has these, and several
# build scripts), and of a copy in an order of its own, with the published images but for 1,135 from JPEG copies.
_PUBLISHED = ("5dd7e06a14cb22eb9f671a540d1b7c25", "5ea93a67294ea407fff1d09f752e9692",
              "942cd6a4bcdd0dd3c604fbe906cb4421", "ae636b3ba5c66a11e91e8cb52e771fcb",
              "53f37980c15c3d472c316c40844f3f0d", "803d5f7f4d78ea53de84dbe85f74fb6d")
_REARRANGED = ("c3a118d9f631582d47df69326c95094e", "a14277a7e2be2c9cd4102506747ae579",
               "992432e2308b2e3901decf76f2ce1ff0", "3a37c9aae7a680a351b8887060c920a5",
               "c4411ec0ef1fe4d8ef4c2e1a7e3fe115", "f0a54bc479be0dea6bd91e549755303a")
TITLES = {_PUBLISHED: "CIFAR-10", _REARRANGED: "CIFAR-10 (rearranged, 1,135 images from JPEG copies)"}
OTHER_TITLE = "CIFAR-10 (not the published files)"


def read(source=SOURCE):
    """Raw CIFAR-10 from where `places` says, in any form; downloaded if it is not there. Raises DataError."""
    for folder in places.folders(NAME):
        if found := _find(folder):
            return _raw(found, folder, source)
    path = _download(source)
    return _raw(partial(cifarfiles.from_archive, path), path.parent, source)


def at_hand(name):
    """Is `name` cifar10, and can `read` do without a download?"""
    return name == NAME and any(_find(folder) for folder in places.folders(NAME))


def read_at(path):
    """Raw data set from such files at `path` (a folder, an archive, an .npz of columns), or None where there are none.

    They may hold fewer images than CIFAR-10; the title then says so. Raises DataError where they are damaged.
    """
    found = _find(Path(path))
    return _raw(found, path) if found else None


def _find(path):
    """A function that reads the files at `path` -> (train Split, test Split, class names), or None."""
    if path.is_file():
        if path.name.endswith((".tar.gz", ".tgz")):
            return partial(cifarfiles.from_archive, path)
        return partial(webp.read, path) if path.suffix == ".npz" and webp.holds(path) else None
    for version in cifarfiles.VERSIONS:
        for folder in (path, path / version.folder):
            if any((folder / file).is_file() for file in version.batches):
                return partial(cifarfiles.from_folder, version, folder)
        if (path / version.archive).is_file():
            return partial(cifarfiles.from_archive, path / version.archive)
    return partial(webp.read, path / WEBP) if (path / WEBP).is_file() else None


def _raw(found, where, source=None):
    """The Raw data set that the function `found` reads; with `source`, of exactly its number of images."""
    train, test, class_names = found()
    counts = len(train), len(test)
    if source and counts != source.images:
        raise DataError(f"{where} holds {counts[0]:,} + {counts[1]:,} images where CIFAR-10 has {source.images[0]:,} + "
                        f"{source.images[1]:,}; complete the files, or name the folder by its path, e.g. ./{NAME}")
    whole = counts == SOURCE.images
    title = TITLES.get(_md5s(train) + _md5s(test), OTHER_TITLE) if whole else "CIFAR-10's files ({:,}/{:,} images)"
    return Raw(NAME if whole else f"{NAME}-part", title.format(*counts), str(where), train, test, class_names)


def _md5s(split):
    """The md5 of each batch, as a file of the binary version."""
    found = []
    step = min(1000, BATCH)  # in pieces that stay in the cache
    for start in range(0, len(split), step):
        if start % BATCH == 0:
            found.append(hashlib.md5(usedforsecurity=False))
        labels = split.labels[start:start + step, None].astype(np.uint8)
        pixels = split.images[start:start + step].reshape(-1, cifarfiles.PIXELS)
        found[-1].update(np.concatenate([labels, pixels], axis=1))
    return tuple(digest.hexdigest() for digest in found)


def _download(source):
    """Download the archive into the cache, from the first place that serves the published one; return its path."""
    files = [cifarfiles.BINARY.archive]
    path = places.cache_for(NAME, files) / files[0]

    def get(url):
        digest = hashlib.sha256()
        with places.kept(path) as target:
            for piece in places.fetch(url, source.size_bytes):
                digest.update(piece)
                target.write(piece)
            if digest.hexdigest() != source.sha256:
                raise DataError("sent something else than the published archive (its sha256 differs)")

    places.first_served(NAME, files, source.urls, get)
    return path
