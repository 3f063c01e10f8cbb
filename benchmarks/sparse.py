"""From which share of zeros on is it faster to list the other weights of a dense layer? Microseconds of `predict`.

    python -m benchmarks.sparse --json benchmarks/results/sparse.json

Nets of one dense layer, a share of its weights zero, at random places or in random blocks of four outputs: for single
images whose pixels are random, or 81 % zero as in MNIST, and for 64 images at once. Every share is computed with all
weights in float32, all in float16, and listed; the three take turns. All times include the same few microseconds of
reading the image and answering.
"""
import argparse
import sys
import time

import numpy as np

from benchmarks import results
from npcbnet.cli import run_command
from npcbnet.errors import UsageError
from npcbnet.layers import Dense, Flatten, Sequential, initialise
from npcbnet.nets import Classifier
from npcbnet.runtime.predictor import Predictor
from npcbnet.runtime.steps import dense

SIZES = [(784, 784), (784, 128), (128, 784), (2304, 1024)]
SHARES = {1: [0.5, 0.7, 0.85, 0.9, 0.95], 4: [0.3, 0.5, 0.6, 0.7, 0.8, 0.9]}  # zeros, by the size of their blocks
ORDER = ["features", "outputs", "input", "block"]
INPUTS = {"random": (1, 0.0), "81 % zero": (1, 0.81), "64 images": (64, 0.0)}  # how many images, zeros in them


def net(rng, features, outputs, block, zeros, half):
    """A Classifier of one dense layer with this share of blocks zero; half: its weights are float16 numbers."""
    layers = initialise(Sequential([Flatten(), Dense(features, outputs)]), rng)
    weight = layers[1].params["weight"]
    weight.reshape(features, -1, block)[rng.random((features, outputs // block)) < zeros] = 0
    if half:
        weight[...] = weight.astype(np.float16)
    return Classifier(layers, (1, 1, features), tuple(map(str, range(outputs))))


def compiled(model, listed):
    """A Predictor that lists the weights that are not zero, or does not, whatever would be faster."""
    kept = dict(dense.MOST_LISTED)
    dense.MOST_LISTED.update({way: dict.fromkeys(most, 1.0 if listed else -1.0) for way, most in kept.items()})
    try:
        return Predictor(model).warmup()
    finally:
        dense.MOST_LISTED.update(kept)


def measure(rng, size, block, zeros, rounds):
    """One row an input: medians of the calls, in microseconds."""
    predictors = {"float32": compiled(net(rng, *size, block, zeros, False), False),
                  "float16": compiled(net(rng, *size, block, zeros, True), False),
                  "listed": compiled(net(rng, *size, block, zeros, False), True)}
    rows = []
    for name, (count, black) in INPUTS.items():
        images = rng.integers(1, 256, (count, 1, 1, size[0]), np.uint8)
        images[rng.random(images.shape) < black] = 0
        times = {way: [] for way in predictors}
        for _ in range(rounds):
            for way, predictor in predictors.items():
                for _ in range(10):
                    start = time.perf_counter()
                    predictor.predict(images)
                    times[way].append(1e6 * (time.perf_counter() - start))
        rows.append({"features": size[0], "outputs": size[1], "block": block, "zeros": zeros, "input": name,
                     **{way: float(np.median(each[10:])) for way, each in times.items()}})
    return rows


def markdown(result):
    """The rows as a Markdown table."""
    lines = ["| layer | input | zeros in blocks of | zeros | float32 | float16 | listed |", "|---" * 7 + "|"]
    lines += [f"| {row['features']} to {row['outputs']} | {row['input']} | {row['block']} | {row['zeros']:.0%} | "
              + " | ".join(f"{row[way]:.1f}" for way in ("float32", "float16", "listed")) + " |"
              for row in sorted(result["rows"], key=lambda row: [row[field] for field in ORDER])]
    return "\n".join([*lines, "", results.made_by(result), ""])


def main(words=None):
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    results.add_option(parser)
    options = parser.parse_args(words)
    if options.rounds < 2:
        raise UsageError(f"--rounds must be at least 2, of which the first does not count, not {options.rounds}")
    rng = np.random.default_rng(0)
    result = {**results.stamp("sparse"),
              "rows": [row for size in SIZES for block, shares in SHARES.items() for zeros in shares
                       for row in measure(rng, size, block, zeros, options.rounds)]}
    text = markdown(result)
    results.keep(options.json, result, text)
    print(text)


if __name__ == "__main__":
    sys.exit(run_command(main))
