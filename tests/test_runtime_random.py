"""Networks of random layers on images of random shapes: the engine says what the layers say, one image or many."""
import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from tests.runtime_models import TARGETS, assert_same_logits, kernels, needs_engine, random_classifier, some_images

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
