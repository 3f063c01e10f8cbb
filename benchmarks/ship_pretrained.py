"""Take the models that `benchmarks.accuracy` trained (seed 0) into the package: npcbnet/pretrained/DATASET-MODEL.npz.

    python -m benchmarks.ship_pretrained --runs runs/accuracy

The two table1 models, 90 % of all parameters, are stored as float16; each is then judged again on the test images.
"""
import argparse
from pathlib import Path

import npcbnet
from npcbnet import data, modelfile

PLAIN = ("lenet", "branchynet", "lightweight", "cbnet")
SHIPPED = {"mnist": (*PLAIN, "cbnet-table1"), "fmnist": (*PLAIN, "cbnet-table1"), "digits": PLAIN}
LIMIT_BYTES = 9_000_000


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/accuracy"), help="folder of benchmarks.accuracy")
    options = parser.parse_args()
    total = 0
    for dataset, models in SHIPPED.items():
        test = data.load(dataset).test
        for name in models:
            model = npcbnet.load(options.runs / f"{dataset}-0" / f"{name}.npz")
            path = modelfile.PRETRAINED / f"{dataset}-{name}.npz"
            npcbnet.save(model, path, dtype="float16" if name.endswith("table1") else "float32")
            accuracy = (npcbnet.load(path).predict(test.images) == test.labels).mean()
            total += path.stat().st_size
            print(f"{path.name}: {path.stat().st_size:,} bytes, {100 * accuracy:.2f} % on the test images "
                  f"({100 * model.record['test_accuracy']:.2f} % when trained)")
    print(f"together {total:,} bytes")
    if total > LIMIT_BYTES:
        raise SystemExit(f"that is more than the {LIMIT_BYTES:,} bytes the package may carry")


if __name__ == "__main__":
    main()
