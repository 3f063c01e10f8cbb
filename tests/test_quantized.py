"""Layers of 8-bit integers: against sums written from their definition, in the engine bit by bit, in model files."""
import copy
import hashlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import npcbnet
from npcbnet.errors import ModelFileError, NpcbnetError, ShapeError, UsageError
from npcbnet.layers import (LAYERS, Clip, Conv2d, Dense, Flatten, MaxPool2d, QuantizedConv2d, QuantizedDense, ReLU,
                            Sequential, from_config, initialise)
from npcbnet.layers.quantized import MOST_SUMMED
from npcbnet.nets import Classifier
from npcbnet.runtime.library import Library, emit
from npcbnet.runtime.models import program_of
from npcbnet.runtime.target import CORTEX_A72
from tests.runtime_models import TARGETS, kernels, names, needs_engine
from tests.test_modelfile_hostile import npy, pack, refused, unpack
from tests.test_runtime_arm import count, main_loop

some = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
seeds = st.integers(0, 2 ** 32 - 1)


def filled(layer, rng, unit=0.05):
    """The quantised layer with random parameters, extreme weights among them."""
    outputs = layer.param_shapes()["bias"][0]
    layer.params = {"weight": rng.integers(-127, 128, layer.param_shapes()["weight"]).astype(np.int8),
                    "weight_scale": rng.uniform(0.001, 0.01, outputs).astype(np.float32),
                    "input_scale": np.array([unit], np.float32),
                    "bias": rng.normal(0, 1, outputs).astype(np.float32)}
    return layer


def integers_of(layer, x):
    """q of the definition, int64, in plain NumPy."""
    low, high = (-127, 127) if layer.signed else (0, 255)
    return np.rint(x / layer.params["input_scale"][0]).clip(low, high).astype(np.int64)


def finished(layer, sums):
    """int64 sums (N, O, ...) -> the layer's result."""
    scale = layer.params["input_scale"][0] * layer.params["weight_scale"]
    along = (1, -1) + (1,) * (sums.ndim - 2)
    return sums.astype(np.float32) * scale.reshape(along) + layer.params["bias"].reshape(along)


def a_dense(rng):
    return QuantizedDense(int(rng.integers(1, 90)), int(rng.integers(1, 150)), bool(rng.integers(2)))


def a_conv(rng):
    groups, kernel = int(rng.choice([1, 1, 2, 3])), int(rng.integers(1, 6))
    return QuantizedConv2d(groups * int(rng.integers(1, 5)), groups * int(rng.integers(1, 9)), kernel,
                           int(rng.integers(1, 4)), int(rng.integers(0, kernel)), groups, bool(rng.integers(2)))


@given(seeds)
@some
def test_dense_is_the_sum_of_its_integers(seed):
    rng = np.random.default_rng(seed)
    layer = filled(a_dense(rng), rng)
    x = rng.normal(0, 5, (4, layer.in_features)).astype(np.float32)
    y, backward = layer.forward(x)
    wanted = finished(layer, integers_of(layer, x) @ layer.params["weight"].astype(np.int64))
    assert backward is None and y.dtype == np.float32
    assert np.array_equal(y, wanted)


@given(seeds)
@some
def test_conv_is_the_sum_of_its_integers(seed):
    rng = np.random.default_rng(seed)
    layer = filled(a_conv(rng), rng)
    x = rng.normal(0, 5, (2, layer.in_channels, *rng.integers(5, 9, 2))).astype(np.float32)
    q = np.pad(integers_of(layer, x), ((0, 0), (0, 0), (layer.pad,) * 2, (layer.pad,) * 2))
    weight, K, s = layer.params["weight"].astype(np.int64), layer.kernel, layer.stride
    sums = np.zeros((2, *layer.output_shape(x.shape[1:])), np.int64)
    per_in, per_out = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    for n, f, p, o in np.ndindex(sums.shape):
        first = f // per_out * per_in
        sums[n, f, p, o] = (weight[f] * q[n, first:first + per_in, p * s:p * s + K, o * s:o * s + K]).sum()
    assert np.array_equal(layer.forward(x)[0], finished(layer, sums))


def test_the_largest_sum_that_may_be_is_exact_in_32_bits():
    layer = filled(QuantizedDense(MOST_SUMMED, 1), np.random.default_rng(0))
    layer.params["weight"][:] = -128  # no quantised weight, but a file may hold it
    sums = layer.sums(np.full((1, MOST_SUMMED), 255.0), layer.params["weight"].astype(np.float64))
    assert -2 ** 31 <= sums[0, 0] == -128 * 255 * MOST_SUMMED
    with pytest.raises(ShapeError, match="32 bits hold the sum of"):
        QuantizedDense(MOST_SUMMED + 1, 1)
    with pytest.raises(ShapeError, match="32 bits"):
        QuantizedConv2d(MOST_SUMMED // 9 + 1, 1, 3)


def test_they_only_predict_and_are_not_initialised():
    for layer, shape in ((filled(QuantizedDense(3, 2), np.random.default_rng(0)), (1, 3)),
                         (filled(QuantizedConv2d(3, 2, 1), np.random.default_rng(0)), (1, 3, 2, 2))):
        with pytest.raises(UsageError, match="cannot be trained; train the model first"):
            layer.forward(np.zeros(shape, np.float32), train=True)
        with pytest.raises(UsageError, match="npcbnet.compress, not initialised"):
            initialise(layer, np.random.default_rng(0))
        with pytest.raises(ShapeError):
            layer.forward(np.zeros((1, 5), np.float32))
        assert LAYERS[layer.name] is type(layer)
        assert from_config(layer.config()).config() == layer.config() and "signed" not in layer.config()


def test_nan_stays_with_its_image():
    for layer, shape in ((QuantizedDense(6, 4), (3, 6)), (QuantizedConv2d(2, 3, 3, pad=1), (3, 2, 4, 4))):
        filled(layer, np.random.default_rng(0))
        x = np.random.default_rng(1).random(shape).astype(np.float32)
        right = layer.forward(x)[0]
        x[1] = np.nan
        y = layer.forward(x)[0]
        assert np.isnan(y[1]).all() and np.array_equal(y[[0, 2]], right[[0, 2]])


# --- the engine ---
def random_net(rng):
    """A Classifier whose layers compute with integers, of random shapes."""
    shape = (int(rng.choice([1, 3])), int(rng.integers(5, 30)), int(rng.integers(5, 30)))
    layers, unit = [], 1 / 255
    now = shape
    for _ in range(rng.integers(0, 4)):
        groups = int(rng.choice([g for g in (1, 2, 3) if now[0] % g == 0]))
        kernel = int(rng.integers(1, min(6, *now[1:]) + 1))
        layers.append(filled(QuantizedConv2d(now[0], groups * int(rng.integers(1, 14)), kernel, int(rng.integers(1, 3)),
                                             int(rng.integers(0, kernel)), groups, bool(rng.integers(2))), rng, unit))
        layers += [[], [ReLU()], [MaxPool2d(2), ReLU()], [MaxPool2d(2)], [MaxPool2d(3, 2)]][
            rng.integers(5) if min(layers[-1].output_shape(now)[1:]) > 3 else 1]
        now, unit = Sequential(layers).output_shape(shape), 0.03
    layers.append(Flatten())
    for size in (int(rng.integers(1, 200)), 5):
        features = Sequential(layers).output_shape(shape)[0]
        layers += [filled(QuantizedDense(features, size, bool(rng.integers(2))), rng, unit), Clip(-9, 9)]
        layers[-2].params["weight_scale"] /= np.sqrt(features, dtype=np.float32)
        unit = 0.04
    return Classifier(Sequential(layers), shape, names(5))


@needs_engine
@pytest.mark.parametrize("target", TARGETS)
def test_the_engine_computes_the_very_integers(target):
    """The logits are the same bits; softmax is rounded in another order."""
    from npcbnet.runtime.predictor import Predictor

    @some
    @given(seeds)
    def check(seed):
        rng = np.random.default_rng(seed)
        model = random_net(rng)
        images = rng.integers(0, 256, (37, *model.input_shape), np.uint8)
        images[rng.random(images.shape) < rng.random()] = 0
        wanted, predictor = model.predict_proba(images), Predictor(model, kernels=kernels(target))
        for count in (1, 2, 37):
            np.testing.assert_allclose(predictor.predict_proba(images[:count]), wanted[:count], rtol=1e-5, atol=1e-6)

    check()


@needs_engine
def test_a_model_whose_values_might_overflow_before_integers_is_not_compiled():
    """NaN cannot be an integer: it would turn into a confident answer."""
    rng = np.random.default_rng(0)
    float_layer = initialise(Dense(9, 6), rng)
    float_layer.params["weight"] *= np.float32(1e37)
    net = Sequential([Flatten(), float_layer, filled(QuantizedDense(6, 3), rng)])
    with pytest.raises(UsageError, match="might overflow"):
        npcbnet.runtime.compile(Classifier(net, (1, 3, 3), names(3)))



@needs_engine
def test_on_a_pi_pairs_are_multiplied_in_vectors():
    """smull and addp, a Cortex-A72's way to pmaddwd; nothing one by one, and most sums stay in registers."""
    asked = []

    class Listing:
        target = CORTEX_A72

        @staticmethod
        def address(name, /, **fixed):
            asked.append((name, fixed))
            return 0

    rng = np.random.default_rng(0)
    net = Sequential([filled(QuantizedConv2d(5, 10, 5, pad=2), rng), MaxPool2d(2), Flatten(),
                      filled(QuantizedDense(490, 84), rng), filled(QuantizedDense(84, 10), rng)])
    for vectors in (0, 1):
        program_of(Classifier(net, (5, 14, 14), names(10)), Listing, vectors)
    seen = set()
    for name, fixed in asked:
        if name.startswith("integer") or fixed.get("pairs") and name != "finish_plane":
            text = emit(Library(CORTEX_A72).text(name, **fixed), CORTEX_A72, assembly=True)
            loop = main_loop(text, "smull2?")
            assert count(loop, r"smull2?\s+v") >= 6 and count(loop, r"addp\s+v") >= 3, (name, fixed)
            assert count(loop, r"st[rp]\s+q.*\[(?:sp|x29)") * 8 <= count(loop, "smull2?"), (name, fixed)
            seen.add(name)
    assert seen == {"conv_plane", "conv_group", "integer_one", "integer_group"}


# --- model files ---
def small(seed=0):
    """A Classifier of all that a file may hold: int8, scales, floats."""
    rng = np.random.default_rng(seed)
    net = Sequential([filled(QuantizedConv2d(1, 4, 3, pad=1, signed=True), rng), ReLU(),
                      initialise(Conv2d(4, 3, 3), rng), Flatten(), filled(QuantizedDense(300, 3), rng)])
    return Classifier(net, (1, 12, 12), names(3))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_integers_and_scales_are_stored_as_they_are(dtype, tmp_path):
    model = small()
    npcbnet.save(model, tmp_path / "m.npz", dtype=dtype)
    with np.load(tmp_path / "m.npz", allow_pickle=False) as file:
        assert file["net.0.weight"].dtype == np.int8 and file["net.4.weight_scale"].dtype == np.float32
        assert file["net.2.weight"].dtype == np.dtype(dtype)
    found = npcbnet.load(tmp_path / "m.npz")
    assert found.config() == model.config()
    for name, array in found.params.items():
        assert array.dtype == model.params[name].dtype
        assert np.array_equal(array, model.params[name]) or (dtype == "float16" and name not in model.scales)
    images = np.random.default_rng(0).integers(0, 256, (5, 1, 12, 12), np.uint8)
    if dtype == "float32":
        assert np.array_equal(found.predict_proba(images), model.predict_proba(images))
    npcbnet.save(found, tmp_path / "again.npz", dtype=dtype)
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "m.npz").read_bytes()


def test_a_quantised_model_counts_its_bytes():
    model = small()
    whole = sum(model.params[name].size for name in model.integers)
    assert whole == 36 + 900
    assert model.parameter_bytes() == whole + 4 * sum(array.size for name, array in model.params.items()
                                                      if name not in model.integers)


@pytest.mark.parametrize("name", ["net.0.input_scale", "net.4.weight_scale"])
@pytest.mark.parametrize("value", [0, -0.1, 1e-13, 1e13, np.nan, np.inf])
def test_scales_that_are_none_are_neither_saved_nor_loaded(name, value, tmp_path):
    model = small()
    npcbnet.save(model, tmp_path / "good.npz")
    model.params[name][-1] = value
    with pytest.raises(ModelFileError, match=f"'{name}' holds (scales that are not between|NaN)"):
        npcbnet.save(model, tmp_path / "m.npz")
    manifest, entries = unpack((tmp_path / "good.npz").read_bytes())
    manifest["arrays"][name]["sha256"] = hashlib.sha256(model.params[name].tobytes()).hexdigest()
    pack(tmp_path / "m.npz", manifest, entries | {f"{name}.npy": npy(model.params[name])})
    refused(tmp_path / "m.npz", f"'{name}' holds (scales that are not between|NaN)")


def test_only_the_arrays_of_integers_may_be_integers(tmp_path):
    npcbnet.save(small(), tmp_path / "good.npz")
    manifest, entries = unpack((tmp_path / "good.npz").read_bytes())
    for name, dtype in (("net.0.weight", "<f4"), ("net.0.weight", "<f2"), ("net.2.weight", "|i1"),
                        ("net.4.input_scale", "<f2"), ("net.4.bias", "|i1"), ("net.0.weight", "|u1")):
        changed = copy.deepcopy(manifest)
        changed["arrays"][name]["dtype"] = dtype
        refused(pack(tmp_path / "m.npz", changed, entries), f"'{name}' is described as")
    zeros = np.zeros((4, 1, 3, 3), np.float32)
    refused(pack(tmp_path / "m.npz", manifest, entries | {"net.0.weight.npy": npy(zeros)}), "is not stored as .i1")
    huge = copy.deepcopy(manifest)
    huge["config"]["net"][4].update(in_features=10 ** 9)
    refused(pack(tmp_path / "m.npz", huge, entries), "32 bits hold the sum", mib=8)


def test_a_float_where_an_integer_belongs_is_not_saved(tmp_path):
    model = small()
    model.set_params({"net.0.weight": model.params["net.0.weight"].astype(np.float32)})
    with pytest.raises(ModelFileError, match="'net.0.weight' is float32; quantise the model anew"):
        npcbnet.save(model, tmp_path / "m.npz")
    assert issubclass(ModelFileError, NpcbnetError)


def test_a_strided_convolutions_peak_counts_the_sums_between():
    layer = QuantizedConv2d(1, 4096, 1, stride=1024)
    assert layer.output_shape((1, 1024, 1024)) == (4096, 1, 1) and layer.peak((1, 1024, 1024)) == 4096 * 1024 ** 2
