"""The large baselines of CAE-Net at 3x32x32: what they cost here, next to AlexNet, and that they learn.

    python -m benchmarks.large_nets --json benchmarks/results/large_nets.json
    python -m benchmarks.large_nets --train --threads 2 --json benchmarks/results/large_nets.json

Weights are random: time and size do not depend on them, and nobody trained these nets here, so there is no accuracy.
Latency is that of the engine at batch 1 on one thread, on images of noise, all nets taking turns; `first` is compiling
and the first call. --train takes a few steps on a few images of a data set, without dropout, and tells the loss of
each: a net that can learn begins to know them by heart, and its loss falls below that of guessing, ln 10 = 2.30.
"""
import argparse
import sys
import time

import numpy as np

from benchmarks import results
from npcbnet import data, judge
from npcbnet.cli import run_command
from npcbnet.errors import UsageError
from npcbnet.layers import Dropout, Sequential
from npcbnet.nets import alexnet, mobilenetv2, resnet18, resnet32, resnet50, vgg16
from npcbnet.optim import Adam
from npcbnet.training import ClassifierTask, Crew, Plan, batch_gradients, check_threads, one_blas_thread, update

NETS = {"alexnet": alexnet, "vgg16": vgg16, "resnet18": resnet18, "resnet32": resnet32, "resnet50": resnet50,
        "mobilenetv2": mobilenetv2}
SHAPE, CLASSES = (3, 32, 32), tuple("0123456789")
SUBSET, BATCH, RATE = 64, 32, 3e-4  # of --train: images, at a time, learning rate


def fresh(names, seed):
    """{name: net with random weights}."""
    return {name: NETS[name](SHAPE, CLASSES, np.random.default_rng(seed)) for name in names}


def measure(names, count, rounds, seed):
    """One row a net: its size, its latency, and the multiply-adds a second that this makes."""
    models = fresh(names, seed)
    images = np.random.default_rng(seed).integers(0, 256, (count, *SHAPE), dtype=np.uint8)
    with one_blas_thread():
        measured = judge.latencies(models, images, rounds)
    rows = [{"model": name, "parameters": model.parameter_count(), "macs": model.macs(),
             "bytes": model.parameter_bytes(), **vars(measured[name]),
             "gmacs_per_s": model.macs() / measured[name].latency_ms / 1e6} for name, model in models.items()]
    baseline = next((row["latency_ms"] for row in rows if row["model"] == "alexnet"), None)
    return [{**row, "times_alexnet": baseline and row["latency_ms"] / baseline} for row in rows]


def learn(name, images, labels, steps, seed, threads):
    """{"model", "losses" of the batches, one a step, "seconds"} of training a fresh net on these images."""
    (model,) = fresh([name], seed).values()
    net = Sequential([layer for layer in model.net if not isinstance(layer, Dropout)])
    task, plan, optimiser = ClassifierTask(net, labels), Plan(1, BATCH, RATE, seed=seed), Adam(RATE)
    order, losses, start = np.random.default_rng(seed), [], time.perf_counter()
    with one_blas_thread(), Crew(threads) as crew:
        for step in range(steps):
            index = order.permutation(len(images))[:BATCH]
            loss, grads = batch_gradients(task, images, index, plan, np.random.SeedSequence([seed, step]), crew)
            update(task, optimiser, grads)
            losses.append(float(loss))
            print(f"{name}: step {step + 1}, loss {loss:.3f}", file=sys.stderr)
    return {"model": name, "losses": losses, "seconds": time.perf_counter() - start}


def training_images(dataset):
    """SUBSET training images and their labels. Raises UsageError where they do not fit these nets."""
    train = data.load(dataset).train
    if train.images.shape[1:] != SHAPE or train.labels.max() >= len(CLASSES):
        raise UsageError(f"--train takes 3x32x32 images of ten classes; those of {dataset} are of another form")
    return train.images[:SUBSET], train.labels[:SUBSET]


def markdown(result):
    """The rows as Markdown tables."""
    lines = ["| net | parameters | multiply-adds | MB | ms an image | median | p95 | first | GMAC/s | times AlexNet |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    for row in result["rows"]:
        times = [row[f"latency_{key}ms"] for key in ("", "median_", "p95_", "first_")]
        ratio = "" if row["times_alexnet"] is None else f"{row['times_alexnet']:.2f}"
        lines.append(f"| {row['model']} | {row['parameters']:,} | {row['macs']:,} | {row['bytes'] / 1e6:.1f} | "
                     + " | ".join(f"{ms:.2f}" for ms in times) + f" | {row['gmacs_per_s']:.1f} | {ratio} |")
    if result["training"]:
        first, last = ("mean of the first three", "of the last three")
        lines += ["", f"Cross-entropy of training batches, {SUBSET} images of {result['data']}, {BATCH} at a time:", "",
                  f"| net | steps | {first} | {last} | seconds |", "|---|---|---|---|---|"]
        lines += [f"| {row['model']} | {len(row['losses'])} | {np.mean(row['losses'][:3]):.3f} | "
                  f"{np.mean(row['losses'][-3:]):.3f} | {row['seconds']:.0f} |" for row in result["training"]]
    return "\n".join([*lines, "", results.made_by(result), ""])


def options_from(words):
    """The parsed command line. Raises UsageError for impossible numbers."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large_nets", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", choices=list(NETS), default=list(NETS), metavar="NET",
                        help=f"of {', '.join(NETS)} (default: all)")
    parser.add_argument("--images", type=int, default=20, help="that each net sees in a round (default: 20)")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each net (default: 9)")
    parser.add_argument("--train", action="store_true", help="also train each net for a few steps")
    parser.add_argument("--steps", type=int, default=20, help="of --train (default: 20)")
    parser.add_argument("--data", default="cifar10", help="of --train: a data set's name or path (default: cifar10)")
    parser.add_argument("--threads", type=int, default=1, help="of --train (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, noise and batches (default: 0)")
    results.add_option(parser)
    options = parser.parse_args(words)
    for name in ("images", "rounds", "steps"):
        if getattr(options, name) < 1:
            raise UsageError(f"--{name} must be at least 1, not {getattr(options, name)}")
    check_threads(options.threads)
    return options


def main(words=None):
    """The command."""
    options = options_from(words)
    learned = training_images(options.data) if options.train else None
    rows = measure(options.nets, options.images, options.rounds, options.seed)
    training = [learn(name, *learned, options.steps, options.seed, options.threads)
                for name in options.nets] if options.train else []
    result = {**results.stamp("large_nets"), "seed": options.seed, "images": options.images, "rounds": options.rounds,
              "data": options.data if options.train else None, "rows": rows, "training": training}
    text = markdown(result)
    results.keep(options.json, result, text)
    print(text)


if __name__ == "__main__":
    sys.exit(run_command(main))
