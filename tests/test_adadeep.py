"""AdaDeep: each compression by itself, the menu, budgets and the score, the search, the command."""
import copy
import json
import re
from dataclasses import replace

import numpy as np
import pytest

import npcbnet
from npcbnet import modelfile, runtime
from npcbnet.compress import adadeep
from npcbnet.compress.__main__ import main
from npcbnet.compress.budgets import POWER_W, Budgets, score, watts
from npcbnet.compress.channels import influential, reader, with_inputs, with_outputs
from npcbnet.compress.fire import can_burn, fire, small_window
from npcbnet.compress.levels import subgraph
from npcbnet.compress.lowrank import factorise
from npcbnet.compress.menu import KEEP, Choice, Menu
from npcbnet.compress.quantise import quantise
from npcbnet.compress.separable import separate
from npcbnet.compress.trial import Candidate, Trials
from npcbnet.data import Split
from npcbnet.errors import UsageError
from npcbnet.layers import BatchNorm2d, Conv2d, Dense, Flatten, MaxPool2d, ReLU, Residual, Sequential, Sigmoid
from npcbnet.nets import Classifier
from tests.runtime_models import TARGETS, assert_same_logits, filled, kernels, names, needs_engine, some_images
from tests.small_models import epochs_restored, small_digits, small_lenet, stopped_after_an_epoch, write_small_files

TINY = adadeep.Effort(240, 200, (120, 1), 4, (240, 1), 2, (240, 1), 2, 2, adadeep.QUICK.left)
COSTS = ("accuracy", "latency_ms", "energy_mj", "storage_bytes", "macs")


@pytest.fixture(scope="module")
def dataset():
    """Drawn digits of 14 x 14 pixels."""
    return small_digits()


@pytest.fixture(scope="module")
def trained():
    """A small trained LeNet."""
    return small_lenet()


@pytest.fixture
def tiny(monkeypatch):
    """quick=True takes a second."""
    monkeypatch.setattr(adadeep, "QUICK", TINY)


# --- low rank ---
def test_the_nearest_matrix_of_a_rank():
    rng = np.random.default_rng(0)
    layer = filled(Dense(30, 20), rng)
    weight, x = layer.params["weight"], rng.normal(size=(5, 30)).astype(np.float32)
    for rank in (1, 7, 20):
        first, second = factorise(layer, rank)
        product = first.params["weight"].astype(np.float64) @ second.params["weight"]
        left = np.linalg.svd(weight.astype(np.float64), compute_uv=False)[rank:]  # Eckart and Young: what must remain
        assert np.linalg.norm(product - weight) == pytest.approx(np.sqrt(np.square(left).sum()), abs=1e-5)
        assert (first.out_features, second.in_features) == (rank, rank)
    np.testing.assert_allclose(Sequential([first, second]).forward(x)[0], layer.forward(x)[0], atol=1e-5)
    for rank in (0, 21):
        with pytest.raises(UsageError, match="ranks from 1 to 20"):
            factorise(layer, rank)


# --- separable convolutions ---
@pytest.mark.parametrize("stride, pad", [(1, 0), (1, 2), (2, 1)])
def test_a_convolution_that_is_separable_stays_what_it_is(stride, pad):
    rng = np.random.default_rng(1)
    layer = filled(Conv2d(4, 6, 3, stride, pad), rng)
    layer.params["weight"] = np.ascontiguousarray(rng.normal(size=(6, 4, 1, 1)) * rng.normal(size=(1, 4, 3, 3)), "f4")
    x = rng.normal(size=(3, 4, 9, 8)).astype(np.float32)
    made = Sequential(separate(layer))
    np.testing.assert_allclose(made.forward(x)[0], layer.forward(x)[0], atol=1e-5)
    assert made.macs((4, 9, 8)) < layer.macs((4, 9, 8))


def test_each_channels_kernel_is_the_best_of_its_kind():
    rng = np.random.default_rng(2)
    layer = filled(Conv2d(3, 5, 3, bias=False), rng)
    depthwise, pointwise = separate(layer)
    made = pointwise.params["weight"][:, :, 0, 0, None, None] * depthwise.params["weight"][:, 0]
    for c in range(3):
        matrix = layer.params["weight"][:, c].reshape(5, 9).astype(np.float64)
        left = np.linalg.svd(matrix, compute_uv=False)[1:]
        error = np.linalg.norm(made[:, c].reshape(5, 9) - matrix)
        assert error == pytest.approx(np.sqrt(np.square(left).sum()), abs=1e-5)
    with pytest.raises(UsageError, match="groups"):
        separate(filled(Conv2d(4, 4, 3, groups=2), rng))


# --- fire ---
@pytest.mark.parametrize("kernel, pad, small", [
    (5, 3, (3, 2)), (3, 1, (1, 0)), (5, 2, (1, 0)), (5, 4, None), (4, 1, (2, 0)), (3, 0, None), (1, 0, None),
    (7, 4, (3, 2))])
def test_the_least_kernel_that_fits(kernel, pad, small):
    layer = filled(Conv2d(6, 8, kernel, 1, pad), np.random.default_rng(0))
    assert small_window(layer) == small and can_burn(layer) == (small is not None)
    if small is None:
        with pytest.raises(UsageError, match="cannot become a fire module"):
            fire(layer)
        return
    net = Sequential(fire(layer))
    assert net.output_shape((6, 11, 9)) == layer.output_shape((6, 11, 9))
    assert net.macs((6, 11, 9)) < layer.macs((6, 11, 9))


def test_a_fire_module_begins_with_what_its_squeeze_lets_through():
    """Where half the channels are never read, and inputs come from a ReLU, its large half says what the layer says."""
    rng = np.random.default_rng(5)
    layer, x = filled(Conv2d(6, 8, 5, pad=3), rng), np.abs(rng.normal(size=(3, 6, 9, 9))).astype(np.float32)
    layer.params["weight"][:, [0, 2, 3]] = 0
    made, right = Sequential(fire(layer)).forward(x)[0], layer.forward(x)[0]
    np.testing.assert_allclose(made[:, 4:], right[:, 4:], atol=1e-4)
    layer.params["weight"][:, :, [0, 4]] = 0  # what the small kernels do not reach
    layer.params["weight"][:, :, :, [0, 4]] = 0
    made, right = Sequential(fire(layer)).forward(x)[0], layer.forward(x)[0]
    np.testing.assert_allclose(made, right, atol=1e-4)


# --- channels ---
@pytest.mark.parametrize("behind", [[Flatten(), Dense(5 * 25, 7)], [Conv2d(5, 4, 3), Flatten(), Dense(4 * 9, 7)]])
def test_silent_channels_can_go_without_a_trace(behind):
    """Channels that nobody reads are the least influential; without them the answers are the same."""
    rng = np.random.default_rng(3)
    layers = [Conv2d(2, 5, 3), MaxPool2d(2), ReLU(), *behind]
    filled(Sequential(layers), rng)
    place = reader(layers, 0)
    weight = layers[place].params["weight"]
    silent = weight[:, [1, 4]] if weight.ndim == 4 else weight.reshape(5, 25, 7)[[1, 4]]
    silent[...] = 0
    if weight.ndim == 4:
        weight[:, [1, 4]] = 0
    else:
        weight.reshape(5, 25, 7)[[1, 4]] = 0
    kept = influential(layers[0], layers[place], 3)
    assert kept.tolist() == [0, 2, 3]
    x = rng.normal(size=(4, 2, 12, 12)).astype(np.float32)
    small = [*layers]
    small[0], small[place] = with_outputs(layers[0], kept), with_inputs(layers[place], kept, 5)
    np.testing.assert_allclose(Sequential(small).forward(x)[0], Sequential(layers).forward(x)[0], atol=1e-5)


def test_where_channels_can_be_followed():
    layers = [Conv2d(1, 4, 3), Sigmoid(), Conv2d(4, 4, 3), BatchNorm2d(4), ReLU(), Conv2d(4, 4, 3),
              Residual(Sequential([Conv2d(4, 4, 1)])), Conv2d(4, 4, 3), Flatten(), Dense(4, 2)]
    assert [reader(layers, place) for place in (0, 2, 5, 7)] == [2, None, None, 9]
    assert reader([Conv2d(4, 4, 3), Conv2d(4, 4, 3, groups=2)], 0) is None
    assert reader([Conv2d(4, 4, 3)], 0) is None
    with pytest.raises(UsageError, match="0 of them cannot stay"):
        influential(layers[0], layers[2], 0)


# --- the menu ---
def test_costs_are_those_of_the_network_that_is_built(trained):
    menu, rng = Menu(trained), np.random.default_rng(4)
    before = {name: array.copy() for name, array in trained.params.items()}
    assert menu.count() == len(list(menu.plans()))
    for _ in range(60):
        plan = tuple(site.choices[rng.integers(len(site.choices))] for site in menu.sites)
        model, constraints = menu.build(plan)
        assert menu.costs(plan) == (model.macs(), modelfile.weight_bytes(model)), plan
        for name, array in constraints.items():
            assert array.shape == model.net.params[name].shape
    assert all(np.array_equal(trained.params[name], array) for name, array in before.items())
    whole, constraints = menu.build(tuple(KEEP for _ in menu.sites))
    assert not constraints and all(np.array_equal(array, whole.params[name]) for name, array in before.items())


def test_every_choice_saves_something(trained):
    menu = Menu(trained)
    keep = tuple(KEEP for _ in menu.sites)
    macs, size = menu.costs(keep)
    kinds = set()
    for i, site in enumerate(menu.sites):
        for choice in site.choices[1:]:
            fewer, smaller = menu.costs(keep[:i] + (choice,) + keep[i + 1:])
            assert fewer < macs or smaller < size, choice
            kinds.add(choice.compression)
    assert kinds == {"pruned", "separable", "fire", "low rank", "sparse", "shared"}


def test_large_networks_keep_their_cheapest_layers(trained, monkeypatch):
    monkeypatch.setattr("npcbnet.compress.menu.MOST_PLANS", 100)
    menu = Menu(trained)
    assert 1 < menu.count() <= 100
    assert len(menu.sites[2].choices) > 1 and len(menu.sites[0].choices) == 1


def test_what_adadeep_does_not_take(trained, dataset):
    with pytest.raises(UsageError, match="a Classifier in floats.*BranchyNet"):
        Menu(npcbnet.load("digits-branchynet"))
    with pytest.raises(UsageError, match="AdaDeep compresses .*not a Classifier in integers"):
        Menu(quantise(trained, dataset.validation.images[:50]))
    with pytest.raises(UsageError, match="not a subgraph; give the model it was made from"):
        Menu(subgraph(trained, {"net.0": np.zeros((6, 14, 14))}, 0.5))
    bare = Classifier(filled(Sequential([Flatten(), Dense(4, 2)]), np.random.default_rng(0)), (1, 2, 2), names(2))
    with pytest.raises(UsageError, match="no convolution or dense layer that a compression would make smaller"):
        Menu(bare)
    for changes in ({"seed": -1}, {"seed": True}, {"threads": 0}, {"power_w": 0}, {"power_w": lambda use: -use},
                    {"power_w": "much"}):
        with pytest.raises(UsageError):
            adadeep.search(trained, dataset, quick=True, **changes)
    empty = replace(dataset, validation=dataset.validation.take(np.arange(0)))
    with pytest.raises(UsageError, match="needs validation images"):
        adadeep.search(trained, empty, quick=True)


def random_net(rng):
    """A Classifier of convolutions, pools and dense layers, with things between them."""
    shape, layers = (int(rng.choice([1, 3])), int(rng.integers(12, 20)), int(rng.integers(12, 20))), []
    at = shape
    for _ in range(rng.integers(1, 4)):
        kernel = int(rng.choice([1, 3, 5]))
        conv = Conv2d(at[0], int(rng.integers(4, 13)), kernel, int(rng.choice([1, 1, 2])),
                      int(rng.integers(0, kernel)), bias=bool(rng.integers(4)))
        layers += [conv, *([[MaxPool2d(2), ReLU()], [ReLU()], [Sigmoid(), MaxPool2d(2)],
                            [BatchNorm2d(conv.out_channels), ReLU()]][rng.integers(4)])]
        at = Sequential(layers).output_shape(shape)
        if min(at[1:]) < 5:
            break
    size = int(np.prod(at))
    layers += [Flatten(), Dense(size, 40), ReLU(), Dense(40, 5)]
    return Classifier(filled(Sequential(layers), rng), shape, names(5))


@needs_engine
@pytest.mark.parametrize("target", TARGETS)
def test_compiled_answers_are_the_layers(target):
    """Random networks of the menu on random nets, for each kind of vector."""
    from npcbnet.runtime.predictor import Predictor
    for seed in range(12):
        rng = np.random.default_rng(seed)
        menu = Menu(random_net(rng))
        for choices in range(3):
            plan = tuple(site.choices[-1 - rng.integers(len(site.choices))] for site in menu.sites)
            model, _ = menu.build(plan)
            images = some_images(rng, model.input_shape, 18)
            predictor, right = Predictor(model, kernels=kernels(target)), model.predict_proba(images)
            for count in (1, 18):
                assert_same_logits(predictor.predict_proba(images[:count]), right[:count])


# --- budgets ---
BEFORE = {"accuracy": 0.99, "latency_ms": 0.02, "energy_mj": 0.3, "storage_bytes": 1000, "macs": 5000}


def test_budgets_say_what_is_missed_and_by_how_much():
    budgets = Budgets(max_drop=0.5, latency_share=0.5, energy_mj=0.1, storage_bytes=600, macs=2000)
    costs = {"accuracy": 0.98, "latency_ms": 0.015, "energy_mj": 0.1, "storage_bytes": 660, "macs": 2000}
    assert budgets.missed(costs, BEFORE) == [
        "accuracy on validation images 98.00%, 0.50 points below the least allowed, 98.50%",
        "latency 0.015 ms, 50.0% over the budget of 0.01", "storage 660 bytes, 10.0% over the budget of 600"]
    assert budgets.excess(costs, BEFORE) == pytest.approx({"accuracy": 0.05, "latency_ms": 0.5, "storage_bytes": 0.1})
    assert budgets.missed({**costs, "accuracy": 0.985, "latency_ms": 0.01, "storage_bytes": 600}, BEFORE) == []
    assert not Budgets().missed({**costs, "accuracy": 0.0}, BEFORE)
    assert not budgets.excess(dict.fromkeys(COSTS), BEFORE)  # what is not known is not judged
    both = Budgets(max_drop=2, least_accuracy=0.98, latency_ms=0.015, latency_share=0.9)
    assert both.floor(BEFORE) == 0.98 and both.limits(BEFORE) == {"latency_ms": 0.015}


@pytest.mark.parametrize("wrong", [{"macs": 0}, {"macs": -1}, {"max_drop": -0.1}, {"latency_ms": float("nan")},
                                   {"storage_bytes": "much"}, {"energy_mj": float("inf")}, {"macs": True},
                                   {"least_accuracy": 1.5}])
def test_budgets_that_cannot_be(wrong):
    with pytest.raises(UsageError, match=f"budget {next(iter(wrong))}"):
        Budgets(**wrong)


def test_the_score_and_the_power():
    budgets = Budgets(max_drop=0.5)
    half = {"accuracy": 0.9875, "storage_bytes": 500, "macs": 2500}
    assert score({**BEFORE}, BEFORE, budgets) == pytest.approx(0.5)
    assert score(half, BEFORE, budgets) == pytest.approx((0.5 + 0.5) / 2)
    assert score({**half, "storage_bytes": 100}, BEFORE, budgets) == pytest.approx((0.5 + 0.7) / 2)
    assert score(half, BEFORE, Budgets()) == pytest.approx((0.75 + 0.5) / 2)
    assert POWER_W == pytest.approx((40 + 140 * 0.594604) / 9, rel=1e-5)
    assert watts(lambda use: 10 * use) == 5 and watts(3) == 3


# --- the front ---
def test_the_front_from_cheap_to_dear():
    rows = [(1, 9, "a"), (2, 9, "worse than a"), (3, 4, "b"), (4, 5, "worse than b"), (5, 0, "c"), (6, 0, "dear")]
    assert adadeep.spread(rows, 3) == ["a", "b", "c"]
    assert adadeep.spread(rows, 2) == ["a", "c"]
    assert adadeep.spread(rows, 5) == ["a", "worse than a", "b", "c", "dear"]
    assert adadeep.spread(rows, 99) == ["a", "worse than a", "b", "worse than b", "c", "dear"]
    assert adadeep.spread([], 3) == [] and adadeep.evenly([1, 2, 3, 4, 5], 3) == [1, 3, 5]


# --- the search ---
def test_budgets_are_met_by_a_trained_network(trained, dataset, tiny, tmp_path):
    before = {name: array.copy() for name, array in trained.params.items()}
    size, macs = modelfile.weight_bytes(trained), trained.macs()
    budgets = Budgets(max_drop=15, storage_bytes=size // 2, macs=0.8 * macs)
    found = adadeep.search(trained, dataset, budgets, quick=True, seed=1)
    assert found.met and found.missed == []
    assert found.costs["storage_bytes"] == modelfile.weight_bytes(found.model) <= size // 2
    assert found.costs["macs"] == found.model.macs() <= 0.8 * macs
    assert found.costs["accuracy"] >= found.before["accuracy"] - 0.15
    assert found.costs["energy_mj"] == pytest.approx(POWER_W * found.costs["latency_ms"])
    assert len(found.choices) == 4 and any(one["compression"] != "keep" for one in found.choices)
    assert found.candidates[0]["choices"] == "original" and len(found.candidates) == 5
    assert all(set(COSTS) <= set(row) for row in found.candidates)
    assert {row["stage"] for row in found.candidates} >= {"original", "short", "full"}
    assert all(np.array_equal(trained.params[name], array) for name, array in before.items())
    npcbnet.save(found.model, tmp_path / "m.npz")
    again = npcbnet.load(tmp_path / "m.npz")
    assert again.record["compressed"]["met"] and json.dumps(found.candidates) and json.dumps(found.costs)
    right = (runtime.compile(again).predict(dataset.test.images) == dataset.test.labels).mean()
    assert right > (trained.predict(dataset.test.images) == dataset.test.labels).mean() - 0.2


def test_the_same_bits_on_any_number_of_threads(trained, dataset, tiny, tmp_path):
    budgets = Budgets(storage_bytes=modelfile.weight_bytes(trained) // 3)
    first, second = (adadeep.search(trained, dataset, budgets, quick=True, seed=3, threads=threads, checkpoint=path)
                     for threads, path in ((1, None), (2, tmp_path / "c.npz")))
    assert first.choices == second.choices and list(tmp_path.glob("c-*.npz")) == list(tmp_path.iterdir()) != []
    first.files.clear()
    second.files.clear()
    assert not list(tmp_path.iterdir())
    assert all(np.array_equal(array, second.model.params[name]) for name, array in first.model.params.items())
    other = adadeep.search(trained, dataset, budgets, quick=True, seed=4)
    assert other.choices != first.choices or any(not np.array_equal(array, other.model.params[name])
                                                 for name, array in first.model.params.items())


def test_a_search_that_was_stopped_ends_the_same(trained, dataset, tiny, tmp_path, monkeypatch):
    budgets = Budgets(macs=0.7 * trained.macs())
    whole = adadeep.search(trained, dataset, budgets, quick=True)
    with stopped_after_an_epoch(monkeypatch):
        adadeep.search(trained, dataset, budgets, quick=True, checkpoint=tmp_path / "c.npz")
    assert len(list(tmp_path.glob("c-*.npz"))) == 1
    again = adadeep.search(trained, dataset, budgets, quick=True, checkpoint=tmp_path / "c.npz")
    assert all(np.array_equal(array, again.model.params[name]) for name, array in whole.model.params.items())
    again.files.clear()
    assert not list(tmp_path.iterdir())


def test_a_plan_does_not_find_anothers_checkpoint():
    assert adadeep.number((KEEP, KEEP)) != adadeep.number((KEEP, Choice("pruned", 8)))


def test_another_seed_does_not_find_ones_checkpoint_but_other_budgets_do(trained, dataset, tiny, tmp_path, monkeypatch):
    def missed(size, seed):
        found = adadeep.search(trained, dataset, Budgets(storage_bytes=size), quick=True, seed=seed,
                               checkpoint=tmp_path / "c.npz")
        assert not found.met
        return found, len(list(tmp_path.iterdir()))

    epochs = epochs_restored(monkeypatch)
    first, count = missed(10, 0)
    second, both = missed(10, 1)
    assert both > count > 0 == len(epochs)
    again, same = missed(9, 0)
    assert same == both and set(epochs) == {2} and again.choices == first.choices
    second.files.clear()
    assert len(list(tmp_path.iterdir())) == count


def test_test_images_take_no_part(trained, dataset, tiny):
    dark = replace(dataset, test=Split(np.zeros_like(dataset.test.images), dataset.test.labels))
    budgets = Budgets(macs=0.7 * trained.macs())
    first, second = (adadeep.search(trained, one, budgets, quick=True) for one in (dataset, dark))
    assert all(np.array_equal(array, second.model.params[name]) for name, array in first.model.params.items())


@pytest.mark.parametrize("budgets, words", [
    (Budgets(macs=10), "multiply-adds"), (Budgets(storage_bytes=10), "storage"), (Budgets(latency_ms=1e-9), "latency"),
    (Budgets(energy_mj=1e-9), "energy"), (Budgets(least_accuracy=1.0, macs=5000), "multiply-adds|accuracy")])
def test_budgets_that_nothing_meets(budgets, words, trained, dataset, tiny):
    found = adadeep.search(trained, dataset, budgets, quick=True)
    assert not found.met and found.missed
    assert re.search(words, " ".join(found.missed))
    assert "over the budget" in found.missed[-1] or "below the least allowed" in found.missed[-1]
    assert found.model.predict(dataset.test.images[:3]).shape == (3,)


def test_what_training_keeps(trained, dataset):
    """After training, weights that share values still do, and pruned ones are still zero."""
    menu = Menu(trained)
    trials = Trials(menu, dataset, Budgets(), 200, 100, 5.0, 0, 1)
    for dense, words in ((Choice("shared", 16), "shared"), (Choice("sparse", 0.8), "sparse")):
        plan = (KEEP, Choice("shared", 32), dense, KEEP)
        candidate = Candidate(plan, menu)
        start = copy.deepcopy(candidate.model.params)
        trials.fit(candidate, None, 1, "short")
        params = candidate.model.params
        assert len(np.unique(params["net.3.weight"])) <= 32
        assert not np.array_equal(params["net.3.weight"], start["net.3.weight"])
        if words == "shared":
            assert len(np.unique(params["net.7.weight"])) <= 16
        else:
            assert (params["net.7.weight"] == 0).mean() == pytest.approx(0.8, abs=0.01)


# --- the command ---
@pytest.fixture
def files(tmp_path, monkeypatch, tiny):
    """The model and its data as files in the folder where the command runs."""
    monkeypatch.chdir(tmp_path)
    write_small_files(tmp_path)
    return tmp_path


def test_the_command_finds_and_saves(files, capsys):
    options = ["small.npz", "--adadeep", "--quick", "--data", "set.npz", "--seed", "2", "--max-drop", "30"]
    assert main([*options, "--max-bytes", "20000", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["met"] and result["out"] == "small-adadeep.npz" and len(result["choices"]) == 4
    found = npcbnet.load(files / "small-adadeep.npz")
    assert modelfile.weight_bytes(found) == result["costs"]["after"]["storage_bytes"] <= 20000
    assert found.record["compressed"]["budgets"] == {"max_drop": 30, "storage_bytes": 20000}
    assert main([*options, "--max-macs", "30000", "--out", "b.npz"]) == 0
    page = capsys.readouterr().out
    assert "multiply-adds" in page and "saved as b.npz" in page and "layer 0, conv2d" in page


def test_the_command_says_that_it_cannot(files, capsys):
    options = ["small.npz", "--adadeep", "--quick", "--data", "set.npz", "--max-bytes", "100"]
    assert main(options) == 1
    page = capsys.readouterr().out
    assert "budget missed: storage" in page and "not saved" in page and not (files / "small-adadeep.npz").exists()
    assert main([*options, "--save-anyway"]) == 1
    assert npcbnet.load(files / "small-adadeep.npz").record["compressed"]["met"] is False


@pytest.mark.parametrize("options, words", [
    (["--adadeep", "--max-bytes", "-5"], "budget storage_bytes must be"), (["--int8", "--max-ms", "1"], "--adadeep"),
    (["--adadeep", "--seed", "-1"], "seed must be"), (["--adadeep", "--max-ms", "nan"], "budget latency_ms")])
def test_a_mistake_is_one_line(options, words, files, capsys):
    assert main(["small.npz", "--data", "set.npz", *options]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
