"""npcbnet.modelfile: what is saved is what is loaded, and a save is the whole file or nothing.

Hostile files: test_modelfile_hostile, test_modelfile_manifest, test_modelfile_mutated.
"""
import builtins
import errno
import io
import json
import os
import random
import signal
import time
import zipfile

import numpy as np
import pytest

import npcbnet
from npcbnet import files, modelfile
from npcbnet.errors import ModelFileError, NpcbnetError, UsageError
from npcbnet.layers import (AvgPool2d, BatchNorm2d, Clip, Conv2d, Dense, Dropout, Flatten, ReLU, Reshape, Residual,
                            Sequential, Sigmoid, initialise)
from npcbnet.nets import TABLE_I, CBNet, Classifier, Converter, ConverterConfig, branchynet_lenet, lenet, lightweight

FORMS = {"fast": ConverterConfig((16, 8), ("relu", "linear"), halve_input=True, halve_output=True),
         "table1": TABLE_I["mnist"], "residual": ConverterConfig((12,), ("relu",), halve_input=True, residual=True),
         "sigmoid": ConverterConfig((8, 4), ("linear", "relu"), halve_output=True, output="sigmoid"),
         "scaled softmax": ConverterConfig((8,), ("relu",), output="softmax", total=78.5)}
WORDS = ("T-shirt/top", "Größe", "火", "a b", "5")
REGULAR = ((1, 28, 28), tuple("0123456789"))
COLOUR = ((3, 32, 32), WORDS)


def branchy(shape, names, seed=0, threshold=0.3):
    return branchynet_lenet(shape, names, np.random.default_rng(seed), threshold)


def cbnet(shape, names, form, seed=0):
    rng = np.random.default_rng(seed)
    return CBNet(Converter(FORMS[form], shape).initialise(rng), lightweight(branchynet_lenet(shape, names, rng)))


def other_layers():
    """The layers that no net of the paper has."""
    net = Sequential([Clip(0.1, 0.9), Dropout(0.2), AvgPool2d(3, 2, 1, True, True), Sigmoid(), Flatten(),
                      Reshape([1, 7, 7]), Conv2d(1, 2, 3, 2, 1), ReLU(), Flatten(), Dense(32, 2)])
    return Classifier(initialise(net, np.random.default_rng(0)), (1, 12, 12), ("no", "yes"))


def normalised():
    """Statistics, layers in layers, fields that configurations may leave out."""
    rng = np.random.default_rng(0)
    body = Sequential([Conv2d(4, 4, 3, pad=1, groups=4, bias=False), BatchNorm2d(4), ReLU()])
    net = Sequential([Conv2d(1, 4, 3, bias=False), BatchNorm2d(4, 1e-3, 0.01), Residual(Sequential([Residual(body)])),
                      Residual(Sequential([Conv2d(4, 6, 3, 2, 1, groups=2)]), Sequential([Conv2d(4, 6, 1, 2)])),
                      Flatten(), Dense(150, 2)])
    for name, array in initialise(net, rng).params.items():
        array += rng.random(array.shape, np.float32) * ("running" in name)
    return Classifier(net, (1, 12, 12), ("no", "yes"))


def small(seed=0, names=("a", "b", "c")):
    return lightweight(branchy((1, 12, 12), names, seed))


def images_for(model, count=9):
    return np.random.default_rng(1).integers(0, 256, (count, *model.input_shape), np.uint8)


MODELS = {"lenet": lambda: lenet(*REGULAR, np.random.default_rng(0)),
          "lenet colour": lambda: lenet(*COLOUR, np.random.default_rng(0)),
          "lightweight": lambda: lightweight(branchy(*REGULAR)), "two classes": lambda: small(names=("no", "yes")),
          "branchynet": lambda: branchy(*REGULAR, threshold=2.3),
          "branchynet colour": lambda: branchy(*COLOUR, threshold=1.6),
          "other layers": other_layers, "normalised": normalised,
          **{f"cbnet {form}": lambda form=form: cbnet(*REGULAR, form) for form in FORMS},
          **{f"cbnet colour {form}": lambda form=form: cbnet(*COLOUR, form) for form in FORMS if form != "table1"}}


# --- round trip ---
@pytest.mark.parametrize("name", MODELS)
def test_every_bit_comes_back(name, tmp_path):
    model, path = MODELS[name](), tmp_path / "model.npz"
    model.record = {"command": "python -m npcbnet.train digits", "seed": 3, "accuracy": 0.991,
                    "history": [{"loss": None}], "ü": []}
    npcbnet.save(model, path)
    found = npcbnet.load(str(path))
    assert type(found) is type(model) and found.record == model.record
    assert found.config() == model.config() and found.class_names == model.class_names
    assert list(found.params) == list(model.params)
    for key, array in found.params.items():
        assert np.array_equal(array, model.params[key])
        assert array.dtype == np.float32 and array.flags.c_contiguous and array.flags.writeable
        assert array.nbytes < 1 << 16 or array.ctypes.data % 64 == 0
    images = images_for(model)
    assert np.array_equal(found.predict_proba(images), model.predict_proba(images))
    one, other = found.explain(images), model.explain(images)
    assert np.array_equal(one.exit, other.exit)
    assert (one.converted is None and other.converted is None) or np.array_equal(one.converted, other.converted)


def test_the_same_model_gives_the_same_bytes_also_after_loading(tmp_path, monkeypatch):
    paths = [tmp_path / f"{i}.npz" for i in range(3)]
    npcbnet.save(small(), paths[0])
    monkeypatch.setattr(time, "time", lambda: 2e9)
    npcbnet.save(small(), paths[1])
    npcbnet.save(npcbnet.load(paths[0]), paths[2])
    assert len({path.read_bytes() for path in paths}) == 1


@pytest.mark.parametrize("name", ["lenet", "branchynet", "cbnet fast"])
def test_float16_is_half_the_size_and_close(name, tmp_path):
    model = MODELS[name]()
    npcbnet.save(model, tmp_path / "32.npz")
    npcbnet.save(model, tmp_path / "16.npz", dtype="float16")
    assert os.path.getsize(tmp_path / "16.npz") < 0.6 * os.path.getsize(tmp_path / "32.npz")
    found, images = npcbnet.load(tmp_path / "16.npz"), images_for(model)
    for key, array in found.params.items():
        assert array.dtype == np.float32
        assert np.array_equal(array, model.params[key].astype(np.float16).astype(np.float32))
    assert np.abs(found.predict_proba(images) - model.predict_proba(images)).max() < 0.05
    npcbnet.save(found, tmp_path / "again.npz", dtype="float16")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "16.npz").read_bytes()


def test_numpy_opens_the_file_without_pickle_and_the_manifest_tells_all(tmp_path):
    model = small()
    model.record = {"seed": 7}
    npcbnet.save(model, tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz", allow_pickle=False) as file:
        manifest = json.loads(bytes(file["manifest"]))
        assert all(np.array_equal(file[key], array) for key, array in model.params.items())
    assert (manifest["format"], manifest["npcbnet"], manifest["kind"]) == (1, npcbnet.__version__, "classifier")
    assert (manifest["record"], manifest["config"]) == ({"seed": 7}, model.config())
    assert manifest["arrays"]["net.0.bias"].keys() == {"dtype", "shape", "sha256"}


def test_weights_that_deflate_well_are_loaded_too(tmp_path):
    model = Classifier(Sequential([Flatten(), Dense(3000, 4000), Dense(4000, 2)]), (1, 50, 60), ("a", "b"))
    model.set_params({name: np.resize(np.arange(300, dtype=np.float32), shape)
                      for name, shape in model.param_shapes().items()})
    npcbnet.save(model, tmp_path / "same.npz")  # 48 MB would deflate 180-fold: that is what a bomb does
    assert np.array_equal(npcbnet.load(tmp_path / "same.npz").params["net.1.weight"], model.params["net.1.weight"])
    assert os.path.getsize(tmp_path / "same.npz") > 48e6
    small_zeros = small()
    for array in small_zeros.params.values():
        array[:] = 0
    npcbnet.save(small_zeros, tmp_path / "small.npz")
    npcbnet.load(tmp_path / "small.npz")
    assert os.path.getsize(tmp_path / "small.npz") < 0.6 * small_zeros.parameter_bytes()


# --- names ---
def test_pretrained_names(tmp_path, monkeypatch):
    monkeypatch.setattr(modelfile, "PRETRAINED", tmp_path / "pretrained")
    assert modelfile.names() == []
    with pytest.raises(ModelFileError, match="no pretrained model 'mnist-cbnet'.*python -m npcbnet.train digits"):
        npcbnet.load("mnist-cbnet")
    npcbnet.save(small(), tmp_path / "pretrained" / "mnist-cbnet.npz")
    (tmp_path / "pretrained" / "digits-lenet.npz.k3.partial").write_bytes(b"litter")
    assert modelfile.names() == ["mnist-cbnet"]
    (tmp_path / "mnist-cbnet").mkdir()
    monkeypatch.chdir(tmp_path)  # a name goes before whatever lies in the folder
    assert npcbnet.load("mnist-cbnet").classes == 3
    for wrong in ("mnist", "", "../pretrained/mnist-cbnet", "digits-lenet", tmp_path / "no" / "such.npz", "x" * 5000,
                  "a\nb", "\x7f" * 400):
        with pytest.raises(ModelFileError, match="no .*pretrained are mnist-cbnet$|cannot be read") as caught:
            npcbnet.load(wrong)
        assert len(str(caught.value)) < 320 and len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("wrong", [None, 3, b"model.npz", ["a"], "a\0b.npz", io.BytesIO(), "\ud800.npz"])
def test_what_no_file_can_be_called(wrong):
    with pytest.raises(ModelFileError, match="takes a pretrained name or the path"):
        npcbnet.load(wrong)
    with pytest.raises(UsageError, match="takes the path of a file"):
        npcbnet.save(small(), wrong)


# --- saving that cannot be ---
def changed(**fields):
    model = small()
    for field, value in fields.items():
        setattr(model, field, value)
    return model


def with_weight(value):
    model = small()
    model.params["net.0.weight"][0, 0, 0, 0] = value
    return model


def circle():
    ring = []
    ring.append(ring)
    return ring


@pytest.mark.parametrize("make, match, dtype", [
    (lambda: changed(record={"path": os}), "record is not JSON.*item", "float32"),
    (lambda: changed(record={"accuracy": np.float32(1)}), "record is not JSON.*NumPy number by its .item", "float32"),
    (lambda: changed(record={"loss": float("nan")}), "record is not JSON", "float32"),
    (lambda: changed(record={"ring": circle()}), "record is not JSON", "float32"),
    (lambda: changed(record={"n": 10 ** 30}), "digits", "float32"),
    (lambda: changed(record=[1]), "record is not a dictionary", "float32"),
    (lambda: changed(record={"log": "x" * (1 << 20)}), "shorten model.record", "float32"),
    (lambda: changed(class_names=("a", "b\n", "c")), "class_names.*change the model, or its class names", "float32"),
    (lambda: changed(class_names=("a", "", "c")), "class_names", "float32"),
    (lambda: branchy((1, 12, 12), ("a", "b"), threshold=float("inf")), "config is not JSON", "float32"),
    (lambda: with_weight(np.nan), "'net.0.weight' holds NaN or infinity", "float32"),
    (lambda: with_weight(-np.inf), "'net.0.weight' holds NaN or infinity", "float16"),
    (lambda: with_weight(1e5), "'net.0.weight' has values too large for float16", "float16"),
    (lambda: Classifier(Sequential([Flatten(), Dense(4, 2)]), (1, 2, 2), ("a", "b")),
     "'net.1.weight' is missing", "float32"),
    (lambda: Classifier(Sequential([Flatten(), Sequential([initialise(Dense(4, 2), np.random.default_rng(0))])]),
                        (1, 2, 2), ("a", "b")), "unknown layer", "float32"),
    (lambda: Converter(FORMS["fast"], (1, 28, 28)), "not Converter", "float32"),
    (lambda: None, "not NoneType", "float32")])
def test_what_cannot_be_stored(make, match, dtype, tmp_path):
    path = tmp_path / "m.npz"
    path.write_bytes(b"old")
    with pytest.raises(ModelFileError, match=match) as caught:
        npcbnet.save(make(), path, dtype=dtype)
    assert "m.npz" in str(caught.value) and len(str(caught.value).splitlines()) == 1 and len(str(caught.value)) < 320
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["m.npz"]


def test_unknown_dtype(tmp_path):
    with pytest.raises(UsageError, match="float32 or float16, not 'int8'"):
        npcbnet.save(small(), tmp_path / "m.npz", dtype="int8")


# --- disks and kills ---
def test_a_full_disk_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "m.npz"
    npcbnet.save(small(), path)
    old = path.read_bytes()

    def full(handle, mode, **options):
        os.close(handle)
        return builtins.open("/dev/full", mode, **options)

    monkeypatch.setattr(files.os, "fdopen", full)
    with pytest.raises(UsageError, match=r"cannot write .*m\.npz: No space left on device; free some space"):
        npcbnet.save(small(1), path)
    assert path.read_bytes() == old and os.listdir(tmp_path) == ["m.npz"]
    monkeypatch.undo()

    def late(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", late)
    with pytest.raises(UsageError, match="No space left on device"):
        npcbnet.save(small(1), path)
    assert path.read_bytes() == old and os.listdir(tmp_path) == ["m.npz"]


def test_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "m.npz", tmp_path / "file" / "deeper" / "m.npz", tmp_path, "/proc/m.npz"):
        with pytest.raises(UsageError, match="cannot write"):
            npcbnet.save(small(), path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_kill_9_while_saving(tmp_path):
    """The path always holds one whole model; what a kill leaves lying about is never loaded."""
    path, rng = tmp_path / "m.npz", random.Random(0)
    model = lenet(*REGULAR, np.random.default_rng(0))
    npcbnet.save(model, path)
    for trial in range(300):
        child = os.fork()
        if child == 0:
            try:
                files.os.fsync = lambda handle: time.sleep(0.003)  # as long as a slow card takes, so that kills meet it
                for number in range(10 ** 9):
                    model.record = {"number": number}
                    npcbnet.save(model, path)
            finally:
                os._exit(1)
        time.sleep(0.03 + 0.15 * rng.random())
        os.kill(child, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
        found = npcbnet.load(path)
        assert all(np.array_equal(array, model.params[key]) for key, array in found.params.items())
        strange = [name for name in os.listdir(tmp_path) if name != "m.npz"]
        assert all(name.endswith(".partial") for name in strange)
        if trial >= 19 and strange and found.record:  # on a busy machine the first children hardly get to run
            break
    assert strange and found.record["number"] >= 0


def test_every_error_has_the_one_root():
    assert issubclass(ModelFileError, NpcbnetError) and npcbnet.NpcbnetError is NpcbnetError


def test_dates_and_permissions_are_fixed(tmp_path):
    npcbnet.save(small(), tmp_path / "m.npz")
    with zipfile.ZipFile(tmp_path / "m.npz") as archive:
        assert archive.testzip() is None
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    (tmp_path / "any").write_text("")
    assert os.stat(tmp_path / "m.npz").st_mode == os.stat(tmp_path / "any").st_mode
