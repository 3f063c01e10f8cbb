"""3,000 mutated model files: each is refused by a ModelFileError of one line, or is a sound model that predicts."""
import copy
import hashlib
import json
import random
import re
import time
import zipfile

import numpy as np

import npcbnet
from npcbnet import nets, npyfile
from npcbnet.compress.quantise import quantise
from npcbnet.compress.share import share
from npcbnet.errors import ModelFileError
from tests.test_modelfile_hostile import models, npy, pack, saved, unpack

VALUES = (None, True, False, 0, 1, 2, 3, 5, 7, 12, -1, 64, 1025, 10 ** 6, 2 ** 31, 10 ** 19, 0.0, 0.5, 1e38, 1e300,
          "", "relu", "a", "conv2d", "linear", "softmax", "flatten", "\ud800", "é" * 300, [], [1, 12, 12], [2, 2],
          [[[]]], {}, {"layer": "relu"}, {"layer": "upsample2d"})


def quantised():
    """Two nets that compute with integers, one of them with a converter."""
    images = np.random.default_rng(0).integers(0, 256, (9, 1, 12, 12), np.uint8)
    return [quantise(model, images) for kind, model in models().items() if kind != "branchynet"]


def places(value):
    """All (container, key) of a JSON value."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from places(value[key])


def mutate_bytes(data, rng):
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5)) if data else 0):
        at = rng.randrange(len(data))
        length = min(rng.choice((1, 4, 30, 500)), len(data) - at)
        kind = rng.randrange(7)
        if kind <= 1:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            data[at:at + length] = bytes(length)
        elif kind == 3:
            data[at:at] = rng.randbytes(length)
        elif kind == 4:
            data[at:at + length] = rng.randbytes(length)
        elif kind == 5:
            del data[at:at + min(length, len(data) - 1)]
        else:
            del data[at + 1:]
    return bytes(data)


def mutate_manifest(manifest, rng):
    for _ in range(rng.choice((1, 1, 2, 4))):
        config = manifest.get("config")
        part = config if isinstance(config, dict) and rng.random() < 0.9 else manifest
        found = list(places(part))
        if not found:
            return
        container, key = rng.choice(found)
        action = rng.randrange(6)
        if action == 0:
            del container[key]
        elif action == 1 and isinstance(container, list):
            container.insert(key, copy.deepcopy(container[rng.randrange(len(container))]))
        elif action == 2 and isinstance(container[key], int):
            container[key] += rng.choice((-1, 1, 2, 10))
        elif action == 3 and isinstance(container, dict):
            container[rng.choice((*container, "evil"))] = copy.deepcopy(rng.choice(VALUES))
        else:
            container[key] = copy.deepcopy(rng.choice(VALUES))


def fit_arrays(manifest, entries, rng):
    """Fresh arrays, right in shape and checksum, for whatever net the mutated configuration still describes."""
    try:
        shapes = nets.KINDS[manifest["kind"]].from_config(manifest["config"]).param_shapes()
        arrays = {name: (rng.choice((1, 1, 1e37)) * np.random.default_rng(0).standard_normal(shape)).astype("<f4")
                  for name, shape in shapes.items() if np.prod(shape, dtype=float) < 1e5}
    except Exception:  # then the old arrays have to do
        return entries
    manifest["arrays"] = {name: {"dtype": "<f4", "shape": list(array.shape),
                                 "sha256": hashlib.sha256(array.tobytes()).hexdigest()}
                          for name, array in arrays.items()}
    return {f"{name}.npy": npy(array) for name, array in arrays.items()}


def mutate_entries(manifest, entries, rng):
    """An array damaged, its checksum and the zip's made right again."""
    name = rng.choice(list(entries))
    data = mutate_bytes(entries[name], rng) if rng.random() < 0.3 else (
        entries[name][:npyfile.HEADER] + mutate_bytes(entries[name][npyfile.HEADER:] or b"0000", rng))
    entries = entries | {name: data}
    array = name[:-4].removesuffix(".codebook")
    stored = [entries[key][npyfile.HEADER:] for key in (f"{array}.npy", f"{array}.codebook.npy") if key in entries]
    manifest["arrays"][array]["sha256"] = hashlib.sha256(b"".join(stored)).hexdigest()
    return entries


def mutated(path, data, rng):
    """Write one mutation of a sound file."""
    manifest, entries = unpack(data)
    kind = rng.random()
    if kind < 0.4:
        path.write_bytes(mutate_bytes(data, rng))
    elif kind < 0.5:
        pack(path, mutate_bytes(json.dumps(manifest).encode(), rng), entries)
    elif kind < 0.65:
        method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
        pack(path, manifest, mutate_entries(manifest, entries, rng), method)
    else:
        mutate_manifest(manifest, rng)
        pack(path, manifest, fit_arrays(manifest, entries, rng) if rng.random() < 0.7 else entries)


def test_3000_mutated_files(tmp_path):
    rng, path = random.Random(2024), tmp_path / "m.npz"
    sound = [saved(tmp_path, model, dtype) for model in models().values() for dtype in ("float32", "float16")]
    sound += [saved(tmp_path, model) for model in quantised()]
    sound += [saved(tmp_path, share(models()["classifier"], centroids)) for centroids in (12, 40)]
    loaded, reasons, slowest, start = 0, set(), 0.0, time.perf_counter()
    for number in range(3000):
        mutated(path, sound[number % len(sound)], rng)
        began = time.perf_counter()
        try:
            model = npcbnet.load(path)
        except ModelFileError as error:
            message = str(error)
            assert "m.npz" in message and message.isprintable() and len(message) <= 330, message
            reasons.add(re.sub(r"[\d'\"\[\]()]+|<.*|\{.*", "", message.split(": ", 1)[1])[:40])
        else:
            images = np.random.default_rng(number).integers(0, 256, (2, *model.input_shape), np.uint8)
            with np.errstate(all="ignore"):
                assert model.predict(images).shape == (2,)
                assert model.explain(images[:0]).label.shape == (0,)
            loaded += 1
        slowest = max(slowest, time.perf_counter() - began)
    assert loaded > 100 and len(reasons) > 20  # the mutations reach every check, and some leave a sound model
    assert slowest < 5 and time.perf_counter() - start < 60
