"""Weights with torchvision's names: the nets answer as torchvision's would, and nothing else is believed."""
import io
import json
import pickle
import struct
import zipfile

import numpy as np
import pytest

import npcbnet
from npcbnet import import_weights, npyfile
from npcbnet.errors import ModelFileError, UsageError
from npcbnet.nets import mobilenetv2, resnet18, resnet32, resnet50, vgg16
from npcbnet.nets.images import as_floats
from npcbnet.nets.torchvision_names import ARCHITECTURES, state_dict
from npcbnet.nets.torchvision_weights import load
from tests import torchvision_nets as torchvision

CIFAR, TEN = (3, 32, 32), tuple("0123456789")
FRESH = {"mobilenetv2": mobilenetv2, "resnet18": resnet18, "resnet32": resnet32, "resnet50": resnet50, "vgg16": vgg16}
SHAPES = {"mobilenetv2": torchvision.mobilenetv2_shapes(), "vgg16": torchvision.vgg16_shapes(),
          "vgg16_bn": torchvision.vgg16_shapes(batch_norm=True),
          "resnet18": torchvision.resnet_shapes("resnet18"), "resnet50": torchvision.resnet_shapes("resnet50")}


def some(count=2, shape=CIFAR):
    return np.random.default_rng(5).integers(0, 256, (count, *shape), dtype=np.uint8)


def saved(path, arrays):
    np.savez(path, **arrays)
    return path


def small(**changes):
    """Weights of a resnet32 with three classes, which are quick to write; changes: other arrays by name, None: none."""
    made = torchvision.drawn(torchvision.resnet_shapes("resnet32", 3, 3, downsample=False), np.random.default_rng(0))
    made.update({name.replace("__", "."): array for name, array in changes.items()})
    return {name: array for name, array in made.items() if array is not None}


def refused(path, match, architecture="resnet32", error=ModelFileError, **options):
    with pytest.raises(error, match=match) as caught:
        load(architecture, path, **options)
    message = str(caught.value)
    assert message.isprintable() and len(message) < 800
    return message


# --- the oracle itself: what torchvision publishes ---
@pytest.mark.parametrize("name, parameters, tensors", [
    # Weights' "num_params" in torchvision/models/*.py; number of tensors that are learned
    ("mobilenetv2", 3_504_872, 158), ("resnet18", 11_689_512, 62), ("resnet50", 25_557_032, 161),
    ("vgg16", 138_357_544, 32), ("vgg16_bn", 138_365_992, 58)])
def test_the_written_down_shapes_are_those_of_torchvision(name, parameters, tensors):
    learned = {key: shape for key, shape in SHAPES[name].items() if "running" not in key and "tracked" not in key}
    assert sum(int(np.prod(shape)) for shape in learned.values()) == parameters
    assert len(learned) == tensors


@pytest.mark.parametrize("name, key, shape", [  # from listings of torchvision's state_dicts that others published
    ("mobilenetv2", "features.1.conv.1.weight", (16, 32, 1, 1)),
    ("mobilenetv2", "features.2.conv.1.0.weight", (96, 1, 3, 3)),
    ("mobilenetv2", "features.11.conv.2.weight", (96, 384, 1, 1)), ("mobilenetv2", "features.17.conv.3.bias", (320,)),
    ("mobilenetv2", "features.18.0.weight", (1280, 320, 1, 1)), ("mobilenetv2", "classifier.1.weight", (1000, 1280)),
    ("resnet50", "layer1.0.downsample.0.weight", (256, 64, 1, 1)),
    ("resnet50", "layer1.0.conv3.weight", (256, 64, 1, 1)),
    ("resnet50", "layer2.0.conv2.weight", (128, 128, 3, 3)), ("resnet50", "layer3.5.bn1.running_var", (256,)),
    ("resnet18", "layer2.0.downsample.1.running_mean", (128,)), ("resnet18", "conv1.weight", (64, 3, 7, 7)),
    ("resnet18", "bn1.num_batches_tracked", ()), ("vgg16", "classifier.6.weight", (1000, 4096)),
    ("vgg16_bn", "features.41.running_var", (512,)), ("vgg16_bn", "features.40.bias", (512,)),
    ("vgg16", "features.28.weight", (512, 512, 3, 3))])
def test_some_names_of_torchvision(name, key, shape):
    assert SHAPES[name][key] == shape


# --- the loader ---
CASES = {
    "vgg16, torchvision's pooling": ("vgg16", CIFAR, torchvision.vgg16_shapes(10, (9, 8))),
    "vgg16_bn for small images": ("vgg16", CIFAR, torchvision.vgg16_shapes(10, (20, 30), True, 512)),
    "resnet18": ("resnet18", CIFAR, torchvision.resnet_shapes("resnet18", 10, 3)),
    "resnet18, imagenet": ("resnet18", (3, 64, 64), torchvision.resnet_shapes("resnet18", 5, 7)),
    "resnet32": ("resnet32", CIFAR, torchvision.resnet_shapes("resnet32", 10, 3, downsample=False)),
    "resnet32, projected": ("resnet32", (3, 24, 40), torchvision.resnet_shapes("resnet32", 10, 3)),
    "resnet50": ("resnet50", CIFAR, torchvision.resnet_shapes("resnet50", 10, 3)),
    "resnet50, imagenet": ("resnet50", (3, 48, 48), torchvision.resnet_shapes("resnet50", 10, 7)),
    "mobilenetv2": ("mobilenetv2", CIFAR, torchvision.mobilenetv2_shapes(10)),
    "mobilenetv2, imagenet": ("mobilenetv2", (3, 64, 96), torchvision.mobilenetv2_shapes(7))}


@pytest.mark.parametrize("architecture, shape, shapes", CASES.values(), ids=CASES)
def test_it_answers_as_torchvision_would(architecture, shape, shapes, tmp_path):
    weights = torchvision.drawn(shapes, np.random.default_rng(1))
    model = load(architecture, saved(tmp_path / "w.npz", weights), shape)
    x = as_floats(some(2, shape))
    if architecture == "vgg16":
        expected = torchvision.vgg16(x, weights)
    elif architecture == "mobilenetv2":
        expected = torchvision.mobilenetv2(x, weights, large=shape != CIFAR)
    else:
        expected = torchvision.resnet(architecture, x, weights)
    got = model.net.forward(x)[0]
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-5 * np.abs(expected).max())
    assert expected.std() > 0.01 * np.abs(expected).max() and model.classes == expected.shape[1]


@pytest.mark.parametrize("side", [64, 96])
def test_a_vgg_on_maps_that_torchvision_pools_unevenly(side, tmp_path):
    """2 x 2 and 3 x 3 pixels become 7 x 7 whose windows overlap."""
    weights = torchvision.drawn(torchvision.vgg16_shapes(4, (6, 5)), np.random.default_rng(2))
    model = load("vgg16", saved(tmp_path / "w.npz", weights), (3, side, 32))
    x = as_floats(some(1, (3, side, 32)))
    expected = torchvision.vgg16(x, weights)
    np.testing.assert_allclose(model.net.forward(x)[0], expected, rtol=0, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_there_and_back(architecture, tmp_path):
    model = FRESH[architecture](CIFAR, TEN, np.random.default_rng(3))
    model.set_params({name: array + np.float32(0.01) for name, array in model.params.items()})
    arrays = state_dict(architecture, model)
    found = load(architecture, saved(tmp_path / "w.npz", arrays), class_names=TEN)
    assert found.config() == model.config()
    assert set(found.params) == set(model.params)
    for name, array in model.params.items():
        np.testing.assert_array_equal(found.params[name], array)
        assert found.params[name].flags.c_contiguous and found.params[name].dtype == np.float32
    assert found.record["weights"] == "w.npz" and found.record["architecture"] == architecture


@pytest.mark.parametrize("architecture", ["resnet18", "resnet32", "resnet50", "vgg16"])
def test_a_stem_is_mobilenetv2s_alone(architecture, tmp_path):
    refused(tmp_path / "none.npz", f"stem goes with mobilenetv2 alone, not with {architecture}; leave it out",
            architecture, UsageError, stem="imagenet")


@pytest.mark.parametrize("architecture, shapes", [
    ("resnet32", torchvision.resnet_shapes("resnet32", 10, 3)), ("mobilenetv2", torchvision.mobilenetv2_shapes(10)),
    ("vgg16", torchvision.vgg16_shapes(10, (9, 8)))])
def test_as_many_class_names_as_the_weights_have_classes(architecture, shapes, tmp_path):
    path = saved(tmp_path / "w.npz", torchvision.drawn(shapes, np.random.default_rng(0)))
    refused(path, "^3 class names, but the weights have 10 classes; ", architecture, UsageError, class_names="abc")
    assert load(architecture, path, class_names=TEN).class_names == TEN


def test_where_the_last_layer_is_missing_the_names_are_not_to_blame(tmp_path):
    path = saved(tmp_path / "w.npz", small(fc__weight=None))
    assert "missing fc.weight" in refused(path, "does not fit resnet32", class_names=["a", "b"])


def test_names_of_a_model_of_another_architecture():
    model = resnet32(CIFAR, TEN, np.random.default_rng(0))
    for architecture in set(ARCHITECTURES) - {"resnet32", "vgg16"}:
        with pytest.raises(UsageError, match="not the layers of"):
            state_dict(architecture, model)
    with pytest.raises(UsageError, match="weights are read for"):
        state_dict("lenet", model)


def test_other_types_orders_and_compression(tmp_path):
    weights = small()
    right = load("resnet32", saved(tmp_path / "w.npz", weights)).predict_proba(some())
    kinds = ["<f8", ">f4", ">f8"]
    other = {name: np.asfortranarray(array.astype(kinds[i % 3])) if array.ndim else array
             for i, (name, array) in enumerate(weights.items())}
    np.savez_compressed(tmp_path / "o.npz", **other)
    np.testing.assert_array_equal(load("resnet32", tmp_path / "o.npz").predict_proba(some()), right)
    half = {name: array.astype(np.float16) if array.ndim else array for name, array in weights.items()}
    near = load("resnet32", str(saved(tmp_path / "h.npz", half))).predict_proba(some())
    np.testing.assert_allclose(near, right, atol=0.02)


def test_normalised_images(tmp_path):
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    path = saved(tmp_path / "w.npz", small())
    plain, model = load("resnet32", path), load("resnet32", path, mean=mean, std=std)
    x = as_floats(some())
    normal = (x - np.float32(mean)[:, None, None]) / np.float32(std)[:, None, None]
    expected = plain.net.forward(normal)[0]
    np.testing.assert_allclose(model.net.forward(x)[0], expected, atol=1e-4 * np.abs(expected).max())
    npcbnet.save(model, tmp_path / "m.npz")
    np.testing.assert_allclose(npcbnet.compile(npcbnet.load(tmp_path / "m.npz")).predict_proba(some()),
                               model.predict_proba(some()), atol=1e-5)
    assert set(state_dict("resnet32", model)) == set(state_dict("resnet32", plain))
    np.testing.assert_array_equal(state_dict("resnet32", model)["fc.weight"], small()["fc.weight"])
    for wrong in ({"mean": (1, 2)}, {"std": 0}, {"std": float("nan")}, {"mean": "x"}):
        refused(path, "mean|std", error=UsageError, **wrong)


# --- what does not fit ---
def test_missing_unknown_and_wrong_shapes_are_told_in_one_line(tmp_path):
    changes = {"fc__bias": None, "bn1__weight": None, "head.weight": np.ones(3), "layer1__0__conv1__weight":
               np.ones((16, 16, 1, 1)), **{f"more.{i}": np.ones(2) for i in range(9)}}
    message = refused(saved(tmp_path / "w.npz", small(**changes)), "does not fit resnet32")
    assert "missing bn1.weight, fc.bias" in message and "unknown head.weight, more.0, more.1 and 7 more" in message
    assert "of the wrong shape layer1.0.conv1.weight (16, 16, 1, 1) for (16, 16, 3, 3)" in message
    assert message.startswith(f"{tmp_path}/w.npz: ") and "; write it with numpy.savez" in message


def test_another_architecture_s_weights(tmp_path):
    path = saved(tmp_path / "w.npz", small())
    for architecture in set(ARCHITECTURES) - {"resnet32"}:
        refused(path, f"does not fit {architecture}: missing .*unknown", architecture)
    refused(saved(tmp_path / "c.npz", small(fc__weight=np.ones((3, 60)))), r"fc.weight \(3, 60\) for \(3, 64\)")
    refused(saved(tmp_path / "c.npz", small(fc__weight=np.ones((0, 64)))), "c.npz: ")
    refused(saved(tmp_path / "c.npz", small(fc__weight=np.ones((1, 64)), fc__bias=np.ones(1))), "two classes")
    refused(saved(tmp_path / "m.npz", {"features.0.weight": np.ones(3), "classifier.0.weight": np.ones((2, 0))}),
            "vgg16|features", "vgg16")


def test_options_that_cannot_be(tmp_path):
    path = saved(tmp_path / "w.npz", small())
    refused(path, "weights are read for", "alexnet", UsageError)
    refused(path, "stem", "mobilenetv2", UsageError, stem="large")
    refused(path, "multiples of 32", "vgg16", UsageError, input_shape=(3, 28, 28))


@pytest.mark.parametrize("array, match", [
    (np.full(3, np.nan, np.float32), "NaN"), (np.full(3, np.inf), "NaN"), (np.full(3, 1e300), "too large"),
    (np.ones(3, np.int64), "no array of floats"), (np.array(["a", "b", "c"]), "no array of floats"),
    (np.array([{}, {}, {}], object), "no array of floats"), (np.ones(3, np.complex64), "no array of floats"),
    (np.ones(3, [("a", "f4")]), "no array of floats"), (np.ones((3, 0)), "wrong shape")])
def test_values_that_are_no_weights(array, match, tmp_path):
    refused(saved(tmp_path / "w.npz", small(fc__bias=array)), match)


def test_a_negative_variance(tmp_path):
    refused(saved(tmp_path / "w.npz", small(bn1__running_var=np.full(16, -1e-3, np.float32))), "negative variance")


def test_files_that_are_no_npz(tmp_path):
    for data, match in ((b"", "empty"), (b"x" * 500, "not an .npz"), (pickle.dumps({"a": 1}), "not an .npz")):
        (tmp_path / "w.npz").write_bytes(data)
        refused(tmp_path / "w.npz", match)
    with zipfile.ZipFile(tmp_path / "net.pth", "w") as archive:  # what torch.save writes
        archive.writestr("net/data.pkl", b"\x80\x02}q\x00.")
        archive.writestr("net/data/0", bytes(64))
    assert "numpy.savez" in refused(tmp_path / "net.pth", "net/data.pkl")
    refused(tmp_path, "folder or device")
    refused("/dev/zero", "folder or device")
    refused(tmp_path / "none.npz", "cannot be read .No such file")
    refused("a\0b", "damaged")


def test_truncated_or_changed_anywhere(tmp_path):
    data = saved(tmp_path / "w.npz", small()).read_bytes()
    for length in [*range(0, len(data), len(data) // 40), len(data) - 1]:
        (tmp_path / "w.npz").write_bytes(data[:length])
        refused(tmp_path / "w.npz", r"w\.npz: ")
    rng, right = np.random.default_rng(0), load("resnet32", saved(tmp_path / "r.npz", small())).params
    for place in rng.integers(0, len(data), 60):
        changed = bytearray(data)
        changed[place] ^= 1 << rng.integers(8)
        (tmp_path / "w.npz").write_bytes(changed)
        try:
            found = load("resnet32", tmp_path / "w.npz")
        except ModelFileError as error:
            assert str(error).isprintable()
        else:  # a date or the like: the weights must be the same
            assert all(np.array_equal(found.params[name], array) for name, array in right.items())


def entry(descr, body, version=(1, 0)):
    text = descr.ljust(117).encode() + b"\n"
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H", len(text)) + text + body


@pytest.mark.parametrize("data, match", [
    (entry("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", bytes(8)), "does not hold"),
    (entry("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", bytes(16)), "does not hold"),
    (entry("{'descr': '<f4', 'fortran_order': False, 'shape': (999999999, 999999999), }", bytes(8)), "does not hold"),
    (entry("{'descr': '<f4', 'fortran_order': False, 'shape': (-3,), }", bytes(12)), "no array of floats"),
    (entry("{'descr': '<f4', 'fortran_order': False, 'shape': (3 3), }", bytes(12)), "does not hold|no shape"),
    (entry("{'descr': '<f4', 'fortran_order': False, 'shape': (,,), }", bytes(12)), "no shape|does not hold"),
    (entry("{'descr': '|O', 'fortran_order': False, 'shape': (3,), }", pickle.dumps([1])), "no array of floats"),
    (entry("{'descr': __import__('os'), 'fortran_order': False, 'shape': (3,), }", bytes(12)), "no array of floats"),
    (entry("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", bytes(12), (9, 0)), "no array of floats"),
    (b"", "no array of floats"), (b"\x93NUMPY\x01\x00\xff\xff", "no array of floats")])
def test_headers_that_lie(data, match, tmp_path):
    arrays = small(fc__bias=None)
    with zipfile.ZipFile(saved(tmp_path / "w.npz", arrays), "a") as archive:
        archive.writestr("fc.bias.npy", data)
    refused(tmp_path / "w.npz", match)


def test_a_bomb(tmp_path):
    body = io.BytesIO()
    np.save(body, np.zeros((1 << 15, 1 << 10), np.float32))
    with zipfile.ZipFile(tmp_path / "w.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("fc.weight.npy", body.getvalue())
    refused(tmp_path / "w.npz", "far more than a file of its size")


def test_describe_and_numbers_read_what_savez_writes(tmp_path):
    arrays = {"a": np.float32(2.5), "b": np.arange(6.0).reshape(2, 3), "c": np.zeros((0, 4), np.float16)}
    with open(saved(tmp_path / "w.npz", arrays), "rb") as file:
        archive, entries = npyfile.contents(file)
        for name, array in arrays.items():
            floats = npyfile.describe(archive, entries[name])
            assert floats.shape == np.shape(array)
            np.testing.assert_array_equal(npyfile.numbers(archive, entries[name], floats), array)


# --- the command ---
def test_the_command_writes_a_model(tmp_path, capsys):
    weights = saved(tmp_path / "w.npz", small())
    out = tmp_path / "m.npz"
    assert import_weights.main(["resnet32", str(weights), "--out", str(out), "--class-names", "cat", "dog", "ship",
                                "--mean", "0.5", "0.5", "0.4", "--std", "0.25"]) == 0
    assert "resnet32, 3 classes, 463,705 parameters" in capsys.readouterr().out
    model = npcbnet.load(out)
    assert model.class_names == ("cat", "dog", "ship") and json.dumps(model.record)
    right = load("resnet32", weights, class_names=["cat", "dog", "ship"], mean=(0.5, 0.5, 0.4), std=0.25)
    np.testing.assert_array_equal(model.predict_proba(some()), right.predict_proba(some()))


@pytest.mark.parametrize("words, match", [
    (["resnet32", "none.npz", "--out", "m.npz"], "none.npz: cannot be read"),
    (["lenet", "none.npz", "--out", "m.npz"], "weights are read for"),
    (["resnet32", "w.npz", "--out", "m.npz", "--size", "0"], "--size"),
    (["resnet32", "w.npz", "--out", "m.npz", "--mean", "1", "2"], "mean is a number"),
    (["resnet32", "w.npz", "--out", "m.npz", "--dtype", "int3"], "save stores"),
    (["resnet32", "w.npz", "--out", "m.npz", "--stem", "imagenet"], "leave it out"),
    (["resnet32", "w.npz", "--out", "m.npz", "--class-names", "a", "b"], "2 class names, but the weights have 3"),
    (["resnet50", "w.npz", "--out", "m.npz"], "does not fit resnet50")])
def test_the_command_tells_a_mistake_in_one_line(words, match, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "w.npz", small())
    assert import_weights.main(words) == 2
    said = capsys.readouterr().err
    assert match in said and said.count("\n") == 1 and not (tmp_path / "m.npz").exists()


def test_the_examples_of_the_help_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved("weights.npz", torchvision.drawn(torchvision.mobilenetv2_shapes(10), np.random.default_rng(0)))
    saved("cifar.npz", torchvision.drawn(torchvision.resnet_shapes("resnet32", 10, 3), np.random.default_rng(0)))
    lines = import_weights.EXAMPLE.replace("\\\n", " ").splitlines()[1:]
    assert len(lines) == 2
    for line in lines:
        python, m, module, *words = line.split()
        assert (python, m, module) == ("python", "-m", "npcbnet.import_weights")
        assert import_weights.main(words) == 0
