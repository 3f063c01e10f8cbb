"""Connections pruned while training, and channels: shares, masks and counts exact, answers those of the engine."""
import copy

import numpy as np
import pytest

import npcbnet
from npcbnet import runtime
from npcbnet.compress import magnitude, structure
from npcbnet.compress.levels import subgraph
from npcbnet.compress.magnitude import connections, cubic, masks
from npcbnet.compress.prune import BLOCK
from npcbnet.compress.quantise import quantise
from npcbnet.compress.structure import cuts
from npcbnet.errors import ShapeError, UsageError
from npcbnet.layers import (BatchNorm2d, Concatenate, Conv2d, Dense, Dropout, Flatten, GlobalAvgPool2d, MaxPool2d, ReLU,
                            Residual, Sequential, Tanh)
from npcbnet.losses import cross_entropy
from npcbnet.nets import Classifier, alexnet, mobilenetv2
from npcbnet.nets.images import as_floats
from tests.runtime_models import TARGETS, assert_same_logits, filled, kernels, names, needs_engine, some_images
from tests.small_models import small_digits, small_lenet, stopped_after_an_epoch

DENSE = "7.weight"  # small_lenet's large one


def many_cuts(rng):
    """Batch normalisation, a bottleneck, a depthwise convolution, a fire module, dropout: a Classifier for 3x12x12."""
    bottleneck = Sequential([Conv2d(8, 6, 1, bias=False), BatchNorm2d(6), ReLU(), Conv2d(6, 10, 3, pad=1, groups=2),
                             ReLU(), Conv2d(10, 8, 1), BatchNorm2d(8)])
    inverted = Sequential([Conv2d(8, 20, 1, bias=False), BatchNorm2d(20), ReLU(), Conv2d(20, 20, 3, 2, 1, groups=20),
                           BatchNorm2d(20), ReLU(), Conv2d(20, 8, 1)])
    fire = Concatenate(Sequential([Conv2d(8, 4, 1)]), Sequential([Conv2d(8, 5, 1), ReLU(), Conv2d(5, 4, 3, pad=1)]))
    plain = Sequential([Conv2d(8, 6, 3, pad=1), ReLU(), Conv2d(6, 8, 3, pad=1)])
    net = Sequential([Conv2d(3, 7, 3, pad=1), BatchNorm2d(7), ReLU(), Sequential([MaxPool2d(2), Conv2d(7, 8, 1)]),
                      Residual(bottleneck), Residual(plain, Conv2d(8, 8, 1)), inverted, fire, Flatten(),
                      Dense(72, 24), ReLU(), Dropout(0.5), Dense(24, 5)])
    return Classifier(filled(net, rng), (3, 12, 12), names(5))


def share_kept(model, names=None):
    """The share of the named weights (None: all that can be pruned) that are not zero."""
    arrays = [model.net.params[name] for name in names or connections(model.net, model.input_shape)]
    return sum(map(np.count_nonzero, arrays)) / sum(array.size for array in arrays)


# --- connections ---
def test_the_schedule_is_zhu_and_guptas():
    assert [cubic(way, 0.8, 0.2) for way in (-1, 0, 0.5, 1, 7)] == pytest.approx([0.2, 0.2, 0.725, 0.8, 0.8])
    assert cubic(0.25, 0.6) == pytest.approx(0.6 - 0.6 * 0.75 ** 3)


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("kept", [0.625, 0.1])
def test_as_many_stay_as_were_asked_for_and_they_are_the_largest(kept, blocks, scope):
    rng = np.random.default_rng(0)
    params = {"a": rng.normal(size=(30, 22)), "b": rng.normal(size=(6, 4, 3, 3)) * 3, "c": rng.normal(size=(5, 3)) * 9}
    found = masks(params, list(params), kept, scope, blocks)
    units = {"a": 30 * 6, "b": 216, "c": 5} if blocks else {"a": 660, "b": 216, "c": 15}
    stays = {name: mask.reshape(30, 22)[:, ::BLOCK].sum() if blocks and name == "a" else
             mask[:, 0].sum() if blocks and name == "c" else mask.sum() for name, mask in found.items()}
    assert all(found[name].shape == array.shape and found[name].dtype == bool for name, array in params.items())
    if scope == "layer":
        assert stays == {name: round(kept * count) for name, count in units.items()}
    else:
        assert sum(stays.values()) == round(kept * sum(units.values()))
    if not blocks:
        sizes = np.concatenate([np.abs(array).ravel() for array in params.values()])
        flat = np.concatenate([mask.ravel() for mask in found.values()])
        groups = [np.abs(array)[found[name]].min() >= np.abs(array)[~found[name]].max() if not found[name].all() else
                  True for name, array in params.items()] if scope == "layer" else \
            [sizes[flat].min() >= sizes[~flat].max()]
        assert all(groups)


def test_no_layer_is_pruned_away():
    params = {"small": np.full((4, 5), 1e-6), "large": np.ones((50, 5))}
    found = masks(params, list(params), 0.5, "global")
    assert found["small"].sum() == 1 and found["large"].sum() == 134


def test_training_keeps_exactly_what_was_asked_for_and_prunes_by_schedule(monkeypatch):
    model, dataset, shares = small_lenet(), small_digits(), []
    before = copy.deepcopy(model.params)
    after_step = magnitude.Gradual.after_step

    def watched(self, step, steps):
        after_step(self, step, steps)
        shares.append((step, np.mean(self.params[DENSE] != 0)))
        if self.masks:
            assert all((self.params[name][~mask] == 0).all() for name, mask in self.masks.items())

    monkeypatch.setattr(magnitude.Gradual, "after_step", watched)
    made = magnitude.train(model, dataset, 0.625, epochs=4, seed=1)
    assert all(np.array_equal(model.params[name], array) for name, array in before.items())
    for name in connections(model.net, model.input_shape):
        array = made.net.params[name]
        assert np.count_nonzero(array) == round(0.625 * array.size), name
    kept = [share for _, share in shares]
    assert kept == sorted(kept, reverse=True) and kept[0] == 1 and len(kept) == 4 * 7 + 1
    last = int(magnitude.END * 28)
    for step, share in shares:
        assert share == pytest.approx(1 - cubic(step / last, 0.375), abs=1e-3)  # so few steps: pruned in each
    assert made.record["pruned"]["kept"] == 0.625
    test = dataset.test
    assert (made.predict(test.images) == test.labels).mean() > (model.predict(test.images) == test.labels).mean() - 0.05


def test_globally_the_shares_of_layers_differ_but_their_sum_does_not():
    made = magnitude.train(small_lenet(), small_digits(), 0.3, scope="global", epochs=2)
    total = sum(made.net.params[name].size for name in connections(made.net, made.input_shape))
    assert share_kept(made) == round(0.3 * total) / total
    shares = {share_kept(made, [name]) for name in connections(made.net, made.input_shape)}
    assert len(shares) == 4


def test_stopped_and_continued_it_is_the_same_on_any_number_of_threads(tmp_path, monkeypatch):
    model, dataset = small_lenet(), small_digits()
    whole = magnitude.train(model, dataset, 0.4, epochs=3, blocks=True)
    for _ in range(2):
        with stopped_after_an_epoch(monkeypatch):
            magnitude.train(model, dataset, 0.4, epochs=3, blocks=True, checkpoint=tmp_path / "c.npz")
    again = magnitude.train(model, dataset, 0.4, epochs=3, blocks=True, checkpoint=tmp_path / "c.npz", threads=2)
    assert all(np.array_equal(array, again.params[name]) for name, array in whole.params.items())
    weight = whole.net.params[DENSE].reshape(-1, BLOCK)
    assert np.array_equal((weight != 0).any(axis=1), (weight != 0).all(axis=1))


def test_a_pruned_model_survives_its_file_and_the_engine(tmp_path):
    made = magnitude.train(small_lenet(), small_digits(), 0.07, epochs=2)
    npcbnet.save(made, tmp_path / "m.npz")
    found, images = npcbnet.load(tmp_path / "m.npz"), small_digits().test.images[:40]
    assert share_kept(found) == share_kept(made) and found.record["pruned"] == made.record["pruned"]
    np.testing.assert_allclose(runtime.compile(found).predict_proba(images), made.predict_proba(images), atol=1e-5)


@pytest.mark.parametrize("changes, words", [
    ({"kept": 0}, "between 0 and 1"), ({"kept": 1.0}, "between 0 and 1"), ({"kept": True}, "between 0 and 1"),
    ({"kept": float("nan")}, "between 0 and 1"), ({"scope": "network"}, "by layer or global"),
    ({"names": ["7.bias"]}, "not '7.bias'"), ({"seed": -1}, "seed"), ({"threads": 0}, "threads")])
def test_connections_that_cannot_be_pruned(changes, words):
    with pytest.raises(UsageError, match=words):
        magnitude.train(small_lenet(), small_digits(), **{"kept": 0.5, **changes})


# --- channels ---
def test_where_channels_can_be_cut():
    model = many_cuts(np.random.default_rng(0))
    found = {cut.name: (cut.channels, [slot.name for slot in cut.between], cut.reader.name) for cut in cuts(model)}
    assert found == {"0": (7, ["1"], "3.1"), "5.body.0": (6, [], "5.body.2"),
                     "6.0": (20, ["6.1", "6.3", "6.4"], "6.6"), "7.second.0": (5, [], "7.second.2"),
                     "9": (24, [], "12")}


def test_silent_channels_leave_no_trace():
    """Channels that nobody reads matter least; without them the answers are the same."""
    model = many_cuts(np.random.default_rng(1))
    for cut in cuts(model):
        weight, silent = cut.reader.layer.params["weight"], [1, cut.channels - 1]
        if weight.ndim == 4:
            weight[:, silent] = 0
        else:
            weight.reshape(cut.channels, -1, weight.shape[1])[silent] = 0
    images = some_images(np.random.default_rng(2), model.input_shape, 9)
    wanted = {cut.name: cut.channels - 2 for cut in cuts(model)}
    made = structure.prune(model, wanted)
    assert {cut.name: cut.channels for cut in cuts(made)} == wanted
    np.testing.assert_allclose(made.predict_proba(images), model.predict_proba(images), atol=1e-5)
    assert made.parameter_count() < model.parameter_count() and made.macs() < model.macs()


def test_taylor_is_the_change_of_the_loss():
    """Of a channel's gate, first order: beside the slope of the loss as it is scaled."""
    rng = np.random.default_rng(3)
    net = Sequential([Conv2d(1, 4, 3), BatchNorm2d(4), Tanh(), Conv2d(4, 5, 3), Tanh(), Flatten(), Dense(180, 6),
                      Tanh(), Dense(6, 3)])
    model = Classifier(filled(net, rng), (1, 10, 10), names(3))
    images, labels = some_images(rng, model.input_shape, 16), rng.integers(0, 3, 16)
    places = cuts(model)
    measured = structure.importance(model, places, "taylor", images, labels)
    x = as_floats(images)
    for place, values in zip(places, measured):
        gate = next((slot for slot in place.between if isinstance(slot.layer, BatchNorm2d)), place.maker).layer
        for channel in (0, place.channels - 1):
            losses = []
            for step in (1 - 1e-2, 1 + 1e-2):
                kept = {name: array.copy() for name, array in gate.params.items()}
                for name in set(gate.params) & {"weight", "bias"}:
                    array = gate.params[name]
                    (array.T if isinstance(gate, Dense) else array)[channel] *= step
                losses.append(cross_entropy(model.net.forward(x, True, rng)[0], labels)[0])
                gate.params = kept
            slope = (losses[1] - losses[0]) / 2e-2
            assert values[channel] == pytest.approx(slope ** 2, rel=0.05, abs=1e-6), place.name


@pytest.mark.parametrize("share", [0.4, 0.75, 1.0, 0.0])
def test_the_share_of_each_layer_goes(share):
    model = many_cuts(np.random.default_rng(5))
    before = {cut.name: cut.channels for cut in cuts(model)}
    made = structure.prune(model, share)
    assert {cut.name: cut.channels for cut in cuts(made)} == \
        {name: max(1 + (name == "6.0"), F - round(share * F)) for name, F in before.items()}  # 6.3 is depthwise
    assert {cut.name: cut.channels for cut in cuts(model)} == before


def test_globally_the_sum_goes_and_one_channel_stays():
    model, rng = many_cuts(np.random.default_rng(6)), np.random.default_rng(7)
    images, labels = some_images(rng, model.input_shape, 12), rng.integers(0, 5, 12)
    total = sum(cut.channels for cut in cuts(model))
    for kind in structure.IMPORTANCE:
        made = structure.prune(model, 0.5, scope="global", kind=kind, images=images, labels=labels)
        left = [cut.channels for cut in cuts(made)]
        assert sum(left) == total - round(0.5 * total) and min(left) >= 1
    assert [cut.channels for cut in cuts(structure.prune(model, 1.0, scope="global"))] == [1, 2, 1, 1, 1]


def test_large_networks_lose_what_was_asked_for():
    """AlexNet's and MobileNetV2's blocks, narrow: sizes by hand."""
    rng = np.random.default_rng(8)
    net = alexnet((3, 32, 32), names(10), rng, (10, 20, 20, 20, 10), (50, 30))
    made = structure.prune(net, 0.4)
    assert [(cut.name, cut.channels) for cut in cuts(made)] == [
        ("0", 6), ("3", 12), ("6", 12), ("8", 12), ("10", 6), ("14", 30), ("17", 18)]
    convolutions = 6 * 28 + 12 * 55 + 2 * 12 * 109 + 6 * 109
    assert made.parameter_count() == convolutions + 30 * (96 + 1) + 18 * 31 + 10 * 19
    mobile = mobilenetv2((3, 32, 32), names(10), rng, ((1, 8, 1, 1), (6, 12, 2, 2)), 8, 40)
    small = structure.prune(mobile, 0.5)
    assert small.macs() < 0.75 * mobile.macs() and len(cuts(mobile)) == 3
    assert small.net.output_shape((3, 32, 32)) == (10,)


@needs_engine
@pytest.mark.parametrize("target", TARGETS)
def test_the_engine_answers_as_the_layers(target):
    from npcbnet.runtime.predictor import Predictor
    rng = np.random.default_rng(9)
    for share in (0.4, 0.8):
        model = structure.prune(many_cuts(rng), share)
        images = some_images(rng, model.input_shape, 18)
        predictor, right = Predictor(model, kernels=kernels(target)), model.predict_proba(images)
        for count in (1, 18):
            assert_same_logits(predictor.predict_proba(images[:count]), right[:count])


def test_trained_in_rounds_it_has_the_channels_asked_for_and_survives_its_file(tmp_path):
    model, dataset = small_lenet(), small_digits()
    made = structure.train(model, dataset, 0.4, epochs=4, rounds=2)
    assert {cut.name: cut.channels for cut in cuts(made)} == {"0": 4, "3": 7, "7": 19} == \
        made.record["pruned"]["channels"]
    right = [(one.predict(dataset.test.images) == dataset.test.labels).mean() for one in (model, made)]
    assert right[1] > right[0] - 0.15
    npcbnet.save(made, tmp_path / "m.npz")
    found, images = npcbnet.load(tmp_path / "m.npz"), dataset.test.images[:30]
    assert np.array_equal(found.predict_proba(images), made.predict_proba(images))
    several = structure.train(model, dataset, 0.4, scope="global", epochs=1, rounds=3)
    assert sum(cut.channels for cut in cuts(several)) == 50 - 20
    exact = structure.train(model, dataset, {"3": 5}, epochs=1)
    assert {cut.name: cut.channels for cut in cuts(exact)} == {"0": 6, "3": 5, "7": 32}


@pytest.mark.parametrize("changes, words", [
    ({"share": 1.5}, "between 0 and 1"), ({"share": -0.1}, "between 0 and 1"), ({"share": True}, "between 0 and 1"),
    ({"share": {"3": 0}}, "0 channels cannot stay"), ({"share": {"3": 13}}, "cannot stay"),
    ({"share": {"9": 1}}, "cannot stay"), ({"share": {"3": 2.5}}, "cannot stay"), ({"scope": "all"}, "not by 'all'"),
    ({"kind": "luck"}, "'luck'"), ({"rounds": 0}, "at least one round")])
def test_channels_that_cannot_be_pruned(changes, words):
    with pytest.raises(UsageError, match=words):
        structure.train(small_lenet(), small_digits(), **{"share": 0.5, **changes})


def test_models_that_have_no_channels_to_prune():
    bare = Classifier(filled(Sequential([Conv2d(1, 4, 3), GlobalAvgPool2d(), Flatten(), Residual(Dense(4, 4)),
                                         Dense(4, 2)]), np.random.default_rng(0)), (1, 5, 5), names(2))
    with pytest.raises(UsageError, match="no convolution or dense layer whose channels"):
        structure.prune(bare, 0.5)
    with pytest.raises(UsageError, match="needs images and their labels"):
        structure.prune(small_lenet(), 0.5, kind="taylor")
    with pytest.raises(UsageError, match="not a Classifier in integers"):
        structure.train(quantise(small_lenet(), small_digits().train.images[:50]), small_digits(), 0.5)
    with pytest.raises(UsageError, match="not a subgraph; give the model it was made from"):
        structure.train(subgraph(small_lenet(), {"net.0": np.zeros((6, 14, 14))}, 0.5), small_digits(), 0.5)
    with pytest.raises(UsageError, match="not a BranchyNet"):
        magnitude.train(npcbnet.load("digits-branchynet"), small_digits(), 0.5)
    with pytest.raises((UsageError, ShapeError), match="takes"):
        structure.train(npcbnet.load("digits-lenet"), small_digits(), 0.5)
