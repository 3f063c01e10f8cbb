"""Accuracy of every model on every data set, mean and spread over seeds: trains all, which takes hours.

    NPCBNET_DATA=../shared/data python -m benchmarks.accuracy mnist fmnist --seeds 3 --out runs/accuracy \\
        --json benchmarks/results/accuracy.json

Each run is `python -m npcbnet.train DATASET --recipe all --seed S`; finished runs are not repeated, stopped ones go on.
"""
import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks import results
from npcbnet import recipes
from npcbnet.cli import run_command
from npcbnet.evaluate.kept import finish
from npcbnet.evaluate.options import Options, at_hand
from npcbnet.files import read_note
from npcbnet.run import Run

COLUMNS = ("accuracy", "accuracy_easy", "accuracy_hard", "exit_rate", "exit_rate_converted", "macs", "threshold")


def run(dataset, seed, out, threads):
    """The report of one run, trained now unless it is there. Raises UsageError where the folder holds another run."""
    folder = out / f"{Path(dataset).stem}-{seed}"
    finish(Run(dataset, tuple(recipes.RECIPES), seed=seed), folder, lambda: train(folder, threads))
    return read_note(folder / "report.json", "train")


def train(folder, threads):
    """Train the run in a folder in a process of its own; if it fails, it has said why, and this one ends as it did."""
    command = [sys.executable, "-m", "npcbnet.train", "--resume", "--out", str(folder), "--threads", str(threads)]
    status = subprocess.run(command, stdout=subprocess.DEVNULL).returncode
    if status:
        raise SystemExit(status)


def summary(reports):
    """One row a model: mean, standard deviation (over seeds, n - 1) and the single values of every column."""
    rows = []
    for i, row in enumerate(reports[0]["rows"]):
        values = {"model": row["model"], "recipe": row.get("recipe"), "parameters": row["parameters"]}
        for column in COLUMNS:
            seen = [report["rows"][i].get(column) for report in reports]
            if all(value is not None for value in seen):
                spread = float(np.std(seen, ddof=1)) if len(seen) > 1 else 0.0
                values[column] = {"mean": float(np.mean(seen)), "spread": spread, "seeds": seen}
        rows.append(values)
    return rows


def markdown(result):
    """The tables as Markdown."""
    lines = []
    for dataset in result["datasets"]:
        lines += [f"### {dataset['title']}", "",
                  "| model | accuracy | easy images | hard images | exits early | after conversion | multiply-adds |",
                  "|---|---|---|---|---|---|---|"]
        for row in dataset["rows"]:
            def cell(name, row=row):
                value = row.get(name)
                return f"{100 * value['mean']:.2f} ± {100 * value['spread']:.2f} %" if value else ""
            lines.append(f"| {row['model']}{' (' + row['recipe'] + ')' if row['recipe'] else ''} | " + " | ".join(
                cell(name) for name in COLUMNS[:5]) + f" | {row['macs']['mean']:,.0f} |")
        lines.append("")
    lines.append(f"Mean and standard deviation over {result['seeds']} seeds. {results.made_by(result)}")
    return "\n".join([*lines, ""])


def main(words=None):
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="+", help="names or paths, as for python -m npcbnet.train")
    parser.add_argument("--seeds", type=results.whole_number, default=3)
    parser.add_argument("--threads", type=results.whole_number, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/accuracy"), help="folder of the runs")
    results.add_option(parser)
    options = parser.parse_args(words)
    names, _ = at_hand(Options(tuple(options.datasets)), (), quiet=True)
    datasets = []
    for dataset in names:
        reports = [run(dataset, seed, options.out, options.threads) for seed in range(options.seeds)]
        datasets.append({"dataset": Path(dataset).stem, "title": reports[0]["dataset"], "epochs": reports[0]["epochs"],
                         "rows": summary(reports), "notes": [report["notes"] for report in reports]})
    result = {**results.stamp("accuracy"), "seeds": options.seeds, "datasets": datasets}
    text = markdown(result)
    results.keep(options.json, result, text)
    print(text)


if __name__ == "__main__":
    sys.exit(run_command(main, lambda: "the same command goes on where it was stopped"))
