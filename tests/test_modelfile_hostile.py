"""Model files that are damaged or made to harm: each is refused in one clear line, quickly and in little memory."""
import hashlib
import io
import json
import os
import pickle
import struct
import time
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest

import npcbnet
from npcbnet import npyfile
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


def refused(path, match, seconds=5.0, mib=80):
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
    (b"", "is empty"), (b"x", "not a model file"), (b"hello" * 100, "not a model file"),
    (b"PK\x05\x06" + bytes(18), "no manifest"),
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
    record = struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 3, 20, 0, 0, 0, 0, 33, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0)
    record += b"a.npy"
    for count, claimed in ((1_000_000, 0xffff), (60_000, 60_000), (60_000, 2)):
        end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, claimed, claimed, count * len(record), 0, 0)
        (tmp_path / "m.npz").write_bytes(record * count + end)
        refused(tmp_path / "m.npz", "claims .* arrays; ?|no model has more", seconds=2.0, mib=8)


def test_zip64_records_are_not_followed(tmp_path, good):
    data = good["classifier"]
    end, directory = data[-22:], struct.unpack("<L", data[-6:-2])[0]
    zip64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1 << 40, 1 << 40, 1 << 40, directory)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(data) - 22, 1)
    (tmp_path / "m.npz").write_bytes(data[:-22] + zip64 + locator + end)
    refused(tmp_path / "m.npz", "something added", seconds=2.0)


def test_nor_where_the_last_record_takes_them_for_its_list(tmp_path):
    """The list that the last record names is the zip64 records, byte for byte; zipfile reads another."""
    files = io.BytesIO()
    with zipfile.ZipFile(files, "w") as archive:
        for number in range(5000):
            archive.writestr(f"{number}.npy", b"")
    data = files.getvalue()
    start, length = struct.unpack("<L", data[-6:-2])[0], struct.unpack("<L", data[-10:-6])[0]
    zip64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 5000, 5000, length, start)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(data) - 22, 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 4000, 4000, len(zip64 + locator), len(data) - 22, 0)
    (tmp_path / "m.npz").write_bytes(data[:-22] + zip64 + locator + end)
    refused(tmp_path / "m.npz", "zip64", seconds=2.0, mib=8)


def test_zip_bombs(tmp_path, good):
    manifest, entries = unpack(good["classifier"])
    zeros = bytes(200 << 20)
    refused(pack(tmp_path / "manifest.npz", zeros, {}), "would unpack to 209,\\d+,\\d+ bytes", mib=8)
    refused(pack(tmp_path / "mebi.npz", bytes(2 << 20), {}), "its manifest claims 2,097,152 bytes", mib=8)
    refused(pack(tmp_path / "array.npz", manifest, entries | {WEIGHT + ".npy": zeros}), "would unpack to", mib=8)
    for head in (b"", entries[WEIGHT + ".npy"][:npyfile.HEADER]):
        entries[WEIGHT + ".npy"] = head + zeros[:10 << 20]
        refused(pack(tmp_path / "ten.npz", manifest, entries), "is not stored as <f4", mib=8)


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
    (raw("{'descr': '|O', 'fortran_order': False, 'shape': (5, 1, 5, 5), }", pickle.dumps(Evil())),
     "pickled Python objects"),
    (pickle.dumps(Evil()), "is not stored as"), (b"", "is not stored as"), (npy(SOUND)[:-1], "is not stored as"),
    (npy(SOUND.astype(np.float64)), "is not stored as"), (npy(SOUND.astype(">f4")), "is not stored as"),
    (npy(SOUND.astype(np.int32)), "is not stored as"), (npy(SOUND.astype(np.float16)), "is not stored as"),
    (npy(np.asfortranarray(SOUND.reshape(25, 5))), "is not stored as"),
    (npy(SOUND.reshape(1, 5, 5, 5)), "is not stored as"),
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
    entries[WEIGHT + ".npy"] = npy(array)
    refused(pack(tmp_path / "m.npz", manifest, entries), f"'{WEIGHT}' holds NaN or infinity")


def test_memory_that_is_not_there(tmp_path, good, monkeypatch):
    def none(shape, dtype):
        raise MemoryError

    (tmp_path / "m.npz").write_bytes(good["classifier"])
    monkeypatch.setattr("npcbnet.modelfile.aligned_empty", none)
    refused(tmp_path / "m.npz", "too little memory for it on this machine; choose a smaller model")
