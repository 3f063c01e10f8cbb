"""Take models that were trained (seed 0) into the package: npcbnet/pretrained/DATASET-MODEL.npz.

    python -m benchmarks.ship_pretrained --runs runs/cbnet               those of benchmarks.accuracy
    python -m benchmarks.ship_pretrained --caenet-runs runs/caenet       those of npcbnet.evaluate caenet
    python -m benchmarks.ship_pretrained --caenet-runs runs/caenet --datasets mnist     of one data set alone

The largest are stored smaller: the table1 models and CIFAR-10's CAE-Net as float16, AlexNet with CENTROIDS values in
each layer but the first, so that a weight takes 4 bits. All are judged again on the test images; their records say what
they reach.
"""
import argparse
import sys
from pathlib import Path

import npcbnet
from npcbnet import data, modelfile
from npcbnet.cli import run_command
from npcbnet.compress.share import share
from npcbnet.errors import NpcbnetError, UsageError

PLAIN = ("lenet", "branchynet", "lightweight", "cbnet")
CBNET = {"mnist": (*PLAIN, "cbnet-table1"), "fmnist": (*PLAIN, "cbnet-table1"), "digits": PLAIN}
CAENET = {"mnist": ("caenet", "caenet-fast"), "fmnist": ("caenet", "caenet-fast"), "cifar10": ("caenet", "alexnet")}
HALVES = ("mnist-cbnet-table1", "fmnist-cbnet-table1", "cifar10-caenet")
SHARED, CENTROIDS = ("cifar10-alexnet",), 16
LIMIT_BYTES, MODEL_LIMIT_BYTES = 14_000_000, 6_000_000


def ship(source, dataset, name):
    """Store the model of a run in the package and say how it is there."""
    key, test = f"{dataset}-{name}", data.load(dataset).test
    model = npcbnet.load(source)
    trained = model.record["test_accuracy"]
    model.record = {**model.record, "model": name, "stored": "float16" if key in HALVES else "float32"}
    if key in SHARED:
        model = share(model, CENTROIDS, first=False)
        model.record["stored"] = f"{CENTROIDS} values in each layer but the first"
    path = modelfile.PRETRAINED / f"{key}.npz"
    for _ in range(2):  # first to be judged as it is stored, then with what that said
        npcbnet.save(model, path, dtype="float16" if key in HALVES else "float32")
        model.record["test_accuracy"] = float((npcbnet.load(path).predict(test.images) == test.labels).mean())
    print(f"{path.name}: {path.stat().st_size:,} bytes, {model.record['test_accuracy']:.2%} on the test images "
          f"({trained:.2%} when trained)")
    if path.stat().st_size > MODEL_LIMIT_BYTES:
        raise NpcbnetError(f"that is more than the {MODEL_LIMIT_BYTES:,} bytes a model may have")


def sources(options):
    """[(file, data set, model)] that the options ask for. Raises UsageError where one is missing."""
    asked = [(folder / f"{dataset}{suffix}-0" / f"{name}.npz", dataset, name)
             for folder, models, suffix in ((options.runs, CBNET, ""), (options.caenet_runs, CAENET, "-caenet"))
             for dataset, names in models.items() if folder and dataset in (options.datasets or models)
             for name in names]
    for path, _, _ in asked:
        if not path.exists():
            raise UsageError(f"{path}: no such file; train it, or choose what there is with --datasets")
    return asked


def main():
    """The command. Returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, help="folder of benchmarks.accuracy")
    parser.add_argument("--caenet-runs", type=Path, help="folder of npcbnet.evaluate caenet")
    parser.add_argument("--datasets", nargs="+", choices=sorted({*CBNET, *CAENET}), metavar="NAME",
                        help="of these data sets alone (default: all)")
    options = parser.parse_args()
    if not (options.runs or options.caenet_runs):
        parser.error("name at least one folder of trained models")

    def go():
        for source in sources(options):
            ship(*source)
        total = sum(path.stat().st_size for path in modelfile.PRETRAINED.glob("*.npz"))
        print(f"together {total:,} bytes")
        if total > LIMIT_BYTES:
            raise NpcbnetError(f"that is more than the {LIMIT_BYTES:,} bytes the package may carry")
        return 0

    return run_command(go, lambda: "what was said to be stored is stored")


if __name__ == "__main__":
    sys.exit(main())
