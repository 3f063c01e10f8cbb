"""Convolutions of one image in each of their forms, strides above all: every form says what the layer says."""
import math

import numpy as np
import pytest

from npcbnet.compress.quantise import quantise
from npcbnet.layers import (AvgPool2d, Clip, Conv2d, Dense, Flatten, GlobalAvgPool2d, MaxPool2d, ReLU, ReLU6, Residual,
                            Sequential)
from npcbnet.nets import Classifier
from tests.runtime_models import TARGETS, assert_same_logits, filled, kernels, names, needs_engine, some_images

pytestmark = needs_engine

# (channels, outputs) before groups are counted: few and many, whole vectors, halves, a few lanes and one too many
CHANNELS = [(1, 1), (1, 8), (3, 5), (5, 16), (4, 17), (3, 24), (2, 33), (2, 72), (19, 4)]
SIDES = [(7, 7), (12, 9), (5, 23), (28, 28)]


def classifier(layers, shape, rng):
    """These layers, then logits that show every value: a classifier with random weights."""
    net = [*layers, Flatten()]
    size = int(np.prod(Sequential(net).output_shape(shape)))
    return Classifier(filled(Sequential([*net, Dense(size, 11)]), rng), shape, names(11))


def asked_by(model, target):
    """The kernels that the model's program for one image asks for: [(name, fixed sizes)]."""
    from npcbnet.runtime.models import program_of

    class Listing:
        """A Library that compiles nothing."""

        def __init__(self):
            self.target, self.asked = kernels(target).target, []

        def address(self, name, /, **fixed):
            """Note it."""
            self.asked.append((name, fixed))
            return 0

    listing = Listing()
    program_of(model, listing, 0)
    return listing.asked


def assert_layers_answers(model, target, count=2):
    """Alone and in a batch, the compiled model says what its layers say; alone, always the same bits."""
    from npcbnet.runtime.predictor import Predictor
    images = some_images(np.random.default_rng(1), model.input_shape, 18)
    predictor, right = Predictor(model, kernels=kernels(target)), model.predict_proba(images)
    for image, answer in zip(images[:count], right):
        alone = predictor.predict_proba(image[None])
        assert_same_logits(alone, answer[None])
        np.testing.assert_array_equal(predictor.predict_proba(image[None]), alone)
    assert_same_logits(predictor.predict_proba(images), right)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
def test_strided_convolutions(kernel, stride, target):
    """Each with another pad, another side, groups in every third, a pool behind every second."""
    rng = np.random.default_rng(10 * kernel + stride)
    for number, (channels, outputs) in enumerate(CHANNELS):
        groups = (1, 2, 1, 3)[number % 4]
        shape = channels * groups, *SIDES[number % len(SIDES)]
        pad = (kernel // 2, 0, kernel - 1)[number % 3]
        conv = Conv2d(shape[0], outputs * groups, min(kernel, min(shape[1:]) + 2 * pad), stride, pad, groups)
        behind = ([], [MaxPool2d(2)], [ReLU(), AvgPool2d(2)], [ReLU6(), MaxPool2d(3, 1, 1)])[(number + stride) % 4]
        if min(conv.output_shape(shape)[1:]) < 3:
            behind = [Clip(0.1, 0.7)]
        model = classifier([conv, *behind], shape, rng)
        if outputs >= 16 and channels * kernel > 5:
            assert "conv_outputs" in [name for name, _ in asked_by(model, target)], (shape, conv)
        assert_layers_answers(model, target)


@pytest.mark.parametrize("target", TARGETS)
def test_every_form_computes_the_same(target, monkeypatch):
    """Whatever the cost rule takes, the others would have been right, too: a stride of 1, maps small and large."""
    from npcbnet.runtime.steps import costs
    rng = np.random.default_rng(2)
    for (channels, outputs), shape, kernel in zip(CHANNELS, SIDES * 3, (3, 5, 1, 3, 2, 3, 4, 3, 5)):
        layer = Conv2d(channels, outputs, kernel, 1, kernel // 2)
        model = classifier([layer, ReLU()], (channels, *shape), rng)
        for form in ("winograd", "plane", "outputs"):
            def forced(target, operation, x, pad, form=form):
                return form if form != "winograd" or costs.winograd_can(operation) else "plane"

            monkeypatch.setattr(costs, "cheapest", forced)
            assert_layers_answers(model, target, count=1)


@pytest.mark.parametrize("target", TARGETS)
def test_large_kernels(target, monkeypatch):
    """More taps than are written out one by one: in each form, with groups and a maximum, depthwise, quantised."""
    from npcbnet.runtime.steps import costs
    rng = np.random.default_rng(5)
    for form in ("plane", "outputs"):
        monkeypatch.setattr(costs, "cheapest", lambda *_, form=form: form)
        for layers, shape in (([Conv2d(3, 7, 13, 1, 6)], (3, 14, 15)),
                              ([Conv2d(4, 6, 12, 2, 5, groups=2), ReLU()], (4, 17, 13)),
                              ([Conv2d(3, 3, 15, 1, 7, groups=3), ReLU()], (3, 15, 12))):
            model = classifier(layers, shape, rng)
            assert f"conv_{form}" in [name for name, _ in asked_by(model, target)]
            assert_layers_answers(model, target, count=1)
    assert_layers_answers(classifier([Conv2d(2, 5, 13, 1, 6), MaxPool2d(2)], (2, 15, 15), rng), target, count=1)
    model = quantise(classifier([Conv2d(3, 5, 12, 1, 5), ReLU()], (3, 13, 13), rng),
                     some_images(rng, (3, 13, 13), 20))
    assert ("conv_plane", 12) in [(name, fixed.get("kernel")) for name, fixed in asked_by(model, target)]
    assert_layers_answers(model, target, count=1)


@pytest.mark.parametrize("target", TARGETS)
def test_large_strides(target, monkeypatch):
    """Where whole vectors would be loaded for one sum, and where a stride is larger than the map."""
    from npcbnet.runtime.steps import costs
    rng = np.random.default_rng(6)
    monkeypatch.setattr(costs, "cheapest", lambda *_: "plane")
    for stride, shape in ((9, (2, 40, 61)), (20, (2, 41, 30)), (1024, (2, 5, 6))):
        for layer in (Conv2d(2, 3, 3, stride, 1), Conv2d(2, 2, 1, stride, groups=2)):
            model = classifier([layer, ReLU()], shape, rng)
            assert {"finish_plane", "depthwise_one"} & {name for name, _ in asked_by(model, target)}
            assert_layers_answers(model, target)
        assert_layers_answers(quantise(classifier([Conv2d(2, 3, 3, stride, 1)], shape, rng),
                                       some_images(rng, shape, 20)), target)


def test_the_code_does_not_grow_with_a_large_kernels_square():
    """A kernel of 31 x 31 has 8 times as many taps as one of 11 x 11; all of them in the code take a minute."""
    library, rng = kernels("host"), np.random.default_rng(6)
    lengths = {11: [], 31: []}
    for kernel, found in lengths.items():
        plain = [Conv2d(2, 10, kernel)]
        models = [classifier(layers, (2, 36, 36), rng)
                  for layers in (plain, [*plain, MaxPool2d(2)], [Conv2d(2, 2, kernel, groups=2)])]
        models.append(quantise(models[0], some_images(rng, (2, 36, 36), 4)))
        for model in models:
            found.append(sum(len(library.text(name, **fixed)) for name, fixed in asked_by(model, "host")))
    assert all(large < 3 * small for small, large in zip(*lengths.values())), lengths


@pytest.mark.parametrize("target", TARGETS)
def test_any_tile_of_places(target, monkeypatch):
    """Tiles that fit the map, that overlap, of one place; outputs in whole tiles and a rest."""
    from npcbnet.runtime.steps import costs
    rng, shape = np.random.default_rng(3), (2, 10, 13)
    layers = [Conv2d(2, 38, 3, 2, 1), ReLU(), Conv2d(38, 9, 2, 1, 1, bias=False)]
    model = classifier(layers, shape, rng)
    monkeypatch.setattr(costs, "cheapest", lambda *_: "outputs")
    for down, across in ((1, 1), (1, 3), (2, 2), (5, 1), (2, 6), (1, 7), (5, 7)):
        monkeypatch.setattr(costs, "places_tile", lambda *_, tile=(down, across): (*tile, 1.0))
        assert_layers_answers(model, target, count=1)


@pytest.mark.parametrize("target", TARGETS)
def test_a_downsampling_block(target):
    """ResNet's: 3x3 of stride 2 beside 1x1 of stride 2; and an encoder of 3x3 convolutions, strides 2, 1, 2, 1, 2."""
    rng = np.random.default_rng(4)
    body = Sequential([Conv2d(6, 20, 3, 2, 1), ReLU(), Conv2d(20, 20, 3, 1, 1)])
    block = Residual(body, Sequential([Conv2d(6, 20, 1, 2)]))
    assert_layers_answers(classifier([Conv2d(3, 6, 7, 2, 3), ReLU(), block, ReLU(), GlobalAvgPool2d()], (3, 30, 26),
                                     rng), target)
    encoder, before = [], 1
    for size, stride in zip((8, 16, 24, 32, 32), (2, 1, 2, 1, 2)):
        encoder += [Conv2d(before, size, 3, stride, 1), ReLU()]
        before = size
    assert_layers_answers(classifier(encoder, (1, 28, 28), rng), target)


def test_what_is_chosen():
    """Strides and small maps take the outputs for lanes, large maps Winograd's way, whatever wastes nothing stays."""
    from npcbnet.runtime.fuse import fuse
    from npcbnet.runtime.lower import wanted_frame
    from npcbnet.runtime.plan import Program
    from npcbnet.runtime.steps import conv
    forms = {}
    for name in TARGETS:
        program = Program(kernels(name), 0)
        for shape, layers in (((16, 14, 14), [Conv2d(16, 24, 3, 2, 1)]), ((64, 32, 32), [Conv2d(64, 128, 1, 2)]),
                              ((24, 4, 4), [Conv2d(24, 32, 3, 1, 1)]), ((32, 32, 32), [Conv2d(32, 64, 3, 1, 1)]),
                              ((5, 14, 14), [Conv2d(5, 10, 5, 1, 2), MaxPool2d(2)]),
                              ((32, 32, 32), [Conv2d(32, 192, 1)]), ((8, 9, 9), [Conv2d(8, 8, 3, 2, 1, groups=8)])):
            operation, = fuse(filled(Sequential(layers), np.random.default_rng(0)), shape)
            x = program.map(shape, wanted_frame(program, operation))
            forms.setdefault(name, []).append(conv.form(program, operation, x, 0))
    for chosen in forms.values():
        assert chosen == ["outputs", "outputs", "outputs", "winograd", "winograd", "plane", "depthwise"]


@pytest.mark.parametrize("lanes, outs, expected", [(16, 8, [8]), (16, 9, [16]), (16, 24, [16, 8]),
                                                   (16, 33, [16, 16, 4]), (4, 10, [4, 4, 4]), (8, 12, [8, 4]),
                                                   (16, 64, [16] * 4)])
def test_the_last_vector_is_no_wider_than_it_must_be(lanes, outs, expected):
    from npcbnet.runtime.micro.conv_outputs import run_lengths, widths
    assert widths(lanes, outs) == expected
    for places in range(1, 30):
        runs, size = run_lengths(lanes, places)
        assert size <= min(lanes, places) < 2 * size and runs == math.ceil(places / size)
