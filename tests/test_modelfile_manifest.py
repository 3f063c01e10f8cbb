"""Manifests that are no manifest, or have one thing wrong. The helpers are those of test_modelfile_hostile."""
import json
import pickle
import zipfile

import numpy as np
import pytest

from npcbnet import manifest as manifests, npyfile
from npcbnet.npyfile import header
from tests.test_modelfile_hostile import WEIGHT, good, npy, pack, refused, unpack  # noqa: F401


@pytest.mark.parametrize("text, match", [
    (b"not json", "manifest is not JSON"), (b"[" * 100_000, "nested too deeply|not JSON"),
    (b'{"a":' * 50_000, "nested too deeply|not JSON"),
    (b"[]", "fields of format 1"), (b"null", "fields of format 1"), (b"{}", "fields of format 1"),
    (b"\xff\xfe\x00", "not JSON"),
    ('{"format": 1, "ü": 2}'.encode(), "not JSON"), (b"1" * 1_000_000, "a number of 1000000 digits"),
    (b"1." + b"1" * 1_000_000, "fields of format 1"), (b"1e999", "is not a finite number"),
    (b"NaN", "NaN is not a finite number"),
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


# --- one thing wrong: where, what, and the message ---
DROP = object()  # instead of a value: the field is taken out
FLAT, UP = {"layer": "flatten"}, {"layer": "upsample2d"}


def conv(**fields):
    return {"layer": "conv2d", "in_channels": 1, "out_channels": 5, "kernel": 5, "stride": 1, "pad": 3, **fields}


def dense(features, outputs):
    return {"layer": "dense", "in_features": features, "out_features": outputs}


def pool(kernel, stride, pad):
    return {"layer": "avgpool2d", "kernel": kernel, "stride": stride, "pad": pad,
            "ceil_mode": False, "count_pad": False}


def residual(*body, **fields):
    return {"layer": "residual", "body": list(body), **fields}


def beside(first, second):
    return {"layer": "concatenate", "first": first, "second": second}


def nested(levels):
    return residual(nested(levels - 1)) if levels else {"layer": "relu"}


def edit(manifest, path, value):
    """Set what lies at `path`, steps between slashes, to `value`."""
    *way, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    for step in way:
        manifest = manifest[step]
    if value is DROP:
        del manifest[last]
    else:
        manifest[last] = value


EDITS = {
    "classifier": [
        ("format", 3, r"written by a newer npcbnet \(format 3, this one reads 2\); install a newer npcbnet"),
        ("format", 0, "fields of format 1"),
        ("format", True, "fields of format 1"),
        ("format", "1", "fields of format 1"),
        ("format", 1.0, "fields of format 1"),
        ("more", 1, "fields of format 1"),
        ("record", DROP, "fields of format 1"),
        ("record", [], "record is not a dictionary"),
        ("preprocessing", "minus the mean", "preprocessing is not"),
        ("kind", "resnet", "unknown kind of model 'resnet'; this version knows"),
        ("kind", ["cbnet"], "unknown kind"),
        ("kind", "os.system", "unknown kind"),
        ("kind", "branchynet", "has no 'stem'"),
        ("kind", "cbnet", "has no 'converter'"),
        ("config", [1], "configuration is list"),
        ("config", None, "configuration is NoneType"),
        ("config/threshold", 0.5, "a field too many"),
        ("config/evil", [{"layer": "relu"}], "a field too many"),
        ("config/net", DROP, "has no 'net'"),
        ("config/class_names", DROP, "class_names must be"),
        ("config/input_shape", [1, 12], "input_shape must be"),
        ("config/input_shape", "1x12x12", "input_shape must be"),
        ("config/input_shape", [True, 12, 12], "input_shape must be"),
        ("config/input_shape", [1, -12, 12], "input_shape must be"),
        ("config/input_shape", [1, 12.0, 12], "input_shape must be"),
        ("config/input_shape", 7, "input_shape must be"),
        ("config/input_shape", [1, 100_000, 100_000], "images of 10,000,000,000 values"),
        ("config/input_shape", [1, 40, 40], "cannot work: layer .* takes"),
        ("config/class_names", [1, 2, 3], "class_names must be"),
        ("config/class_names", "abc", "class_names must be"),
        ("config/class_names", {"a": 1}, "class_names must be"),
        ("config/class_names", ["a", "b"], "2 classes"),
        ("config/class_names", ["a", "b", ""], "class_names must be"),
        ("config/class_names", ["a", "b", "c\n"], "'class_names'"),
        ("config/class_names", ["a", "b", "\ud800"], "'class_names'"),
        ("config/class_names", ["a", "b", "x" * 300], "'class_names'"),
        ("config/class_names", ["x"] * 200_000, "3 *classes|200000 classes"),
        ("config/class_names", ["a"], "at least two"),
        ("config/net", [], "1 to 256 layers"),
        ("config/net", {"layer": "relu"}, "1 to 256 layers"),
        ("config/net", [{"layer": "relu"}] * 10_000, "1 to 256 layers"),
        ("config/net", "relu", "1 to 256 layers"),
        ("config/net/0", [conv()], "unknown layer"),
        ("config/net/0", "conv2d", "unknown layer"),
        ("config/net/0/layer", "lambda", "unknown layer 'lambda'"),
        ("config/net/0/layer", ["conv2d"], "unknown layer"),
        ("config/net/0/layer", "sequential", "unknown layer 'sequential'"),
        ("config/net/0/layer", DROP, "unknown layer"),
        ("config/net/0/evil", 1, "has the fields"),
        ("config/net/0/pad", DROP, "has the fields"),
        ("config/net/0/kernel", "5", "kernel must be a whole number"),
        ("config/net/0/kernel", 5.0, "kernel must be"),
        ("config/net/0/kernel", True, "kernel must be"),
        ("config/net/0/stride", 0, "stride must be"),
        ("config/net/0/pad", -1, "pad must be"),
        ("config/net/0/kernel", None, "'kernel'.*cannot be None"),
        ("config/net/0/out_channels", 10 ** 19, "'out_channels'.*too large"),
        ("config/net/0/kernel", 5000, "a kernel of 5000"),
        ("config/net/0/stride", 5000, "a stride of 5000"),
        ("config/net/1/stride", 10 ** 6, "a stride of 1000000"),
        ("config/net/0/kernel", [[[[5]]]], "too deep"),
        ("config/net/1/ceil_mode", "yes", "ceil_mode must be|another type"),
        ("config/net/1/ceil_mode", 1, "ceil_mode must be|another type"),
        ("config/net/1/stride", [2], "stride must be"),
        ("config/net/0/out_channels", 2 ** 30, "cannot work"),
        ("config/net/7/in_features", 91, "cannot work"),
        ("config/net/7/out_features", 4, "output of shape"),
        ("config/net", [*[UP] * 200, FLAT, dense(3, 3)], "cannot work"),
        ("config/net", [*[UP] * 12, pool(1, 1024, 0), FLAT, dense(2304, 3)], "values of one image"),
        ("config/net", [pool(10 ** 9, 1, 5 * 10 ** 8), FLAT, dense(169, 3)], "a kernel of"),
        ("config/net", [FLAT, dense(144, 2 ** 31 - 1), dense(2 ** 31 - 1, 3)], "3.18e.11 parameters"),
        ("config/net", [nested(3), FLAT, dense(144, 3)], "disagree about"),
        ("config/net", [nested(4), FLAT, dense(144, 3)], "too deep"),
        ("config/net", [nested(90), FLAT, dense(144, 3)], "too deep"),
        ("config/net", [residual(residual([[[5]]]))], "too deep"),
        ("config/net", [residual(conv(kernel=[[[5]]]))], "too deep|kernel must be"),
        ("config/net", [residual(conv(kernel=5000))], "a kernel of 5000"),
        ("config/net", [residual(conv(evil=1))], "has the fields"),
        ("config/net", [residual({"layer": "lambda"})], "unknown layer 'lambda'"),
        ("config/net", [residual()], "'body' in its configuration must be a list of 1 to 256"),
        ("config/net", [residual(*[{"layer": "relu"}] * 256)], "holds more than 256 layers"),
        ("config/net", [residual(*[residual(*[{"layer": "relu"}] * 60)] * 5)], "holds more than 256 layers"),
        ("config/net", [{"layer": "residual", "body": {"layer": "relu"}}], "'body' in its configuration must be"),
        ("config/net", [residual({"layer": "relu"}, shortcut=None)], "'shortcut'.*(cannot be None|must be a list)"),
        ("config/net", [beside([conv(), conv(in_channels=5)], [conv(kernel=5000)])], "a kernel of 5000"),
        ("config/net", [beside([conv()], [])], "'second' in its configuration must be a list of 1 to 256"),
        ("config/net", [beside([conv(pad=2)], [conv()])], "the first way makes .5, 12, 12., the second"),
        ("config/net", [beside([{"layer": "relu"}] * 200, [{"layer": "relu"}] * 200)], "holds more than 256 layers"),
        ("config/net", [{"layer": "concatenate", "first": [conv()]}], "has the fields"),
        ("config/net", [beside([beside([nested(2)], [conv()])], [conv()]), FLAT], "too deep"),
        ("config/net", [residual(FLAT)], "the body makes .144,., the shortcut .1, 12, 12."),
        ("config/net", [residual(conv(kernel=1, pad=0, out_channels=2 ** 22),
                                 conv(kernel=1, pad=0, in_channels=2 ** 22, out_channels=1)), FLAT, dense(144, 3)],
         "values of one image"),
        ("config/net/0", conv(groups=1), "a field too many"),
        ("config/net/0", conv(groups=3), "groups must divide"),
        ("config/net/0", conv(groups=0), "groups must be"),
        ("config/net/0", conv(bias=True), "a field too many"),
        ("config/net/0", conv(bias=0), "bias must be"),
        ("config/net", [{"layer": "batchnorm2d", "channels": 1, "eps": 0, "momentum": 0.1}], "eps must be above 0"),
        ("config/net", [{"layer": "batchnorm2d", "channels": 2 ** 30, "eps": 1e-5, "momentum": 0.1}], "cannot work"),
        ("arrays", [], "disagree about 'arrays'"),
        (f"arrays/{WEIGHT}", DROP, f"disagree about '{WEIGHT}'"),
        ("arrays/net.99.weight", {}, "disagree about 'net.99.weight'"),
        (f"arrays/{WEIGHT}", 1, "does not describe"),
        (f"arrays/{WEIGHT}/dtype", "|O", "described as"),
        (f"arrays/{WEIGHT}/dtype", "<f8", "described as"),
        (f"arrays/{WEIGHT}/dtype", {}, "described as"),
        (f"arrays/{WEIGHT}/shape", [5, 5, 5], "described as"),
        (f"arrays/{WEIGHT}/shape", None, "described as"),
        (f"arrays/{WEIGHT}/more", 1, "does not describe"),
        (f"arrays/{WEIGHT}/dtype", "<f2", "is not stored as <f2"),
        (f"arrays/{WEIGHT}/sha256", "0" * 64, "checksum"),
        (f"arrays/{WEIGHT}/sha256", None, "checksum"),
    ],
    "branchynet": [
        ("config/threshold", "low", "threshold"),
        ("config/threshold", -1, "threshold"),
        ("config/threshold", True, "threshold"),
        ("config/threshold", [0.5], "threshold"),
        ("config/threshold", 1, "a value of another type"),
        ("config/threshold", 1e300, "'threshold'"),
        ("config/trunk", DROP, "has no 'trunk'"),
        ("config/branch", [{"layer": "flatten"}], "the branch ends in an output of shape"),
        ("config/stem", [UP] * 12, "cannot work|values of one image"),
    ],
    "cbnet": [
        ("config/converter", [], "converter must have the fields"),
        ("config/converter/total", DROP, "must have the fields"),
        ("config/converter/evil", 1, "must have the fields"),
        ("config/converter/hidden", "64", "hidden cannot be"),
        ("config/converter/hidden", [], "one activation for each"),
        ("config/converter/hidden", [6, "4"], "whole number"),
        ("config/converter/hidden", [6, -4], "whole number"),
        ("config/converter/hidden", [6, 2 ** 31 - 1], "parameters"),
        ("config/converter/hidden", [6] * 500, "more than 256 layers"),
        ("config/converter/activations", ["relu", ["linear"]], "not names"),
        ("config/converter/activations", ["relu", "exec"], "'relu' or 'linear'"),
        ("config/converter/halve_input", "no", "halve_input cannot be 'no'"),
        ("config/converter/residual", 1, "residual cannot be"),
        ("config/converter/residual", True, "must be 'linear'"),
        ("config/converter/output", ["softmax"], "output cannot be"),
        ("config/converter/output", "tanh", "output is one of"),
        ("config/converter/total", 0, "total must be"),
        ("config/converter/total", True, "total cannot be"),
        ("config/converter/total", "30", "total cannot be"),
        ("config/input_shape", [1, 11, 11], "needs even sides"),
        ("config/net/0/kernel", 6, "cannot work|disagree|described"),
    ],
}


@pytest.mark.parametrize("kind, number", [(kind, i) for kind, edits in EDITS.items() for i in range(len(edits))])
def test_manifests_with_one_thing_wrong(kind, number, tmp_path, good):
    path, value, match = EDITS[kind][number]
    manifest, entries = unpack(good[kind])
    edit(manifest, path, value)
    refused(pack(tmp_path / "m.npz", manifest, entries), match)


def test_ten_million_class_names(tmp_path, good):
    manifest, entries = unpack(good["classifier"])
    manifest["config"]["class_names"] = ["a"] * 10_000_000
    refused(pack(tmp_path / "m.npz", manifest, entries), "would unpack to|its manifest claims", mib=8)


def test_limits_agree():
    """Whatever the largest allowed model needs, the file's own limits allow."""
    around = manifests.MAX_MANIFEST_BYTES + 512 * npyfile.MAX_ENTRIES
    assert npyfile.MAX_FILE_BYTES >= 4 * manifests.MAX_PARAMETERS + around
    assert npyfile.MAX_ENTRIES >= 3 * 4 * manifests.MAX_LAYERS + 1  # parts of a net, arrays of a BatchNorm2d
    assert len(header("<f4", (manifests.MAX_NUMBER,) * 4)) == npyfile.HEADER
