"""Model files: one .npz without pickle, a JSON manifest and float arrays inside. `manifest` says what, `npyfile` how.

    npcbnet.save(model, "digits.npz")
    model = npcbnet.load("digits.npz")       # or the name of a pretrained model: npcbnet.load("mnist-cbnet")

A file may come from anywhere. Loading compares sizes with the configuration before it allocates, and runs nothing that
the file brings.
"""
import math
import os
import stat
from pathlib import Path

import numpy as np

from npcbnet import codebook, manifest as manifests, npyfile
from npcbnet.errors import ModelFileError, NpcbnetError, UsageError
from npcbnet.files import atomic_write
from npcbnet.layers.base import aligned_empty
from npcbnet.nets import KINDS
from npcbnet.npyfile import damaged, one_line

PRETRAINED = Path(__file__).parent / "pretrained"


def save(model, path, dtype="float32"):
    """Write a BranchyNet, CBNet, Classifier or MultiExit and its `record` to exactly `path`: the whole file or nothing.

    dtype: "float32" keeps every bit; "float16" is half as large and rounds each parameter to 11 bits. The integers and
    scales of quantised layers are stored as they are, weights that share few values (npcbnet.compress.share) as codes.
    The same model gives the same bytes. Raises ModelFileError where the model cannot be stored (no parameters yet, NaN,
    a record that is not JSON), UsageError where the path cannot be written.
    """
    if _text(path) is None:
        raise UsageError(f"save takes the path of a file, not {path!r:.60}")
    if dtype not in manifests.DTYPES:
        raise UsageError(f"save stores {' or '.join(manifests.DTYPES)}, not {dtype!r:.60}")
    try:
        data = _packed(model, dtype)
    except ModelFileError as error:
        raise ModelFileError(f"cannot save {_shown(path)}: {error}") from None
    with atomic_write(path) as file:
        file.write(data)


def check(model):
    """Raise ModelFileError where `save` would: better before a long training than after it."""
    try:
        _packed(model, "float32")
    except ModelFileError as error:
        raise ModelFileError(f"such a model could not be saved: {error}") from None


def load(name_or_path):
    """The model in a file, or a pretrained one by its name (modelfile.names lists them), ready to predict.

    `.record` tells how it was trained. Parameters are float32 (int8 where a quantised layer has them so) and
    C-contiguous; large ones start on a cache line.
    Raises ModelFileError, one line that names the file, for whatever is missing, damaged, hostile or too new.
    """
    path = find(name_or_path)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would block, a device never end
            raise ModelFileError("is a folder or device, not a model file; give the path of the .npz inside")
        with open(path, "rb") as file:
            return _read(file)
    except ModelFileError as error:
        raise ModelFileError(f"{_shown(path)}: {error}") from None
    except FileNotFoundError:
        raise ModelFileError(f"{_shown(path)}: no such file; {_offer()}") from None
    except OSError as error:
        raise ModelFileError(f"{_shown(path)}: cannot be read ({error.strerror or 'no seekable file'}); "
                             "check the path and its permissions") from error
    except MemoryError:
        raise ModelFileError(f"{_shown(path)}: too little memory for it on this machine; "
                             "choose a smaller model") from None
    except Exception as error:  # what zipfile and zlib raise for damage differs between their versions
        reason = f"damaged ({type(error).__name__}: {one_line(error, 80)})"
        raise ModelFileError(f"{_shown(path)}: {damaged(reason)}") from error


def names():
    """Names of the pretrained models that came with this package, sorted."""
    try:
        return sorted(name[:-4] for name in os.listdir(PRETRAINED) if name.endswith(".npz"))
    except OSError:  # no such folder
        return []


def find(name_or_path):
    """The Path meant by what the user gave: a pretrained name goes before a file of that name.

    Raises ModelFileError for what can be neither, or a name that is not known.
    """
    text = _text(name_or_path)
    if text is None:
        raise ModelFileError(f"load takes a pretrained name or the path of a model file, not {name_or_path!r:.60}")
    if isinstance(name_or_path, str) and text in names():
        return PRETRAINED / f"{text}.npz"
    path = Path(text)
    bare = path.name == text and not path.suffix  # no folder, no suffix: meant as a name
    if not text or (bare and isinstance(name_or_path, str) and not os.path.exists(path)):
        raise ModelFileError(f"there is no pretrained model {one_line(repr(text), 60)}, and no such file; {_offer()}")
    return path


def _text(path):
    """A str or Path as text, None for what no file can be called."""
    text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
    try:
        return text if isinstance(text, str) and b"\0" not in os.fsencode(text) else None
    except UnicodeEncodeError:
        return None


def _offer():
    """What a user may load instead: names by data set, as a shell's braces would write them."""
    models = {}
    for name in names():
        dataset, _, model = name.partition("-")
        models.setdefault(dataset, []).append(model)
    if not models:
        return "train one with python -m npcbnet.train digits and give the path of its .npz"
    groups = (f"{dataset}-" + (f"{{{','.join(some)}}}" if len(some) > 1 else some[0])
              for dataset, some in models.items())
    return f"pretrained are {one_line(', '.join(groups), 250)}"


def _shown(path):
    """A path for a message: one line, of a long path its end."""
    text = str(path)
    return one_line(text if len(text) <= 100 else "..." + text[-97:], 100)


def _packed(model, dtype):
    """The bytes of the model's file."""
    if type(model) is not KINDS.get(getattr(model, "kind", None)):
        known = ", ".join(kind.__name__ for kind in KINDS.values())
        raise ModelFileError(f"a model file holds one of {known}, not {type(model).__name__}")
    params, allowed, wanted = model.params, manifests.dtypes(model), manifests.DTYPES[dtype]
    arrays = {}
    for name, shape in model.param_shapes().items():
        if name not in params or params[name].shape != tuple(shape):
            raise ModelFileError(f"its parameter {name!r} is missing or not of shape {shape}; "
                                 "initialise and train it first")
        if (params[name].dtype == np.int8) != (name in model.integers):
            raise ModelFileError(f"its parameter {name!r} is {params[name].dtype}; quantise the model anew")
        _check_values(name, params[name], model)
        stored = wanted if wanted in allowed[name] else allowed[name][0]
        with np.errstate(over="ignore", under="ignore"):
            arrays[name] = stored, params[name].astype(stored)
        if not np.isfinite(arrays[name][1]).all():
            raise ModelFileError(f"array {name!r} has values too large for {dtype}; save with dtype='float32'")
    coded = _coded(model, arrays)
    text = manifests.build(model, arrays, coded)
    try:
        manifests.rebuild(manifests.parse(text))  # nothing is saved that could not be loaded
    except NpcbnetError as error:
        raise ModelFileError(str(error).split(";")[0] + "; change the model, or its class names") from None
    entries, more = _entries(arrays, coded)
    return npyfile.pack({"manifest": ("|u1", np.frombuffer(text, np.uint8)), **entries}, more)


def weight_bytes(model):
    """Bytes that the model's parameters take in its file: deflated where that helps, as codes where they share values.

    The file has the manifest and names beside them.
    """
    arrays = {name: (manifests.INTEGER if array.dtype == np.int8 else "<f4", array)
              for name, array in model.params.items()}
    return npyfile.packed_bytes(*_entries(arrays, _coded(model, arrays)))


def _coded(model, arrays):
    """{name: (codes, values)} of the arrays, {name: (dtype, array)}, that share few values."""
    exact = {*model.integers, *model.scales}
    found = {name: codebook.encode(array) for name, (_, array) in arrays.items()
             if array.ndim > 1 and name not in exact}
    return {name: pair for name, pair in found.items() if pair is not None}


def _entries(arrays, coded):
    """What the zip holds of {name: (dtype, array)} and {name: (codes, values)}; how many bytes more a reader makes."""
    entries, more = {name: pair for name, pair in arrays.items() if name not in coded}, 0
    for name, (codes, values) in coded.items():
        entries[name], entries[name + manifests.CODEBOOK] = (manifests.CODE, codes), (manifests.VALUE, values)
        more += 4 * arrays[name][1].size
    return entries, more


def _read(file):
    """The model in an open file. Raises ModelFileError without the file's name, or whatever zipfile raises."""
    archive, entries = npyfile.contents(file)
    with archive:
        if "manifest" not in entries:
            raise damaged("has no manifest, so it is a data set or another program's .npz, not a model file")
        size = entries["manifest"].file_size - npyfile.HEADER
        if not 0 < size <= manifests.MAX_MANIFEST_BYTES:
            raise damaged(f"its manifest claims {size:,} bytes; at most {manifests.MAX_MANIFEST_BYTES:,} are read")
        manifest = manifests.parse(npyfile.read(archive, entries["manifest"], "|u1", (size,)))
        model = manifests.rebuild(manifest)
        shapes = model.param_shapes()
        coded = [name for name, entry in manifest["arrays"].items() if "centroids" in entry]
        wanted = {"manifest", *shapes, *(name + manifests.CODEBOOK for name in coded)}
        strange = sorted(wanted ^ set(entries))
        if strange:
            raise damaged(f"array {strange[0]!r:.60} is missing, or no part of the model")
        total = sum(info.file_size for info in entries.values()) + 4 * sum(math.prod(shapes[name]) for name in coded)
        if not npyfile.believable(total, os.fstat(file.fileno()).st_size):
            raise damaged(f"would unpack to {total:,} bytes, far more than a file of its size holds")
        model.set_params({name: _array(archive, entries, name, shape, manifest["arrays"][name])
                          for name, shape in shapes.items()})
    for name, array in model.params.items():
        _check_values(name, array, model)
    model.record = manifest["record"]
    return model


def _array(archive, entries, name, shape, described):
    """One parameter, float32 or int8. described: its {"dtype", "shape", "sha256"} in the manifest."""
    count, dtype, values = described.get("centroids"), described["dtype"], b""
    if count is None:
        data = npyfile.read(archive, entries[name], dtype, shape)
    else:
        size = codebook.code_bytes(math.prod(shape), count)
        data = npyfile.read(archive, entries[name], manifests.CODE, (size,))
        values = npyfile.read(archive, entries[name + manifests.CODEBOOK], manifests.VALUE, (count,))
    if manifests.digest(data + values) != described["sha256"]:
        raise damaged(f"array {name!r} does not match its checksum")
    array = aligned_empty(shape, np.int8 if dtype == manifests.INTEGER else np.float32)
    try:
        array[...] = (np.frombuffer(data, dtype).reshape(shape) if count is None else
                      codebook.decode(np.frombuffer(data, np.uint8), np.frombuffer(values, manifests.VALUE), shape))
    except ModelFileError as error:
        raise damaged(f"array {name!r}: {error}") from None
    return array


def _check_values(name, array, model):
    """Raise ModelFileError where a parameter holds NaN or infinity, or is a scale or a level that is none."""
    manifests.finite(name, array)
    if name in model.scales:
        manifests.usable(name, array)
    if name in model.levels:
        manifests.counted(name, array)
