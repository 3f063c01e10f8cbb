"""Nets with several early exits: B-AlexNet's published size, real exits, joint training, thresholds, model files."""
import json
import tracemalloc

import numpy as np
import pytest

import npcbnet
from npcbnet import judge, predict, report
from npcbnet.errors import ModelFileError, ShapeError
from npcbnet.exits import choose, exits_taken, outputs_judged
from npcbnet.kernels._jit import COMPILED
from npcbnet.layers import (BatchNorm2d, Conv2d, Dense, Dropout, Flatten, GlobalAvgPool2d, MaxPool2d, ReLU, Sequential,
                            initialise)
from npcbnet.losses import cross_entropy
from npcbnet.nets import MultiExit, balexnet, branchynet_lenet, cut_at_exit, lightweight
from npcbnet.nets import model as nets_model
from npcbnet.training import BranchyNetTask, ClassifierTask, Plan, fit
from tests.test_modelfile_hostile import pack, refused, unpack

CIFAR, DIGITS = (3, 32, 32), tuple("0123456789")
SHAPE, NAMES = (2, 8, 8), ("a", "b", "c")
COUNT = 150 if COMPILED else 12


def small_net(thresholds=(0.0, 0.0, 0.0), seed=0, dropout=0.0):
    """Four exits on 8x8 images, 3 classes."""
    stages = [[Conv2d(2, 4, 3, pad=1), ReLU(), MaxPool2d(2)], [Conv2d(4, 4, 3, pad=1, bias=False), BatchNorm2d(4)],
              [ReLU(), Conv2d(4, 5, 3), ReLU()], [Flatten(), Dense(20, 8), ReLU(), Dropout(dropout), Dense(8, 3)]]
    branches = [[Flatten(), Dense(64, 3)], [MaxPool2d(2), Flatten(), Dense(16, 3)], [Flatten(), Dense(20, 3)]]
    rng = np.random.default_rng(seed)
    parts = [[initialise(Sequential(layers), rng, "he_normal") for layers in some] for some in (stages, branches)]
    return MultiExit(*parts, thresholds, SHAPE, NAMES)


def blobs(count=COUNT, seed=1):
    """Images of three classes: a bright square at one of three places, in noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    images = rng.integers(0, 130, (count, *SHAPE), dtype=np.uint8)
    for image, label in zip(images, labels):
        image[label % 2, 2 * label:2 * label + 3, 2:5] += 100
    return images, labels


def halves(net, images):
    """The net with thresholds at which about half of those that come to an exit leave there."""
    entropies = outputs_judged(net.all_exits(images), np.zeros(len(images), int))[0]
    net.thresholds = np.median(entropies, axis=1)
    return net, entropies


def test_b_alexnet_has_the_size_of_the_authors_code():
    """networks/alex_cifar10.py: parameters and multiply-adds of the main net, and of the ways to the early exits."""
    net = balexnet(CIFAR, DIGITS, np.random.default_rng(0))
    ways = [cut_at_exit(net, number) for number in (1, 2, 3)]
    assert [way.parameter_count() for way in ways] == [86_538, 138_058, 544_074]
    assert [round(way.macs() / 1e6, 2) for way in ways] == [17.34, 19.55, 28.25]
    branches = [ways[0].macs() - net.stages[0].macs(CIFAR), ways[1].macs() - net.stages[0].macs(CIFAR)
                - net.stages[1].macs((64, 8, 8))]
    assert net.parameter_count() == 544_074 + (32 * 64 * 9 + 32) + (32 * 32 * 9 + 32) + 5130 + (96 * 32 * 9 + 32) + 1290
    assert net.macs() == ways[2].macs() + sum(branches)
    assert net.macs(1.0) == ways[0].macs() and net.macs((0, 1)) == ways[1].macs() + branches[0]
    assert abs(net.macs((0.5, 0.2)) - (0.5 * net.macs(1) + 0.2 * net.macs((0, 1)) + 0.3 * net.macs())) < 3
    assert [layer.rate for layer in net.stages[-1] if isinstance(layer, Dropout)] == [0.5, 0.5]
    assert net.params.keys() == {f"{part}.{name}" for part in net.parts for name in getattr(net, part).params}


def test_b_alexnets_maps_are_those_of_the_authors_code():
    net = balexnet(CIFAR, DIGITS, np.random.default_rng(0))
    shapes = net.input_shapes()
    sides = {name: [shape[1] for shape in getattr(net, name).shapes(shapes[name]) if len(shape) == 3]
             for name in net.parts}
    assert sides == {"stage1": [32, 32, 32, 16, 16, 16, 16, 8, 8], "branch1": [8, 8, 8, 8, 8, 4], "stage2": [8, 8, 8],
                     "branch2": [8, 4, 4, 4, 4, 2], "stage3": [8, 8, 8, 8, 8, 4]}


def test_an_image_is_answered_by_the_first_exit_that_is_sure(monkeypatch):
    images, _ = blobs()
    net, entropies = halves(small_net(), images)
    expected, seen = exits_taken(entropies, net.thresholds), []
    logits = net.all_exits(images)
    forward = net.stages[3].forward
    monkeypatch.setattr(net.stages[3], "forward", lambda x, *rest: seen.append(len(x)) or forward(x, *rest))
    answer = net.explain(images)
    np.testing.assert_array_equal(answer.exit, expected)
    assert set(answer.exit) == {1, 2, 3, 4} and sum(seen) == (expected == 4).sum()
    np.testing.assert_array_equal(answer.label, logits.argmax(axis=2)[expected - 1, np.arange(len(images))])
    np.testing.assert_array_equal(answer.entropy[expected < 4],
                                  entropies[expected[expected < 4] - 1, np.flatnonzero(expected < 4)])


def test_an_answer_does_not_depend_on_the_company(monkeypatch):
    monkeypatch.setattr(nets_model, "LARGEST_MAP", 7 * 8 * 2 * 8 * 8)  # seven images at a time
    images, _ = blobs()
    net, _ = halves(small_net(), images)
    whole = net.explain(images)
    for size in (1, 5, 70):
        part = net.explain(images[:size])
        for field in ("exit", "label", "entropy", "confidence"):
            np.testing.assert_array_equal(getattr(part, field), getattr(whole, field)[:size])
    assert net.explain(images[:0]).exit.shape == (0,)


def test_few_large_maps_wait_for_a_stage(monkeypatch):
    """Images whose maps are large go through a later stage as soon as they are as many as go through the first."""
    monkeypatch.setattr(nets_model, "LARGEST_MAP", 4 * 16 * 32 * 32)  # four images at a time
    rng, shape = np.random.default_rng(0), (1, 32, 32)
    stages = [initialise(Sequential(layers), rng) for layers in (
        [Conv2d(1, 16, 1), ReLU()], [ReLU()], [GlobalAvgPool2d(), Flatten(), Dense(16, 3)])]
    branches = [initialise(Sequential([GlobalAvgPool2d(), Flatten(), Dense(16, 3)]), rng) for _ in range(2)]
    net = MultiExit(stages, branches, (0.0, 0.0), shape, NAMES)
    images = rng.integers(0, 256, (67 if COMPILED else 3, *shape), dtype=np.uint8)
    seen, forward = [], stages[1].forward
    net.predict(images[:5])
    monkeypatch.setattr(stages[1], "forward", lambda x, *rest: seen.append(len(x)) or forward(x, *rest))
    tracemalloc.start()
    try:
        answer = net.explain(images)
        largest = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert set(answer.exit) == {3} and seen == ([4] * 16 + [3] if COMPILED else [1] * 3)
    assert largest < 24 * 4 * 16 * 32 * 32  # bytes of 24 images' maps; all together have 67


def test_one_early_exit_is_a_branchynet():
    rng = np.random.default_rng(0)
    net = branchynet_lenet((1, 12, 12), NAMES, rng, 0.9)
    same = MultiExit(net.stages, net.branches, [0.9], net.input_shape, NAMES)
    images = rng.integers(0, 256, (COUNT, 1, 12, 12), dtype=np.uint8)
    assert isinstance(net, MultiExit) and same.parts == ("stage1", "branch1", "stage2") and net.stages[0] is net.stem
    assert same.macs(0.3) == net.macs(0.3)
    for field in ("exit", "label", "entropy", "confidence"):
        np.testing.assert_array_equal(getattr(net.explain(images), field), getattr(same.explain(images), field))
    net.threshold = 0.25
    assert net.thresholds == (0.25,) and net.config()["threshold"] == 0.25 and "thresholds" not in net.config()
    assert lightweight(net).parameter_count() == cut_at_exit(same, 1).parameter_count()


@pytest.mark.parametrize("thresholds, words", [
    ([0.1, 0.2], "a list of 3"), ([], "a list of 3"), (0.5, "a list of 3"), ("abc", "a list of 3"),
    ([0.1, -1e-9, 0], "at least 0"), ([0.1, 0.2, float("nan")], "at least 0"), ([0.1, 0.2, "nan"], "at least 0"),
    ([True, 0, 0], "at least 0"), ([None, 0, 0], "at least 0")])
def test_thresholds_that_are_none(thresholds, words):
    net = small_net()
    with pytest.raises(ShapeError, match=words):
        net.thresholds = thresholds
    with pytest.raises(ShapeError, match=words):
        small_net(thresholds)
    assert net.thresholds == (0, 0, 0)


def test_parts_that_do_not_fit_are_refused():
    net = small_net()
    for stages, branches, words in ((net.stages[:1], (), "2 to 16 exits"), (net.stages, net.branches[:2], "2 to 16"),
                                    (net.stages[:2] * 9, net.branches[:1] * 17, "2 to 16"),
                                    (net.stages[:2], net.branches[:1], "the stage2 ends"),
                                    (net.stages[:3] + net.stages[:1], net.branches, "takes"),
                                    (net.stages, net.branches[::-1], "takes")):
        with pytest.raises(ShapeError, match=words):
            MultiExit(stages, branches, [0.0] * len(branches), SHAPE, NAMES)
    for number in (0, 5, "1"):
        with pytest.raises(ShapeError, match="exits 1 to 4"):
            cut_at_exit(net, number)
    for rates in ((0.5, 0.6), (-0.1,), (0.1,) * 4, float("nan"), ((0.1,),)):
        with pytest.raises(ShapeError, match="at most 3 shares"):
            net.macs(rates)


def test_joint_gradients_by_projection():
    """Of the whole joint loss, in float64: what a stage gets is the sum of its branch's and the next stage's."""
    net, (images, labels), rng = small_net(), blobs(6), np.random.default_rng(2)
    net.set_params({name: array + 0.1 * rng.standard_normal(array.shape) for name, array in net.params.items()})
    task = BranchyNetTask(net, labels)

    def joint():
        return task.gradients(images / 255, np.arange(6), 6, np.random.default_rng(0))

    _, grads = joint()
    for name in net.params.keys() - set(net.statistics):
        kept, step = net.params[name], 1e-6
        direction = rng.standard_normal(kept.shape)
        ends = []
        for sign in (1, -1):
            net.set_params({name: kept + sign * step * direction})
            ends.append(joint()[0])
        net.set_params({name: kept})
        expected = (grads[name] * direction).sum()
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(expected, rel=1e-6, abs=1e-8), name


def test_the_joint_loss_is_the_plain_sum_of_the_exits_losses():
    net, (images, labels) = balexnet((3, 16, 16), NAMES, np.random.default_rng(0)), blobs(8)
    images = np.random.default_rng(0).integers(0, 256, (8, 3, 16, 16), dtype=np.uint8)
    x, index = images.astype(np.float32) / 255, np.arange(8)
    for stage in net.stages:
        for layer in stage:
            layer.rate = 0.0  # of its dropouts
    loss, grads = BranchyNetTask(net, labels).gradients(x, index, 8, np.random.default_rng(0))
    ways = [ClassifierTask(cut_at_exit(net, number).net, labels).gradients(x, index, 8, np.random.default_rng(0))
            for number in (1, 2, 3)]
    assert loss == pytest.approx(sum(way[0] for way in ways), rel=1e-6)
    assert loss == pytest.approx(sum(cross_entropy(z, labels, 8)[0] for z in net.all_exits(images)), rel=1e-4)
    assert set(grads) == set(net.params)
    expected = sum(way[1]["0.weight"] for way in ways)
    np.testing.assert_allclose(grads["stage1.0.weight"], expected, rtol=2e-3, atol=1e-6)
    np.testing.assert_allclose(grads["branch2.2.weight"], ways[1][1]["12.weight"], rtol=1e-3, atol=1e-7)


def test_it_learns_and_its_thresholds_save_work_on_validation_images(tmp_path):
    net, (images, labels) = small_net(dropout=0.1), blobs(200 if COMPILED else 60)
    task = BranchyNetTask(net, labels)
    checkpoint = tmp_path / "checkpoint.npz"
    history = fit(task, images, Plan(12, 32, 1e-2), stage="test", quiet=True, checkpoint=checkpoint)
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    again = small_net(seed=5)
    fit(BranchyNetTask(again, labels), images, Plan(12, 32, 1e-2), stage="test", quiet=True, checkpoint=checkpoint)
    assert all(np.array_equal(again.params[name], array) for name, array in net.params.items())
    held, truth = blobs(120 if COMPILED else 40, seed=2)
    logits = net.all_exits(held)
    net.thresholds = choose(*outputs_judged(logits, truth), net.macs)
    answer = net.explain(held)
    shares = [(answer.exit == number).mean() for number in (1, 2, 3)]
    assert (answer.label == truth).mean() >= (logits[-1].argmax(axis=1) == truth).mean() - 0.0005
    assert net.macs(shares) < net.macs()


def test_models_take_turns_for_so_many_rounds_and_seconds(monkeypatch):
    images, _ = blobs()
    models, calls = {"one": cut_at_exit(small_net(), 4), "other": cut_at_exit(small_net(), 3)}, []
    monkeypatch.setattr(judge, "_timed", lambda predictor, image: calls.append(predictor) or 0.001 * len(calls))
    found = judge.latencies(models, images[:3], rounds=2)
    assert [calls.index(predictor) for predictor in dict.fromkeys(calls)] == [0, 3] and len(calls) == 12
    assert found["one"].latency_ms == pytest.approx(0.005) and found["other"].latency_ms == pytest.approx(0.008)
    judge.latencies(models, images[:3], rounds=1, seconds=0.05)
    assert len(calls) > 120 and len(calls) % 6 == 0


def test_a_report_tells_every_exit(tmp_path):
    images, labels = blobs()
    net, _ = halves(small_net(), images)
    models = {"balexnet": net, "lenet": cut_at_exit(net, 4)}
    rows = judge.rows(models, net, images, labels, judge.latencies(models, images[:3], rounds=1))
    exits = net.explain(images).exit
    assert rows[0]["exit_rates"] == [float((exits == number).mean()) for number in (1, 2, 3, 4)]
    assert rows[0]["macs"] == net.macs(rows[0]["exit_rates"][:3]) < net.macs()
    assert rows[0]["thresholds"] == list(net.thresholds) and "exit_rates" not in rows[1]
    report.write_report(tmp_path, rows, {"dataset": "blobs"})
    page = (tmp_path / "report.md").read_text()
    assert " / ".join(f"{100 * share:.1f}" for share in rows[0]["exit_rates"]) in page and "| taken exits % |" in page
    assert f"B-AlexNet at T = {net.thresholds[0]:.3g}, " in page
    assert "taken exits" not in report.markdown_table(rows[1:])
    assert "B-AlexNet at T = ∞, 0" in report.markdown_table([{**rows[0], "thresholds": [float("inf"), 0]}])
    assert max(map(len, report.text_table(rows).splitlines())) <= 120


def test_the_predict_command_names_the_exit(tmp_path, capsys):
    from PIL import Image
    net = balexnet(CIFAR, DIGITS, np.random.default_rng(0), thresholds=(0.0, 5.0))
    npcbnet.save(net, tmp_path / "model.npz")
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    assert predict.main([str(tmp_path / "model.npz"), str(tmp_path / "a.png")]) == 0
    assert capsys.readouterr().out.endswith("%), exit 2 of 3\n")


def test_a_file_brings_back_every_bit(tmp_path):
    images, _ = blobs()
    net, _ = halves(small_net(), images)
    net.record = {"seed": 3}
    npcbnet.save(net, tmp_path / "model.npz")
    found = npcbnet.load(tmp_path / "model.npz")
    assert type(found) is MultiExit and found.config() == net.config() and found.record == net.record
    assert found.thresholds == net.thresholds
    for field in ("exit", "label", "entropy", "confidence"):
        np.testing.assert_array_equal(getattr(found.explain(images), field), getattr(net.explain(images), field))


def test_thresholds_that_json_has_not_are_not_saved(tmp_path):
    with pytest.raises(ModelFileError, match="config is not JSON"):
        npcbnet.save(small_net((0, 0, float("inf"))), tmp_path / "model.npz")


@pytest.mark.parametrize("field, value, words", [
    ("thresholds", [0.1, 0.2], "a list of 3"), ("thresholds", [0.1] * 4, "a list of 3"), ("thresholds", [], "of 3"),
    ("thresholds", 0.5, "a list of 3"), ("thresholds", {"0": 0.5}, "a list of 3"), ("thresholds", None, "thresholds"),
    ("thresholds", [0.1, -0.5, 0.1], "at least 0"), ("thresholds", ["nan", 0.1, 0.1], "at least 0"),
    ("thresholds", [0.1, True, 0.1], "at least 0"), ("thresholds", [0.1, 1, 0.1], "another type"),
    ("thresholds", [0.1, [0.1], 0.1], "at least 0"), ("thresholds", [0.1, 1e300, 0.1], "thresholds"),
    ("threshold", 0.5, "a field too many"), ("stage5", [{"layer": "relu"}], "2 to 16 exits|no 'branch4'"),
    ("branch4", [{"layer": "relu"}], "a field too many"), ("branch2", None, "branch2"), ("stage2", None, "stage2"),
    ("stage3", [{"layer": "flatten"}], "takes"), ("stage1", [], "a list of 1 to 256 layers"),
    ("stage4", [{"layer": "dense", "features": 20, "outputs": 10 ** 9}], "layer|damaged|dense|cannot")])
def test_hostile_fields(field, value, words, tmp_path):
    npcbnet.save(small_net(), tmp_path / "good.npz")
    manifest, entries = unpack((tmp_path / "good.npz").read_bytes())
    manifest["config"][field] = value
    refused(pack(tmp_path / "bad.npz", manifest, entries), words)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-1.0", '"NaN"', "1e400", "9" * 40])
def test_hostile_texts_of_a_threshold(text, tmp_path):
    npcbnet.save(small_net((0.1, 0.125, 0.1)), tmp_path / "good.npz")
    manifest, entries = unpack((tmp_path / "good.npz").read_bytes())
    data = json.dumps(manifest).replace("0.125", text).encode()
    refused(pack(tmp_path / "bad.npz", data, entries), "threshold|finite number|digits")


def test_a_missing_part_and_a_hundred_exits(tmp_path):
    npcbnet.save(small_net(), tmp_path / "good.npz")
    manifest, entries = unpack((tmp_path / "good.npz").read_bytes())
    branch = manifest["config"].pop("branch3")
    refused(pack(tmp_path / "bad.npz", manifest, entries), "no 'branch3'")
    manifest["config"] |= {f"{part}{i}": branch for i in range(1, 101) for part in ("stage", "branch")}
    refused(pack(tmp_path / "bad.npz", manifest, entries), "2 to 16 exits")
