"""CAE-Net: the enhanced converting autoencoder, transfer behind a frozen encoder, recipes."""
import copy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import npcbnet
from npcbnet import conversion, modelfile, runtime
from npcbnet.caenet import recipe as recipes
from npcbnet.caenet.run import first
from npcbnet.caenet.stages import Stages, reconstruction_loss
from npcbnet.caenet.transfer import HeadTask, dead
from npcbnet.compress.retrain import logits
from npcbnet.data import digits
from npcbnet.data.dataset import Dataset, Split
from npcbnet.errors import ModelFileError, ShapeError
from npcbnet.gradcheck import gradcheck
from npcbnet.kernels._jit import COMPILED
from npcbnet.layers import BatchNorm2d, Conv2d, Dense, Flatten, MaxPool2d, ReLU, Sequential, initialise
from npcbnet.nets import CBNet, Classifier, ConvConverter, ConvConverterConfig, caenet, lenet
from npcbnet.nets.caenet import head, parts, thin
from npcbnet.run import Run
from npcbnet.training import ClassifierTask, Plan, fit
from tests.test_conversion import ThroughTask, no_input_gradient

NAMES = tuple("0123456789")
LARGER = ConvConverterConfig((8, 16, 24, 32, 32), (2, 1, 2, 1, 1))  # more multiply-adds than LeNet


def converter(form=ConvConverterConfig((3, 4), (2, 1)), shape=(1, 28, 28), seed=0):
    return ConvConverter(form, shape).initialise(np.random.default_rng(seed))


def test_the_network_of_our_notes_has_its_size():
    """Five convolutions 3 x 3 and FC 1568-52-10: 103,038 parameters (the paper: 110 k), 1.28 M multiply-adds."""
    made = converter(LARGER)
    net = caenet(made.encoder, 52, (1, 28, 28), NAMES, np.random.default_rng(0))
    assert made.encoder.output_shape((1, 28, 28)) == (32, 7, 7)
    assert net.parameter_count() == 103_038 and round(net.macs() / 1e6, 2) == 1.28
    assert [type(layer).__name__ for layer in made.decoder] == ["ConvTranspose2d", "ReLU"] * 4 + [
        "ConvTranspose2d", "Sigmoid"]
    colour = recipes.COLOUR
    net = caenet(converter(colour.form, (3, 32, 32)).encoder, colour.hidden, (3, 32, 32), NAMES,
                 np.random.default_rng(0), colour.pool)
    assert net.parameter_count() <= 900_000 and round(net.macs() / 1e6, 1) == 36.8


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 2)), min_size=1, max_size=5), st.integers(1, 3),
       st.integers(5, 20), st.booleans(), st.integers(0, 9))
@settings(max_examples=25 if COMPILED else 6, deadline=None)
def test_the_decoder_restores_every_size_of_image(layers, channels, side, batch_norm, seed):
    form = ConvConverterConfig(*zip(*layers), batch_norm)
    made = converter(form, (channels, side, side), seed)
    x = np.random.default_rng(seed).random((2, channels, side, side), np.float32)
    raw, code, _ = made.forward(x)
    assert raw.shape == x.shape and code.shape[1:] == made.encoder.output_shape(x.shape[1:])
    assert (0 <= raw).all() and (raw <= 1).all()
    assert len(made.statistics) == (2 * (2 * len(layers) - 1) if batch_norm else 0)


def test_sides_that_round_differently_are_refused():
    with pytest.raises(ShapeError, match="both even or both odd"):
        converter(ConvConverterConfig((3,), (2,)), (1, 8, 9))


@pytest.mark.parametrize("values, says", [
    (((), ()), "a stride for each"), (((3, 4), (1,)), "a stride for each"), (((3,), (3,)), "strides 1 or 2"),
    (((0,), (1,)), "at least 1"), (((2.5,), (1,)), "whole numbers"), ((5, (1,)), "whole numbers"),
    (((True,), (1,)), "whole numbers"), (((3,), (1,), "yes"), "true or false")])
def test_forms_that_cannot_be_are_refused(values, says):
    with pytest.raises(ShapeError, match=says):
        ConvConverterConfig(*values)


@pytest.fixture(scope="module")
def scene():
    """Digits, a LeNet that reads most of them, and what is easy under it."""
    images, labels = digits.generate(800, seed=1, difficulty=0.1)
    net = lenet((1, 28, 28), NAMES, np.random.default_rng(0))
    fit(ClassifierTask(net.net, labels), images, Plan(12 if COMPILED else 5, 64, 2e-3), stage="scene", quiet=True)
    return net, images, labels, conversion.easy_by_entropy(net, images, labels)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_converters_gradient_is_that_of_its_loss(batch_norm, scene, monkeypatch):
    net, images, labels, split = scene
    rng = np.random.default_rng(3)
    task = conversion.ConverterTask(converter(ConvConverterConfig((3, 4), (2, 1), batch_norm)), conversion.Targets(
        "mean", images, labels, split, 10, rng), None, l1=1e-3)
    layer = ThroughTask(task, labels)
    learned = {name: array for name, array in layer.params.items() if name not in task.statistics}
    layer.params = learned
    x = rng.random((3, 1, 28, 28))  # no digits: behind black pixels every ReLU would stand at its kink
    monkeypatch.setattr(layer, "forward", no_input_gradient(layer.forward, x))
    assert gradcheck(layer, np.zeros((3, 1)), rng, step=1e-7) < 1e-4


def test_conversion_makes_hard_images_easier(scene):
    net, images, labels, split = scene
    targets = conversion.Targets("lowest-entropy", images, labels, split, 10, np.random.default_rng(0))
    made = converter(ConvConverterConfig((8, 16), (2, 2)))
    before = reconstruction_loss(made, targets)
    history = fit(conversion.ConverterTask(made, targets, None), images, Plan(8, 32, 2e-3), stage="test", quiet=True)
    after = reconstruction_loss(made, targets)
    assert after < 0.7 * before and history[-1]["loss"] < history[0]["loss"]
    right = targets.of(np.arange(50), np.random.default_rng(0))
    by_hand = np.square(made.convert(images[:50]).astype(np.float64) - right).mean()
    some = copy.copy(targets)
    some.images, some.labels = images[:50], labels[:50]
    assert reconstruction_loss(made, some) == pytest.approx(by_hand, rel=1e-4)


def test_the_first_pictures_are_as_bright_as_they_are_told():
    made = converter(ConvConverterConfig((8, 16), (2, 2)), (3, 16, 16)).begin_with([0.2, 0.5, 1.0])
    x = np.random.default_rng(0).random((20, 3, 16, 16), np.float32)
    np.testing.assert_allclose(made.forward(x)[0].mean(axis=(0, 2, 3)), [0.2, 0.5, 0.99], atol=0.1)


def test_a_head_learns_and_its_encoder_stays(scene):
    _, images, labels, _ = scene
    made = caenet(converter(ConvConverterConfig((8, 8), (2, 2))).encoder, 30, (1, 28, 28), NAMES,
                  np.random.default_rng(2))
    encoder, thin = parts(made)
    before = {name: array.copy() for name, array in encoder.params.items()}
    fit(HeadTask(encoder, thin, labels), images, Plan(6, 64, 2e-3), stage="head", quiet=True)
    assert all(np.array_equal(before[name], array) for name, array in made.net[:len(encoder)].params.items())
    assert (made.predict(images) == labels).mean() > 0.6


def test_a_heads_gradients_are_those_of_the_whole_network(scene):
    _, images, labels, _ = scene
    made = caenet(converter().encoder, 7, (1, 28, 28), NAMES, np.random.default_rng(2))
    encoder, thin = parts(made)
    x, index = images[:9] / np.float32(255), np.arange(9)
    loss, grads = HeadTask(encoder, thin, labels).gradients(x, index, 9, np.random.default_rng(0))
    whole_loss, whole = ClassifierTask(made.net, labels).gradients(x, index, 9, np.random.default_rng(0))
    assert loss == whole_loss and set(grads) == set(thin.params)
    for name, gradient in grads.items():
        place, rest = name.split(".", 1)
        np.testing.assert_array_equal(gradient, whole[f"{int(place) + len(encoder)}.{rest}"])


def test_a_checkpoint_of_another_encoder_is_refused(scene, tmp_path):
    _, images, labels, _ = scene
    tasks = []
    for seed in (0, 1):
        encoder = converter(seed=seed).encoder
        thin = initialise(head(encoder.output_shape((1, 28, 28)), 10, 5), np.random.default_rng(0))
        tasks.append(HeadTask(encoder, thin, labels))
    fit(tasks[0], images[:64], Plan(1), stage="head", quiet=True, checkpoint=tmp_path / "c.npz")
    with pytest.raises(npcbnet.NpcbnetError, match="task"):
        fit(tasks[1], images[:64], Plan(1), stage="head", quiet=True, checkpoint=tmp_path / "c.npz")


def test_a_network_learns_from_the_baseline_that_it_is_given(tmp_path):
    part = Split(*digits.generate(20, seed=1))
    stages = Stages(Run("digits", net="caenet"), Dataset("digits", "drawn", part, part, part, NAMES), tmp_path)
    first_one, other, pupil = (thin((1, 28, 28), NAMES, np.random.default_rng(seed), (5,)) for seed in range(3))
    for teacher in (first_one, other, first_one):
        task = stages._distilled(pupil, teacher)
        np.testing.assert_array_equal(task.teacher, logits(teacher, part.images))
        assert stages._distilled(pupil, teacher).teacher is task.teacher  # computed once
    stages.chosen = replace(stages.chosen, hard=1.0)
    assert stages._distilled(pupil, other).teacher is None


def test_the_thin_network_has_the_size_of_our_notes():
    """P196-256-128-10: 84 k multiply-adds."""
    net = thin((1, 28, 28), NAMES, np.random.default_rng(0), (256, 128))
    assert net.macs() == 196 * 256 + 256 * 128 + 128 * 10
    assert thin((1, 7, 8), NAMES, np.random.default_rng(0), (5,)).macs() == 56 * 5 + 50


def test_parts_of_a_network_without_an_encoder():
    net = Classifier(initialise(Sequential([Flatten(), Dense(16, 2)]), np.random.default_rng(0)), (1, 4, 4), ("a", "b"))
    with pytest.raises(ShapeError, match="does not begin with an encoder"):
        parts(net)


def test_dead_activations_are_counted():
    rng = np.random.default_rng(0)
    net = initialise(Sequential([Conv2d(1, 4, 3), ReLU(), Flatten(), Dense(64, 2)]), rng)
    model = Classifier(net, (1, 6, 6), ("a", "b"))
    images = rng.integers(0, 256, (300, 1, 6, 6), np.uint8)
    y = net[:1].forward(images / np.float32(255))[0]
    assert dead(model, images) == pytest.approx((y <= 0).mean())
    pooled = Sequential([net[0], MaxPool2d(2), ReLU(), Flatten(), Dense(16, 2)])
    initialise(pooled[-1], rng)
    largest = y.reshape(300, 4, 2, 2, 2, 2).max(axis=(3, 5))
    assert dead(Classifier(pooled, (1, 6, 6), ("a", "b")), images) == pytest.approx((largest <= 0).mean())
    normalised = Sequential([net[0], BatchNorm2d(4), *net[1:]])
    initialise(normalised[1], rng).params["bias"][:] = 1e6
    assert dead(Classifier(normalised, (1, 6, 6), ("a", "b")), images) == 0
    assert dead(thin((1, 6, 6), ("a", "b"), rng, (5,)), images) is None


def test_a_quick_run_of_colour_images_has_narrow_networks_that_train_longer():
    images, labels = np.zeros((20, 3, 32, 32), np.uint8), np.arange(20) % 10
    part = Split(images, labels)
    data = Dataset("cifar10", "colours", part, part, part, NAMES)
    whole, quick = recipes.recipe(data), recipes.recipe(data, quick=True)
    large, small_one = (recipes.baseline(one, data, np.random.default_rng(0)) for one in (whole, quick))
    assert whole == replace(recipes.COLOUR, shift=4, flip=True) and 14 < large.macs() / small_one.macs() < 17
    plans = [recipes.baseline_plan(one, data, 0, epochs=3) for one in (whole, quick)]
    assert [plan.epochs for plan in plans] == [3, 15] and all(plan.decay == plan.epochs for plan in plans)
    digits_like = replace(data, **{name: Split(images[:, :1], labels) for name in ("train", "validation", "test")})
    assert recipes.recipe(digits_like, quick=True) == recipes.recipe(digits_like)


def test_first_takes_equal_steps():
    split = Split(np.zeros((10, 1, 2, 2), np.uint8), np.arange(10))
    assert first(split, 4).labels.tolist() == [0, 3, 6, 9] and len(first(split, 99)) == 10


@pytest.mark.parametrize("form, shape", [
    (LARGER, (1, 28, 28)), (recipes.SMALL.form, (1, 28, 28)), (recipes.QUICK_COLOUR.form, (3, 32, 32)),
    (ConvConverterConfig((9, 9), (2, 2)), (1, 28, 28)), (ConvConverterConfig((14, 14, 14), (2, 2, 2)), (3, 32, 32)),
    (ConvConverterConfig((8, 16, 24, 32, 32), (2, 2, 1, 1, 2)), (1, 28, 28)),
    (ConvConverterConfig((3, 4), (2, 2), True), (3, 9, 9))])
def test_a_converter_with_a_classifier_comes_back_from_its_file_and_runs_in_the_engine(form, shape, tmp_path):
    rng = np.random.default_rng(0)
    made = converter(form, shape)
    model = CBNet(made, caenet(made.encoder, 20, shape, NAMES, rng, pool=True))
    modelfile.save(model, tmp_path / "m.npz")
    back = npcbnet.load(tmp_path / "m.npz")
    images = rng.integers(0, 256, (40, *shape), np.uint8)
    np.testing.assert_array_equal(back.predict_proba(images), model.predict_proba(images))
    engine, pictures = runtime.compile(back), model.convert(images)
    np.testing.assert_allclose(engine.predict_proba(images), model.predict_proba(images), atol=1e-5)
    for drawing in (engine, runtime.compile(made)):
        for _ in range(2):  # what a call leaves in its maps must not show in the next
            np.testing.assert_allclose(drawing.convert(images), pictures, atol=1e-5)
            for i in range(3):
                np.testing.assert_allclose(drawing.convert(images[i:i + 1]), pictures[i:i + 1], atol=1e-5)


@pytest.mark.parametrize("change", [{"channels": "many"}, {"channels": [3] * 1000, "strides": [1] * 1000},
                                    {"strides": [1, 2, 1]}, {"batch_norm": 3}, {"channels": [3, -4]},
                                    {"channels": [3, 1e9]}])
def test_a_hostile_form_is_refused(change, tmp_path):
    made = converter()
    model = CBNet(made, caenet(made.encoder, 5, (1, 28, 28), NAMES, np.random.default_rng(0)))
    config = model.config()
    config["converter"] |= change
    model.config = lambda: config
    with pytest.raises((ModelFileError, ShapeError)):
        modelfile.save(model, tmp_path / "m.npz")
        npcbnet.load(tmp_path / "m.npz")
