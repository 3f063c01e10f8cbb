"""Writes the README's tables and figures from the result files, so that no number there was ever typed.

    python -m benchmarks.readme

Between `<!-- made from NAME -->` and `<!-- end -->` in README.md goes what the result file NAME says; `--check` only
tells (exit status 1) whether README.md is as the files say.
"""
import argparse
import json
import re
import sys
from pathlib import Path

from benchmarks import results
from npcbnet.evaluate.caenet.run import table_keys
from npcbnet.evaluate.measuring import THIS_MACHINE
from npcbnet.evaluate.reading import name_of
from npcbnet.files import write_text

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(<!-- made from (\S+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
PEERS = {"ort": "ONNX Runtime", "litert": "LiteRT", "openvino": "OpenVINO", "torch": "PyTorch", "jit": "PyTorch jit",
         "inductor": "PyTorch inductor"}
NETS = {"lenet": "LeNet", "lightweight": "lightweight DNN, no converter", "branchynet": "BranchyNet, real exits",
        "fast": "CBNet `fast`", "converter": "converter of Table I", "table1": "CBNet of Table I",
        "converter-float16": "converter of Table I, weights in float16 as shipped",
        "caenet": "CAE-Net for MNIST", "caenet-fast": "CAE-Net (fast) for MNIST",
        "caenet-cifar10": "CAE-Net for CIFAR-10", "alexnet": "AlexNet, 9.2 M", "mobilenetv2": "MobileNetV2, 2.2 M",
        "resnet18": "ResNet-18, 11 M", "vgg16": "VGG16, 15 M"}


def accuracy(result, path):
    """The tables of benchmarks.accuracy, as it wrote them."""
    return path.with_suffix(".md").read_text(encoding="utf-8").split("\nMade by ")[0].strip().replace("### ", "#### ")


def latency(result, path):
    """The table of benchmarks.latency, MNIST's rows."""
    text = path.with_suffix(".md").read_text(encoding="utf-8")
    return "\n".join(line for line in text.splitlines() if line.startswith("|") and "| fmnist-" not in line)


def peers(result, path):
    """One line for each net and input: our microseconds an image, how many times as fast as the best of the peers."""
    chosen = [row for row in result["rows"] if row["threads"] == 1]
    batches = sorted({row["batch"] for row in chosen})
    lines = ["| net | input | " + " | ".join(f"batch {batch:,}" for batch in batches) + " |",
             "|---|---|" + "---|" * len(batches)]
    for model, kind in dict.fromkeys((row["model"], row["input"]) for row in chosen):
        cells = {row["batch"]: f"{_short(row['us']['npcbnet'])} µs, **{row['ratio']:.2f}×** {PEERS[row['best']]}"
                 for row in chosen if (row["model"], row["input"]) == (model, kind)}
        lines.append(f"| {NETS.get(model, model)} | {kind} | "
                     + " | ".join(cells.get(batch, "") for batch in batches) + " |")
    closer = [f"{NETS.get(row['model'], row['model'])} ({row['input']}, batch {row['batch']:,}) "
              f"{row['ratio_all']:.2f}×" for row in chosen if row["ratio_all"] < row["ratio"]]
    lines += ["", "OpenVINO was measured, too. Where it is the fastest of the peers, the lead is smaller: "
              + "; ".join(closer) + "."] if closer else []
    return "\n".join([*lines, "", results.made_by(result)])


def startup(result, path):
    """A sentence."""
    def span(runtime, cache):
        times = [row["median_ms"] for row in result["rows"] if (row["runtime"], row["cache"]) == (runtime, cache)]
        low, high = (f"{time:.0f}" for time in (min(times), max(times)))
        return f"{low} ms" if low == high else f"{low} to {high} ms"

    peers = [f"{PEERS[name]} {span(name, cache)}" for name, cache in dict.fromkeys(
        (row["runtime"], row["cache"]) for row in result["rows"] if row["runtime"] != "npcbnet")]
    return (f"From `python` to the first prediction of a fresh process it is {span('npcbnet', 'warm')}, the first "
            f"time on a machine {span('npcbnet', 'cold')} ({', '.join(peers)}; "
            "[startup.md](benchmarks/results/startup.md)).\n\n"
            + results.made_by(result))


def _short(statistics):
    value = statistics.get("mean", statistics["median"])
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def training_speed(result, path):
    """One sentence."""
    median = result["median"]
    return (f"One epoch of training LeNet (60,000 images, batch 128, Adam) takes {median['npcbnet']:.2f} s; PyTorch "
            f"{result['torch']} takes {median['torch']:.2f} s, {result['ratio']:.2f} times as long (one thread each, "
            "taking turns).\n\n" + results.made_by(result))


def realism(result, path):
    """One sentence."""
    right = result["accuracy"]["digits-lightweight"]
    return (f"The lightweight DNN trained on the drawn `digits` alone reads {right:.2%} of the real "
            "MNIST test images.\n\n" + results.made_by(result))


def evaluation(result, path):
    """The claims of the paper, and whether they hold; before CAE-Net's what was measured here."""
    lines = caenet_tables(result) if path.parent.name == "caenet" else []
    lines += ["| claim | in the paper | here | holds |", "|---|---|---|---|"]
    lines += [f"| {claim['claim']} | {claim['paper']} | {claim['ours']} | **{claim['holds']}** |"
              for claim in result["claims"]]
    return "\n".join([*lines, "", results.made_by(result["facts"])])


def caenet_tables(result):
    """A short table a data set: the lines."""
    lines = []
    titles = {one["name"]: one["title"] for one in result["facts"]["datasets"]}
    for key, name in table_keys(list(titles)).items():
        lines += [f"#### {titles[name]}", "",
                  "| model | accuracy | µs an image | times as fast | multiply-adds | weights, not zero | kB |",
                  "|---|---|---|---|---|---|---|"]
        lines += [f"| {name_of(row)} | {_share(row)} | {_short({'median': 1e3 * row['latency_ms']})} | "
                  f"{_times(row)} | {row['macs']:,.0f} | {row['nonzero']:,.0f} | "
                  f"{row['file_bytes'] / 1e3:,.0f} |" for row in result[key] if row["device"] == THIS_MACHINE]
        lines += [""]
    return lines


def _times(row):
    """How many times as fast a row is, with its spread where there are several seeds."""
    spread = row.get("speedup_spread")
    return f"{row['speedup']:.2f}" + (f" ± {spread:.2f}" if spread and row["speedup"] != 1 else "")


def _share(row):
    """A row's accuracy, with its spread where there are several seeds."""
    if row["accuracy"] is None:
        return row["accuracy_note"]
    spread = f" ± {100 * row['accuracy_spread']:.2f}" if row["accuracy_spread"] is not None else ""
    return f"{100 * row['accuracy']:.2f}{spread} %"


MAKERS = {"report.json": evaluation, "accuracy.json": accuracy, "latency.json": latency, "peers.json": peers,
          "peers-caenet.json": peers, "training_speed.json": training_speed, "realism.json": realism,
          "startup.json": startup}


def made(text):
    """README's text with every block as its result file says."""
    def block(match):
        path = ROOT / match[2]
        result = json.loads(path.read_text(encoding="utf-8"))
        return f"{match[1]}{MAKERS[path.name](result, path)}\n{match[4]}"
    return BLOCK.sub(block, text)


def main(arguments=None):
    """The command. Returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 if README.md is out of date")
    options = parser.parse_args(arguments)
    readme = ROOT / "README.md"
    old = readme.read_text(encoding="utf-8")
    new = made(old)
    if options.check:
        return int(old != new)
    write_text(readme, new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
