"""Reading a data set from a folder: the four IDX files under MNIST's names, or one sub-folder of images per class."""
import logging
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from npcbnet.data import convert, idx
from npcbnet.data.dataset import Raw, Split
from npcbnet.data.published import FILE_NAMES
from npcbnet.errors import DataError

MAX_PIXELS = 64_000_000  # of one image file; asked of its header before it is decoded
_CLUTTER = {"thumbs.db", "desktop.ini", "__macosx"}  # left in folders by file managers; dot files are skipped as well


def read(path, *, shape=None):
    """Raw data set of the folder at `path`; `shape` (C, H, W) is what images are brought to. Raises DataError."""
    path = Path(path)
    entries = _entries(path)
    if any(entry.name.removesuffix(".gz") in FILE_NAMES for entry in entries):
        return _read_idx(path)
    classes = [entry for entry in entries if entry.is_dir()]
    if not classes:
        raise DataError(f"{path} holds neither IDX files ({FILE_NAMES[0]}[.gz], ...) nor one sub-folder "
                        "of images per class")
    return _read_images(path, classes, shape)


def _entries(folder):
    """The entries of `folder` sorted by name, without hidden files and clutter."""
    try:
        return sorted((entry for entry in folder.iterdir()
                       if not entry.name.startswith(".") and entry.name.lower() not in _CLUTTER),
                      key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"cannot read the folder {folder}: {error.strerror or error}") from error


def _read_idx(path):
    """IDX images (N, H, W), (N, C, H, W) or (N, H, W, C) with their labels (N,); the test pair may be absent."""
    found = {name: candidate for name in FILE_NAMES for candidate in (path / f"{name}.gz", path / name)
             if candidate.exists()}
    for image_name, label_name in (FILE_NAMES[:2], FILE_NAMES[2:]):
        for name, other in ((image_name, label_name), (label_name, image_name)):
            if name not in found and (other in found or name.startswith("train")):
                raise DataError(f"{path} has no {name} (or {name}.gz); add it")
    train = _idx_split(found[FILE_NAMES[0]], found[FILE_NAMES[1]])
    test = _idx_split(found[FILE_NAMES[2]], found[FILE_NAMES[3]]) if FILE_NAMES[2] in found else None
    return Raw(path.resolve().name, path.resolve().name, str(path), train, test)


def _idx_split(image_path, label_path):
    labels = idx.read(label_path, (1,))
    images = idx.read(image_path, (3, 4))
    if len(images) != len(labels):
        raise DataError(f"{image_path} has {len(images)} images but {label_path} has {len(labels)} labels")
    return Split(convert.to_nchw(images, str(image_path)), labels.astype(np.int64))


def _read_images(path, classes, shape):
    """Class names are the sub-folders' names in alphabetical order. All files in them must be images."""
    files = [(file, label) for label, folder in enumerate(classes) for file in _image_files(folder)]
    images = None
    for number, (file, _) in enumerate(files):
        image = convert.to_shape(_read_image(file), shape, str(file))
        if images is None:
            convert.check_bytes((len(files), *image.shape[1:]), str(path))
            images = np.empty((len(files), *image.shape[1:]), np.uint8)
        elif image.shape[1:] != images.shape[1:]:
            raise DataError(f"{file} is {convert.text(image.shape[1:])} (channels x height x width) but {files[0][0]} "
                            f"is {convert.text(images.shape[1:])}; bring all to one size: --shape C H W, "
                            "in Python shape=(C, H, W)")
        images[number] = image[0]
    labels = np.array([label for _, label in files], np.int64)
    name = path.resolve().name
    return Raw(name, name, str(path), Split(images, labels), None, tuple(folder.name for folder in classes))


def _image_files(folder):
    files = _entries(folder)
    if not files:
        raise DataError(f"{folder} is an empty class: put its images there or remove the folder")
    for file in files:
        if not file.is_file():
            raise DataError(f"{file} is not a file; a class folder holds images only")
    return files


def read_image(path, shape):
    """One image file as uint8 (1, C, H, W), brought to `shape` (C, H, W). Raises DataError."""
    path = Path(path)
    if not path.is_file():
        raise DataError(f"there is no image file {path}")
    return convert.to_shape(_read_image(path), shape, str(path))


def _read_image(path):
    """The image file as uint8 (1, C, H, W), C 1 or 3: palette applied, transparency laid over white, 16 bits made 8."""
    from PIL import Image
    from skimage.io import imread
    try:
        with _quiet():
            _check_size(path, Image)
            pixels = np.asarray(imread(path))
    except DataError:
        raise
    except Exception as error:  # a decoder's plugins raise whatever they like on a damaged file
        reason = str(error).split("\n")[0][:120] or type(error).__name__
        raise DataError(f"{path} cannot be read as an image ({reason}); remove it or save it as PNG or JPEG") from error
    return _to_channels(_to_uint8(pixels, path), path)


@contextmanager
def _quiet():
    """Decoders' remarks on a damaged file are not shown, as one line of error follows; a bomb warning is an error."""
    logger = logging.getLogger("tifffile")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", message="Image size .* exceeds limit")
            yield
    finally:
        logger.setLevel(level)


def _check_size(path, pillow):
    """DataError when the header promises more than MAX_PIXELS or more than one frame."""
    try:
        with pillow.open(path) as image:
            (width, height), frames = image.size, getattr(image, "n_frames", 1)
    except pillow.UnidentifiedImageError:  # of the formats that only scikit-image knows, TIFF's kinds tell their size
        width, height, frames = _tiff_size(path)
    if width * height > MAX_PIXELS:
        raise DataError(f"{path} is {width}x{height}; at most {MAX_PIXELS:,} pixels are read: make it smaller")
    if frames > 1:
        raise DataError(f"{path} has {frames} frames; one image per file is expected")


def _tiff_size(path):
    """(width, height, frames) by a TIFF's first page. Raises DataError where pixels are missing from the file, and what
    tifffile raises for other files."""
    from tifffile import TiffFile
    with TiffFile(path) as file:
        page = file.pages[0]
        if not all(page.databytecounts) or not all(page.dataoffsets):
            raise DataError(f"{path} lacks some of its pixels; copy the file again")
        return page.imagewidth, page.imagelength, len(file.pages)


def _to_uint8(pixels, path):
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == bool:
        return pixels.astype(np.uint8) * 255
    if pixels.dtype == np.uint16:
        return np.rint(pixels / 257).astype(np.uint8)
    raise DataError(f"{path} has {pixels.dtype} pixels; save it with 8 or 16 bits per channel")


def _to_channels(pixels, path):
    """uint8 (H, W) or (H, W, 1..4) -> (1, 1 or 3, H, W)."""
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 2, 3, 4) or 0 in pixels.shape:
        raise DataError(f"{path} is read as {convert.text(pixels.shape)}; expected one grey or colour image")
    if pixels.shape[2] in (2, 4):
        opacity = pixels[:, :, -1:] / 255
        pixels = np.rint(pixels[:, :, :-1] * opacity + 255 * (1 - opacity)).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))[None]
