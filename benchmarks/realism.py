"""How like handwriting are the drawn `digits`? Models trained on them alone read the real MNIST test images.

    NPCBNET_DATA=../shared/data python -m benchmarks.realism --json benchmarks/results/realism.json
"""
import argparse
import json
from pathlib import Path

import npcbnet
from npcbnet import data, machine
from npcbnet.files import write_text

MODELS = ("digits-lenet", "digits-branchynet", "digits-lightweight", "digits-cbnet")


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to write")
    options = parser.parse_args()
    test = data.load("mnist").test
    accuracy = {name: float((npcbnet.load(name).predict(test.images) == test.labels).mean()) for name in MODELS}
    result = {"what": "accuracy on the 10,000 MNIST test images of models trained on the generated digits alone",
              "accuracy": accuracy,
              "command": "python -m benchmarks.realism", "machine": machine.describe()}
    for name, accuracy in result["accuracy"].items():
        print(f"{name}: {100 * accuracy:.2f} %")
    if options.json:
        write_text(options.json, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
