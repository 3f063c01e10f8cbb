"""SubFlow: what is important, which neurons stay, training of what is left, and the choice by a time budget."""
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import npcbnet
from npcbnet import runtime
from npcbnet.bench import main as bench
from npcbnet.compress import dynamic, levels, subflow
from npcbnet.compress.__main__ import main
from npcbnet.compress.quantise import quantise
from npcbnet.data import digits
from npcbnet.data.dataset import Dataset, Split
from npcbnet.errors import ShapeError, UsageError
from npcbnet.layers import (ActiveConv2d, AvgPool2d, BatchNorm2d, Concatenate, Conv2d, Dense, Flatten,
                            MaxPool2d, ReLU, Residual, Sequential, Sigmoid)
from npcbnet.losses import cross_entropy
from npcbnet.nets import Classifier
from tests.runtime_models import filled, names, needs_engine

IMAGES, LABELS = digits.generate(900, seed=7)
TRAIN, TEST = slice(0, 500), slice(500, 900)
DATA = Dataset("digits", "drawn digits", Split(IMAGES[TRAIN], LABELS[TRAIN]), Split(IMAGES[500:600], LABELS[500:600]),
               Split(IMAGES[TEST], LABELS[TEST]), tuple("0123456789"))


@pytest.fixture(scope="module")
def lenet():
    return npcbnet.load("digits-lenet")


@pytest.fixture(scope="module")
def measured(lenet):
    return subflow.importance(lenet, IMAGES[TRAIN], LABELS[TRAIN])


@pytest.fixture(scope="module")
def several(lenet):
    """Three subgraphs in one set of weights, quickly trained."""
    return subflow.train_nested(lenet, DATA, [0.5, 0.1, 1], quick=True)


def accuracy(model):
    return float((runtime.compile(model).predict(IMAGES[TEST]) == LABELS[TEST]).mean())


def random_importance(model, rng):
    return {name: rng.random(shape) for name, shape in levels.neurons(model)}


# --- importance ---
def test_importance_is_the_squared_product_of_activation_and_gradient():
    """Against finite differences of the loss by each neuron's output."""
    rng = np.random.default_rng(0)
    layers = [Conv2d(1, 2, 3), Sigmoid(), Flatten(), Dense(18, 4), Sigmoid(), Dense(4, 3)]
    net = filled(Sequential(layers), rng)
    net.params = {name: array.astype(np.float64) for name, array in net.params.items()}
    images, labels = rng.integers(0, 256, (5, 1, 5, 5), np.uint8), np.array([0, 2, 1, 1, 0])
    found = subflow.importance(Classifier(net, (1, 5, 5), names(3)), images, labels)
    assert {name: array.shape for name, array in found.items()} == {"net.0": (2, 3, 3), "net.3": (4,)}
    x = images / 255
    for place, name in (0, "net.0"), (3, "net.3"):
        activation = Sequential(layers[:place + 1]).forward(x)[0]
        expected = np.zeros(activation.shape[1:])
        for n, neuron in np.ndindex(len(images), expected.size):
            ends = []
            for step in (1e-5, -1e-5):
                moved = activation[n:n + 1].copy()
                moved.reshape(-1)[neuron] += step
                ends.append(cross_entropy(Sequential(layers[place + 1:]).forward(moved)[0], labels[n:n + 1])[0])
            slope = (ends[0] - ends[1]) / 2e-5
            expected.reshape(-1)[neuron] += (slope * activation[n].reshape(-1)[neuron]) ** 2
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-12)


def test_importance_adds_up_over_images_and_leaves_the_model_alone(lenet, measured):
    before = {name: array.copy() for name, array in lenet.params.items()}
    parts = [subflow.importance(lenet, IMAGES[here], LABELS[here]) for here in (slice(0, 130), slice(130, 500))]
    for name, array in measured.items():
        np.testing.assert_allclose(parts[0][name] + parts[1][name], array, rtol=1e-3, atol=1e-12)
        assert array.dtype == np.float64 and (array >= 0).all() and array.any()
    assert list(measured) == ["net.0", "net.3", "net.6", "net.10"]
    assert all(np.array_equal(lenet.params[name], array) for name, array in before.items())
    assert all("forward" not in vars(layer) for layer in lenet.net)


def test_what_importance_refuses(lenet):
    for images, labels in ((IMAGES[:0], LABELS[:0]), (IMAGES[:3], LABELS[:2]), (IMAGES[:3], [0, 1, 10]),
                           (IMAGES[:2], [0, -1]), (IMAGES[:2], [0.0, 1.0])):
        with pytest.raises(UsageError, match="importance needs images and a label in 0..9"):
            subflow.importance(lenet, images, labels)
    with pytest.raises(ShapeError):
        subflow.importance(lenet, np.zeros((2, 3, 3), np.uint8), [0, 1])
    with pytest.raises(UsageError, match="SubFlow takes a Classifier such as LeNet, not a BranchyNet"):
        subflow.importance(npcbnet.load("digits-branchynet"), IMAGES[:2], LABELS[:2])


# --- subgraphs ---
@pytest.mark.parametrize("utilisation", [0.1, 0.29, 0.5, 1])
def test_a_subgraph_is_the_network_with_masks(lenet, measured, utilisation):
    """Masks made here, multiplied behind each whole layer, give the same logits."""
    small = subflow.subgraph(lenet, measured, utilisation)
    x = (IMAGES[:20] / np.float32(255)).astype(np.float32)
    for i, layer in enumerate(lenet.net):
        x = layer.forward(x)[0]
        if f"net.{i}" in measured:
            importance = measured[f"net.{i}"]
            count = int(np.floor(round(importance.size * utilisation, 6)))
            mask = np.zeros(importance.size, bool)
            mask[np.argsort(-importance.ravel(), kind="stable")[:count]] = True
            x = x * mask.reshape(importance.shape)
            assert small.net[i].active().sum() == count
            assert importance.ravel()[mask].min() >= importance.ravel()[~mask].max(initial=0)
    np.testing.assert_allclose(small.net.forward((IMAGES[:20] / np.float32(255)))[0], x, rtol=1e-4, atol=1e-4)
    if utilisation == 1:
        assert small.macs() == lenet.macs()
    assert small.net[0].params["weight"] is not lenet.net[0].params["weight"]


def test_ten_percent_of_the_neurons_are_less_than_fifteen_of_the_multiply_adds(lenet, measured):
    small = subflow.subgraph(lenet, measured, 0.1)
    conv = sum(int(small.net[i].active().sum()) * taps for i, taps in ((0, 25), (3, 125), (6, 250)))
    pooled = small.net[6].active().reshape(20, 11, 11)
    pooled = np.pad(pooled, ((0, 0), (0, 1), (0, 1))).reshape(20, 6, 2, 6, 2).any(axis=(2, 4))
    assert small.macs() == conv + 8 * pooled.sum() + 10 * 8 <= 0.15 * lenet.macs()
    assert small.net[10].active().sum() == 8 and small.net[11].active().all()


@needs_engine
def test_the_engine_executes_no_more(lenet, measured):
    """Counted in the compiled program, blocks that are filled up included."""
    small = subflow.subgraph(lenet, measured, 0.1)
    predictor = runtime.compile(small).warmup()
    kernels = {address: key for key, address in predictor._library._addresses.items()}
    for program in (predictor._one.program, predictor._group):
        executed = 0
        for row in program.rows:
            if kernels[row[0]].startswith("conv_some"):
                executed += row[7] * row[9] * int(kernels[row[0]].split("together")[1][0]) * 5  # blocks, rows, 5 taps
        conv = small.macs() - small.net[10].macs((720,)) - small.net[11].macs((84,))
        assert conv <= executed <= 1.25 * conv and executed <= 0.15 * lenet.macs()
        assert not any(kernels[row[0]].startswith(("winograd", "conv_plane", "conv_group")) for row in program.rows)
    weights = sum(array.nbytes for array in predictor._one.program.weights)
    assert weights < 0.6 * sum(array.nbytes for array in lenet.params.values())


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2 ** 32 - 1), st.lists(st.floats(0.001, 1), min_size=1, max_size=5))
def test_subgraphs_nest_and_share_their_weights(seed, utilisations):
    rng = np.random.default_rng(seed)
    model = Classifier(filled(Sequential([Conv2d(1, 3, 3, 2, 1), MaxPool2d(2), ReLU(), Flatten(), Dense(27, 11), ReLU(),
                                          Dense(11, 4)]), rng), (1, 11, 12), names(4))
    made = levels.nested(model, random_importance(model, rng), utilisations)
    found = subflow.subgraphs(made)
    assert [utilisation for utilisation, _ in found] == sorted(set(utilisations))
    before = {}
    for utilisation, small in found:
        assert all(array is made.params[name] for name, array in small.params.items())
        for i, size in (0, 108), (4, 11):
            active = small.net[i].active()
            assert active.sum() == max(1, int(np.floor(size * utilisation + 1e-9)))
            assert (before.get(i, active) <= active).all()
            before[i] = active
    macs = [small.macs() for _, small in found]
    assert macs == sorted(macs) and found[-1][1].macs() == made.macs()


def test_inputs_are_left_out_only_where_they_are_always_zero():
    rng = np.random.default_rng(1)
    body = Sequential([Conv2d(3, 3, 3, pad=1), ReLU()])
    ways = Concatenate(Sequential([Conv2d(3, 2, 3, pad=1)]), Sequential([Conv2d(3, 2, 1), ReLU()]))
    for between, all_on in (([MaxPool2d(2), ReLU()], False), ([ways], False), ([AvgPool2d(2)], False),
                            ([Sigmoid()], True),
                            ([BatchNorm2d(3)], True), ([Residual(body)], False), ([Residual(body, Sequential(
                                [Conv2d(3, 3, 1, groups=3)]))], True)):
        head = Sequential([Conv2d(1, 3, 3), *between, Flatten()])
        model = Classifier(filled(Sequential([*head, Dense(head.output_shape((1, 10, 10))[0], 4)]), rng), (1, 10, 10),
                           names(4))
        found = random_importance(model, rng)
        small = subflow.subgraph(model, found, 0.1)
        features = Sequential(small.net.layers[:-1]).forward(rng.standard_normal((400, 1, 10, 10)))[0]
        last = small.net[len(small.net) - 1]
        if all_on:
            assert type(last) is Dense
        else:
            read = last.active_inputs()
            assert not features[:, ~read].any() and 0.05 < read.mean() < 0.6


def test_what_a_subgraph_refuses(lenet, measured):
    for utilisation in (0, -0.1, 1.1, float("nan"), True, "0.5", None):
        with pytest.raises(UsageError, match="utilisation must be above 0 and at most 1"):
            subflow.subgraph(lenet, measured, utilisation)
    with pytest.raises(UsageError, match="give 1 to 127 utilisations"):
        levels.nested(lenet, measured, [])
    with pytest.raises(UsageError, match="give 1 to 127"):
        levels.nested(lenet, measured, [i / 200 for i in range(1, 130)])
    with pytest.raises(UsageError, match="importance names 'net.11'; layers of neurons in this model are net.0, net.3"):
        subflow.subgraph(lenet, {**measured, "net.11": np.zeros(10)}, 0.5)
    for array in (np.zeros((5, 30, 29)), np.full((5, 30, 30), np.nan)):
        with pytest.raises(UsageError, match="importance of net.0 must be finite numbers of shape"):
            subflow.subgraph(lenet, {**measured, "net.0": array}, 0.5)
    for model in (lenet, npcbnet.load("digits-lightweight")):
        with pytest.raises(UsageError, match="has no subgraphs of known utilisation"):
            subflow.subgraphs(model)
    small = subflow.subgraph(lenet, {"net.0": measured["net.0"]}, 0.5)
    assert type(small.net[3]) is Conv2d and type(small.net[0]) is ActiveConv2d  # what is not named stays whole
    with pytest.raises(UsageError, match="subgraph of another"):
        quantise(small, IMAGES[:9])


# --- training ---
def test_training_helps_repeats_itself_and_goes_on_from_a_checkpoint(lenet, tmp_path, monkeypatch):
    options = {"seed": 3, "quick": True}
    untrained = subflow.subgraph(lenet, subflow.importance(lenet, IMAGES[TRAIN], LABELS[TRAIN]), 0.15)
    small = subflow.train(lenet, DATA, 0.15, **options)
    assert accuracy(small) > accuracy(untrained) + 0.05 and accuracy(small) > 0.6
    assert small.record["utilisations"] == [0.15] and small.record["subflow"]["seed"] == 3
    assert small.record["command"] == lenet.record["command"]
    again = subflow.train(lenet, DATA, 0.15, threads=2, **options)
    assert all(np.array_equal(again.params[name], array) for name, array in small.params.items())
    first = subflow.QUICK_EPOCHS

    def stopped():
        raise KeyboardInterrupt

    fits = subflow.fit
    monkeypatch.setattr(subflow, "fit", lambda *a, **k: fits(*a, **k, validate=lambda: epochs.append(0) or (
        stopped() if len(epochs) == first // 2 else {})))
    epochs = []
    with pytest.raises(KeyboardInterrupt):
        subflow.train(lenet, DATA, 0.15, checkpoint=tmp_path / "c.npz", **options)
    monkeypatch.setattr(subflow, "fit", fits)
    resumed = subflow.train(lenet, DATA, 0.15, checkpoint=tmp_path / "c.npz", **options)
    assert all(np.array_equal(resumed.params[name], array) for name, array in small.params.items())
    moved = [name for name, array in small.params.items() if not np.array_equal(array, untrained.params[name])]
    assert len(moved) == 10 and not set(moved) & set(small.levels)


def test_training_refuses_other_images_and_wrong_numbers(lenet):
    wrong = Dataset("set", "set", *[Split(IMAGES[:50, :, :20], LABELS[:50])] * 3, tuple("0123456789"))
    with pytest.raises(UsageError, match="images of .1, 20, 28.; the model takes"):
        subflow.train(lenet, wrong, 0.5, quick=True)
    for options, words in (({"seed": -1}, "seed must be"), ({"threads": 0}, "threads must be")):
        with pytest.raises(UsageError, match=words):
            subflow.train(lenet, DATA, 0.5, quick=True, **options)
    with pytest.raises(UsageError, match="utilisation must be"):
        subflow.train(lenet, DATA, 1.5, quick=True)


def test_one_file_holds_all_subgraphs(several, tmp_path):
    npcbnet.save(several, tmp_path / "m.npz")
    found = subflow.subgraphs(npcbnet.load(tmp_path / "m.npz"))
    assert [utilisation for utilisation, _ in found] == [0.1, 0.5, 1.0]
    for (_, small), (_, loaded) in zip(subflow.subgraphs(several), found):
        assert loaded.macs() == small.macs()
        assert np.array_equal(loaded.predict_proba(IMAGES[:20]), small.predict_proba(IMAGES[:20]))
        npcbnet.save(loaded, tmp_path / "one.npz")
        alone = npcbnet.load(tmp_path / "one.npz")
        assert np.array_equal(alone.predict_proba(IMAGES[:20]), small.predict_proba(IMAGES[:20]))
        assert subflow.subgraphs(alone)[-1][1].macs() == small.macs()
    right = [accuracy(small) for _, small in found]
    assert right[0] > 0.3 and right[1] > 0.85 and right[2] > 0.9
    assert bench([str(tmp_path / "m.npz"), "--batches", "1", "--rounds", "1"]) == 0


# --- the time budget ---
def test_the_largest_that_fits_answers(several, monkeypatch):
    timed = subflow.Dynamic(several)
    timed.times_ms = {0.1: {1: 1.0, 8: 3.0, 64: 16.0}, 0.5: {1: 2.0, 8: 6.0, 64: 32.0}, 1.0: {1: 3.0, 8: 9, 64: 48}}
    small = dict(subflow.subgraphs(several))
    for budget, wanted, fits in ((9, 1.0, True), (3, 1.0, True), (2.9, 0.5, True), (1, 0.1, True), (0.5, 0.1, False),
                                 (float("inf"), 1.0, True), (2, 0.5, True)):
        answer = timed.answer(IMAGES[3], budget)
        assert timed.choose(budget) == (answer.utilisation, answer.fits) == (wanted, fits)
        assert answer.expected_ms == timed.times_ms[wanted][1] and answer.took_ms > 0
        assert timed.predict(IMAGES[3], budget) == answer.label == small[wanted].predict(IMAGES[3])
    assert timed.expected_ms(0.1, 128) == 32 and timed.expected_ms(0.1, 36) == 9.5 and timed.expected_ms(1.0, 0) == 3
    for budget, wanted in ((100, 1.0), (70, 0.5), (10, 0.1)):
        answer = timed.answer(IMAGES[:128], budget)
        assert answer.utilisation == wanted and answer.fits == (budget > 10)
        assert np.array_equal(answer.label, runtime.compile(small[wanted]).predict(IMAGES[:128]))
    assert timed.answer(list(IMAGES[:2, 0]), 100).label.shape == (2,)


def test_times_are_measured_on_real_calls(several):
    timed = subflow.Dynamic(several, threads=2)
    found = timed.calibrate(IMAGES[:3], rounds=5)
    assert found is timed.times_ms and list(found) == timed.utilisations == [0.1, 0.5, 1.0]
    for times in found.values():
        assert list(times) == list(dynamic.BATCHES) and 0 < times[1] < times[64] < 5000
    assert timed.macs[0.1] < 0.15 * timed.macs[1.0]
    assert timed.answer(IMAGES[0], 1e-9).utilisation == 0.1 and not timed.answer(IMAGES[0], 1e-9).fits
    assert timed.answer(IMAGES[0], 1e9).utilisation == 1.0


def test_dynamic_of_separate_models_and_what_it_refuses(lenet, measured, several):
    pair = [(1, lenet), (0.1, subflow.subgraph(lenet, measured, 0.1))]
    timed = subflow.Dynamic(pair)
    assert timed.utilisations == [0.1, 1.0]
    assert np.array_equal(timed.predict(IMAGES[:9], 1e9), lenet.predict(IMAGES[:9]))
    for budget in (0, -1, float("nan"), "1", None, True):
        with pytest.raises(UsageError, match="budget must be milliseconds above 0"):
            timed.predict(IMAGES[:1], budget)
    with pytest.raises(ShapeError):
        timed.predict(np.zeros((2, 3), np.uint8), 1)
    for images, rounds in ((IMAGES[:0], 3), (IMAGES[:2], 0), (IMAGES[:2], 1.5)):
        with pytest.raises(UsageError, match="at least one round"):
            timed.calibrate(images, rounds)
    other = Classifier(filled(Sequential([Flatten(), Dense(784, 3)]), np.random.default_rng(0)), (1, 28, 28), names(3))
    for models, words in ((lenet, "no subgraphs"), ([], "takes a model of several"), ([lenet], "takes a model of"),
                          ([(1, lenet), (1, lenet)], "of its own"), ([(2, lenet)], "utilisation must be"),
                          ([(1, lenet), (0.5, other)], "the same images"), ([(1, 5)], "takes a Classifier")):
        with pytest.raises(UsageError, match=words):
            subflow.Dynamic(models)


# --- the command ---
@pytest.fixture
def data_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("npcbnet.recipes.scaled", lambda epochs, dataset: 3)
    np.savez(tmp_path / "set.npz", x_train=IMAGES[TRAIN, 0], y_train=LABELS[TRAIN], x_test=IMAGES[TEST, 0],
             y_test=LABELS[TEST])
    return str(tmp_path / "set.npz")


def test_the_command_trains_judges_and_saves(data_file, capsys, tmp_path, lenet):
    assert main(["digits-lenet", "--subflow", "0.5", "0.1", "--data", data_file, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["utilisations"] == [0.1, 0.5] and result["out"] == "digits-lenet-subflow.npz"
    assert result["macs"]["before"] == lenet.macs()
    found = npcbnet.load(tmp_path / result["out"])
    assert found.macs() == result["macs"]["after"] == result["subgraphs"][1]["macs"]
    assert result["subgraphs"][0]["macs"] < 0.15 * lenet.macs() and result["subgraphs"][0]["latency_ms"] > 0
    assert result["subgraphs"][1]["test_accuracy"] == result["test_accuracy"]["after"]
    assert found.record["compressed"]["kind"] == "subflow" and len(subflow.subgraphs(found)) == 2


def test_the_command_prints_a_page(data_file, capsys):
    assert main(["digits-lenet", "--subflow", "0.2", "--data", data_file, "--out", "a.npz", "--seed", "5"]) == 0
    text = capsys.readouterr().out
    assert "multiply-adds" in text and "utilisation 0.2" in text and "saved as a.npz" in text


@pytest.mark.parametrize("arguments, words", [
    (["digits-lenet", "--subflow", "0"], "above 0 and at most 1"),
    (["digits-lenet", "--subflow", "1.5"], "above 0 and at most 1"),
    (["digits-cbnet", "--subflow", "0.5"], "takes a Classifier such as LeNet"),
    (["digits-lenet", "--subflow", "0.5", "--threads", "0"], "threads must be"),
    (["digits-lenet", "--subflow", "0.5", "--seed", "-1"], "seed must be at least 0")])
def test_a_mistake_is_one_line(arguments, words, data_file, capsys):
    assert main([*arguments, "--data", data_file]) == 2
    assert words in capsys.readouterr().err
