"""python -m npcbnet.evaluate PAPER: every table and figure of a paper beside ours, and which of its claims hold."""
import argparse
import json
import shlex
import sys
from pathlib import Path

from npcbnet.cli import run_command

EXAMPLE = """examples:
  python -m npcbnet.evaluate cbnet --quick                  small samples: a few minutes, to see that all of it works
  python -m npcbnet.evaluate cbnet --quick --datasets digits --seeds 1          needs no data
  python -m npcbnet.evaluate cbnet --datasets mnist fmnist --out runs/cbnet     hours on a Pi; stopped, it goes on
  python -m npcbnet.evaluate caenet --quick --datasets mnist                    the second paper's
  python -m npcbnet.evaluate cbnet --latencies pi.json      also for a device that is not here, as an estimate

Each seed's models are trained once, in OUT/DATASET-SEED; the same command goes on where it was stopped. Then all is
measured, in one go: leave the machine alone meanwhile. --latencies takes a JSON file such as
  {"device": "Raspberry Pi 4", "power": "pi4", "utilisation": 0.25, "latency_ms": {"lenet": 0.31, "cbnet-fast": 0.12}}
or what benchmarks.pi_estimate wrote. After a run with --power-seconds 25 a power meter's log can be joined with it:
  python -m npcbnet.energy --log um34c.csv --format um34c --window runs/evaluate-cbnet/report.json"""


def parser():
    """The command's options."""
    p = argparse.ArgumentParser(prog="python -m npcbnet.evaluate", description=__doc__, epilog=EXAMPLE,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("paper", choices=["cbnet", "caenet"], help="whose evaluation: the first paper's or the second's")
    p.add_argument("--datasets", nargs="+", metavar="NAME",
                   help="names or paths, as for npcbnet.train (default: mnist, fmnist, kmnist; for caenet cifar10, "
                   "mnist, fmnist; fetched where missing, left out where that fails)")
    p.add_argument("--seeds", type=int, help="how many seeds (default: 3; with --quick 1; of caenet on colour images "
                   "always 1)")
    p.add_argument("--seed", type=int, default=0, help="the first seed (default: 0)")
    p.add_argument("--quick", action="store_true", help="small samples of everything, a few minutes")
    p.add_argument("--threads", type=int,
                   help="threads that train (default: one a core, at most 4); all is measured on one")
    p.add_argument("--meter", default="auto",
                   help="what tells power: gci, pi4, rapl, pmic or auto, the best there is here (default)")
    p.add_argument("--power-seconds", type=float, metavar="S",
                   help="look so long at each model's power (default: 2; a log of one sample a second needs 25)")
    p.add_argument("--latencies", nargs="+", default=[], type=Path, metavar="FILE",
                   help="latencies of a device that is not here")
    p.add_argument("--out", type=Path,
                   help="folder of runs and report (default: runs/evaluate-PAPER; with --quick "
                   "runs/evaluate-PAPER-quick)")
    p.add_argument("--report", type=Path, help="folder of the report and its pictures (default: that of the runs)")
    p.add_argument("--json", action="store_true", help="print the report as JSON on standard output")
    return p


def main(arguments=None):
    """The command. Returns its exit status."""
    options = parser().parse_args(arguments)
    out = options.out or Path("runs", f"evaluate-{options.paper}{'-quick' * options.quick}")

    def go():
        from npcbnet import report as reports
        from npcbnet.evaluate.caenet import run as caenet
        from npcbnet.evaluate.cbnet import run as cbnet
        from npcbnet.evaluate.options import Options
        from npcbnet.training import check_threads, default_threads
        words = sys.argv[1:] if arguments is None else arguments
        seeds = options.seeds if options.seeds is not None else 1 if options.quick else 3
        threads = check_threads(options.threads if options.threads is not None else default_threads())
        paper = {"cbnet": cbnet, "caenet": caenet}[options.paper]
        report = paper.evaluate(Options(
            tuple(options.datasets) if options.datasets else None, seeds, options.seed, options.quick, threads,
            options.meter, options.power_seconds, tuple(options.latencies),
            shlex.join(["python", "-m", "npcbnet.evaluate", *words])),
            out, options.report)
        print(json.dumps(reports.clean(report), indent=2) if options.json else paper.summary(report))
        if not options.json:
            print(f"report.md, report.html, report.json and pictures are in {options.report or out}")

    return run_command(go, lambda: "the same command goes on where it was stopped")


if __name__ == "__main__":
    sys.exit(main())
