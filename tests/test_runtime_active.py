"""Active layers in the engine: the answers of the layers on random shapes and levels, and work that shrinks."""
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from npcbnet.layers import (ActiveConv2d, ActiveDense, AvgPool2d, Clip, Conv2d, Dense, Flatten, LeakyReLU, MaxPool2d,
                            ReLU, Residual, Sequential, Sigmoid)
from npcbnet.nets import BranchyNet, Classifier
from tests.runtime_models import TARGETS, assert_same_logits, kernels, names, needs_engine, some_images

pytestmark = needs_engine
some = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def filled(layer, rng, share):
    """The layer with random weights; about `share` of its neurons active at level 0, as many more at level 1."""
    layer.params = {}
    for name, shape in layer.param_shapes().items():
        if name in layer.levels:
            layer.params[name] = rng.choice([0, 1, 127], shape, p=[share, share, 1 - 2 * share]).astype(np.int8)
        else:
            scale = 1 / np.sqrt(layer.fans()[0]) if name == "weight" else 0.3
            layer.params[name] = (scale * rng.standard_normal(shape)).astype(np.float32)
    return layer


def active_conv(rng, shape, share, kernel=None):
    """An ActiveConv2d of random form for images of this shape."""
    kernel = kernel or int(rng.integers(1, min(10, *shape[1:]) + 1))
    window = kernel, int(rng.choice([1, 1, 1, 2, 3])), int(rng.integers(0, kernel))
    F, P, Q = Conv2d(shape[0], int(rng.integers(1, 14)), *window).output_shape(shape)
    return filled(ActiveConv2d(shape[0], F, *window, P, Q, int(rng.integers(0, 2))), rng, share)


def random_net(rng):
    """A Classifier of active layers and others among them."""
    shape = now = (int(rng.choice([1, 3])), int(rng.integers(3, 24)), int(rng.integers(3, 24)))
    layers, share = [], float(rng.choice([0.0, 0.05, 0.25, 0.5]))
    for _ in range(rng.integers(1, 4)):
        layers.append(active_conv(rng, now, share))
        layers += [[], [ReLU()], [MaxPool2d(2), ReLU()], [MaxPool2d(2, ceil_mode=False)], [Clip(-0.1, 0.2), MaxPool2d(2)],
                   [Clip(0.1, 0.9)], [MaxPool2d(3, 2)], [LeakyReLU(0.2)], [AvgPool2d(2)], [Sigmoid()],
                   [Residual(Sequential([]))]][rng.integers(11) if min(layers[-1].output_shape(now)[1:]) > 3 else 1]
        now = Sequential(layers).output_shape(shape)
    layers.append(Flatten())
    for size in (int(rng.integers(1, 120)), 5):
        features = Sequential(layers).output_shape(shape)[0]
        layers += [filled(ActiveDense(features, size, int(rng.integers(0, 2))), rng, share), ReLU()]
    return Classifier(Sequential(layers[:-1]), shape, names(5))


@pytest.mark.parametrize("target", TARGETS)
def test_a_compiled_network_says_what_its_layers_say(target):
    from npcbnet.runtime.predictor import Predictor

    @some
    @given(st.integers(0, 2 ** 40), st.sampled_from(["dense", "ink"]))
    def check(seed, kind):
        rng = np.random.default_rng(seed)
        model = random_net(rng)
        note(f"{model.input_shape} {model.net!r}")
        images = some_images(rng, model.input_shape, 35, kind)
        predictor, right = Predictor(model, kernels=kernels(target)), model.predict_proba(images)
        for count in (1, 2, 35, 17, 1):  # and again: nothing is left of the call before
            assert_same_logits(predictor.predict_proba(images[:count]), right[:count])

    check()
