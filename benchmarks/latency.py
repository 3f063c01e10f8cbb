"""Latency of the pretrained models at batch 1, on real test images with real exits, all of a data set taking turns.

    python -m benchmarks.latency mnist fmnist --json benchmarks/results/latency.json

One thread. Per image the median of the rounds, then the mean over the images, so that each exit counts as often as it
is taken. What is measured is the engine (runtime.compile), Python call and all.
"""
import argparse
import sys

import numpy as np

import npcbnet
from benchmarks import results
from npcbnet import data, judge, modelfile
from npcbnet.cli import run_command
from npcbnet.errors import UsageError
from npcbnet.exits import exit_shares
from npcbnet.nets import MultiExit
from npcbnet.training import one_blas_thread


def pretrained(dataset):
    """{name: pretrained model} of `dataset`. Raises UsageError where there are none."""
    models = {name: npcbnet.load(name) for name in modelfile.names() if name.startswith(f"{dataset}-")}
    if not models:
        known = sorted({name.split("-")[0] for name in modelfile.names()})
        raise UsageError(f"there are pretrained models of {', '.join(known)}, not of {dataset!r:.60}; name one of them")
    return models


def measure(models, images, count, rounds):
    """One row a model of a data set, on `count` of its test images."""
    images = images[np.linspace(0, len(images) - 1, count).astype(int)]
    with one_blas_thread():
        measured = judge.latencies(models, images, rounds)
    rows = []
    for name, model in models.items():
        early = exit_shares(model.explain(images).exit, len(model.branches)) if isinstance(model, MultiExit) else None
        macs = model.macs(early) if early else model.macs()
        rows.append({"model": name, "macs": macs, **vars(measured[name])})
    return rows


def markdown(result):
    """The rows as a Markdown table, with each model's speed against its data set's LeNet, where there is one."""
    lines = ["| model | multiply-adds | µs an image | median | p95 | times LeNet's speed |",
             "|---|---|---|---|---|---|"]
    for rows in result["datasets"].values():
        baseline = next((row["latency_ms"] for row in rows if row["model"].endswith("-lenet")), None)
        for row in rows:
            times = [1e3 * row[key] for key in ("latency_ms", "latency_median_ms", "latency_p95_ms")]
            lines.append(f"| {row['model']} | {row['macs']:,} | " + " | ".join(f"{time:.1f}" for time in times)
                         + f" | {'' if baseline is None else format(baseline / row['latency_ms'], '.2f')} |")
    return "\n".join([*lines, "", results.made_by(result), ""])


def main(words=None):
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="+", help="mnist, fmnist, digits, cifar10")
    parser.add_argument("--images", type=results.whole_number, default=500)
    parser.add_argument("--rounds", type=results.whole_number, default=9)
    results.add_option(parser)
    options = parser.parse_args(words)
    models = {name: pretrained(name) for name in options.datasets}
    images = {name: data.load(name).test.images for name in models}
    result = {**results.stamp("latency"), "datasets": {
        name: measure(models[name], images[name], options.images, options.rounds) for name in models}}
    text = markdown(result)
    results.keep(options.json, result, text)
    print(text)


if __name__ == "__main__":
    sys.exit(run_command(main))
