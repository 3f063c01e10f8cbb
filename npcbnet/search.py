"""python -m npcbnet.search DATASET --slo-ms MS: the best small network that takes so many milliseconds an image."""
import argparse
import json
import sys
from pathlib import Path

from npcbnet.cli import run_command

EXAMPLE = """examples:
  python -m npcbnet.search digits --slo-ms 0.01 --quick    about a minute, needs no data
  python -m npcbnet.search mnist --slo-ms 0.006 --teacher mnist-lenet --out small.npz
  python -m npcbnet.search cifar10 --slo-ms 0.3 --threads 2 --json

Draws encoders of 3x3 convolutions (widths, depths, strides) with a dense head, discards what is too slow on this
machine, and trains the rest in rungs, each time keeping the better half. Validation images choose; the test set judges
the winner. Where nothing meets the SLO, the fastest is shown, not saved, and the status is 1. What is trained of the
winner lies beside the file to write until that is saved: stopped, the same command does the rungs again and goes on
from there, and so it does with --save-anyway after a miss. The milliseconds above suit a PC: on a Pi ask
python -m npcbnet.bench first how long networks take there."""


def parser():
    """The command's options."""
    p = argparse.ArgumentParser(prog="python -m npcbnet.search", description=__doc__, epilog=EXAMPLE,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("dataset", help="a name or a path, as for npcbnet.train")
    p.add_argument("--slo-ms", type=float, required=True, metavar="MS", dest="slo",
                   help="one image takes at most so many milliseconds on this machine")
    p.add_argument("--teacher", metavar="MODEL",
                   help="a trained classifier whose answers are learned, too: a pretrained name or a model file")
    p.add_argument("--quick", action="store_true", help="2,000 images and few networks")
    p.add_argument("--save-anyway", action="store_true", help="save what misses the SLO, too")
    p.add_argument("--out", type=Path, metavar="FILE", help="file to write (default: DATASET-search.npz here)")
    p.add_argument("--seed", type=int, default=0, help="seed of all that is drawn (default: 0)")
    p.add_argument("--threads", type=int,
                   help="threads that train; no result depends on them (default: one a core, at most 4)")
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(arguments=None):
    """The command. Returns its exit status."""
    options = parser().parse_args(arguments)

    def go():
        from npcbnet.compress import searched
        result = searched.find(options.dataset, options.slo, options.teacher, options.out, seed=options.seed,
                               threads=options.threads, quick=options.quick, anyway=options.save_anyway)
        print(json.dumps(result, indent=2) if options.json else searched.text(result))
        return 0 if result["met"] else 1

    return run_command(go, lambda: "the same command searches again, but goes on with the winner's training")


if __name__ == "__main__":
    sys.exit(main())
