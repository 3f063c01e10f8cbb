"""Networks of random layers on images of random shapes: the engine says what the layers say, one image or many."""
import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from npcbnet.nets.alexnet import alexnet
from npcbnet.nets.mobilenetv2 import mobilenetv2
from tests.runtime_models import (TARGETS, assert_same_logits, filled, kernels, names, needs_engine, random_classifier,
                                  some_images)

pytestmark = needs_engine

BATCHES = (1, 2, 7, 16, 17, 40)
EXAMPLES = {"host": 40, "4 lanes": 20, "8 lanes, 16 registers": 20}


@pytest.mark.parametrize("target", TARGETS)
def test_a_compiled_network_says_what_its_layers_say(target):
    from npcbnet.runtime.predictor import Predictor

    @settings(max_examples=EXAMPLES[target], deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 2 ** 40), st.integers(0, 8), st.sampled_from(["dense", "ink", "flat"]), st.booleans())
    def check(seed, length, kind, floats):
        model = random_classifier(seed, length)
        note(f"{model.input_shape} {model.net!r}")
        images = some_images(np.random.default_rng(seed), model.input_shape, max(BATCHES), kind)
        if floats:
            images = images / np.float32(255)
        right = model.predict_proba(images)
        predictor = Predictor(model, kernels=kernels(target))
        for count in BATCHES:
            assert_same_logits(predictor.predict_proba(images[:count]), right[:count])

    check()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("build, sizes", [(alexnet, {"channels": (6, 17, 16, 8, 16), "hidden": (33, 20)}),
                                          (mobilenetv2, {"stages": ((1, 8, 1, 1), (6, 12, 2, 2), (3, 20, 2, 1)),
                                                         "first": 16, "last": 40})])
def test_the_larger_nets_in_small(build, sizes, target):
    from npcbnet.runtime.predictor import Predictor
    rng, shape = np.random.default_rng(3), (3, 32, 32)
    model = build(shape, names(10), rng, **sizes)
    filled(model.net, rng)
    images = some_images(rng, shape, 18)
    predictor, right = Predictor(model, kernels=kernels(target)), model.predict_proba(images)
    for count in (1, 2, 18):
        assert_same_logits(predictor.predict_proba(images[:count]), right[:count])
