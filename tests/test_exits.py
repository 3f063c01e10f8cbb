"""Entropy exits and the threshold that validation data asks for."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npcbnet.errors import UsageError
from npcbnet.exits import (COST_OF_EXITS, SCREENED_ALEXNET, Screened, calibrate, choose, exit_shares, exits_taken, knee,
                           leaves, outcome, outputs_judged, probabilities_and_entropy, screen, screen_all)


def test_entropy_is_in_nats_and_zero_for_a_sure_answer():
    z = np.array([[0, 0, 0, 0], [1000, 0, 0, 0]], np.float32)
    p, entropy = probabilities_and_entropy(z)
    np.testing.assert_allclose(entropy, [np.log(4), 0], atol=1e-12)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)


def test_the_comparison_is_strict_and_nan_stays():
    assert leaves(np.array([0.04, 0.05, np.nan]), 0.05).tolist() == [True, False, False]


def test_screen_counts_exits_and_accuracy():
    entropy = np.array([0.1, 0.2, 0.3, 0.4])
    early, late = np.array([True, False, True, False]), np.array([True, True, True, False])
    row = screen(entropy, early, late, [0.25])[0]
    assert (row.exit_rate, row.accuracy) == (0.5, 0.5)
    assert screen(entropy, early, late, [0.15])[0].accuracy == 0.75


def outcome_of_one(entropy, early, late, threshold):
    """Exit rate and accuracy, from the definition."""
    out = entropy < threshold
    return out.mean(), np.where(out, early, late).mean()


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_calibrated_threshold_keeps_its_promise_and_no_larger_one_does(seed, count):
    rng = np.random.default_rng(seed)
    entropy = rng.choice(rng.random(10), count)  # ties on purpose
    early, late = rng.random(count) < 0.7, rng.random(count) < 0.8
    target = late.mean()
    threshold = calibrate(entropy, early, late, target_accuracy=target)
    rate, accuracy = outcome_of_one(entropy, early, late, threshold)
    assert accuracy >= target
    for other in np.nextafter(entropy, np.inf):
        other_rate, other_accuracy = outcome_of_one(entropy, early, late, other)
        assert other_rate <= rate or other_accuracy < target
    share = rng.random()
    threshold = calibrate(entropy, early, late, exit_rate=share)
    assert outcome_of_one(entropy, early, late, threshold)[0] >= share
    smaller = [outcome_of_one(entropy, early, late, e)[0] for e in np.append(entropy, 0) if e < threshold]
    assert all(rate < share or share == 0 for rate in smaller)


def test_calibration_out_of_reach_says_so():
    entropy, wrong = np.array([0.1, 0.2]), np.array([False, False])
    with pytest.raises(UsageError, match="no threshold reaches accuracy 0.9"):
        calibrate(entropy, wrong, wrong, target_accuracy=0.9)
    with pytest.raises(UsageError, match="either"):
        calibrate(entropy, wrong, wrong)


def several(seed, exits, count):
    """entropies (E, N) with ties, right (E + 1, N): surer answers are right more often, later exits a little more."""
    rng = np.random.default_rng(seed)
    entropies = rng.choice(rng.random(30), (exits, count))
    sure = np.concatenate([entropies, np.full((1, count), 0.1)])
    return entropies, rng.random((exits + 1, count)) < 0.95 - 0.4 * sure


def macs_of(rates):
    """Multiply-adds that stages of 10 each and branches of 1 would take."""
    reached = 1 - np.concatenate([[0], np.cumsum(rates)])
    return float((10 * reached).sum() + reached[:-1].sum())


def taken_by_definition(entropies, thresholds):
    """The exit of each image, one by one."""
    return [next((k for k, threshold in enumerate(thresholds, 1) if column[k - 1] < threshold), len(thresholds) + 1)
            for column in entropies.T]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_the_outcome_of_several_thresholds_is_that_of_the_definition(seed, exits):
    entropies, right = several(seed, exits, 30)
    thresholds = np.random.default_rng(seed).random(exits)
    taken = np.array(taken_by_definition(entropies, thresholds))
    assert exits_taken(entropies, thresholds).tolist() == taken.tolist()
    row = outcome(entropies, right, thresholds)
    assert row.exit_rates == tuple((taken == k).mean() for k in range(1, exits + 1))
    assert row.accuracy == np.mean([right[k - 1, i] for i, k in enumerate(taken)])
    assert exit_shares(taken, exits + 1) == (*row.exit_rates, (taken == exits + 1).mean())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 200))
def test_with_one_early_exit_the_choice_is_what_calibrate_gives(seed, count):
    entropies, right = several(seed, 1, count)
    expected = calibrate(entropies[0], right[0], right[1], target_accuracy=right[1].mean() - COST_OF_EXITS)
    assert choose(entropies, right, macs_of) == (expected,)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 3), st.sampled_from([0.0, 0.0005, 0.02]))
def test_the_choice_is_within_its_cost_and_no_single_change_nor_screening_beats_it(seed, exits, cost):
    entropies, right = several(seed, exits, 60)
    thresholds = choose(entropies, right, macs_of, cost=cost)
    best, target = outcome(entropies, right, thresholds), right[-1].mean() - cost
    assert best.accuracy >= target
    cheapest = min(macs_of(row.exit_rates) for row in screen_all(entropies, right) if row.accuracy >= target or
                   row.exit_rates == (0,) * exits)
    assert macs_of(best.exit_rates) <= cheapest + 1e-9
    for i in range(exits):
        for other in np.nextafter(entropies[i], np.inf):
            row = outcome(entropies, right, [*thresholds[:i], other, *thresholds[i + 1:]])
            assert row.accuracy < target or macs_of(row.exit_rates) >= macs_of(best.exit_rates) - 1e-9


@pytest.mark.parametrize("exits", [1, 2, 3])
def test_an_image_without_an_entropy_stays_and_counts(exits):
    """A network whose sums overflow for an image answers NaN: it is an image like the others, but never leaves."""
    entropies, right = several(exits, exits, 40)
    entropies[:, 7] = entropies[0, 9] = np.nan
    right[-1, 7] = True
    thresholds = choose(entropies, right, macs_of, cost=0.05)
    assert np.isfinite(thresholds).all() and exits_taken(entropies, thresholds)[7] == exits + 1
    assert outcome(entropies, right, thresholds).accuracy >= right[-1].mean() - 0.05
    everyone = np.ones(40, bool)
    threshold = calibrate(entropies[0], everyone, everyone, target_accuracy=1)
    assert threshold == np.nextafter(np.nanmax(entropies[0]), np.inf)
    assert calibrate(entropies[0], everyone, everyone, exit_rate=38 / 40) == threshold
    with pytest.raises(UsageError, match="exit rate"):
        calibrate(entropies[0], everyone, everyone, exit_rate=39 / 40)
    assert calibrate(np.full(3, np.nan), everyone[:3], everyone[:3], target_accuracy=1) == 0
    assert choose(np.full((exits, 3), np.nan), np.ones((exits + 1, 3), bool), macs_of) == (0,) * exits


def test_screening_tries_branchynets_product_and_no_more_than_it_can():
    entropies, right = several(0, 2, 50)
    rows = screen_all(entropies, right)
    assert len(rows) == 121 and {row.thresholds[1] for row in rows} == set(SCREENED_ALEXNET)
    assert rows[12] == outcome(entropies, right, SCREENED_ALEXNET[1:2] * 2)
    with pytest.raises(UsageError, match="too many combinations"):
        screen_all(*several(0, 4, 5))
    for exits in (4, 15):
        entropies, right = several(1, exits, 12)
        assert outcome(entropies, right, choose(entropies, right, macs_of)).accuracy >= right[-1].mean() - COST_OF_EXITS
    with pytest.raises(UsageError, match="at least one image"):
        choose(np.empty((2, 0)), np.empty((3, 0), bool), macs_of)


def test_the_knee_is_where_more_multiply_adds_stop_to_pay():
    points = {0.9: 0.5, 0.8: 0.7, 0.6: 0.9, 0.5: 0.85, 0.3: 0.92, 0.0: 0.93}  # exit rate: accuracy
    rows = [Screened((rate,), (rate,), accuracy) for rate, accuracy in points.items()]
    assert knee(rows, macs_of).exit_rates == (0.6,)
    assert knee(rows[:1], macs_of) is rows[0]
    assert knee(rows[-2:] * 2, macs_of) in rows[-2:]


def test_outputs_are_judged_at_all_exits():
    logits = np.random.default_rng(0).standard_normal((3, 7, 4)).astype(np.float32)
    labels = logits[1].argmax(axis=1)
    entropies, right = outputs_judged(logits, labels)
    np.testing.assert_array_equal(entropies[1], probabilities_and_entropy(logits[1])[1])
    assert entropies.shape == (2, 7) and right[1].all() and right.shape == (3, 7)
