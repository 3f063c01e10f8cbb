"""Judging trained models: accuracy on all, easy and hard images, and latency measured on real calls with real exits."""
import time
from dataclasses import dataclass

import numpy as np

from npcbnet import runtime
from npcbnet.exits import exit_shares, leaves
from npcbnet.nets import BranchyNet, CBNet, MultiExit, lightweight


@dataclass(frozen=True)
class Latency:
    """Milliseconds of `predict` on one image.

    latency_ms: mean over images of each one's median over the rounds, so that every exit counts as often as it is
    taken; latency_p95_ms: 95th percentile of all calls; latency_first_ms: runtime.compile and the first call; in a new
    kind of network that compiles machine code, else it loads what is there.
    """

    latency_ms: float
    latency_median_ms: float
    latency_p95_ms: float
    latency_first_ms: float


def latencies(models, images, rounds=5, seconds=0.0):
    """{name: Latency} of {name: model}, each compiled by `runtime.compile`, at batch 1. images (N, C, H, W) uint8.

    The models take turns within a round, so a busy moment of the machine hits all of them. seconds: more than `rounds`
    rounds, until so many seconds have passed: small models are done sooner than such a moment.
    """
    predictors, first = {}, {}
    for name, model in models.items():
        start = time.perf_counter()
        predictors[name] = runtime.compile(model)
        predictors[name].predict(images[0])
        first[name] = (time.perf_counter() - start) * 1e3
    times, begin = {name: [] for name in models}, time.perf_counter()
    while rounds > 0 or time.perf_counter() - begin < seconds:
        rounds -= 1
        for name, predictor in predictors.items():
            times[name].append([_timed(predictor, image) for image in images])
    return {name: Latency(float(np.median(t, axis=0).mean()), float(np.median(t)), float(np.percentile(t, 95)),
                          first[name]) for name, t in times.items()}


def _timed(predictor, image):
    """Milliseconds of one call."""
    start = time.perf_counter()
    predictor.predict(image)
    return (time.perf_counter() - start) * 1e3


def rows(models, branchynet: MultiExit, images, labels, measured):
    """One row of the report per {name: model}; measured: {name: Latency}.

    Easy are the images that leave `branchynet` at its first exit, hard the others; no label takes part in that.
    exit_rate is the share that leaves early: of BranchyNet itself, and for CBNet of the images before (exit_rate) and
    after conversion (exit_rate_converted), both judged by BranchyNet's branch. exit_rates, of a net with more exits, is
    a list: the share that takes each, the last one, too.
    """
    early = branchynet.explain(images).exit == 1
    table = []
    for name, model in models.items():
        right = model.predict(images) == labels
        row = {"model": name, "accuracy": float(right.mean()), "accuracy_easy": share(right[early]),
               "accuracy_hard": share(right[~early]), "exit_rate": None, "exit_rate_converted": None,
               "macs": model.macs(), "parameters": model.parameter_count(), "bytes": model.parameter_bytes()}
        if isinstance(model, (BranchyNet, CBNet)):
            row["exit_rate"] = float(early.mean())
        if isinstance(model, BranchyNet):
            row["macs"], row["threshold"] = model.macs(early.mean()), model.threshold
        elif isinstance(model, MultiExit):
            row.update(exits_row(model, model.explain(images).exit))
        if isinstance(model, CBNet):
            converted = model.convert(images)
            row["exit_rate_converted"] = float((branchynet.explain(converted).exit == 1).mean())
        table.append({**row, **vars(measured[name])})
    return table


def exits_row(model: MultiExit, exits):
    """What a row says about a net's exits and what they save; exits (N,): those that images took, from 1 on."""
    shares = exit_shares(exits, len(model.stages))
    return {"exit_rates": list(shares), "thresholds": list(model.thresholds), "macs": model.macs(shares[:-1])}


def share(flags):
    """Share of True, None of nothing."""
    return float(np.mean(flags)) if len(flags) else None


def exit_entropies(branchynet: MultiExit, images):
    """Entropy (N,) in nats at the first exit, and whether each image leaves there (N,) bool."""
    entropy = lightweight(branchynet).explain(images).entropy
    return entropy, leaves(entropy, branchynet.thresholds[0])
