"""BranchyNet in the engine: which exit an image takes never depends on its company, nor on the number of threads."""
import numpy as np
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from npcbnet import runtime
from npcbnet.nets import branchynet_lenet
from tests.runtime_models import kernels, names, needs_engine, random_branchynet, some_images

pytestmark = needs_engine

SHAPE, COUNT = (1, 12, 12), 150
TOLERANCE, OF_ENTROPY = 1e-5, 5e-5  # between one image and groups, engine and layers


def small_net(threshold=0.0):
    """A BranchyNet on 12x12 images, whose first exit is sure of some of them."""
    net = branchynet_lenet(SHAPE, names(3), np.random.default_rng(1), threshold)
    net.branch.params = {name: 8 * array for name, array in net.branch.params.items()}
    return net


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(2).integers(0, 256, (COUNT, *SHAPE), dtype=np.uint8)


@pytest.fixture(scope="module")
def early(images):
    """Entropy of each image at exit 1, by the engine, one by one."""
    predictor = runtime.compile(small_net(1e9))
    return np.concatenate([predictor.explain(image[None]).entropy for image in images])


def one_by_one(predictor, images):
    """label, exit, entropy (N,) and p (N, O), asked for one at a time."""
    seen = [predictor.explain(image[None]) for image in images]
    p = np.concatenate([predictor.predict_proba(image[None]) for image in images])
    return (*(np.concatenate([getattr(s, field) for s in seen]) for field in ("label", "exit", "entropy")), p)


def assert_company_does_not_matter(predictor, images, alone, batches):
    """Every image gets the exit and label that it got alone, in batches of any size, in any order."""
    label, exits, entropy, p = alone
    rng = np.random.default_rng(0)
    for count in batches:
        some = rng.permutation(len(images))[:count]
        seen = predictor.explain(images[some])
        np.testing.assert_array_equal(seen.exit, exits[some])
        np.testing.assert_array_equal(seen.label, label[some])
        np.testing.assert_allclose(seen.entropy, entropy[some], rtol=0, atol=OF_ENTROPY)
        np.testing.assert_allclose(predictor.predict_proba(images[some]), p[some], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.5, 0.9, 0.99, 1.0])
def test_company_and_threads_do_not_matter(share, threads, images, early):
    """share: of the images that leave early, so that few, many or all must be regrouped."""
    threshold = float(np.sort(early)[min(int(share * COUNT), COUNT - 1)]) if share < 1 else 100.0
    predictor = runtime.compile(small_net(threshold), threads)
    alone = one_by_one(predictor, images)
    assert (alone[1] == 1).sum() == (int(share * COUNT) if share < 1 else COUNT)
    assert_company_does_not_matter(predictor, images, alone, (1, 2, 7, 8, 15, 16, 17, 31, 33, 64, 65, 100, COUNT))


@pytest.mark.parametrize("target", ["4 lanes", "8 lanes, 16 registers"])
def test_narrower_vectors_regroup_as_well(target, images, early):
    from npcbnet.runtime.predictor import Predictor
    predictor = Predictor(small_net(float(np.median(early))), kernels=kernels(target))
    assert_company_does_not_matter(predictor, images, one_by_one(predictor, images), (2, 3, 4, 5, 9, 64, COUNT))


def test_the_exits_are_those_of_the_layers(images, early):
    order = np.sort(early)
    for place in np.argsort(np.diff(order))[-8:]:  # thresholds in the widest gaps, where rounding decides nothing
        net = small_net(float(order[place:place + 2].mean()))
        right, p = net.explain(images), net.predict_proba(images)
        predictor = runtime.compile(net)
        for answer in (predictor.explain(images), *map(predictor.explain, images[:5, None])):
            count = len(answer.label)
            np.testing.assert_array_equal(answer.exit, right.exit[:count] if count > 1 else answer.exit)
        seen = predictor.explain(images)
        np.testing.assert_array_equal(seen.label, right.label)
        np.testing.assert_allclose(seen.confidence, right.confidence, rtol=0, atol=TOLERANCE)
        np.testing.assert_allclose(seen.entropy, right.entropy, rtol=0, atol=OF_ENTROPY)
        np.testing.assert_allclose(predictor.predict_proba(images), p, rtol=0, atol=TOLERANCE)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2 ** 40), st.tuples(*[st.integers(0, 3)] * 3), st.floats(0, 1), st.sampled_from([1, 2]))
def test_random_branchynets(seed, lengths, share, threads):
    net = random_branchynet(seed, lengths)
    note(f"{net.input_shape} {net.stem!r} {net.branch!r} {net.trunk!r}")
    images = some_images(np.random.default_rng(seed), net.input_shape, 50)
    net.threshold = float("inf")
    entropy = np.sort(net.explain(images).entropy)
    place = int(share * 48)
    net.threshold = float(entropy[place:place + 2].mean())
    right, p = net.explain(images), net.predict_proba(images)
    predictor = runtime.compile(net, threads)
    alone = one_by_one(predictor, images)
    assert_company_does_not_matter(predictor, images, alone, (2, 7, 16, 17, 33, 50))
    if np.diff(entropy)[place] > 1e-4:
        np.testing.assert_array_equal(alone[1], right.exit)
        np.testing.assert_allclose(alone[3], p, rtol=0, atol=1e-5)


@pytest.mark.parametrize("threshold, taken", [(0, 2), (0.0, 2), (1e-300, 2), (100, 1), (1e30, 1), (1e300, 1),
                                              (float("inf"), 1)])
@pytest.mark.filterwarnings("error")
def test_thresholds_that_all_or_none_pass(threshold, taken, images):
    predictor = runtime.compile(small_net(threshold))
    for count in (1, 2, 17, 70):
        assert (predictor.explain(images[:count]).exit == taken).all()


def test_an_image_exactly_at_the_threshold_stays(images, early):
    """Entropy must be below the threshold (BranchyNet, algorithm 1). The same in any batch, and beside its like."""
    for i in (0, 40, 80, 120):
        for threshold, taken in ((early[i], 2), (np.nextafter(np.float32(early[i]), np.float32(9)), 1)):
            predictor = runtime.compile(small_net(float(threshold)))
            assert predictor.explain(images[i:i + 1]).exit == taken
            assert predictor.explain(images).exit[i] == taken
            assert (predictor.explain(np.repeat(images[i:i + 1], 37, axis=0)).exit == taken).all()
            mixed = np.concatenate([images[:i % 16], images[i:i + 1], images[50:60]])
            assert predictor.explain(mixed).exit[i % 16] == taken


def test_one_survivor_and_none_and_a_last_group_that_is_not_full(images, early):
    """What waits for the layers behind the exit when the images run out is answered, too."""
    order = np.argsort(early)
    for survivors in (0, 1, 2, 15, 16, 17, 32, 47):
        threshold = float(early[order[-survivors]]) if survivors else 100.0
        predictor = runtime.compile(small_net(threshold))
        for turn in (0, 3, 75):  # the survivors first, last, in the middle
            rolled = np.roll(order, turn)
            answer = predictor.explain(images[rolled])
            assert (answer.exit == 2).sum() == survivors
            np.testing.assert_array_equal(np.sort(rolled[answer.exit == 2]), np.sort(order[COUNT - survivors:]))


def test_many_groups_in_one_call_and_calls_after_one_another(images, early):
    predictor = runtime.compile(small_net(float(np.median(early))), threads=2)
    many = np.tile(images, (7, 1, 1, 1))
    first = predictor.explain(images)
    for _ in range(3):
        answer = predictor.explain(many)
        np.testing.assert_array_equal(answer.exit, np.tile(first.exit, 7))
        np.testing.assert_array_equal(answer.label, np.tile(first.label, 7))
        np.testing.assert_array_equal(predictor.explain(images).entropy, first.entropy)


@pytest.mark.parametrize("threshold", [float("inf"), 1e30, 0.0])
def test_thresholds_far_from_every_entropy_cost_no_second_look(threshold, images, monkeypatch):
    predictor = runtime.compile(small_net(threshold)).warmup()
    runs, run = [], predictor._run
    monkeypatch.setattr(predictor, "_run", lambda *arguments: runs.append(arguments[-1]) or run(*arguments))
    predictor.predict(images)
    assert len(runs) <= 1 + COUNT // 10


def test_a_group_works_on_images_that_stay_and_no_others(images, early):
    """Probabilities of an early exit are the branch's, those of a late one the trunk's: never a mixture."""
    net = small_net(float(np.median(early)))
    at_one, at_two = net.both_exits(images)
    answer = runtime.compile(net).explain(images)
    expected = np.where(answer.exit == 1, at_one.argmax(axis=1), at_two.argmax(axis=1))
    np.testing.assert_array_equal(answer.label, expected)
