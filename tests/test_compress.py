"""npcbnet.compress: integers and pruned weights instead of trained floats, on drawn digits; the command around them."""
import json

import numpy as np
import pytest

import npcbnet
from npcbnet.compress.__main__ import main
from npcbnet.compress.prune import BLOCK, largest_blocks, prune
from npcbnet.compress.quantise import quantise
from npcbnet.compress.watch import layers_of
from npcbnet.data import digits
from npcbnet.errors import ShapeError, UsageError
from npcbnet.layers import (BatchNorm2d, Concatenate, Conv2d, Dense, Flatten, LeakyReLU, QuantizedConv2d,
                            QuantizedDense, ReLU, Residual, Sequential)
from npcbnet.nets import Classifier
from tests.runtime_models import filled, names

IMAGES, LABELS = digits.generate(600, seed=5)
SEEN, UNSEEN = slice(0, 300), slice(300, 600)


def accuracy(model):
    return (model.predict(IMAGES[UNSEEN]) == LABELS[UNSEEN]).mean()


def a_net(rng):
    """What the pretrained models have not: batch normalisation, residuals, groups, strides, negative inputs."""
    body = Sequential([Conv2d(8, 8, 3, pad=1, groups=2, bias=False), BatchNorm2d(8), LeakyReLU(0.1)])
    net = Sequential([Conv2d(1, 8, 5, 2, 2, bias=False), BatchNorm2d(8), Residual(body), Residual(Conv2d(8, 8, 1)),
                      Flatten(), Dense(8 * 14 * 14, 40), ReLU(), Dense(40, 10)])
    return Classifier(filled(net, rng), (1, 28, 28), names(10))


# --- integers ---
@pytest.mark.parametrize("name", ["digits-lenet", "digits-branchynet", "digits-lightweight", "digits-cbnet"])
def test_a_quantised_model_is_nearly_as_accurate_and_a_quarter_of_the_size(name, tmp_path):
    model = npcbnet.load(name)
    before = {key: array.copy() for key, array in model.params.items()}
    made = quantise(model, IMAGES[SEEN])
    assert all(np.array_equal(model.params[key], array) for key, array in before.items())
    assert type(made) is type(model) and not layers_of(made, (Dense, Conv2d))
    assert abs(accuracy(made) - accuracy(model)) < 0.015
    assert made.parameter_bytes() < 0.3 * model.parameter_bytes()
    npcbnet.save(made, tmp_path / "m.npz")
    found = npcbnet.load(tmp_path / "m.npz")
    assert found.config() == made.config()
    assert np.array_equal(found.predict_proba(IMAGES[:9]), made.predict_proba(IMAGES[:9]))
    if name == "digits-cbnet":
        assert np.array_equal(found.convert(IMAGES[:9]), made.convert(IMAGES[:9]))
    predictor = npcbnet.runtime.compile(found)
    np.testing.assert_allclose(predictor.predict_proba(IMAGES[:40]), made.predict_proba(IMAGES[:40]), atol=1e-5)


def test_scales_are_the_greatest_values_and_a_percentile_makes_them_smaller():
    model = npcbnet.load("digits-lenet")
    layers = [layers_of(quantise(model, IMAGES[SEEN], percentile), QuantizedConv2d) for percentile in (100, 90)]
    old, (first, *_) = layers_of(model, Conv2d), layers[0]
    assert first.params["input_scale"] == np.float32(1 / 255) and not first.signed  # pixels stay what they are
    for whole, clipped, conv in zip(*layers, old):
        assert clipped.params["input_scale"] <= whole.params["input_scale"]
        weight = conv.params["weight"]
        assert np.abs(whole.params["weight"]).reshape(len(weight), -1).max(axis=1).tolist() == [127] * len(weight)
        error = whole.params["weight"] * whole.params["weight_scale"][:, None, None, None] - weight
        assert (np.abs(error) <= 0.501 * whole.params["weight_scale"][:, None, None, None]).all()


def test_batch_normalisation_residuals_and_signs():
    model = a_net(np.random.default_rng(0))
    made = quantise(model, IMAGES[SEEN])
    kinds = [type(layer) for layer in layers_of(made, (QuantizedConv2d, QuantizedDense, BatchNorm2d))]
    assert kinds == [QuantizedConv2d] * 3 + [QuantizedDense] * 2
    signed = [layer.signed for layer in layers_of(made, (QuantizedConv2d, QuantizedDense))]
    assert signed == [False, True, True, True, False]
    p, q = model.predict_proba(IMAGES[UNSEEN]), made.predict_proba(IMAGES[UNSEEN])
    assert np.abs(p - q).mean() < 0.02 and (p.argmax(axis=1) == q.argmax(axis=1)).mean() > 0.9


def test_both_ways_of_a_concatenation():
    rng = np.random.default_rng(1)
    ways = Concatenate(Sequential([Conv2d(4, 6, 1)]), Sequential([Conv2d(4, 6, 3, pad=1), ReLU()]))
    net = Sequential([Conv2d(1, 4, 5, 2, 2), ReLU(), ways, Flatten(), Dense(12 * 14 * 14, 10)])
    model = Classifier(filled(net, rng), (1, 28, 28), names(10))
    made = quantise(model, IMAGES[SEEN])
    assert len(layers_of(made, QuantizedConv2d)) == 3 and not layers_of(made, Conv2d)
    p, q = model.predict_proba(IMAGES[UNSEEN]), made.predict_proba(IMAGES[UNSEEN])
    assert np.abs(p - q).mean() < 0.02
    compiled = npcbnet.runtime.compile(made).predict_proba(IMAGES[UNSEEN])
    np.testing.assert_allclose(compiled, q, atol=1e-5)


def test_convolutions_may_stay_floats():
    model = a_net(np.random.default_rng(0))
    made = quantise(model, IMAGES[SEEN], convolutions=False)
    assert layers_of(made, QuantizedDense) and not layers_of(made, QuantizedConv2d)
    assert len(layers_of(made, BatchNorm2d)) == len(layers_of(model, BatchNorm2d))
    p, q = model.predict_proba(IMAGES[UNSEEN]), made.predict_proba(IMAGES[UNSEEN])
    assert np.abs(p - q).mean() < 0.01


def test_what_cannot_be_quantised():
    model = npcbnet.load("digits-lightweight")
    with pytest.raises(UsageError, match="has integers already|computes with integers already"):
        quantise(quantise(model, IMAGES[:9]), IMAGES[:9])
    with pytest.raises(UsageError, match="needs images"):
        quantise(model, IMAGES[:0])
    with pytest.raises(UsageError, match="percentile must be in 50..100, not 3"):
        quantise(model, IMAGES[:9], 3)
    with pytest.raises(ShapeError):
        quantise(model, IMAGES[:9, :, :5])


def test_layers_that_saw_nothing_but_zeros_still_work():
    model = npcbnet.load("digits-lightweight")
    for array in model.params.values():
        array[...] = 0
    made = quantise(model, np.zeros_like(IMAGES[:3]))
    np.testing.assert_allclose(made.predict_proba(IMAGES[:3]), 0.1, rtol=1e-6)


# --- pruning ---
def test_the_smallest_blocks_go():
    weight = np.zeros((2, 10), np.float32)
    weight[0, :4], weight[0, 4:8], weight[0, 8:], weight[1, 0], weight[1, 7], weight[1, 9] = 1, 2, 3, 0.5, 5, 0.1
    assert largest_blocks(weight, 0.5).tolist() == [[False, True, True], [False, True, False]]


def test_the_share_is_pruned_in_large_layers_alone():
    model = a_net(np.random.default_rng(0))
    made = prune(model, 0.75)
    large, last = layers_of(made, Dense)
    assert np.mean(large.params["weight"] == 0) == pytest.approx(0.75, abs=0.001)
    blocks = (large.params["weight"] != 0).reshape(-1, 40 // BLOCK, BLOCK)
    assert np.array_equal(blocks.any(axis=2), blocks.all(axis=2))
    assert np.count_nonzero(last.params["weight"]) == last.params["weight"].size
    assert np.count_nonzero(layers_of(model, Dense)[0].params["weight"]) == 8 * 14 * 14 * 40


def test_fitting_restores_what_pruning_spoilt():
    model = npcbnet.load("digits-cbnet")
    raw, fitted = prune(model, 0.6), prune(model, 0.6, IMAGES[SEEN])
    for one, other in zip(layers_of(raw, Dense), layers_of(fitted, Dense)):
        assert np.array_equal(one.params["weight"] == 0, other.params["weight"] == 0)
    picture = model.convert(IMAGES[UNSEEN])
    errors = [np.square(made.convert(IMAGES[UNSEEN]) - picture).mean() for made in (raw, fitted)]
    assert errors[1] < 0.5 * errors[0] and accuracy(fitted) > accuracy(raw) - 0.01


def test_what_cannot_be_pruned():
    for share in (0, 1, -1, 1.5, float("nan")):
        with pytest.raises(UsageError, match="between 0 and 1"):
            prune(npcbnet.load("digits-cbnet"), share)
    with pytest.raises(UsageError, match="has no dense layer of 4,096 weights"):
        prune(npcbnet.load("digits-lightweight"), 0.5)


# --- the command ---
@pytest.fixture
def data_file(tmp_path, monkeypatch):
    """A data set of drawn digits as a file; the command writes beside it."""
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "set.npz", x_train=IMAGES[:500, 0], y_train=LABELS[:500], x_test=IMAGES[500:, 0],
             y_test=LABELS[500:])
    return str(tmp_path / "set.npz")


@pytest.mark.parametrize("options, file", [(["--int8"], "digits-cbnet-int8.npz"), (["--prune", "0.5"], "small.npz"),
                                           (["--float16"], "digits-cbnet-float16.npz")])
def test_the_command_makes_judges_and_saves(options, file, data_file, capsys, tmp_path):
    out = ["--out", file] if file == "small.npz" else []
    assert main(["digits-cbnet", *options, *out, "--data", data_file, "--json", "--seed", "1"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["kind"] == options[0][2:] and result["out"] == file
    test = result["test_accuracy"]
    assert result["test_drop_points"] == pytest.approx(100 * (test["before"] - test["after"]))
    assert -5 < result["validation_drop_points"] < 15 and min(result["latency_ms"].values()) > 0
    assert result["file_bytes"]["after"] == (tmp_path / file).stat().st_size < result["file_bytes"]["before"]
    found = npcbnet.load(tmp_path / file)
    assert found.record["compressed"]["kind"] == options[0][2:] and found.record["test_accuracy"] == test["after"]
    assert (found.predict(IMAGES[500:]) == LABELS[500:]).mean() == pytest.approx(test["after"], abs=0.021)


def test_the_command_prints_a_page_and_repeats_itself(data_file, capsys, tmp_path):
    for out in ("a.npz", "b.npz"):
        assert main(["digits-lenet", "--int8", "--data", data_file, "--out", out]) == 0
    text = capsys.readouterr().out
    assert "validation accuracy" in text and "times as fast" in text and "saved as b.npz" in text
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("arguments, words", [
    (["digits-lenet", "--prune", "7"], "between 0 and 1"), (["nothing", "--int8"], "no pretrained model"),
    (["digits-lenet", "--int8", "--seed", "-1"], "seed must be at least 0"),
    (["digits-lenet", "--int8", "--threads", "0"], "threads must be"),
    (["digits-lenet", "--int8", "--data", "nowhere"], "unknown data set")])
def test_a_mistake_is_one_line(arguments, words, data_file, capsys):
    assert main([arguments[0], "--data", data_file, *arguments[1:]]) == 2
    assert words in capsys.readouterr().err


def test_a_model_that_does_not_know_its_data_asks_for_it(data_file, capsys, tmp_path):
    model = npcbnet.load("digits-lenet")
    model.record = {}
    npcbnet.save(model, tmp_path / "own.npz")
    assert main(["own.npz", "--int8"]) == 2
    assert "--data" in capsys.readouterr().err
