"""Easy and hard, targets by every rule, and a converter that really converts."""
import numpy as np
import pytest

from npcbnet import conversion
from npcbnet.conversion import ConverterTask, Targets, easy_and_hard
from npcbnet.data import digits
from npcbnet.errors import TrainingError, UsageError
from npcbnet.kernels._jit import COMPILED
from npcbnet.layers import Layer
from npcbnet.gradcheck import gradcheck
from npcbnet.nets import CBNet, Converter, ConverterConfig, branchynet_lenet, lightweight
from npcbnet.training import BranchyNetTask, Plan, fit
from npcbnet.truncation import find_truncation

COUNT, EPOCHS = (3000, 6) if COMPILED else (1200, 10)
NAMES = tuple("0123456789")


@pytest.fixture(scope="module")
def scene():
    """A BranchyNet trained for a moment on digits, with the threshold at which half of the images leave."""
    images, labels = digits.generate(COUNT, seed=1, difficulty=0.2)
    net = branchynet_lenet((1, 28, 28), NAMES, np.random.default_rng(0))
    fit(BranchyNetTask(net, labels), images, Plan(EPOCHS, batch=64, learning_rate=3e-3), stage="test", quiet=True)
    net.threshold = 0.1
    return net, images, labels, easy_and_hard(net, images, labels)


def test_easy_means_early_and_right(scene):
    net, images, labels, split = scene
    answer = net.explain(images)
    assert np.array_equal(split.early, answer.exit == 1)
    assert np.array_equal(split.easy, (answer.exit == 1) & (answer.label == labels))
    assert 0.05 < split.easy.mean() < 1
    assert easy_and_hard(net, images, labels, threshold=0.0).easy.sum() == 0


@pytest.mark.parametrize("rule", conversion.RULES)
def test_targets_are_easy_images_of_the_same_class(rule, scene):
    _, images, labels, split = scene
    targets = Targets(rule, images, labels, split, 10, np.random.default_rng(0))
    index = np.arange(60)
    got = targets.of(index, np.random.default_rng(1))
    assert got.shape == (60, 1, 28, 28) and got.dtype == np.float32
    floats = images / np.float32(255)
    for target, label in zip(got, labels[index]):
        members = floats[split.easy & (labels == label)]
        if rule == "mean":
            np.testing.assert_allclose(target, members.mean(axis=0), atol=1e-5)
        else:
            assert np.abs(members - target).max(axis=(1, 2, 3)).min() < 1e-6


def test_rules_differ_as_their_names_say(scene):
    _, images, labels, split = scene
    index, rngs = np.arange(80), [np.random.default_rng(seed) for seed in (1, 2)]

    def drawn(rule):
        targets = Targets(rule, images, labels, split, 10, np.random.default_rng(0))
        return [targets.of(index, rng) for rng in rngs]

    fixed, redrawn, lowest = drawn("random"), drawn("random-redrawn"), drawn("lowest-entropy")
    assert np.array_equal(*fixed) and not np.array_equal(*redrawn) and np.array_equal(*lowest)
    for label in range(10):
        mine = lowest[0][labels[index] == label]
        assert not len(mine) or (mine == mine[0]).all()
        members = np.flatnonzero(split.easy & (labels == label))
        easiest = members[split.entropy[members].argmin()]
        assert not len(mine) or np.allclose(mine[0], images[easiest] / 255, atol=1e-6)


def test_clusters_give_each_image_the_easiest_of_its_own_kind(scene):
    _, images, labels, split = scene
    targets = Targets("lowest-entropy", images, labels, split, 10, np.random.default_rng(0), clusters=3)
    again = Targets("lowest-entropy", images, labels, split, 10, np.random.default_rng(0), clusters=3)
    assert np.array_equal(targets.drawn, again.drawn)
    assert (labels[targets.drawn] == labels).all() and split.easy[targets.drawn].all()
    kinds = [len(np.unique(targets.drawn[labels == label])) for label in range(10)]
    assert max(kinds) <= 3 and np.mean(kinds) > 1.5
    assert np.array_equal(targets.of(np.arange(9), None), images[targets.drawn[:9]] * np.float32(1 / 255))
    for image, label, chosen in zip(images[:20], labels[:20], targets.like(images[:20], labels[:20])):
        choice = images[np.unique(targets.drawn[labels == label])] / 255
        assert np.square(choice - image / 255).sum(axis=(1, 2, 3)).min() == pytest.approx(
            np.square(chosen - image / 255).sum(), rel=1e-4)


def test_a_class_without_an_easy_image_gets_its_easiest(scene):
    _, images, labels, split = scene
    late = conversion.EasyHard(split.entropy, split.early & (labels != 4), split.right)
    targets = Targets("random", images, labels, late, 10, np.random.default_rng(0))
    fours = np.flatnonzero(split.right & (labels == 4))
    assert targets.without == [4] and targets.easy[4].tolist() == [fours[split.entropy[fours].argmin()]]
    never = conversion.EasyHard(split.entropy, split.early, split.right & (labels != 4))
    with pytest.raises(TrainingError, match="class 4"):
        Targets("lowest-entropy", images, labels, never, 10, np.random.default_rng(0))
    with pytest.raises(UsageError, match="nearest"):
        Targets("nearest", images, labels, split, 10, np.random.default_rng(0))


def test_prototype_check_names_the_classes_that_are_misread(scene):
    net, images, labels, split = scene
    light = lightweight(net)
    targets = Targets("lowest-entropy", images, labels, split, 10, np.random.default_rng(0))
    assert conversion.misread(light, targets) == {}
    targets.prototypes[[2, 5]] = targets.prototypes[[5, 2]]
    assert conversion.misread(light, targets) == {2: 1.0, 5: 1.0}
    many = Targets("lowest-entropy", images, labels, split, 10, np.random.default_rng(0), clusters=3)
    assert conversion.misread(light, many) == {}
    hard = np.flatnonzero(~split.right & (labels == labels[~split.right][0]))[:1]
    many.drawn[labels == labels[hard[0]]] = hard[0]
    assert conversion.misread(light, many) == {int(labels[hard[0]]): 1.0}


@pytest.mark.parametrize("form, options", [
    (ConverterConfig((128, 64, 16), ("relu", "relu", "linear"), output="softmax"), {"l1": 1e-7}),
    (ConverterConfig((128, 64, 16), ("relu", "relu", "linear"), halve_input=True, halve_output=True), {"ce": 0.1})])
def test_conversion_makes_hard_images_easier(form, options, scene):
    net, images, labels, split = scene
    light, rng = lightweight(net), np.random.default_rng(0)
    targets = Targets("lowest-entropy", images, labels, split, 10, rng)
    if form.output == "softmax":
        form = ConverterConfig(form.hidden, form.activations, output="softmax", total=targets.mean_ink())
    converter = Converter(form, (1, 28, 28)).initialise(rng)
    fit(ConverterTask(converter, targets, light, **options), images, Plan(20, batch=64, learning_rate=2e-3, decay=20),
        stage="test", quiet=True)
    _, code, _ = converter.forward(images[:200].astype(np.float32) / 255)
    assert code.std() > 1e-3  # the trap: a penalty as large as the whole error drives the code to 0
    model = CBNet(converter, light)
    leaves_now = net.explain(model.convert(images)).exit == 1
    assert leaves_now[~split.early].mean() > 0.3, "of the hard images, none of which left before"
    assert (model.predict(images) == labels).mean() > 0.8


class ThroughTask(Layer):
    """A ConverterTask's loss as a layer of the converter's parameters, for gradcheck to judge all its terms at once."""

    def __init__(self, task, labels):
        super().__init__()
        self.task, self.params = task, dict(task.params)

    def forward(self, x, train=False, rng=None):
        for name, array in self.params.items():
            part, rest = name.split(".", 1)
            getattr(self.task.converter, part).params = {rest: array}
        loss, grads = self.task.gradients(x, np.arange(len(x)), len(x), np.random.default_rng(0))
        return np.array([loss]), lambda dy, need_dx=True: (np.zeros_like(x), {k: g * dy[0] for k, g in grads.items()})


@pytest.mark.parametrize("form", [
    ConverterConfig((12, 4), ("relu", "linear"), output="softmax", total=30.0),
    ConverterConfig((12,), ("relu",), output="sigmoid"),
    ConverterConfig((12, 4), ("relu", "linear"), halve_input=True, halve_output=True),
    ConverterConfig((12, 4), ("relu", "linear"), residual=True)])
def test_the_converters_gradient_is_that_of_its_loss(form, scene, monkeypatch):
    net, images, labels, split = scene
    rng = np.random.default_rng(3)
    light = lightweight(net)
    task = ConverterTask(Converter(form, (1, 28, 28)).initialise(rng),
                         Targets("mean", images, labels, split, 10, rng), light,
                         l1=1e-3, ce=0.0 if form.output == "softmax" else 0.3)
    kept = dict(light.net.params)
    light.net.params = {name: array.astype(np.float64) for name, array in kept.items()}
    layer = ThroughTask(task, labels)
    monkeypatch.setattr(layer, "forward", no_input_gradient(layer.forward, images[:3] / 255.0))
    try:
        assert gradcheck(layer, np.zeros((3, 1)), rng, step=1e-7) < 1e-4
    finally:
        light.net.params = kept


def no_input_gradient(forward, x):
    """gradcheck moves the input too; here it is fixed, so that only the parameters are judged."""
    def fixed(dummy, train=False, rng=None):
        y, backward = forward(x, train, rng)
        return y, lambda dy, need_dx=True: (np.zeros_like(dummy), backward(dy)[1])
    return fixed


def test_fine_tuning_is_kept_only_if_validation_improves(scene):
    net, images, labels, split = scene
    light, rng = lightweight(net), np.random.default_rng(0)
    converter = Converter(ConverterConfig((16,), ("relu",), residual=True), (1, 28, 28)).initialise(rng)
    held = images[:200], labels[:200]
    before = {name: array.copy() for name, array in light.params.items()}
    good, history, kept = conversion.fine_tune(light, converter, images, labels, held, Plan(2, 64, 3e-3),
                                               stage="test", quiet=True)
    right = (light.predict(converter.convert(held[0])) == held[1]).mean()
    assert kept == (history[-1]["accuracy"] > right) and (good is not light) == kept
    bad, _, kept = conversion.fine_tune(light, converter, images, (labels + 1) % 10, held, Plan(2, 64, 3e-3),
                                        stage="test", quiet=True)
    assert not kept and bad is light
    assert all(np.array_equal(before[name], array) for name, array in light.params.items())


def test_find_truncation_goes_deeper_until_enough_is_easy(scene):
    net, images, labels, _ = scene
    whole = [*net.stem, *net.trunk]
    layers = type(net.stem)(whole)
    part = slice(0, 600 if COMPILED else 100)
    options = {"train": (images[part], labels[part]), "validation": (images[part], labels[part]), "class_names": NAMES}
    tried = find_truncation(layers, **options, threshold=2.0, easy_share=0.0, plan=Plan(1))
    assert [row.layers for row in tried] == [1]
    before = {name: array.copy() for name, array in layers.params.items()}
    tried = find_truncation(layers, **options, threshold=0.0, easy_share=0.5, plan=Plan(1))
    assert [row.layers for row in tried] == list(range(1, len(layers)))
    assert all(np.array_equal(before[name], array) for name, array in layers.params.items())
