"""What would the engine's code do on a Raspberry Pi 4? An estimate without one: instruction throughput only, no caches.

    python -m benchmarks.pi_estimate --json benchmarks/results/pi_estimate.json

Every kernel that the models run is compiled for a Cortex-A72, and the loops that multiply are looked at: vector
multiply-adds, none float by float, none or few vectors on the stack (pi_code.py has the limits). Where llvm-mca is
installed (Debian: llvm), it says how many cycles a turn of each loop takes on that processor, if every load hits the
first-level cache. A Cortex-A72 starts one vector multiply-add a cycle at best. A model's cycles are the turns of its
loops of products times that; other loops (transforms, pools, answers), caches and calls are not in it, and early exits
are not taken. Inputs of dense layers that are zero are left out as on test images (of networks with random weights, on
noise). So it is no latency.
"""
import argparse
import re
import shutil
import subprocess
import sys

import numpy as np

import npcbnet
from benchmarks import pi_code, results
from benchmarks.peer_runtimes.models import MODELS
from npcbnet import data
from npcbnet.cli import run_command
from npcbnet.data.trial import trained_on
from npcbnet.layers import Dense
from npcbnet.nets.multiexit import MultiExit
from npcbnet.runtime.micro.conv_plane import WRITTEN_OUT

LABEL = "estimate: instruction throughput only, no caches"
CLOCK_HZ = 1.5e9  # of a Raspberry Pi 4
NAMES = ("mnist-lenet", "mnist-branchynet", "mnist-lightweight", "mnist-cbnet", "mnist-cbnet-table1", "alexnet",
         "mobilenetv2")
TURNS = 200  # that llvm-mca plays through
IMAGES = 200  # whose zeros are counted


def find_mca():
    """The llvm-mca program, or None."""
    return next(filter(None, map(shutil.which, ("llvm-mca", *(f"llvm-mca-{n}" for n in range(22, 12, -1))))), None)


def cycles_a_turn(mca, code):
    """Cycles that llvm-mca expects one turn of a loop's instructions to take; None where it cannot read them."""
    done = subprocess.run([mca, "-mtriple=aarch64", "-mcpu=cortex-a72", f"-iterations={TURNS}"],
                          input="\n".join(code) + "\n", capture_output=True, text=True)
    found = re.search(r"^Total Cycles:\s+(\d+)", done.stdout, re.M)
    return int(found[1]) / TURNS if found and not done.returncode else None


def version_of(mca):
    """llvm-mca and its LLVM's version, in words."""
    found = re.search(r"LLVM version \S+", subprocess.run([mca, "--version"], capture_output=True, text=True).stdout)
    return f"llvm-mca, {found[0]}" if found else "llvm-mca"


def load(name):
    """A pretrained model, or one of benchmarks.peers' larger ones with random weights."""
    return MODELS[name].make(0) if name in MODELS else npcbnet.load(name)


def wanted(model, together):
    """[(features, share of them that are not zero in all of `together` images)] of each dense layer as they run.

    Of IMAGES test images of the set that the model was trained on; of noise where it was trained on none.
    """
    if trained_on(model):
        images = data.load(trained_on(model), shape=model.input_shape).test.images[:IMAGES]
    else:
        images = np.random.default_rng(0).integers(0, 256, (IMAGES // 10, *model.input_shape), np.uint8)
    seen, forward = {}, Dense.forward

    def watched(layer, x, *more, **options):
        seen.setdefault(id(layer), []).append(x != 0)
        return forward(layer, x, *more, **options)

    Dense.forward = watched
    try:
        (model.all_exits if isinstance(model, MultiExit) else model.predict)(images)
    finally:
        Dense.forward = forward
    found = [np.concatenate(parts) for parts in seen.values()]
    return [(on.shape[1], float(on.reshape(-1, together, on.shape[1]).any(axis=1).mean())) for on in found]


def turns(name, fixed, row, share=1.0):
    """Turns of a kernel's loop of products for one group, as its row (without the address) says; None: not counted.

    The places are those of each kernel's docstring. share: of a dense layer's features, that are not zero.
    """
    if name == "conv_plane":
        return row[3] * row[4] * row[5] * row[6] * (fixed["kernel"] if fixed["kernel"] > WRITTEN_OUT else 1)
    if name == "conv_outputs":
        return row[6] * row[7] * row[8] * -(-row[14] // fixed["down"]) * -(-row[15] // fixed["across"])
    if name == "conv_group":
        across = -(-row[15] // (1 if fixed["pool"] else 4))
        return row[14] * across * row[6] * row[7] * row[5] * fixed["kernel"]
    if name in ("dense_group", "dense_one"):
        share = share if fixed.get("skip", 1) else 1.0
        return row[4] * share * row[5] / (max(1, 8 // fixed["vectors"]) if name == "dense_one" else 1)
    if name == "dense_few":
        return -(-row[4] // 4)
    if name == "winograd_group" and fixed["single"]:  # products on the way to the outputs, a channel's at a time
        return -(-row[12] // fixed["tiles"]) * row[21]
    if name == "winograd_one" and fixed["form"] == "single":
        return row[13] * row[21]
    points = (fixed.get("kernel", 0) + 3) ** 2
    if name == "winograd_group" and not fixed["single"]:
        return -(-row[12] // fixed["tiles"]) * points * row[10] * row[9]
    if name == "winograd_one" and fixed["form"] != "single":
        return (row[13] if fixed["form"] == "blocks" else 1) * points * row[12] * row[11]
    return None


def products(loops):
    """The loop of products among a kernel's: the one of which the largest part multiplies."""
    return max(loops, key=lambda loop: loop.vector / len(loop.code))


def described(name, fixed, mca):
    """A kernel's row: its loops, what is wrong with them, cycles."""
    loops = pi_code.hot_loops(pi_code.assembly(name, fixed))
    rows = [{"multiply_adds": loop.vector, "float_by_float": loop.single, "instructions": len(loop.code),
             "spilled": loop.spilled, "cycles": cycles_a_turn(mca, loop.code) if mca else None} for loop in loops]
    return {"kernel": name, "fixed": dict(fixed), "loops": rows, "faults": pi_code.faults(name, fixed),
            "products": loops.index(products(loops)) if loops else None}


def measure(names, mca):
    """{kernel: row} of all kernels, and for each model and form what its loops of products take of an image."""
    kernels, models = {}, []
    for model, loaded in {name: load(name) for name in names}.items():
        for vectors in (0, 1):
            adds = cycles = 0
            missing, dense = [], iter(wanted(loaded, 4 if vectors else 1))
            for name, fixed, row in pi_code.steps(loaded, vectors):
                if not pi_code.is_hot(name, fixed):
                    continue
                features, share = next(dense) if name.startswith("dense") else (None, 1.0)
                if features not in (None, row[4]):
                    raise AssertionError(f"{model}: a step of {row[4]} features, but the layer has {features}")
                key = name, fixed
                if key not in kernels:
                    kernels[key] = described(name, fixed, mca)
                count, loops = turns(name, dict(fixed), row, share), kernels[key]["loops"]
                loop = loops[kernels[key]["products"]] if loops else None
                if count is None or loop is None or mca and loop["cycles"] is None:
                    missing.append(name)
                    continue
                adds += count * loop["multiply_adds"]
                cycles += count * (loop["cycles"] or 0)
            images = 4 if vectors else 1
            models.append({"model": model, "form": "a group of four" if vectors else "one image",
                           "vector_multiply_adds": adds / images, "not_counted": missing,
                           "cycles": cycles / images if mca else None,
                           "us": 1e6 * cycles / images / CLOCK_HZ if mca else None})
    return list(kernels.values()), models


def number(value, form):
    """A number in a table; nothing where there is none."""
    return "" if value is None else format(value, form)


def markdown(result):
    """Both tables."""
    lines = [f"**{result['label']}** (Cortex-A72 at {CLOCK_HZ / 1e9} GHz; loops of products alone)", "",
             "| model | form | vector multiply-adds an image | cycles | µs | not counted |",
             "|---|---|---|---|---|---|"]
    for row in result["models"]:
        lines.append(f"| {row['model']} | {row['form']} | {row['vector_multiply_adds']:,.0f} | "
                     f"{number(row['cycles'], ',.0f')} | {number(row['us'], ',.0f')} | "
                     f"{', '.join(sorted(set(row['not_counted'])))} |")
    lines += ["", "| kernel | multiply-adds a turn | cycles | a cycle | spilled there / in other loops | faults |",
              "|---|---|---|---|---|---|"]
    for row in result["kernels"]:
        fixed = ", ".join(f"{name} {value}" for name, value in row["fixed"].items() if name != "sure")
        loop = row["loops"][row["products"]] if row["loops"] else {"multiply_adds": 0, "cycles": None, "spilled": 0}
        adds, cycles = loop["multiply_adds"], loop["cycles"]
        other = sum(each["spilled"] for each in row["loops"]) - loop["spilled"]
        lines.append(f"| `{row['kernel']}` {fixed} | {adds} | {number(cycles, '.1f')} | "
                     f"{number(cycles and adds / cycles, '.2f')} | {loop['spilled']} / {other} | "
                     f"{'; '.join(sorted(set(row['faults'])))} |")
    return "\n".join([*lines, "", f"{result['mca'] or 'llvm-mca is not installed: no cycles'}. "
                      f"{results.made_by(result)}", ""])


def main(words=None):
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(NAMES), metavar="NAME",
                        help="pretrained names, alexnet or mobilenetv2 (default: seven)")
    results.add_option(parser)
    options = parser.parse_args(words)
    mca = find_mca()
    kernels, models = measure(options.models, mca)
    result = {"label": LABEL, "mca": mca and version_of(mca), "models": models, "kernels": kernels,
              **results.stamp("pi_estimate")}
    text = markdown(result)
    results.keep(options.json, result, text)
    print(text)
    faulty = [row["kernel"] for row in kernels if row["faults"]]
    if faulty:
        print(f"beyond the limits: {', '.join(faulty)}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(run_command(main))
