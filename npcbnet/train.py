"""python -m npcbnet.train DATASET: train LeNet, BranchyNet and CBNet, or CAE-Net, and see what each is worth."""
import argparse
import json
import sys
from pathlib import Path

from npcbnet.cli import run_command
from npcbnet.errors import UsageError

EXAMPLE = """examples:
  python -m npcbnet.train digits --quick           about a minute, needs no data
  python -m npcbnet.train mnist --recipe fast table1 residual paper
  python -m npcbnet.train mnist --net caenet        the second paper's network
  python -m npcbnet.train my-images/ --shape 1 28 28    a folder with one sub-folder of images per class
  python -m npcbnet.train --resume --out runs/mnist     go on where a run was stopped"""


def parser():
    """The command's options."""
    from npcbnet.recipes import RECIPES
    p = argparse.ArgumentParser(prog="python -m npcbnet.train", description=__doc__, epilog=EXAMPLE,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("dataset", nargs="?",
                   help="mnist, fmnist, kmnist, cifar10, digits, or a path (.npz, IDX folder, CIFAR-10's folder or "
                   "archive, folder of class folders)")
    p.add_argument("--net", default="cbnet", choices=["cbnet", "caenet"],
                   help="the first paper's network (default), or the second's: CAE-Net")
    p.add_argument("--recipe", nargs="+", choices=[*RECIPES, "all"], metavar="NAME",
                   help=f"converters to train: {', '.join(RECIPES)}, or all (default: fast)")
    p.add_argument("--epochs", type=int,
                   help="epochs of every stage (default: chosen by the size of the data set); with --net caenet those "
                        "of the baseline, and the other stages train no longer than they do without")
    p.add_argument("--seed", type=int, default=0, help="seed of all random numbers in training (default: 0)")
    p.add_argument("--threshold", default="auto",
                   help="BranchyNet's exit threshold: nats, 'paper', or 'auto' by validation (default)")
    p.add_argument("--clustering", default="k-means", metavar="METHOD",
                   help="CAE-Net: how each class is divided: k-means (default), cosine, dbscan or hdbscan")
    p.add_argument("--clusters", type=int, metavar="K", help="CAE-Net: clusters a class, with k-means (default: 3)")
    p.add_argument("--features", metavar="MODEL",
                   help="CAE-Net: a trained classifier whose convolutions tell which images are alike, such as a VGG16 "
                   "of npcbnet.import_weights (default: the run's own baseline tells)")
    p.add_argument("--shape", type=int, nargs=3, metavar=("C", "H", "W"), help="bring all images to this shape")
    p.add_argument("--threads", type=int,
                   help="threads (default: one a core, at most 4); the result does not depend on it")
    p.add_argument("--out", type=Path, help="folder for models, report and pictures (default: runs/DATASET, or "
                   "runs/DATASET-2, -3, ... where another run has finished there)")
    p.add_argument("--resume", action="store_true", help="continue the run in --out, with that run's own options")
    p.add_argument("--quick", action="store_true", help="a few epochs: about a minute")
    p.add_argument("--json", action="store_true", help="print the report as JSON on standard output")
    return p


def start(options):
    """(Run, folder, data set) from the command line; a new run, or the one to resume."""
    from npcbnet import data
    from npcbnet import run as runs
    if options.resume:
        out = options.out or runs.latest_unfinished("runs", options.dataset)
        run = runs.read_run(out)
        if options.dataset not in (None, run.dataset):
            raise UsageError(f"the run in {out} is of {run.dataset}, not of {options.dataset}; "
                             "name no data set with --resume")
        if runs.is_finished(out):
            raise UsageError(f"the run in {out} is finished, see {out / 'report.md'}; start another without --resume")
        dataset = data.load(run.dataset, shape=run.shape)
        runs.viewer(run, dataset)  # says now what could not work later
        return run, out, dataset
    if options.dataset is None:
        raise UsageError("name a data set, e.g. python -m npcbnet.train digits (or --resume to continue a run)")
    run = runs.Run.of(options)
    out = options.out or runs.free_folder("runs", run)
    dataset = data.load(run.dataset, shape=run.shape)
    runs.viewer(run, dataset)
    runs.begin(run, out)
    return run, out, dataset


def main(arguments=None):
    """The command. Returns its exit status."""
    options = parser().parse_args(arguments)
    folder = [options.out]

    def go():
        from npcbnet import report
        from npcbnet.training import check_threads, default_threads
        threads = check_threads(options.threads if options.threads is not None else default_threads())
        run, folder[0], dataset = start(options)
        if run.net == "caenet":
            from npcbnet.caenet.run import train
        else:
            from npcbnet.pipeline import train
        result = train(run, dataset, folder[0], threads=threads)
        print(json.dumps(report.clean(result), indent=2) if options.json else report.text_table(result["rows"]))
        if not options.json:
            print(f"models, report.md and pictures are in {folder[0]}")

    return run_command(go, lambda: f"continue with: python -m npcbnet.train --resume --out {folder[0]}"
                       if folder[0] else "nothing was begun")


if __name__ == "__main__":
    sys.exit(main())
