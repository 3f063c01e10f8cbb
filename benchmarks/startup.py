"""How long from `python` to the first prediction? npcbnet against ONNX Runtime and LiteRT, each in fresh processes.

    python -m benchmarks.startup --json benchmarks/results/startup.json

A process imports its runtime, loads the model's file, makes it ready and answers one image; the clock runs from the
start of the process until its answer is read. All take turns. Files and bytecode are in the system's cache, as they
are from the second start on. npcbnet runs with its machine code on disk ("warm") and with none ("cold": the first start
after an installation). Runtimes that are not installed are named as missing. Everything runs on one thread.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import npcbnet
from benchmarks import results
from benchmarks.peer_runtimes import graph
from benchmarks.peer_runtimes.runtimes import RUNTIMES
from benchmarks.peer_runtimes.worker import THREAD_VARIABLES
from npcbnet.cli import run_command
from npcbnet.data import digits
from npcbnet.errors import UsageError

ROOT = Path(__file__).resolve().parent.parent
MODELS = ("mnist-lightweight", "mnist-cbnet")

READ_IMAGE = "import sys\nimport numpy as np\nimage = np.load(sys.argv[2])\n"
CODE = {  # argv: model's file, image's file; the last line printed is the answer
    "npcbnet": READ_IMAGE + """
import npcbnet
print(npcbnet.compile(npcbnet.load(sys.argv[1])).predict(image)[0])""",
    "layers": READ_IMAGE + """
import npcbnet
print(npcbnet.load(sys.argv[1]).predict(image)[0])""",
    "ort": READ_IMAGE + """
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
print(session.run(None, {"x": image.astype("f4") / 255})[0].argmax())""",
    "litert": READ_IMAGE + """
from ai_edge_litert.interpreter import Interpreter
net = Interpreter(sys.argv[1], num_threads=1)
net.allocate_tensors()
net.set_tensor(net.get_input_details()[0]["index"], image.transpose(0, 2, 3, 1).astype("f4") / 255)
net.invoke()
print(net.get_tensor(net.get_output_details()[0]["index"]).argmax())""",
}
NAMES = {"npcbnet": "npcbnet", "layers": "npcbnet, layer by layer", "ort": "ONNX Runtime", "litert": "LiteRT"}
IMPORTS = {"python": "", "numpy": "import numpy", "npcbnet": "import numpy, npcbnet"}


def written(name, runtimes, folder):
    """{runtime: path} of the model's file in the form that each runtime reads. Raises UsageError for other images."""
    model, files = npcbnet.load(name), {}
    if model.input_shape != (1, 28, 28):
        raise UsageError(f"{name} takes images {model.input_shape}; name models for a drawn digit, (1, 28, 28)")
    for runtime in runtimes:
        files[runtime] = folder / f"{name}-{runtime}"
        if runtime == "ort":
            from benchmarks.peer_runtimes import onnx_model
            files[runtime].write_bytes(onnx_model.model(graph.whole(model), 1))
        elif runtime == "litert":
            from benchmarks.peer_runtimes import tflite_model
            files[runtime].write_bytes(tflite_model.model(graph.whole(model), 1))
        else:
            npcbnet.save(model, files[runtime])
    return files


def started(code, arguments, folder, machine_code):
    """(seconds until a fresh process has printed its answer, the answer). machine_code: folder of npcbnet's cache."""
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, "1"), "PYTHONPATH": str(ROOT),
                   "PYTHONPYCACHEPREFIX": str(folder / "bytecode"), "NUMBA_CACHE_DIR": str(machine_code)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    begin = time.perf_counter()
    with subprocess.Popen([sys.executable, "-u", "-c", code, *map(str, arguments)], cwd=folder, env=environment,
                          stdout=subprocess.PIPE, text=True) as process:
        answer = process.stdout.readline().strip()
        seconds = time.perf_counter() - begin
    if process.returncode:
        raise SystemExit(f"a process failed; it ran:\n{code}")
    return seconds, answer


def measure(models, runtimes, rounds, folder):
    """Rows for models and runtimes, and {import: milliseconds}: what the interpreter and its imports take of that."""
    image = folder / "image.npy"
    np.save(image, digits.generate(1, seed=0)[0])
    jobs = {("import", name, "warm"): (code + "\nprint()", ()) for name, code in IMPORTS.items()}
    for model in models:
        for runtime, file in written(model, runtimes, folder).items():
            for state in ("warm", "cold") if runtime in ("npcbnet", "layers") else ("warm",):
                jobs[model, runtime, state] = CODE[runtime], (file, image)
    times, answers = {job: [] for job in jobs}, {}
    for turn in range(-1, rounds):  # the first is not counted: it writes bytecode and machine code
        for job, (code, arguments) in jobs.items():
            cold = tempfile.mkdtemp(dir=folder) if job[2] == "cold" else folder / "machine-code"
            seconds, answers[job] = started(code, arguments, folder, cold)
            times[job] += [1e3 * seconds] if turn >= 0 else []
    for model in models:
        said = {runtime: answer for (of, runtime, _), answer in answers.items() if of == model}
        if len(set(said.values())) > 1:
            raise SystemExit(f"{model}: the answers differ: {said}")
    rows = [{"model": model, "runtime": runtime, "cache": cache, "median_ms": float(np.median(ms)), "least_ms": min(ms),
             "p95_ms": float(np.percentile(ms, 95))} for (model, runtime, cache), ms in times.items()]
    return ([row for row in rows if row["model"] != "import"],
            {row["runtime"]: row["median_ms"] for row in rows if row["model"] == "import"})


def markdown(result):
    """The rows as a Markdown table."""
    lines = ["| model | runtime | machine code | ms to the first prediction | least | p95 |",
             "|---|---|---|---|---|---|"]
    for row in result["rows"]:
        cache = {"cold": "none yet", "warm": "on disk"}[row["cache"]] if row["runtime"] in ("npcbnet", "layers") else ""
        lines.append(f"| {row['model']} | {NAMES[row['runtime']]} | {cache} | {row['median_ms']:.0f} | "
                     f"{row['least_ms']:.0f} | {row['p95_ms']:.0f} |")
    took = result["import_ms"]
    return "\n".join([*lines, "", f"Of that, the interpreter alone takes {took['python']:.0f} ms, with `import numpy` "
                      f"{took['numpy']:.0f} ms; `import npcbnet` adds {took['npcbnet'] - took['numpy']:.1f} ms. "
                      f"Medians of {result['rounds']} rounds.", "", results.made_by(result), ""])


def main(words=None):
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS), metavar="NAME", help="pretrained (default: two)")
    parser.add_argument("--rounds", type=results.whole_number, default=9)
    parser.add_argument("--layers", action="store_true", help="also npcbnet without the engine, layer by layer")
    results.add_option(parser)
    options = parser.parse_args(words)
    missing = {name: lacks for name in ("ort", "litert") if (lacks := RUNTIMES[name].missing())}
    for name, lacks in missing.items():
        print(f"{NAMES[name]} is left out: {', '.join(lacks)} is not there", file=sys.stderr)
    runtimes = [name for name in NAMES if name not in missing and (name != "layers" or options.layers)]
    with tempfile.TemporaryDirectory() as folder:
        rows, imports = measure(options.models, runtimes, options.rounds, Path(folder))
    versions = {package: version for name in runtimes for package, version in RUNTIMES[name].versions().items()}
    result = {"what": "milliseconds from the start of a process to its first prediction", "rounds": options.rounds,
              "peers": versions, "missing": missing, "import_ms": imports, "rows": rows, **results.stamp("startup")}
    text = markdown(result)
    results.keep(options.json, result, text)
    print(text)


if __name__ == "__main__":
    sys.exit(run_command(main))
