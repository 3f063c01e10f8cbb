"""When may an image leave early? By the entropy of the answer so far (BranchyNet; CBNet, section II-B).

`screen` and `calibrate` are about one early exit, `screen_all`, `knee` and `choose` about any number E of them, with
`entropies` (E, N) in nats at the early exits and `right` (E + 1, N) bool, whether each exit's answer is right.
"""
import math
from dataclasses import dataclass
from itertools import product

import numpy as np

from npcbnet.errors import UsageError
from npcbnet.kernels import softmax

# The thresholds that the paper tuned for BranchyNet, in nats (CBNet, section IV-B1).
PAPER_THRESHOLDS = {"mnist": 0.05, "fmnist": 0.5, "kmnist": 0.025}

# The thresholds that BranchyNet's own script tries for its LeNet (networks/lenet_mnist.py).
SCREENED = (1e-4, 5e-4, 1e-3, 5e-3, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2, 3, 5, 10)

# The thresholds that it tries at each exit of its AlexNet (networks/alex_cifar10.py).
SCREENED_ALEXNET = (1e-4, 1e-3, 5e-3, .01, .05, .1, .5, .75, 1, 5, 10)

COST_OF_EXITS = 0.0005  # accuracy; without it one lucky image can forbid all but the smallest thresholds
MOST_SCREENED = 5_000  # combinations of thresholds


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
    candidates, share, accuracy = _states(entropy, right_early, right_late)
    good = accuracy >= target_accuracy if exit_rate is None else share >= exit_rate
    if not good.any():
        wanted = f"accuracy {target_accuracy}" if exit_rate is None else f"exit rate {exit_rate}"
        raise UsageError(f"no threshold reaches {wanted}; without early exits the accuracy is {accuracy[0]:.4f}")
    chosen = np.flatnonzero(good)
    return float(candidates[chosen[-1] if exit_rate is None else chosen[0]])


def _states(entropy, right_early, right_late, others=0, others_right=0):
    """Every state that a threshold can reach: ascending thresholds, share of the images that leave, accuracy.

    entropy, right_early, right_late (N,) as in `screen`; others: images beside these, and how many of them are right.
    """
    can_leave = leaves(entropy, math.inf)  # NaN never does: no threshold, but an image like the others
    others, others_right = others + np.sum(~can_leave), others_right + right_late[~can_leave].sum()
    entropy, right_early, right_late = entropy[can_leave], right_early[can_leave], right_late[can_leave]
    # Between two neighbouring entropies nothing changes, so only the points just above one, and 0, need to be tried.
    candidates = np.concatenate([[0.0], np.nextafter(np.sort(entropy), np.inf)])
    order = np.argsort(entropy, kind="stable")
    gain = right_early[order].astype(np.int64) - right_late[order].astype(np.int64)
    right = others_right + right_late.sum() + np.concatenate([[0], np.cumsum(gain)])
    # Equal entropies leave together: only the last of a run of equals is a state that a threshold can reach.
    reachable = np.append(candidates[1:] != candidates[:-1], True)
    count = len(entropy) + others
    return candidates[reachable], np.arange(len(candidates))[reachable] / count, right[reachable] / count


@dataclass(frozen=True)
class Screened:
    """What thresholds, one an early exit, do to images: the share of all that leaves at each early exit, accuracy."""

    thresholds: tuple
    exit_rates: tuple
    accuracy: float


def outputs_judged(logits, labels):
    """logits (E + 1, N, O) of all exits (MultiExit.all_exits), labels (N,) -> entropies (E, N) and right (E + 1, N)."""
    entropies = np.array([probabilities_and_entropy(z)[1] for z in logits[:-1]])
    return entropies, logits.argmax(axis=2) == labels


def exits_taken(entropies, thresholds):
    """The exit that each image takes, (N,) from 1 on: the first where its entropy is below the threshold."""
    early = [leaves(entropy, threshold) for entropy, threshold in zip(entropies, thresholds, strict=True)]
    return 1 + np.argmax([*early, np.ones(entropies.shape[1], bool)], axis=0)


def exit_shares(exits, count):
    """Shares of the images that take exit 1, 2, ..., count, a tuple. exits (N,) from 1 on."""
    return tuple(float((exits == number).mean()) for number in range(1, count + 1))


def outcome(entropies, right, thresholds):
    """Screened of these thresholds."""
    exits = exits_taken(entropies, thresholds)
    return Screened(tuple(map(float, thresholds)), exit_shares(exits, len(entropies)),
                    float(_right_at(right, exits).mean()))


def _right_at(right, exits):
    """right (E + 1, N) at the exit of each image, exits (N,) from 1 on."""
    return np.take_along_axis(right, exits[None] - 1, axis=0)[0]


def screen_all(entropies, right, thresholds=SCREENED_ALEXNET):
    """Screened for every combination of the thresholds over the early exits, as BranchyNet's script does.

    Raises UsageError where there are more than MOST_SCREENED.
    """
    if len(thresholds) ** len(entropies) > MOST_SCREENED:
        raise UsageError(f"{len(thresholds)} thresholds at each of {len(entropies)} exits are too many combinations; "
                         f"screen fewer thresholds (at most {MOST_SCREENED:,} combinations)")
    return [outcome(entropies, right, combination) for combination in product(thresholds, repeat=len(entropies))]


def knee(rows, macs):
    """The row of `screen_all` at the knee of accuracy over expected multiply-adds, which BranchyNet picks by eye.

    Among the rows that no other beats in both, the one furthest above the line from the cheapest to the most accurate
    (both axes from 0 to 1); the first of equals in multiply-adds. macs: a function of exit rates, such as net.macs.
    """
    frontier, costs = [], [(macs(row.exit_rates), row) for row in rows]
    for cost, row in sorted(costs, key=lambda pair: (pair[0], -pair[1].accuracy)):
        if not frontier or row.accuracy > frontier[-1][1].accuracy:
            frontier.append((cost, row))
    axes = np.array([(cost, row.accuracy) for cost, row in frontier], np.float64)
    axes = (axes - axes[0]) / np.maximum(axes[-1] - axes[0], 1e-300)
    return frontier[int(np.argmax(axes[:, 1] - axes[:, 0]))][1]


def choose(entropies, right, macs, *, cost=COST_OF_EXITS):
    """The thresholds, a tuple, at which the expected multiply-adds are fewest and accuracy is within `cost` of the last
    exit's. macs: as in `knee`.

    With one early exit: what `calibrate` gives. With more: the best of BranchyNet's screening, and then, as long as one
    changes, each exit's threshold in turn is set to the largest that the others leave room for. Raises UsageError for
    no images.
    """
    if not right.shape[1]:
        raise UsageError("choosing thresholds needs at least one image")
    target = right[-1].mean() - cost
    rows = screen_all(entropies, right, (0.0, *_screened(len(entropies))))
    good = [row for row in rows if row.accuracy >= target]
    thresholds = min(good, key=lambda row: (macs(row.exit_rates), -row.accuracy)).thresholds
    while (better := _each_in_turn(entropies, right, thresholds, target)) != thresholds:
        thresholds = better
    return thresholds


def _screened(exits):
    """Of BranchyNet's thresholds so many, evenly, that their combinations, 0 among them, can be screened."""
    most = min(len(SCREENED_ALEXNET), math.floor(MOST_SCREENED ** (1 / exits)) - 1)
    return [SCREENED_ALEXNET[int(i)] for i in np.linspace(0, len(SCREENED_ALEXNET) - 1, most)]


def _each_in_turn(entropies, right, thresholds, target):
    """The thresholds once each has become the largest with which, beside the others, accuracy is at least target.

    Each change lets some images leave earlier and none later, so turns come to an end.
    """
    thresholds = list(thresholds)
    for i in range(len(entropies)):
        exits = exits_taken(entropies[:i], thresholds[:i])
        come = exits > i  # to this exit; the others have left before
        right_late = _right_at(right, exits_taken(entropies[i + 1:], thresholds[i + 1:]) + i + 1)
        candidates, _, accuracy = _states(entropies[i, come], right[i, come], right_late[come], np.sum(~come),
                                          _right_at(right, exits)[~come].sum())
        thresholds[i] = float(candidates[accuracy >= target][-1])
    return tuple(thresholds)
