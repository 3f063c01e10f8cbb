"""Layers that compute some of their neurons: against tap-by-tap sums, the whole layers, gradients; in model files."""
import copy
import hashlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import npcbnet
from npcbnet.errors import ModelFileError, ShapeError, UsageError
from npcbnet.gradcheck import gradcheck
from npcbnet.kernels._jit import COMPILED
from npcbnet.layers import (LAYERS, ActiveConv2d, ActiveDense, Conv2d, Dense, Flatten, ReLU, Residual, Sequential,
                            from_config, initialise)
from npcbnet.nets import Classifier
from tests.runtime_models import names
from tests.test_modelfile_hostile import npy, pack, refused, unpack

some = settings(max_examples=25 if COMPILED else 8, deadline=None, suppress_health_check=list(HealthCheck))
seeds = st.integers(0, 2 ** 32 - 1)


def filled(layer, rng, dtype=np.float32):
    """The layer with random weights, biases and levels 0, 1 and 127."""
    layer.params = {name: rng.choice([0, 1, 127], shape).astype(np.int8) if name in layer.levels
                    else rng.standard_normal(shape).astype(dtype) for name, shape in layer.param_shapes().items()}
    return layer


def a_conv(rng):
    """A random ActiveConv2d and the shape of its images."""
    kernel, stride = int(rng.integers(1, 6)), int(rng.integers(1, 4))
    pad, least = int(rng.integers(0, kernel)), kernel
    H, W = (int(side) for side in rng.integers(least, least + 6, 2))
    C, F = (int(count) for count in rng.integers(1, 6, 2))
    _, P, Q = Conv2d(C, F, kernel, stride, pad).output_shape((C, H, W))
    return ActiveConv2d(C, F, kernel, stride, pad, P, Q, int(rng.integers(0, 2))), (C, H, W)


def whole(layer):
    """The layer that computes all neurons with the same weights."""
    if isinstance(layer, ActiveDense):
        made = Dense(layer.in_features, layer.out_features)
    else:
        made = Conv2d(layer.in_channels, layer.out_channels, layer.kernel, layer.stride, layer.pad)
    made.params = {name: layer.params[name] for name in ("weight", "bias")}
    return made


@given(seeds, st.sampled_from([1, 2, 7, 16, 33]))
@some
def test_conv_is_the_whole_convolution_where_it_is_active(seed, N):
    rng = np.random.default_rng(seed)
    layer, shape = a_conv(rng)
    filled(layer, rng)
    on, x = layer.params["level"] <= layer.upto, rng.standard_normal((N, *shape)).astype(np.float32)
    y, backward = layer.forward(x)
    everything = whole(layer).forward(x)[0]
    assert backward is None and y.dtype == np.float32 and not y[:, ~on].any()
    if COMPILED:
        assert np.array_equal(y[:, on], everything[:, on])  # the same chain of multiply-adds: the same bits
    np.testing.assert_allclose(y, everything * on, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(layer.forward(x, train=True)[0], y, rtol=1e-4, atol=1e-4)
    assert layer.macs(shape) == on.sum() * layer.in_channels * layer.kernel ** 2


@given(seeds)
@some
def test_conv_tap_by_tap(seed):
    """Output and gradients from the definition: every pair that it multiplies, one by one."""
    rng = np.random.default_rng(seed)
    layer, shape = a_conv(rng)
    filled(layer, rng, np.float64)
    weight, level, x = layer.params["weight"], layer.params["level"], rng.standard_normal((2, *shape))
    y, backward = layer.forward(x, train=True)
    dy = rng.standard_normal(y.shape)
    dx, grads = backward(dy)
    expected, dx_expected, dw_expected = np.zeros(y.shape), np.zeros(x.shape), np.zeros(weight.shape)
    db_expected = np.zeros(len(weight))
    for n, f, p, q in np.ndindex(y.shape):
        if level[f, p, q] > layer.upto:
            continue
        expected[n, f, p, q] = layer.params["bias"][f]
        db_expected[f] += dy[n, f, p, q]
        for c, k, l in np.ndindex(weight.shape[1:]):
            h, w = p * layer.stride + k - layer.pad, q * layer.stride + l - layer.pad
            if 0 <= h < x.shape[2] and 0 <= w < x.shape[3]:
                expected[n, f, p, q] += x[n, c, h, w] * weight[f, c, k, l]
                dx_expected[n, c, h, w] += dy[n, f, p, q] * weight[f, c, k, l]
                dw_expected[f, c, k, l] += dy[n, f, p, q] * x[n, c, h, w]
    for result, right in ((y, expected), (layer.forward(x)[0], expected), (dx, dx_expected),
                          (grads["weight"], dw_expected), (grads["bias"], db_expected)):
        np.testing.assert_allclose(result, right, rtol=1e-9, atol=1e-9)
    assert grads["level"].dtype == np.int8 and not grads["level"].any()


@given(seeds, st.sampled_from([1, 3, 40]))
@some
def test_dense_multiplies_what_is_active(seed, N):
    rng = np.random.default_rng(seed)
    layer = filled(ActiveDense(*(int(size) for size in rng.integers(1, 40, 2)), int(rng.integers(0, 2))), rng,
                   np.float64)
    weight, bias, level, inputs = (layer.params[name] for name in ("weight", "bias", "level", "input_level"))
    x = rng.standard_normal((N, layer.in_features))
    y, backward = layer.forward(x, train=True)
    dy = rng.standard_normal(y.shape)
    dx, grads = backward(dy)
    on, read = level <= layer.upto, inputs <= layer.upto
    kept = weight * np.outer(read, on)
    for result, right in ((y, (x @ kept + bias) * on), (layer.forward(x)[0], (x @ kept + bias) * on),
                          (dx, dy @ kept.T), (grads["weight"], x.T @ dy * np.outer(read, on)),
                          (grads["bias"], dy.sum(axis=0) * on)):
        np.testing.assert_allclose(result, right, rtol=1e-9, atol=1e-9)
    assert layer.macs((layer.in_features,)) == on.sum() * read.sum()
    assert not any(grads[name].any() for name in layer.levels)


@pytest.mark.parametrize("seed", range(4))
def test_gradients_by_finite_differences(seed):
    rng = np.random.default_rng(seed)
    conv, shape = a_conv(rng)
    assert gradcheck(filled(conv, rng, np.float64), rng.standard_normal((3, *shape)), rng) < 1e-6
    layer = filled(ActiveDense(7, 9, seed % 2), rng, np.float64)
    assert gradcheck(layer, rng.standard_normal((4, 7)), rng) < 1e-6


def test_a_greater_level_keeps_what_a_smaller_one_has():
    rng = np.random.default_rng(0)
    layer = filled(ActiveConv2d(2, 3, 3, 1, 1, 6, 5), rng)
    layer.params["level"] = rng.integers(0, 4, (3, 6, 5)).astype(np.int8)
    x, before = rng.standard_normal((2, 2, 6, 5)).astype(np.float32), np.zeros((3, 6, 5), bool)
    for upto in range(4):
        layer.upto = upto
        now = layer.active()
        assert (before <= now).all() and now.sum() > before.sum()
        np.testing.assert_allclose(layer.forward(x)[0], whole(layer).forward(x)[0] * now, atol=1e-5)
        before = now
    assert now.all()


def test_nothing_active_is_zero_whatever_comes():
    conv = filled(ActiveConv2d(1, 2, 3, 1, 1, 4, 4), np.random.default_rng(0))
    layer = filled(ActiveDense(16, 3), np.random.default_rng(0))
    conv.params["level"][:] = layer.params["level"][:] = 127
    for train in (False, True):
        assert not conv.forward(np.full((2, 1, 4, 4), np.nan, np.float32), train)[0].any()
        assert not layer.forward(np.full((2, 16), np.nan, np.float32), train)[0].any()
    assert conv.macs((1, 4, 4)) == layer.macs((16,)) == 0
    layer.params["level"][:], layer.params["input_level"][:] = 0, 127
    assert np.array_equal(layer.forward(np.full((1, 16), np.nan, np.float32))[0][0], layer.params["bias"])


def test_configuration_shapes_and_manners():
    conv, layer = ActiveConv2d(2, 4, 3, 2, 1, 5, 6), ActiveDense(7, 3, upto=5)
    assert "upto" not in conv.config() and layer.config()["upto"] == 5
    for each in (conv, layer):
        assert LAYERS[each.name] is type(each) and from_config(each.config()).config() == each.config()
        assert each.config().keys() >= {"layer"} and each.integers == each.levels == each.statistics
        with pytest.raises(UsageError, match="not initialised"):
            initialise(each, np.random.default_rng(0))
    assert conv.output_shape((2, 10, 12)) == (4, 5, 6) and conv.macs((2, 10, 12)) == 4 * 5 * 6 * 18
    assert layer.macs((7,)) == 21
    for shape in ((2, 12, 12), (3, 10, 12), (2, 10)):
        with pytest.raises(ShapeError, match="Conv2d"):
            conv.output_shape(shape)
    with pytest.raises(ShapeError, match="ActiveDense"):
        layer.output_shape((8,))
    for upto in (-1, 127, 1.0, True, "2", None):
        with pytest.raises(ShapeError, match="upto must be a whole number in 0..126"):
            ActiveDense(2, 2, upto)
    for fields in ((0, 1, 3, 1, 1, 5, 5), (1, 1, 3, 1, 3, 5, 5), (1, 1, 3, 1, 1, 0, 5), (1, 1, 3, 1, 1, 5, 2.5)):
        with pytest.raises(ShapeError, match="ActiveConv2d"):
            ActiveConv2d(*fields)


# --- model files ---
def small(seed=0):
    """A Classifier with levels in a residual, too."""
    rng = np.random.default_rng(seed)
    net = Sequential([filled(ActiveConv2d(1, 4, 3, 1, 1, 8, 8, 1), rng), ReLU(),
                      Residual(Sequential([filled(ActiveConv2d(4, 4, 3, 1, 1, 8, 8), rng)])), Flatten(),
                      filled(ActiveDense(256, 3), rng)])
    return Classifier(net, (1, 8, 8), names(3))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_levels_are_stored_as_they_are(dtype, tmp_path):
    model = small()
    npcbnet.save(model, tmp_path / "m.npz", dtype=dtype)
    found = npcbnet.load(tmp_path / "m.npz")
    assert found.config() == model.config() and found.macs() == model.macs()
    assert model.levels == ("net.0.level", "net.2.body.0.level", "net.4.level", "net.4.input_level")
    assert all(np.array_equal(found.params[name], model.params[name]) for name in model.levels)
    images = np.random.default_rng(0).integers(0, 256, (5, 1, 8, 8), np.uint8)
    if dtype == "float32":
        assert np.array_equal(found.predict_proba(images), model.predict_proba(images))
    npcbnet.save(found, tmp_path / "again.npz", dtype=dtype)
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "m.npz").read_bytes()
    assert model.parameter_count() == sum(array.size for name, array in model.params.items()
                                          if name not in model.levels)


@pytest.mark.parametrize("name", small().levels)
@pytest.mark.parametrize("value", [-1, -128])
def test_levels_that_are_none_are_neither_saved_nor_loaded(name, value, tmp_path):
    model = small()
    npcbnet.save(model, tmp_path / "good.npz")
    model.params[name].ravel()[-1] = value
    with pytest.raises(ModelFileError, match=f"'{name}' holds levels below 0"):
        npcbnet.save(model, tmp_path / "m.npz")
    manifest, entries = unpack((tmp_path / "good.npz").read_bytes())
    manifest["arrays"][name]["sha256"] = hashlib.sha256(model.params[name].tobytes()).hexdigest()
    pack(tmp_path / "m.npz", manifest, entries | {f"{name}.npy": npy(model.params[name])})
    refused(tmp_path / "m.npz", f"'{name}' holds levels below 0")


@pytest.mark.parametrize("place, field, value, match", [
    (0, "upto", -1, "upto must be"), (0, "upto", 127, "upto must be"), (0, "upto", 1.0, "upto must be"),
    (0, "upto", 0, "not that of a classifier"), (0, "rows", 9, "layer 1 of 5.*rows=9"),
    (0, "rows", 10 ** 9, "layer 1 of 5"), (0, "stride", 2, "layer 1 of 5"),
    (0, "kernel", 2000, "kernel of 2000"), (4, "in_features", 255, "cannot work"),
    (4, "upto", "1", "upto must be"), (4, "out_features", 10 ** 9, "cannot work|parameters")])
def test_configurations_that_do_not_fit(place, field, value, match, tmp_path):
    npcbnet.save(small(), tmp_path / "good.npz")
    manifest, entries = unpack((tmp_path / "good.npz").read_bytes())
    manifest["config"]["net"][place][field] = value
    refused(pack(tmp_path / "m.npz", manifest, entries), match, mib=8)


def test_levels_are_int8_of_their_shape_and_nothing_else(tmp_path):
    npcbnet.save(small(), tmp_path / "good.npz")
    manifest, entries = unpack((tmp_path / "good.npz").read_bytes())
    for dtype in ("<f4", "|u1", "<i8"):
        changed = copy.deepcopy(manifest)
        changed["arrays"]["net.0.level"]["dtype"] = dtype
        refused(pack(tmp_path / "m.npz", changed, entries), "'net.0.level' is described as")
    for array in (np.zeros((4, 8, 7), np.int8), np.zeros((4, 8, 8), np.int64), np.zeros(3, np.int8)):
        refused(pack(tmp_path / "m.npz", manifest, entries | {"net.0.level.npy": npy(array)}), "is not stored as .i1")
