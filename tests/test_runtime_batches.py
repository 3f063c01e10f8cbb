"""How the engine divides a batch: full groups, and a rest that goes one by one where that is sooner done."""
import numpy as np
import pytest

from benchmarks.peer_runtimes.models import colour_caenet
from npcbnet.nets import alexnet
from npcbnet.runtime.steps.costs import least_group
from tests.runtime_models import names, needs_engine
from tests.test_runtime_inputs import models


def predictor(model, threads=1):
    from npcbnet.runtime.predictor import Predictor
    return Predictor(model, threads).warmup()


@pytest.mark.parametrize("one, group, least", [(10.0, 75.0, 8), (10.0, 300.0, 30), (10.0, 1.0, 2), (0.0, 9.0, 8),
                                               (9.0, 0.0, 8)])
def test_a_group_needs_as_many_images_as_cost_as_much(one, group, least):
    assert least_group(one, group, 16) == least


@needs_engine
def test_only_what_fills_a_group_well_enough_goes_in_groups():
    made = predictor(alexnet((3, 32, 32), names(10), np.random.default_rng(0)))
    group, least = made._group.group, made._least
    assert 2 <= least <= group == made._library.target.lanes
    assert [made._in_groups(count) for count in (0, least - 1, least, group, group + least - 1, 2 * group - 1)] == [
        0, 0, least, group, group, 2 * group - 1]


@needs_engine
@pytest.mark.parametrize("threads", [1, 2])
def test_every_size_of_a_batch_has_the_same_answers(threads):
    rng = np.random.default_rng(4)
    for model in models():
        made = predictor(model, threads)
        images = rng.random((3 * made._group.group, 1, 28, 28), np.float32)
        alone = np.concatenate([made.predict_proba(image[None]) for image in images])
        for count in range(len(images) + 1):
            said = made.explain(images[:count])
            assert np.allclose(made.predict_proba(images[:count]), alone[:count], rtol=0, atol=1e-5)
            assert len(said.label) == len(said.exit) == len(said.entropy) == count
            assert said.converted is None or said.converted.shape == (count, 1, 28, 28)


@needs_engine
def test_where_groups_do_not_pay_all_go_one_by_one():
    model = colour_caenet((3, 32, 32), names(10), np.random.default_rng(0))
    made = predictor(model, 2)
    if made._library.target.lanes == 16:  # elsewhere a group may pay
        assert made._group.group == 1 and made._in_groups(2) == 2
    images = np.random.default_rng(5).random((19, 3, 32, 32), np.float32)
    assert np.allclose(made.predict_proba(images), model.predict_proba(images), rtol=0, atol=1e-5)
