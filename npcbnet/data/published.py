"""MNIST, Fashion-MNIST and KMNIST by name: found on disk or downloaded, and checked to be the published files.

Each of the four IDX files is looked for on its own, where `places` says.
"""
import hashlib
import io
import math
from dataclasses import dataclass

from npcbnet.data import idx, places
from npcbnet.data.dataset import Raw, Split
from npcbnet.errors import DataError


@dataclass(frozen=True)
class File:
    """One IDX file: sha256 of the unpacked content, and of the .gz as published (each None where not known)."""
    name: str
    shape: tuple
    sha256: str | None
    packed_sha256: str | None = None


@dataclass(frozen=True)
class Source:
    """A published data set: folders (URLs ending in /) to try in order, and files in the order of `FILE_NAMES`."""
    title: str
    class_names: tuple
    urls: tuple
    files: tuple


FILE_NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_SHAPES = ((60_000, 28, 28), (60_000,), (10_000, 28, 28), (10_000,))


def _files(*digests):
    return tuple(File(name, shape, digest) for name, shape, digest in zip(FILE_NAMES, _SHAPES, digests))


# For the unpacked content of KMNIST's training images we have no hash. A download is held to the sha256 of CODH's .gz
# (as in torchvision's prototype datasets and ankane/torchvision-ruby); a copy of the user's own, which may be repacked
# or unpacked, only to its IDX structure and shape.
_KMNIST_TRAIN_IMAGES = File(FILE_NAMES[0], _SHAPES[0], None,
                            "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4")

SOURCES = {
    "mnist": Source(  # LeCun, Cortes, Burges; CC BY-SA 3.0; its own site no longer serves the files
        "MNIST", tuple("0123456789"),
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
        _files("ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
               "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
               "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
               "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2")),
    "fmnist": Source(  # Zalando; MIT
        "Fashion-MNIST", ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
                          "Ankle boot"),
        ("https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
         "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"),
        _files("c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
               "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
               "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
               "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34")),
    "kmnist": Source(  # CODH, doi:10.20676/00000341; CC BY-SA 4.0
        "KMNIST", ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        ("https://codh.rois.ac.jp/kmnist/dataset/kmnist/", "http://codh.rois.ac.jp/kmnist/dataset/kmnist/"),
        (_KMNIST_TRAIN_IMAGES, *_files(
            None, "2a16eeae62da984b8bd24fa32e31d47291f01dac3fe84d5594f304f71e7d374b",
            "76fbd229ce87db80dd281af5e6670de4ad0e42fb30a7bd643972994c47c1f42e",
            "a11dc742be8e781a40a92f53d6a4957e7b7d36df2faa097659131ebfd8fd60c6")[1:])),
}


def read(name, sources=None):
    """Raw data set `name`, a key of `sources` (default SOURCES). Raises DataError naming the file and what to do."""
    source = (SOURCES if sources is None else sources)[name]
    found = [_find(name, file) for file in source.files]
    missing = [file for file, path in zip(source.files, found) if path is None]
    for file in missing:
        found[source.files.index(file)] = _download(name, source, file, missing)
    arrays = [idx.read(path, (len(file.shape),), shape=file.shape, sha256=file.sha256)
              for path, file in zip(found, source.files)]
    train, test = (Split(images[:, None], labels.astype("int64"))
                   for images, labels in (arrays[:2], arrays[2:]))
    return Raw(name, source.title, str(found[0].parent), train, test, source.class_names)


def at_hand(name):
    """Can `read` do without a download? False for a name it does not know, too."""
    return name in SOURCES and all(_find(name, file) for file in SOURCES[name].files)


def _find(name, file):
    """The path of `file` on disk, packed or not, or None."""
    for folder in places.folders(name):
        for path in (folder / file.name, folder / f"{file.name}.gz"):
            if path.is_file():
                return path
    return None


def _download(name, source, file, missing):
    """Download `file` into the cache, from the first place that serves the published content; return its path."""
    files = [f"{absent.name}.gz" for absent in missing]
    path = places.cache_for(name, files) / f"{file.name}.gz"
    content = places.first_served(name, files, [f"{url}{path.name}" for url in source.urls],
                                  lambda url: _verified(b"".join(places.fetch(url, _most_bytes(file))), file))
    with places.kept(path) as target:
        target.write(content)
    return path


def _most_bytes(file):
    """What a download of `file` may have: gzip never needs more than the content and a little."""
    return math.prod(file.shape) + (1 << 16)


def _verified(content, file):
    """The downloaded `content`; DataError unless it is the published one."""
    if file.packed_sha256 is not None and hashlib.sha256(content).hexdigest() != file.packed_sha256:
        raise DataError(f"sent something else than the published {file.name}.gz (its sha256 differs)")
    idx.parse(io.BytesIO(content), len(content), file.name, (len(file.shape),), shape=file.shape, sha256=file.sha256)
    return content
