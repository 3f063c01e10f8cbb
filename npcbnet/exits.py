"""When may an image leave early? By the entropy of the answer so far (BranchyNet; CBNet, section II-B)."""
from dataclasses import dataclass

import numpy as np

from npcbnet.errors import UsageError
from npcbnet.kernels import softmax

# The thresholds that the paper tuned for BranchyNet, in nats (CBNet, section IV-B1).
PAPER_THRESHOLDS = {"mnist": 0.05, "fmnist": 0.5, "kmnist": 0.025}

# The thresholds that BranchyNet's own script tries for its LeNet (networks/lenet_mnist.py).
SCREENED = (1e-4, 5e-4, 1e-3, 5e-3, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2, 3, 5, 10)


def probabilities_and_entropy(z):
    """Logits z (N, O) -> softmax p (N, O) of z's type, and entropy -sum p ln p (N,) in nats, float64 (0 .. ln O)."""
    z = np.ascontiguousarray(z)
    p, h = np.empty_like(z), np.empty(len(z))
    softmax.forward(z, p, h)
    return p, h


def leaves(entropy, threshold):
    """True where an image leaves: entropy strictly below the threshold. NaN never leaves early."""
    return entropy < threshold


@dataclass(frozen=True)
class ExitStatistics:
    """What a threshold does to a set of images."""

    threshold: float
    exit_rate: float
    accuracy: float


def screen(entropy, right_early, right_late, thresholds=SCREENED):
    """ExitStatistics per threshold. entropy (N,) at the early exit; right_early, right_late (N,) bool: right there?"""
    rows = []
    for threshold in thresholds:
        early = leaves(entropy, threshold)
        right = np.where(early, right_early, right_late)
        rows.append(ExitStatistics(float(threshold), float(early.mean()), float(right.mean())))
    return rows


def calibrate(entropy, right_early, right_late, *, target_accuracy=None, exit_rate=None):
    """The threshold that validation data asks for; give one of the two targets.

    target_accuracy: the largest threshold whose accuracy with exits is at least this (in 0..1), so that most leave.
    exit_rate: the smallest threshold at which at least this share of the images leaves.
    entropy, right_early, right_late as in `screen`. Raises UsageError for both or neither target, or one out of reach.
    """
    if (target_accuracy is None) == (exit_rate is None):
        raise UsageError("calibrate takes either target_accuracy or exit_rate")
    if not len(entropy):
        raise UsageError("calibrate needs at least one image")
    # Between two neighbouring entropies nothing changes, so only the points just above one, and 0, need to be tried.
    candidates = np.concatenate([[0.0], np.nextafter(np.sort(entropy), np.inf)])
    order = np.argsort(entropy, kind="stable")
    gain = right_early[order].astype(np.int64) - right_late[order].astype(np.int64)
    accuracy = (right_late.sum() + np.concatenate([[0], np.cumsum(gain)])) / len(entropy)
    # Equal entropies leave together: only the last of a run of equals is a state that a threshold can reach.
    reachable = np.append(candidates[1:] != candidates[:-1], True)
    share = np.arange(len(candidates))[reachable] / len(entropy)
    candidates, accuracy = candidates[reachable], accuracy[reachable]
    good = accuracy >= target_accuracy if exit_rate is None else share >= exit_rate
    if not good.any():
        wanted = f"accuracy {target_accuracy}" if exit_rate is None else f"exit rate {exit_rate}"
        raise UsageError(f"no threshold reaches {wanted}; without early exits the accuracy is {accuracy[0]:.4f}")
    chosen = np.flatnonzero(good)
    return float(candidates[chosen[-1] if exit_rate is None else chosen[0]])
