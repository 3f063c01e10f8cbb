"""Model files that are damaged or made to harm: each is refused in one clear line, quickly, in little memory, or is a sound model."""
import copy
import hashlib
import io
import json
import os
import pickle
import random
import re
import struct
import time
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest

import npcbnet
from npcbnet import manifest as manifests, npyfile
from npcbnet.errors import ModelFileError
from npcbnet.nets import CBNet, Converter, ConverterConfig, branchynet_lenet, lightweight
from npcbnet.npyfile import header

WEIGHT = "net.0.weight"


def models():
    """Three small nets, one of each kind."""
    rng, names = np.random.default_rng(0), ("a", "b", "c")
    net = branchynet_lenet((1, 12, 12), names, rng, threshold=0.9)
    form = ConverterConfig((6, 4), ("relu", "linear"), halve_input=True, output="softmax", total=30.0)
    return {"classifier": lightweight(net), "branchynet": net,
            "cbnet": CBNet(Converter(form, (1, 12, 12)).initialise(rng), lightweight(net))}


def saved(folder, model, dtype="float32"):
    npcbnet.save(model, folder / "good.npz", dtype=dtype)
    return (folder / "good.npz").read_bytes()


@pytest.fixture
def good(tmp_path):
    """The bytes of a sound model file of each kind."""
    return {kind: saved(tmp_path, model) for kind, model in models().items()}


def unpack(data):
    """(manifest, {name: .npy bytes}) of a sound file."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    return json.loads(entries.pop("manifest.npy")[npyfile.HEADER:]), entries


def text_entry(text):
    """The manifest's .npy bytes."""
    return header("|u1", (len(text),)) + text


def pack(path, manifest, entries, method=zipfile.ZIP_DEFLATED):
    """A zip of the entries, {name: bytes} or [(name, bytes)], after the manifest: a dict, or bytes as they are."""
    text = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    entries = list(entries.items()) if isinstance(entries, dict) else entries
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as archive:
        warnings.simplefilter("ignore")  # a name twice
        for name, data in ([("manifest.npy", text_entry(text))] if manifest is not None else []) + entries:
            archive.writestr(name, data)
    return path


def refused(path, match, seconds=2.0, mib=80):
    """The file is refused with this message: one line, naming the file, within bounds of time and memory."""
    tracemalloc.start()
    start = time.perf_counter()
    try:
        with pytest.raises(ModelFileError, match=match) as caught:
            npcbnet.load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert os.path.basename(path) in message and message.isprintable() and len(message) <= 330, message
    assert ";" in message  # what to do about it
    assert time.perf_counter() - start < seconds and peak < mib << 20
    return message


# --- not a model file at all ---
@pytest.mark.parametrize("data, match", [
    (b"", "is empty"), (b"x", "not a model file"), (b"hello" * 100, "not a model file"), (b"PK\x05\x06" + bytes(18), "no manifest"),
    (pickle.dumps({"a": 1}), "not a model file"), (b"PK\x05\x06" + b"\xff" * 18, "not a model file")])
def test_not_a_zip(data, match, tmp_path):
    (tmp_path / "m.npz").write_bytes(data)
    refused(tmp_path / "m.npz", match)


def test_folders_pipes_devices_and_missing_files(tmp_path):
    refused(tmp_path, "is a folder or device")
    refused("/dev/zero", "is a folder or device")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "is a folder or device")
    refused(tmp_path / "none.npz", "no such file")
    (tmp_path / "link.npz").symlink_to(tmp_path / "link.npz")
    refused(tmp_path / "link.npz", "cannot be read")
    refused("/proc/self/mem", "is empty|cannot be read")
    (tmp_path / "file").write_text("")
    refused(tmp_path / "file" / "m.npz", "cannot be read.*Not a directory")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch, good):
    def closed(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "m.npz").write_bytes(good["classifier"])
    monkeypatch.setattr("builtins.open", closed)
    refused(tmp_path / "m.npz", "cannot be read .Permission denied.; check the path and its permissions")


def test_a_data_set_is_told_apart(tmp_path):
    np.savez(tmp_path / "set.npz", x_train=np.zeros((3, 4, 4)), y_train=np.arange(3))
    refused(tmp_path / "set.npz", "has no manifest, so it is a data set")


def test_truncated_anywhere(tmp_path, good):
    data = good["classifier"]
    for length in [*range(0, 200), *range(200, len(data), 37), *range(len(data) - 100, len(data))]:
        (tmp_path / "m.npz").write_bytes(data[:length])
        with pytest.raises(ModelFileError, match=r"m\.npz"):
            npcbnet.load(tmp_path / "m.npz")


def test_something_before_or_after(tmp_path, good):
    for data in (good["classifier"] + b"\0", b"#!/bin/sh\n" + good["classifier"], good["classifier"] * 2):
        (tmp_path / "m.npz").write_bytes(data)
        refused(tmp_path / "m.npz", "something added|cut short")


def test_too_large_a_file(tmp_path):
    with open(tmp_path / "m.npz", "wb") as file:
        file.truncate(1 << 40)  # sparse
    refused(tmp_path / "m.npz", "no model file is larger")


# --- the zip ---
def test_a_million_entries(tmp_path, good):
    record = struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 3, 20, 0, 0, 0, 0, 33, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0) + b"a.npy"
    for count, claimed in ((1_000_000, 0xffff), (60_000, 60_000), (60_000, 2)):
        end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, claimed, claimed, count * len(record), 0, 0)
        (tmp_path / "m.npz").write_bytes(record * count + end)
        refused(tmp_path / "m.npz", "claims .* arrays; ?|no model has more", seconds=0.5, mib=8)


def test_zip64_records_are_not_followed(tmp_path, good):
    data = good["classifier"]
    end, directory = data[-22:], struct.unpack("<L", data[-6:-2])[0]
    zip64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1 << 40, 1 << 40, 1 << 40, directory)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(data) - 22, 1)
    (tmp_path / "m.npz").write_bytes(data[:-22] + zip64 + locator + end)
    refused(tmp_path / "m.npz", "something added", seconds=0.5)


def test_zip_bombs(tmp_path, good):
    manifest, entries = unpack(good["classifier"])
    zeros = bytes(200 << 20)
    refused(pack(tmp_path / "manifest.npz", zeros, {}), "would unpack to 209,\\d+,\\d+ bytes", mib=8)
    refused(pack(tmp_path / "mebi.npz", bytes(2 << 20), {}), "its manifest claims 2,097,152 bytes", mib=8)
    refused(pack(tmp_path / "array.npz", manifest, entries | {WEIGHT + ".npy": zeros}), "would unpack to", mib=8)
    refused(pack(tmp_path / "ten.npz", manifest, entries | {WEIGHT + ".npy": zeros[:10 << 20]}), "is not stored as <f4", mib=8)
    good_head = entries[WEIGHT + ".npy"][:npyfile.HEADER]
    refused(pack(tmp_path / "head.npz", manifest, entries | {WEIGHT + ".npy": good_head + zeros[:10 << 20]}), "is not stored", mib=8)


def test_an_entry_larger_than_it_says(tmp_path, good):
    """The list of entries names the true size, the packed stream holds 200 MB more."""
    manifest, entries = unpack(good["classifier"])
    true = len(entries[WEIGHT + ".npy"])
    path = pack(tmp_path / "m.npz", manifest, entries | {WEIGHT + ".npy": entries[WEIGHT + ".npy"] + bytes(200 << 20)})
    data = path.read_bytes().replace(struct.pack("<L", true + (200 << 20)), struct.pack("<L", true))
    path.write_bytes(data)
    refused(path, "CRC", mib=8)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unusual_packing(method, tmp_path, good):
    refused(pack(tmp_path / "m.npz", *unpack(good["classifier"]), method), "packed by an unusual method")


def test_encrypted(tmp_path, good):
    data = bytearray(good["classifier"])
    place = data.index(b"PK\x01\x02")
    data[place + 8] |= 1
    (tmp_path / "m.npz").write_bytes(data)
    refused(tmp_path / "m.npz", "is encrypted")


def test_missing_more_and_double_entries(tmp_path, good):
    manifest, entries = unpack(good["classifier"])
    path, some = tmp_path / "m.npz", entries[WEIGHT + ".npy"]
    without = {name: data for name, data in entries.items() if name != WEIGHT + ".npy"}
    refused(pack(path, manifest, without), f"'{WEIGHT}' is missing, or no part of the model")
    refused(pack(path, manifest, entries | {"more.npy": some}), "'more' is missing, or no part")
    refused(pack(path, manifest, entries | {"../../evil.npy": some}), "evil' is missing, or no part")
    refused(pack(path, manifest, entries | {"run.py": b"1"}), "'run.py' twice, or it is not an array")
    refused(pack(path, manifest, [*entries.items(), (WEIGHT + ".npy", some)]), "twice")
    refused(pack(path, None, entries), "has no manifest")
    refused(pack(path, manifest, [*entries.items(), ("manifest.npy", text_entry(b"{}"))]), "twice")
    renamed = {name.replace("net.0", "net.1"): data for name, data in entries.items()}
    refused(pack(path, manifest, renamed), "is missing, or no part")


# --- arrays ---
def npy(array, **options):
    memory = io.BytesIO()
    np.lib.format.write_array(memory, array, **options)
    return memory.getvalue()


class Evil:
    def __reduce__(self):
        return os.mkdir, ("/tmp/npcbnet-pickle-was-run",)


def raw(text, data=b""):
    """An .npy whose header is any text."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + text.encode().ljust(117) + b"\n" + data


SOUND = np.arange(125, dtype=np.float32).reshape(5, 1, 5, 5)


@pytest.mark.parametrize("entry, match", [
    (npy(np.array([Evil()], object)), "pickled Python objects, which are never loaded"),
    (raw("{'descr': '|O', 'fortran_order': False, 'shape': (5, 1, 5, 5), }", pickle.dumps(Evil())), "pickled Python objects"),
    (pickle.dumps(Evil()), "is not stored as"), (b"", "is not stored as"), (npy(SOUND)[:-1], "is not stored as"),
    (npy(SOUND.astype(np.float64)), "is not stored as"), (npy(SOUND.astype(">f4")), "is not stored as"),
    (npy(SOUND.astype(np.int32)), "is not stored as"), (npy(SOUND.astype(np.float16)), "is not stored as"),
    (npy(np.asfortranarray(SOUND.reshape(25, 5))), "is not stored as"), (npy(SOUND.reshape(1, 5, 5, 5)), "is not stored as"),
    (npy(SOUND, version=(2, 0)), "is not stored as"), (npy(SOUND) + b"\0", "is not stored as"),
    (raw("{'descr': '<f4', 'fortran_order': False, 'shape': (5000, 1000, 1000, 1000), }"), "is not stored as"),
    (raw("{'descr': '<f4', 'fortran_order': False, 'shape': (5, 1, -5, -5), }"), "is not stored as"),
    (raw("__import__('os').system('true')"), "is not stored as"), (raw("(" * 117), "is not stored as"),
    (npy(SOUND), "does not match its checksum")])
def test_arrays_that_are_not_what_belongs_there(entry, match, tmp_path, good):
    manifest, entries = unpack(good["classifier"])
    refused(pack(tmp_path / "m.npz", manifest, entries | {WEIGHT + ".npy": entry}), match)
    assert not os.path.exists("/tmp/npcbnet-pickle-was-run")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_numbers(value, tmp_path, good):
    manifest, entries = unpack(good["classifier"])
    array = SOUND.copy()
    array[0, 0, 0, 0] = value
    manifest["arrays"][WEIGHT]["sha256"] = hashlib.sha256(array.tobytes()).hexdigest()
    refused(pack(tmp_path / "m.npz", manifest, entries | {WEIGHT + ".npy": npy(array)}), f"'{WEIGHT}' holds NaN or infinity")


# --- the manifest ---
@pytest.mark.parametrize("text, match", [
    (b"not json", "manifest is not JSON"), (b"[" * 100_000, "nested too deeply|not JSON"), (b'{"a":' * 50_000, "nested too deeply|not JSON"),
    (b"[]", "fields of format 1"), (b"null", "fields of format 1"), (b"{}", "fields of format 1"), (b"\xff\xfe\x00", "not JSON"),
    ('{"format": 1, "ü": 2}'.encode(), "not JSON"), (b"1" * 1_000_000, "a number of 1000000 digits"),
    (b"1." + b"1" * 1_000_000, "fields of format 1"), (b"1e999", "is not a finite number"), (b"NaN", "NaN is not a finite number"),
    (b'{"format": 1} {}', "not JSON")])
def test_manifests_that_are_not_a_manifest(text, match, tmp_path):
    refused(pack(tmp_path / "m.npz", text, {}, zipfile.ZIP_STORED), match)


def test_manifest_stored_otherwise(tmp_path, good):
    manifest, entries = unpack(good["classifier"])
    text = json.dumps(manifest)
    for entry in (npy(np.array(text)), npy(np.array([text], object)), pickle.dumps(text), text.encode()):
        with zipfile.ZipFile(tmp_path / "m.npz", "w") as archive:
            for name, data in {"manifest.npy": entry, **entries}.items():
                archive.writestr(name, data)
        refused(tmp_path / "m.npz", "'manifest' is not stored as|'manifest' holds pickled|its manifest claims")


def put(*path, value):
    """An edit that sets one value deep in a manifest."""
    def edit(manifest):
        *way, last = path
        for step in way:
            manifest = manifest[step]
        manifest[last] = value
    return edit


def drop(*path):
    def edit(manifest):
        *way, last = path
        for step in way:
            manifest = manifest[step]
        del manifest[last]
    return edit


def config(*path, value):
    return put("config", *path, value=value)


def layer(**fields):
    return {"layer": "conv2d", "in_channels": 1, "out_channels": 5, "kernel": 5, "stride": 1, "pad": 3, **fields}


UP = {"layer": "upsample2d"}
POOL = {"layer": "avgpool2d", "kernel": 10 ** 9, "stride": 1, "pad": 5 * 10 ** 8, "ceil_mode": False, "count_pad": False}
EDITS = {"classifier": [
    (put("format", value=2), r"written by a newer npcbnet \(format 2, this one reads 1\); upgrade with pip install -U npcbnet"),
    (put("format", value=0), "fields of format 1"), (put("format", value=True), "fields of format 1"),
    (put("format", value="1"), "fields of format 1"), (put("format", value=1.0), "fields of format 1"),
    (put("more", value=1), "fields of format 1"), (drop("record"), "fields of format 1"),
    (put("record", value=[]), "record is not a dictionary"), (put("preprocessing", value="minus the mean"), "preprocessing is not"),
    (put("kind", value="resnet"), "unknown kind of model 'resnet'; this version knows branchynet, cbnet, classifier|unknown kind"),
    (put("kind", value=["cbnet"]), "unknown kind"), (put("kind", value="os.system"), "unknown kind"),
    (put("kind", value="branchynet"), "has no 'stem'"), (put("kind", value="cbnet"), "has no 'converter'"),
    (put("config", value=[1]), "configuration is list"), (put("config", value=None), "configuration is NoneType"),
    (config("threshold", value=0.5), "a field too many"), (config("evil", value=[{"layer": "relu"}]), "a field too many"),
    (drop("config", "net"), "has no 'net'"), (drop("config", "class_names"), "class_names must be"),
    (config("input_shape", value=[1, 12]), "input_shape must be"), (config("input_shape", value="1x12x12"), "input_shape must be"),
    (config("input_shape", value=[True, 12, 12]), "input_shape must be"), (config("input_shape", value=[1, -12, 12]), "input_shape must be"),
    (config("input_shape", value=[1, 12.0, 12]), "input_shape must be"), (config("input_shape", value=7), "input_shape must be"),
    (config("input_shape", value=[1, 100_000, 100_000]), "images of 10,000,000,000 values"),
    (config("input_shape", value=[1, 40, 40]), "cannot work: layer .* takes"),
    (config("class_names", value=[1, 2, 3]), "class_names must be"), (config("class_names", value="abc"), "class_names must be"),
    (config("class_names", value={"a": 1}), "class_names must be"), (config("class_names", value=["a", "b"]), "2 classes"),
    (config("class_names", value=["a", "b", ""]), "class_names must be"), (config("class_names", value=["a", "b", "c\n"]), "'class_names'"),
    (config("class_names", value=["a", "b", "\ud800"]), "'class_names'"), (config("class_names", value=["a", "b", "x" * 300]), "'class_names'"),
    (config("class_names", value=["x"] * 200_000), "3 *classes|200000 classes"), (config("class_names", value=["a"]), "at least two"),
    (config("net", value=[]), "1 to 256 layers"), (config("net", value={"layer": "relu"}), "1 to 256 layers"),
    (config("net", value=[{"layer": "relu"}] * 10_000), "1 to 256 layers"), (config("net", value="relu"), "1 to 256 layers"),
    (config("net", 0, value=[layer()]), "unknown layer"), (config("net", 0, value="conv2d"), "unknown layer"),
    (config("net", 0, "layer", value="lambda"), "unknown layer 'lambda'"), (config("net", 0, "layer", value=["conv2d"]), "unknown layer"),
    (config("net", 0, "layer", value="sequential"), "unknown layer 'sequential'"), (drop("config", "net", 0, "layer"), "unknown layer"),
    (config("net", 0, "evil", value=1), "has the fields"), (drop("config", "net", 0, "pad"), "has the fields"),
    (config("net", 0, "kernel", value="5"), "kernel must be a whole number"), (config("net", 0, "kernel", value=5.0), "kernel must be"),
    (config("net", 0, "kernel", value=True), "kernel must be"), (config("net", 0, "stride", value=0), "stride must be"),
    (config("net", 0, "pad", value=-1), "pad must be"), (config("net", 0, "kernel", value=None), "'kernel'.*cannot be None"),
    (config("net", 0, "out_channels", value=10 ** 19), "'out_channels'.*too large"), (config("net", 0, "kernel", value=5000), "a kernel of 5000"),
    (config("net", 0, "kernel", value=[[[[5]]]]), "too deep"), (config("net", 1, "ceil_mode", value="yes"), "ceil_mode must be|another type"),
    (config("net", 1, "ceil_mode", value=1), "ceil_mode must be|another type"), (config("net", 1, "stride", value=[2]), "stride must be"),
    (config("net", 0, "out_channels", value=2 ** 30), "cannot work"), (config("net", 7, "in_features", value=91), "cannot work"),
    (config("net", 7, "out_features", value=4), "output of shape"),
    (lambda m: m["config"]["net"].__setitem__(slice(0, 0), [UP] * 200), "cannot work"),
    (lambda m: m["config"].update(net=[*[UP] * 12, {"layer": "avgpool2d", "kernel": 1, "stride": 49152, "pad": 0, "ceil_mode": False,
                                                    "count_pad": False}, {"layer": "flatten"},
                                       {"layer": "dense", "in_features": 1, "out_features": 3}]), "values of one image"),
    (lambda m: m["config"].update(net=[POOL, {"layer": "flatten"}, {"layer": "dense", "in_features": 169, "out_features": 3}]), "a kernel of"),
    (lambda m: m["config"].update(net=[{"layer": "flatten"}, {"layer": "dense", "in_features": 144, "out_features": 2 ** 31 - 1},
                                       {"layer": "dense", "in_features": 2 ** 31 - 1, "out_features": 3}]), "3.18e.11 parameters"),
    (put("arrays", value=[]), "disagree about 'arrays'"), (drop("arrays", WEIGHT), f"disagree about '{WEIGHT}'"),
    (put("arrays", "net.99.weight", value={}), "disagree about 'net.99.weight'"), (put("arrays", WEIGHT, value=1), "does not describe"),
    (put("arrays", WEIGHT, "dtype", value="|O"), "described as"), (put("arrays", WEIGHT, "dtype", value="<f8"), "described as"),
    (put("arrays", WEIGHT, "dtype", value={}), "described as"), (put("arrays", WEIGHT, "shape", value=[5, 5, 5]), "described as"),
    (put("arrays", WEIGHT, "shape", value=None), "described as"), (put("arrays", WEIGHT, "more", value=1), "does not describe"),
    (put("arrays", WEIGHT, "dtype", value="<f2"), "is not stored as <f2"), (put("arrays", WEIGHT, "sha256", value="0" * 64), "checksum"),
    (put("arrays", WEIGHT, "sha256", value=None), "checksum")],
    "branchynet": [
        (config("threshold", value="low"), "threshold"), (config("threshold", value=-1), "threshold"), (config("threshold", value=True), "threshold"),
        (config("threshold", value=[0.5]), "threshold"), (config("threshold", value=1), "a value of another type"),
        (config("threshold", value=1e300), "'threshold'"), (drop("config", "trunk"), "has no 'trunk'"),
        (config("branch", value=[{"layer": "flatten"}]), "the branch ends in an output of shape"),
        (config("stem", value=[UP] * 12), "cannot work|values of one image")],
    "cbnet": [
        (config("converter", value=[]), "converter must have the fields"), (drop("config", "converter", "total"), "must have the fields"),
        (config("converter", "evil", value=1), "must have the fields"), (config("converter", "hidden", value="64"), "hidden cannot be"),
        (config("converter", "hidden", value=[]), "one activation for each"), (config("converter", "hidden", value=[6, "4"]), "whole number"),
        (config("converter", "hidden", value=[6, -4]), "whole number"), (config("converter", "hidden", value=[6, 2 ** 31 - 1]), "parameters"),
        (config("converter", "hidden", value=[6] * 500), "more than 256 layers"),
        (config("converter", "activations", value=["relu", ["linear"]]), "not names"),
        (config("converter", "activations", value=["relu", "exec"]), "'relu' or 'linear'"),
        (config("converter", "halve_input", value="no"), "halve_input cannot be 'no'"), (config("converter", "residual", value=1), "residual cannot be"),
        (config("converter", "residual", value=True), "must be 'linear'"), (config("converter", "output", value=["softmax"]), "output cannot be"),
        (config("converter", "output", value="tanh"), "output is one of"), (config("converter", "total", value=0), "total must be"),
        (config("converter", "total", value=True), "total cannot be"), (config("converter", "total", value="30"), "total cannot be"),
        (config("input_shape", value=[1, 11, 11]), "needs even sides"), (config("net", 0, "kernel", value=6), "cannot work|disagree|described")]}


@pytest.mark.parametrize("kind, number", [(kind, i) for kind, edits in EDITS.items() for i in range(len(edits))])
def test_manifests_with_one_thing_wrong(kind, number, tmp_path, good):
    edit, match = EDITS[kind][number]
    manifest, entries = unpack(good[kind])
    edit(manifest)
    refused(pack(tmp_path / "m.npz", manifest, entries), match)


def test_ten_million_class_names(tmp_path, good):
    manifest, entries = unpack(good["classifier"])
    manifest["config"]["class_names"] = ["a"] * 10_000_000
    refused(pack(tmp_path / "m.npz", manifest, entries), "would unpack to|its manifest claims", mib=8)


def test_memory_that_is_not_there(tmp_path, good, monkeypatch):
    def none(shape, dtype):
        raise MemoryError

    (tmp_path / "m.npz").write_bytes(good["classifier"])
    monkeypatch.setattr("npcbnet.modelfile.aligned_empty", none)
    refused(tmp_path / "m.npz", "too little memory for it; choose a smaller model")


def test_limits_agree():
    """Whatever the largest allowed model needs, the file's own limits allow."""
    assert npyfile.MAX_FILE_BYTES >= 4 * manifests.MAX_PARAMETERS + manifests.MAX_MANIFEST_BYTES + 512 * npyfile.MAX_ENTRIES
    assert npyfile.MAX_ENTRIES >= 3 * 2 * manifests.MAX_LAYERS + 1
    assert len(header("<f4", (manifests.MAX_NUMBER,) * 4)) == npyfile.HEADER


# --- 3,000 mutated files ---
VALUES = (None, True, False, 0, 1, 2, 3, 5, 7, 12, -1, 64, 1025, 10 ** 6, 2 ** 31, 10 ** 19, 0.0, 0.5, 1e38, 1e300, -0.0, "", "relu", "a", "conv2d",
          "linear", "softmax", "flatten", [], [1, 12, 12], [2, 2], {}, {"layer": "relu"}, {"layer": "upsample2d"}, [[[]]], "\ud800", "é" * 300)


def places(value, way=()):
    """All (container, key) of a JSON value."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from places(value[key], (*way, key))


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
        part = manifest if rng.random() < 0.1 else manifest["config"] if isinstance(manifest.get("config"), dict) else manifest
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
        shapes = npcbnet.nets.KINDS[manifest["kind"]].from_config(manifest["config"]).param_shapes()
        arrays = {name: (rng.choice((1, 1, 1e37)) * np.random.default_rng(0).standard_normal(shape)).astype("<f4")
                  for name, shape in shapes.items() if np.prod(shape, dtype=float) < 1e5}
    except Exception:  # then the old arrays have to do
        return entries
    manifest["arrays"] = {name: {"dtype": "<f4", "shape": list(array.shape), "sha256": hashlib.sha256(array.tobytes()).hexdigest()}
                          for name, array in arrays.items()}
    return {f"{name}.npy": npy(array) for name, array in arrays.items()}


def mutate_entries(manifest, entries, rng):
    """An array damaged, its checksum and the zip's made right again."""
    name = rng.choice(list(entries))
    data = mutate_bytes(entries[name], rng) if rng.random() < 0.3 else (
        entries[name][:npyfile.HEADER] + mutate_bytes(entries[name][npyfile.HEADER:] or b"0000", rng))
    manifest["arrays"][name[:-4]]["sha256"] = hashlib.sha256(data[npyfile.HEADER:]).hexdigest()
    return entries | {name: data}


def mutated(path, data, rng):
    """Write one mutation of a sound file."""
    manifest, entries = unpack(data)
    kind = rng.random()
    if kind < 0.4:
        path.write_bytes(mutate_bytes(data, rng))
    elif kind < 0.5:
        pack(path, mutate_bytes(json.dumps(manifest).encode(), rng), entries)
    elif kind < 0.65:
        pack(path, manifest, mutate_entries(manifest, entries, rng), rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
    else:
        mutate_manifest(manifest, rng)
        pack(path, manifest, fit_arrays(manifest, entries, rng) if rng.random() < 0.7 else entries)


def test_3000_mutated_files(tmp_path):
    rng, path = random.Random(2024), tmp_path / "m.npz"
    sound = [saved(tmp_path, model, dtype) for model in models().values() for dtype in ("float32", "float16")]
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
