"""Entropy exits and the threshold that validation data asks for."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npcbnet.errors import UsageError
from npcbnet.exits import calibrate, leaves, probabilities_and_entropy, screen


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


def outcome(entropy, early, late, threshold):
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
    rate, accuracy = outcome(entropy, early, late, threshold)
    assert accuracy >= target
    for other in np.nextafter(entropy, np.inf):
        other_rate, other_accuracy = outcome(entropy, early, late, other)
        assert other_rate <= rate or other_accuracy < target
    share = rng.random()
    threshold = calibrate(entropy, early, late, exit_rate=share)
    assert outcome(entropy, early, late, threshold)[0] >= share
    smaller = [outcome(entropy, early, late, e)[0] for e in np.append(entropy, 0) if e < threshold]
    assert all(rate < share or share == 0 for rate in smaller)


def test_calibration_out_of_reach_says_so():
    entropy, wrong = np.array([0.1, 0.2]), np.array([False, False])
    with pytest.raises(UsageError, match="no threshold reaches accuracy 0.9"):
        calibrate(entropy, wrong, wrong, target_accuracy=0.9)
    with pytest.raises(UsageError, match="either"):
        calibrate(entropy, wrong, wrong)
