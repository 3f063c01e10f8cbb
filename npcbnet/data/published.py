"""MNIST, Fashion-MNIST and KMNIST by name: found on disk or downloaded, and checked to be the published files.

Each of the four IDX files is looked for in $NPCBNET_DATA/<name>/, then in the cache folder
($XDG_CACHE_HOME/npcbnet/<name>/ or ~/.cache/npcbnet/<name>/); what is in neither is downloaded into the cache.
"""
import hashlib
import http.client
import io
import math
import os
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from npcbnet.data import idx
from npcbnet.data.dataset import Raw, Split
from npcbnet.errors import DataError, NpcbnetError, UsageError
from npcbnet.files import atomic_write

TIMEOUT_S = 10  # per connection and per read; with two places to try, an unreachable network is known within 20 s
_CHUNK = 1 << 16


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


def _folders(name):
    """Where files may lie: [($NPCBNET_DATA/name), (cache/name)], each only if it can be known."""
    folders = [Path(os.environ["NPCBNET_DATA"], name)] if os.environ.get("NPCBNET_DATA") else []
    cache = _cache(name)
    return folders + ([cache] if cache else [])


def _cache(name):
    """The cache folder of a data set, or None where the user has no home folder."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # the XDG Base Directory Specification has relative paths ignored
        try:
            base = Path.home() / ".cache"
        except RuntimeError:
            return None
    return Path(base, "npcbnet", name)


def _find(name, file):
    """The path of `file` on disk, packed or not, or None."""
    for folder in _folders(name):
        for path in (folder / file.name, folder / f"{file.name}.gz"):
            if path.is_file():
                return path
    return None


def _download(name, source, file, missing):
    """Download `file` into the cache, from the first place that serves the published content; return its path."""
    cache = _cache(name)
    if cache is None:
        raise DataError(_absent(name, missing, "there is no home folder to download them to"))
    reasons = []
    for url in source.urls:
        try:
            content = _fetch(f"{url}{file.name}.gz", file)
            _verify(content, file)
            break
        except (OSError, http.client.HTTPException, ValueError, NpcbnetError) as error:
            reason = getattr(error, "reason", None) or error
            reasons.append(f"{url.split('/')[2]}: {getattr(reason, 'strerror', None) or reason}")
    else:
        raise DataError(_absent(name, missing, f"the download failed ({'; '.join(dict.fromkeys(reasons))})"))
    path = cache / f"{file.name}.gz"
    try:
        with atomic_write(path) as target:
            target.write(content)
    except UsageError as error:
        reason = getattr(error.__cause__, "strerror", None) or error
        raise DataError(f"cannot keep the download as {path}: {reason}; free some space or set XDG_CACHE_HOME to a "
                        "folder that can be written") from error
    return path


def _absent(name, missing, why):
    """The one line for files that are neither on disk nor to be had."""
    files = ", ".join(f"{file.name}.gz" for file in missing)
    folders = _folders(name)
    place = folders[0] if folders else f"a folder {name}/ and name its parent in NPCBNET_DATA"
    also = "" if os.environ.get("NPCBNET_DATA") else f" (or set NPCBNET_DATA to a folder that has {name}/ inside)"
    return (f"{name}: missing {files}, and {why}; put them into {place}{also if folders else ''}, or run "
            "`python -m npcbnet.train digits`, which needs no files")


def _fetch(url, file):
    """The bytes at `url`, at most what `file` can take; progress on a terminal."""
    from tqdm import tqdm
    limit = math.prod(file.shape) + _CHUNK  # gzip never needs more than the content and a little
    content = io.BytesIO()
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else None
        with tqdm(total=total, desc=url.rsplit("/", 1)[-1], unit="B", unit_scale=True, leave=False,
                  disable=not sys.stderr or not sys.stderr.isatty()) as progress:
            while chunk := response.read(_CHUNK):
                content.write(chunk)
                progress.update(len(chunk))
                if content.tell() > limit:
                    raise DataError(f"sent more than {limit:,} bytes")
    if total is not None and content.tell() != total:
        raise DataError(f"sent {content.tell():,} of {total:,} bytes")
    return content.getvalue()


def _verify(content, file):
    """DataError unless the downloaded `content` is the published one."""
    if file.packed_sha256 is not None and hashlib.sha256(content).hexdigest() != file.packed_sha256:
        raise DataError(f"sent something else than the published {file.name}.gz (its sha256 differs)")
    idx.parse(io.BytesIO(content), len(content), file.name, (len(file.shape),), shape=file.shape, sha256=file.sha256)
