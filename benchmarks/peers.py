"""npcbnet against PyTorch (eager, jit, inductor), ONNX Runtime, LiteRT and OpenVINO: same weights, in turns.

    python -m benchmarks.peers --json benchmarks/results/peers.json

Each runtime that can be imported (`pip install -e ".[peers]"`; the others are named as missing) runs in a process of
its own, its threads set before the import. Before anything is timed its answers must be npcbnet's, to 1e-4 of the
largest value; a model for which they are not is told in `failed`, and the exit status is 2. Then the runtimes take
turns, a few calls each, for many rounds. `us` in the rows is microseconds per image: `median` of the rounds' medians,
`p95` of all calls, `first` call, `build` before it. At batch 1 on images, 200 test images take turns, and `mean` is the
mean over them of each one's median over the rounds. `ratio` is the best of ONNX Runtime, LiteRT and PyTorch divided by
npcbnet (of the means where there are some, else of the medians), `ratio_all` counts OpenVINO, too. In the peers' favour
all graphs are built for exactly the batch, and the images for LiteRT are brought into its layout beforehand.
"""
import argparse
import os
import sys
from contextlib import ExitStack

from benchmarks import results, training_speed
from benchmarks.peer_runtimes.errors import PeerError
from benchmarks.peer_runtimes.models import INPUTS, MODELS, inputs
from benchmarks.peer_runtimes.npcbnet_itself import answers
from benchmarks.peer_runtimes.runtimes import RUNTIMES
from benchmarks.peer_runtimes.table import as_row, in_words, markdown
from benchmarks.peer_runtimes.turns import measure
from benchmarks.peer_runtimes.worker import Worker
from npcbnet.cli import run_command

OPTIONAL = {"layers"}  # runs only when it is asked for
BUSY = 0.5  # load average above which other processes show in the times


def chosen_runtimes(asked):
    """Names of the runtimes to run, {name: what is missing} of the others. Raises PeerError for one asked in vain."""
    missing = {name: lacks for name in asked or RUNTIMES if (lacks := RUNTIMES[name].missing())}
    if asked and missing:
        raise PeerError("; ".join(f"{name} needs {', '.join(lacks)}" for name, lacks in missing.items())
                        + ': pip install -e ".[peers]"')
    return [name for name in asked or RUNTIMES if name not in missing and (asked or name not in OPTIONAL)], missing


def planned(options):
    """{(threads, model): [(input, batch), ...]} of the rows that the options ask for."""
    plan = {}
    for threads in options.threads:
        for name in options.models:
            entry = MODELS[name]
            kinds = [kind for kind in options.inputs or entry.inputs if kind == "random" or entry.images]
            plan[threads, name] = [(kind, batch) for kind in kinds for batch in options.batches or entry.batches]
    if not any(plan.values()):
        raise PeerError(f"there are no images for {', '.join(options.models)}; measure with --inputs random")
    return plan


def rows_of(name, threads, pairs, runtimes, options):
    """One row for each (input, batch) of a model, by workers that are started for it. Raises PeerError."""
    model = MODELS[name].make(options.seed)
    with ExitStack() as stack:
        workers = {}
        for runtime in runtimes:
            workers[runtime] = Worker(runtime, model, threads)
            stack.callback(workers[runtime].close)
        try:
            for worker in workers.values():
                worker.ready()
            for kind, batch in pairs:
                images = inputs(name, kind, model.input_shape, batch, options.seed)
                us = measure(workers, images, [answers(model)(x) for x in images], options.rounds)
                yield as_row(name, batch, threads, kind, us)
        except PeerError as error:
            raise PeerError(f"{name}: {error}") from None


def measured(runtimes, options):
    """All rows, and what failed: a line for each model that a runtime could not run or answered differently."""
    rows, failed = [], []
    for (threads, name), pairs in planned(options).items():
        if not pairs:
            print(f"{name} is left out: there are no images for it", file=sys.stderr)
            continue
        try:
            for row in rows_of(name, threads, pairs, runtimes, options):
                rows.append(row)
                print(in_words(row), file=sys.stderr)
        except PeerError as error:  # the other models are still worth measuring
            failed.append(str(error))
            print(f"failed: {error}", file=sys.stderr)
    return rows, failed


def options_from(words):
    """The parsed command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS), metavar="MODEL",
                        help=f"of {', '.join(MODELS)} (default: all)")
    parser.add_argument("--batches", nargs="+", type=results.whole_number, help="images in a call (default: "
                        + "; ".join(sorted({f"{', '.join(map(str, e.batches))}" for e in MODELS.values()})) + ")")
    parser.add_argument("--threads", nargs="+", type=results.whole_number, default=[1], help="default: 1")
    parser.add_argument("--inputs", nargs="+", choices=INPUTS, help="default: what a model is for")
    parser.add_argument("--rounds", type=results.whole_number, default=15, help="turns of each runtime (default: 15)")
    parser.add_argument("--runtimes", nargs="+", choices=list(RUNTIMES), metavar="RUNTIME",
                        help=f"of {', '.join(RUNTIMES)} (default: all that are there but {', '.join(OPTIONAL)})")
    parser.add_argument("--seed", type=int, default=0, help="of random inputs and weights (default: 0)")
    parser.add_argument("--training", action="store_true", help="also time an epoch of LeNet, as training_speed does")
    results.add_option(parser)
    return parser.parse_args(words)


def main(words=None):
    """The command."""
    options = options_from(words)
    runtimes, missing = chosen_runtimes(options.runtimes)
    if options.training and RUNTIMES["torch"].missing():
        raise PeerError("--training compares with PyTorch, which is not there: pip install -e \".[peers]\"")
    for name, lacks in missing.items():
        print(f"{name} is left out: {', '.join(lacks)} is not there", file=sys.stderr)
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None  # not on Windows
    if load and load > BUSY:
        print(f"this machine is busy (load {load}): quote a run on a quiet one, above all for several threads",
              file=sys.stderr)
    rows, failed = measured(runtimes, options)
    versions = {package: version for name in runtimes for package, version in RUNTIMES[name].versions().items()}
    result = {**results.stamp("peers"), "load_before": load, "seed": options.seed, "rounds": options.rounds,
              "peers": versions, "missing": missing, "failed": failed, "rows": rows}
    if options.training:
        result["training"] = training_speed.measure(sys.executable, training_speed.ROUNDS)
    text = markdown(result)
    results.keep(options.json, result, text)
    print(text)
    if failed:
        raise PeerError("; ".join(failed))


if __name__ == "__main__":
    sys.exit(run_command(main))
