"""Nets with several early exits in the engine: the layers' answers and exits, in any company, on any threads."""
import ctypes

import numpy as np
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from npcbnet import runtime
from npcbnet.exits import exits_taken, outputs_judged
from npcbnet.layers import Conv2d, Dense, Flatten, LocalResponseNorm, MaxPool2d, ReLU, Sequential
from npcbnet.nets import MultiExit, balexnet
from npcbnet.runtime import context
from tests.runtime_models import NO_ENGINE, filled, kernels, names, needs_engine, random_multiexit, some_images
from tests.test_runtime_exits import OF_ENTROPY, TOLERANCE, assert_company_does_not_matter, one_by_one

if not NO_ENGINE:
    from npcbnet.runtime.library import KERNEL

pytestmark = needs_engine

SHAPE, COUNT = (1, 12, 12), 150
INFINITE = float("inf")


def small_net(thresholds=(0.0, 0.0)):
    """Three exits on 12x12 images, 3 classes; the second stage has no layer that writes a map of its own."""
    rng = np.random.default_rng(1)
    stages = [Sequential([Conv2d(1, 4, 3, pad=1), ReLU(), MaxPool2d(3, 2), LocalResponseNorm(3, 0.1, 0.75, 2, "sum")]),
              Sequential([]), Sequential([Conv2d(4, 6, 3, pad=1), ReLU(), MaxPool2d(3, 2), Flatten(), Dense(54, 3)])]
    branches = [Sequential([Flatten(), Dense(144, 3)]),
                Sequential([MaxPool2d(3, 2), Conv2d(4, 5, 3, pad=1), ReLU(), Flatten(), Dense(45, 3)])]
    for part in (*stages, *branches):
        filled(part, rng, 3.0)
    return MultiExit(stages, branches, thresholds, SHAPE, names(3))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(2).integers(0, 256, (COUNT, *SHAPE), dtype=np.uint8)


@pytest.fixture(scope="module")
def early(images):
    """(2, N) entropies at the early exits, by the layers."""
    return outputs_judged(small_net().all_exits(images), np.zeros(COUNT, int))[0]


def between(entropies, share):
    """A threshold in the middle of the widest gap near this quantile, so that rounding decides nothing."""
    order = np.sort(entropies)
    if share in (0, 1):
        return share * INFINITE if share else 0.0
    place = int(share * (len(order) - 11))
    place += int(np.argmax(np.diff(order[place:place + 11])))
    return float(order[place:place + 2].mean())


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shares", [(0, 0), (0, 0.5), (0.5, 0), (0.3, 0.4), (0.9, 0.5), (0.02, 0.97), (0.5, 1), (1, 0)])
def test_the_exits_are_those_of_the_layers_in_any_company(shares, threads, images, early):
    net = small_net([between(entropies, share) for entropies, share in zip(early, shares)])
    right, p = net.explain(images), net.predict_proba(images)
    np.testing.assert_array_equal(right.exit, exits_taken(early, net.thresholds))
    predictor = runtime.compile(net, threads)
    alone = one_by_one(predictor, images)
    np.testing.assert_array_equal(alone[1], right.exit)
    np.testing.assert_array_equal(alone[0], right.label)
    np.testing.assert_allclose(alone[2], right.entropy, rtol=0, atol=OF_ENTROPY)
    np.testing.assert_allclose(alone[3], p, rtol=0, atol=TOLERANCE)
    assert_company_does_not_matter(predictor, images, alone, (1, 2, 7, 16, 17, 33, 65, COUNT))


@pytest.mark.parametrize("target", ["4 lanes", "8 lanes, 16 registers"])
def test_narrower_vectors_line_up_as_well(target, images, early):
    from npcbnet.runtime.predictor import Predictor
    net = small_net([between(entropies, 0.4) for entropies in early])
    predictor, right = Predictor(net, kernels=kernels(target)), net.explain(images)
    alone = one_by_one(predictor, images)
    np.testing.assert_array_equal(alone[1], right.exit)
    assert_company_does_not_matter(predictor, images, alone, (2, 3, 5, 9, 64, COUNT))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2 ** 40), st.lists(st.integers(0, 3), min_size=2, max_size=7), st.floats(0, 1),
       st.sampled_from([1, 2]))
def test_random_nets(seed, lengths, share, threads):
    net = random_multiexit(seed, lengths)
    note(f"{net.input_shape} {net.stages!r} {net.branches!r}")
    images = some_images(np.random.default_rng(seed), net.input_shape, 120)
    entropies = outputs_judged(net.all_exits(images), np.zeros(120, int))[0]
    net.thresholds = [between(entropy, min(max(share, 0.01), 0.99)) for entropy in entropies]
    predictor = runtime.compile(net, threads)
    alone = one_by_one(predictor, images)
    assert_company_does_not_matter(predictor, images, alone, (2, 7, 17, 33, 120))
    if all(np.abs(entropy - threshold).min() > 1e-4 for entropy, threshold in zip(entropies, net.thresholds)):
        np.testing.assert_array_equal(alone[1], net.explain(images).exit)
        np.testing.assert_allclose(alone[3], net.predict_proba(images), rtol=0, atol=1e-5)


@pytest.mark.parametrize("exits", [4, 5, 7])
@pytest.mark.parametrize("seed", range(6))
def test_no_image_is_left_in_a_line(exits, seed):
    """Two groups wait behind one exit, and all of the first leave at the next: the second must not be forgotten."""
    rng = np.random.default_rng(seed)
    stages = [Sequential([Conv2d(c, 4, 3, pad=1), ReLU()]) for c in [1] + [4] * (exits - 2)]
    stages += [Sequential([Flatten(), Dense(256, 3)])]
    branches = [Sequential([Flatten(), Dense(256, 3)]) for _ in range(exits - 1)]
    for part in (*stages, *branches):
        filled(part, rng)
    net = MultiExit(stages, branches, [0.0] * (exits - 1), (1, 8, 8), names(3))
    images = rng.integers(0, 256, (int(rng.integers(100, 400)), 1, 8, 8), dtype=np.uint8)
    entropies = outputs_judged(net.all_exits(images), np.zeros(len(images), int))[0]
    net.thresholds = [between(entropy, rng.choice([0.3, 0.6, 0.9])) for entropy in entropies]
    right, predictor = net.explain(images), runtime.compile(net)
    for _ in range(2):
        answer = predictor.explain(images)
        np.testing.assert_array_equal(answer.exit, right.exit)
        np.testing.assert_array_equal(answer.label, right.label)
    for placed in predictor._places:
        assert not placed.context[context.LINES::context.LINE].any()


def test_an_image_exactly_at_a_later_threshold_stays(images):
    """Entropy must be below the threshold at the second exit, too; the single image decides for all batches."""
    entropy = np.concatenate([runtime.compile(small_net([0, 1e9])).explain(image[None]).entropy for image in images])
    for i in (3, 70, 149):
        for threshold, taken in ((entropy[i], 3), (np.nextafter(np.float32(entropy[i]), np.float32(9)), 2)):
            predictor = runtime.compile(small_net([0.0, float(threshold)]))
            assert predictor.explain(images[i:i + 1]).exit == taken
            assert predictor.explain(images).exit[i] == taken
            assert (predictor.explain(np.repeat(images[i:i + 1], 37, axis=0)).exit == taken).all()


def test_few_images_stay_at_each_exit(images, early):
    """What waits in both lines when the images run out is answered: none, one, a group and one more of them."""
    first, above = np.argsort(early[0]), lambda entropy, place: float(np.sort(entropy)[place - 1:place + 1].mean())
    for stay in (0, 1, 16, 17, 33):
        for last in (last for last in (0, 1, 15, 16, 32) if last < stay or last == 0):
            thresholds = [above(early[0], COUNT - stay) if stay else 100.0,
                          above(early[1][first[COUNT - stay:]], stay - last) if last else 100.0]
            predictor = runtime.compile(small_net(thresholds))
            for turn in (0, 3, 75):
                answer = predictor.explain(images[np.roll(first, turn)])
                assert ((answer.exit > 1).sum(), (answer.exit == 3).sum()) == (stay, last)


@pytest.mark.parametrize("count", [1, COUNT])
def test_later_stages_are_not_run_for_images_that_left(count, images, early):
    """A spy takes the place of the first step behind each exit (in a group: behind the step that begins one)."""
    for thresholds, spied in (([100.0, 100.0], [0, 0]), ([0.0, 100.0], [1, 0]), ([0.0, 0.0], [1, 1])):
        predictor, calls = runtime.compile(small_net(thresholds)).warmup(), [0, 0]
        placed, library = predictor._one if count == 1 else predictor._places[0], predictor._library
        kernel = library.address("begin", group=placed.program.group) if count > 1 else library.address(
            "answer", group=1, early=1, lanes=1)
        places = np.flatnonzero(placed.table[:, 0] == kernel) + 1
        steps = [KERNEL(int(placed.table[place, 0])) for place in places]

        def spy(i):
            def step(row):
                calls[i] += 1
                return steps[i](row)
            return KERNEL(step)

        spies = [spy(0), spy(1)]
        placed.table[places, 0] = [ctypes.cast(each, ctypes.c_void_p).value for each in spies]
        predictor.predict(images[:count])
        assert [number > 0 for number in calls] == [bool(number) for number in spied]


def test_calls_after_one_another_and_many_groups(images, early):
    predictor = runtime.compile(small_net([between(entropies, 0.3) for entropies in early]), threads=2).warmup()
    first, many = predictor.explain(images), np.tile(images, (5, 1, 1, 1))
    assert set(first.exit) == {1, 2, 3}
    for _ in range(3):
        np.testing.assert_array_equal(predictor.explain(many).exit, np.tile(first.exit, 5))
        np.testing.assert_array_equal(predictor.explain(images).entropy, first.entropy)


def test_b_alexnet_says_what_its_layers_say():
    rng = np.random.default_rng(0)
    net = balexnet((3, 32, 32), names(10), rng)
    images = some_images(rng, net.input_shape, 40)
    entropies = outputs_judged(net.all_exits(images), np.zeros(40, int))[0]
    net.thresholds = [between(entropy, 0.4) for entropy in entropies]
    right, p, predictor = net.explain(images), net.predict_proba(images), runtime.compile(net)
    assert set(right.exit) == {1, 2, 3}
    answer = predictor.explain(images)
    np.testing.assert_array_equal(answer.exit, right.exit)
    np.testing.assert_allclose(predictor.predict_proba(images), p, rtol=0, atol=TOLERANCE)
    np.testing.assert_array_equal(one_by_one(predictor, images[:9])[1], right.exit[:9])
