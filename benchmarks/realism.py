"""How like handwriting are the drawn `digits`? Models trained on them alone read the real MNIST test images.

    NPCBNET_DATA=../shared/data python -m benchmarks.realism --json benchmarks/results/realism.json
"""
import argparse
import sys

import npcbnet
from benchmarks import results
from npcbnet import data
from npcbnet.cli import run_command

MODELS = ("digits-lenet", "digits-branchynet", "digits-lightweight", "digits-cbnet")


def main(words=None):
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    results.add_option(parser)
    options = parser.parse_args(words)
    test = data.load("mnist").test
    accuracy = {name: float((npcbnet.load(name).predict(test.images) == test.labels).mean()) for name in MODELS}
    for name, share in accuracy.items():
        print(f"{name}: {100 * share:.2f} %")
    what = "accuracy on the 10,000 MNIST test images of models trained on the generated digits alone"
    results.keep(options.json, {"what": what, "accuracy": accuracy, **results.stamp("realism")})


if __name__ == "__main__":
    sys.exit(run_command(main))
