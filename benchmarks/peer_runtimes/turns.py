"""One row of the comparison: answers are compared with npcbnet's, then the runtimes take turns, then statistics."""
import time

import numpy as np

from benchmarks.peer_runtimes.errors import PeerError

TOLERANCE = 1e-4  # of the largest value of the answer
TURN_S, MOST_CALLS = 0.05, 100  # a turn on one input lasts about so long
PAUSE_S = 0.01  # between two turns, until the threads of the one before have stopped waiting for work
PEERS = ("torch", "jit", "inductor", "ort", "litert")  # whose best is the ratio's numerator
ALL_PEERS = (*PEERS, "openvino")


def measure(workers, inputs, expected, rounds, pause_s=PAUSE_S):
    """{runtime: microseconds} of workers {runtime: Worker} on inputs, arrays (N, C, H, W) of one shape.

    expected: the answers to the inputs. Raises PeerError where a runtime's answers differ from them. For the values see
    `summary`.
    """
    first, calls = {}, {}
    for runtime, worker in workers.items():
        build_s, first_s, outputs = worker.prepare(inputs)
        check(runtime, outputs, expected)
        first[runtime] = {"build": build_s, "first": first_s}
        calls[runtime] = len(inputs) if len(inputs) > 1 else calls_in_a_turn(worker.turn(1)[0])
    seconds = {runtime: [] for runtime in workers}
    names = list(workers)
    for number in range(rounds):
        start = number % len(names)
        for runtime in names[start:] + names[:start]:  # so that nobody always starts, or always follows the same
            time.sleep(pause_s)
            seconds[runtime].append(workers[runtime].turn(calls[runtime]))
    images = len(inputs[0])
    return {runtime: {name: 1e6 * value / images for name, value in
                      {**summary(np.array(seconds[runtime]), len(inputs) > 1), **first[runtime]}.items()}
            for runtime in workers}


def calls_in_a_turn(call_s):
    """How many calls of call_s seconds make a turn."""
    return int(min(max(TURN_S / call_s, 1), MOST_CALLS))


def check(runtime, outputs, expected):
    """Raise PeerError unless every output is within TOLERANCE of what was expected."""
    for y, right in zip(outputs, expected, strict=True):
        if y.shape != right.shape:
            raise PeerError(f"{runtime}: answers with an array {y.shape}, not {right.shape}")
        off = np.abs(y - right).max() / np.abs(right).max()
        if not off <= TOLERANCE:
            raise PeerError(f"{runtime}: its answer is {off:.2g} of the largest value away from npcbnet's, "
                            f"{TOLERANCE:g} is allowed")


def summary(seconds, different):
    """Statistics of seconds (rounds, calls in a turn). different: each call of a turn has an input of its own.

    median: of the rounds' medians. p95: of all calls. mean, with different inputs: each input's median over the rounds,
    averaged over the inputs, so that a BranchyNet's late exit counts as often as it is taken.
    """
    figures = {"median": np.median(np.median(seconds, axis=1)), "p95": np.percentile(seconds, 95)}
    if different:
        figures["mean"] = np.median(seconds, axis=0).mean()
    return {name: float(value) for name, value in figures.items()}


def figure(statistics):
    """The one number of a runtime that ratios are made of: its mean where there is one, else its median."""
    return statistics.get("mean", statistics["median"])


def ratio(us, peers, own="npcbnet"):
    """(best peer's time / own time, its name) of {runtime: statistics}; (None, None) where either side is missing."""
    present = [peer for peer in peers if peer in us]
    if own not in us or not present:
        return None, None
    best = min(present, key=lambda peer: figure(us[peer]))
    return figure(us[best]) / figure(us[own]), best
