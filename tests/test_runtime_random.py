"""Networks of random layers on images of random shapes: the engine says what the layers say, one image or many."""
import copy
from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from npcbnet.layers import (AvgPool2d, BatchNorm2d, Clip, Concatenate, Conv2d, Dense, Flatten, MaxPool2d, PadChannels,
                            ReLU, ReLU6, Reshape, Residual, Sequential, Sigmoid, Tanh)
from npcbnet.nets import BranchyNet, Classifier
from npcbnet.nets.alexnet import alexnet
from npcbnet.nets.mobilenetv2 import mobilenetv2
from npcbnet.nets.resnet import bottleneck, resnet_layers
from npcbnet.nets.vgg16 import vgg16
from tests.runtime_models import (TARGETS, assert_same_logits, filled, kernels, names, needs_engine, random_classifier,
                                  some_images)
from tests.test_runtime_strided import asked_by

pytestmark = needs_engine

BATCHES = (1, 2, 7, 16, 17, 40)
EXAMPLES = {"host": 80, "4 lanes": 40, "8 lanes, 16 registers": 40}


@pytest.mark.parametrize("target", TARGETS)
def test_a_compiled_network_says_what_its_layers_say(target):
    @settings(max_examples=EXAMPLES[target], deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 2 ** 40), st.integers(0, 8), st.sampled_from(["dense", "ink", "flat"]), st.booleans())
    def check(seed, length, kind, floats):
        model = random_classifier(seed, length)
        note(f"{model.input_shape} {model.net!r}")
        images = some_images(np.random.default_rng(seed), model.input_shape, max(BATCHES), kind)
        if floats:
            images = images / np.float32(255)
        assert_same(model, images, target, BATCHES)

    check()


def assert_same(model, images, target, batches=(1, 2, 18)):
    """Compiled for this target, the model says what its layers say."""
    from npcbnet.runtime.predictor import Predictor
    predictor, right = Predictor(model, kernels=kernels(target)), model.predict_proba(images)
    for count in batches:
        assert_same_logits(predictor.predict_proba(images[:count]), right[:count])


def resnet(shape, class_names, rng, **form):
    """A ResNet of few channels."""
    return Classifier(resnet_layers(shape, len(class_names), **form), shape, class_names)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("build, sizes", [(alexnet, {"channels": (6, 17, 16, 8, 16), "hidden": (33, 20)}),
                                          (mobilenetv2, {"stages": ((1, 8, 1, 1), (6, 12, 2, 2), (3, 20, 2, 1)),
                                                         "first": 16, "last": 40}),
                                          (vgg16, {"stages": ((6, 2), (9, 1), (17, 2), (16, 1), (8, 1)),
                                                   "hidden": (33, 20)}),
                                          (vgg16, {"stages": ((5, 1), (8, 2)), "hidden": (), "batch_norm": False}),
                                          (resnet, {"blocks": (1, 2, 1), "channels": (6, 12, 23), "shortcut": "pad"}),
                                          (resnet, {"blocks": (2, 1), "channels": (5, 9), "block": bottleneck}),
                                          (resnet, {"blocks": (1, 1), "channels": (8, 12), "stem": "imagenet"})])
def test_the_larger_nets_in_small(build, sizes, target):
    rng, shape = np.random.default_rng(3), (3, 32, 32)
    model = build(shape, names(10), rng, **sizes)
    filled(model.net, rng)
    assert_same(model, some_images(rng, shape, 18), target)


@pytest.mark.parametrize("target", TARGETS)
def test_every_window_of_a_pool(target):
    """Every pool of up to 4x4 pixels that fits, in one network: each begins with what is left by the one before."""
    rng, shape = np.random.default_rng(4), (2, 9, 7)
    for kernel, stride, ceil_mode in product((1, 2, 3, 4), (1, 2, 3, 5), (False, True)):
        for pad in range(kernel // 2 + 1):
            pools = [MaxPool2d(kernel, stride, pad, ceil_mode)]
            pools += [AvgPool2d(kernel, stride, pad, ceil_mode, count) for count in (False, True)]
            for pool in pools:
                size = int(np.prod(pool.output_shape(shape)))
                net = filled(Sequential([pool, Flatten(), Dense(size, 3)]), rng)
                assert_same(Classifier(net, shape, names(3)), some_images(rng, shape, 18), target)


def around(*body, shortcut=None):
    """A Residual."""
    return Residual(Sequential(body), None if shortcut is None else Sequential(shortcut))


def beside(first, second):
    """A Concatenate."""
    return Concatenate(Sequential(first), Sequential(second))


READ_AGAIN = {
    "side by side": [beside([Conv2d(4, 5, 3, pad=1)], [Conv2d(4, 3, 1)]), MaxPool2d(2), ReLU(), Conv2d(8, 4, 5, pad=4)],
    "a maximum that no way takes": [beside([Conv2d(4, 5, 3, pad=1), Sigmoid()], [ReLU()]), ReLU(), MaxPool2d(2)],
    "nothing on either way": [beside([], []), Conv2d(8, 4, 3, pad=2), beside([], [Conv2d(4, 2, 1)]), BatchNorm2d(6)],
    "in each other": [around(beside([around(beside([Conv2d(4, 1, 3, pad=1)], [Conv2d(4, 3, 1), Tanh()]))], []),
                             Conv2d(8, 4, 3, pad=1)), beside([Flatten(), Dense(192, 3), Reshape((1, 3, 1))],
                                                             [Flatten(), Dense(192, 6), Reshape((2, 3, 1))])],
    "a residual begins with one": [around(around(Conv2d(4, 4, 3, pad=1)), Conv2d(4, 4, 1), ReLU(), Conv2d(4, 4, 1))],
    "three of them": [around(around(around(ReLU()), Tanh(), Sigmoid()), Conv2d(4, 4, 3, pad=1), Sigmoid(), Tanh())],
    "both ways are long": [around(Conv2d(4, 7, 3, pad=1), Conv2d(7, 6, 3, pad=1), ReLU(), Conv2d(6, 6, 1),
                                  shortcut=[Conv2d(4, 6, 5, pad=2), around(Sigmoid(), Tanh()), Conv2d(6, 6, 1)])],
    "nothing on the way": [around(), around(shortcut=[]), around(shortcut=[Conv2d(4, 4, 1)])],
    "reshaped inside": [around(Flatten(), Dense(4 * 8 * 6, 9), Dense(9, 4 * 8 * 6), Reshape((4, 8, 6)), Sigmoid())],
    "a fused maximum": [around(Conv2d(4, 6, 3, 1, 1), MaxPool2d(2), ReLU(), shortcut=[MaxPool2d(2), Conv2d(4, 6, 1)])],
    "channels of zeros": [Sigmoid(), PadChannels(3, 9), Conv2d(16, 5, 3, pad=1), PadChannels(0, 2), ReLU(),
                          around(Conv2d(7, 17, 3, 2, 1), shortcut=[MaxPool2d(1, 2), PadChannels(5, 5)]), PadChannels(1),
                          Clip(0.1, 0.9)],
    "strides": [around(Conv2d(4, 7, 3, 2, 1), BatchNorm2d(7), ReLU6(), shortcut=[Conv2d(4, 7, 1, 2), BatchNorm2d(7)]),
                around(Conv2d(7, 7, 3, pad=1, groups=7), Clip(0.1, 0.9), Conv2d(7, 7, 1))]}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("before, after", [(1, 2), (0, 700), (700, 0), (300, 41)])
def test_channels_of_zeros_are_not_written(before, after, target):
    """However many they are, x's own channels are copied and that is all; what the call before has left does not show.
    """
    from npcbnet.runtime.predictor import Predictor
    rng, shape, more = np.random.default_rng(6), (2, 5, 3), before + after
    layers = [Conv2d(2, 3, 3, pad=1), Sigmoid(), PadChannels(before, after), Conv2d(3 + more, 4, 3, pad=1), ReLU(),
              PadChannels(after, before), Tanh(), Flatten(), Dense((4 + more) * 15, 5)]
    model = Classifier(filled(Sequential(layers), rng), shape, names(5))
    assert [fixed.get("what") for _, fixed in asked_by(model, target)].count("clamp") == 2
    predictor = Predictor(model, kernels=kernels(target))
    for kind in ("dense", "flat", "ink"):
        images = some_images(rng, shape, 18, kind)
        right = model.predict_proba(images)
        assert_same_logits(predictor.predict_proba(images), right)
        assert_same_logits(predictor.predict_proba(images[:1]), right[:1])


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("layers", READ_AGAIN.values(), ids=READ_AGAIN)
def test_maps_that_are_read_again_later_stay(layers, target):
    """Memory is used again when nobody reads it any more, and no earlier; also where two exits read one map."""
    rng, shape = np.random.default_rng(5), (1, 8, 6)
    stem = [Conv2d(1, 4, 3, pad=1), ReLU()]
    behind = Sequential(stem + layers).output_shape(shape)
    end = [Sigmoid(), Conv2d(behind[0], 5, 3, pad=1), Flatten(), Dense(5 * behind[1] * behind[2], 4)]
    images = some_images(rng, shape, 18)
    assert_same(Classifier(filled(Sequential(stem + layers + end), rng), shape, names(4)), images, target)
    stem, branch, trunk = (copy.deepcopy(filled(Sequential(part), rng)) for part in (stem, layers + end, layers + end))
    net = BranchyNet(stem, branch, trunk, float("inf"), shape, names(4))
    entropy = np.sort(net.explain(images).entropy)
    for net.threshold in (0.0, float(entropy[8:10].mean()), 10.0):
        assert_same(net, images, target)
