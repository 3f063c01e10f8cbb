"""python -m npcbnet.bench MODEL: how fast is a trained model on this machine, and what limits it?"""
import argparse
import json
import sys
from pathlib import Path

from npcbnet.cli import run_command

EXAMPLE = """examples:
  python -m npcbnet.bench mnist-branchynet
  python -m npcbnet.bench runs/mnist/cbnet.npz --batches 1 64 --threads 2 --images mnist --json bench.json"""


def parser():
    """The command's options."""
    p = argparse.ArgumentParser(prog="python -m npcbnet.bench", description=__doc__, epilog=EXAMPLE,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model", help="a pretrained name such as mnist-cbnet, or the path of a model file")
    p.add_argument("--batches", type=int, nargs="+", default=[1, 256], help="images in a call (default: 1 256)")
    p.add_argument("--threads", type=int, default=1, help="threads for large batches (default: 1)")
    p.add_argument("--images", metavar="DATA", help="data set whose test images are used: a name or a path (default: "
                   "the model's own where it is at hand, else generated ones)")
    p.add_argument("--rounds", type=int, default=30, help="how often all images take their turn (default: 30)")
    p.add_argument("--json", type=Path, metavar="FILE",
                   help="also write the figures and the machine to this file (other commands' --json prints)")
    return p


def main(arguments=None):
    """The command. Returns its exit status."""
    options = parser().parse_args(arguments)

    def go():
        from npcbnet import bench_report, machine
        from npcbnet.files import write_text
        from npcbnet.measure import measure
        result = {"machine": machine.describe(), **measure(options.model, options.batches, options.threads,
                                                           options.images, options.rounds)}
        print(bench_report.text(result))
        if options.json:
            write_text(options.json, json.dumps(result, indent=2) + "\n")

    return run_command(go)


if __name__ == "__main__":
    sys.exit(main())
