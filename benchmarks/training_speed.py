"""How long does one epoch of LeNet take, here and in PyTorch? One thread each, in turns, each turn in a fresh process.

    python -m benchmarks.training_speed --peer-python /torch/bin/python --json benchmarks/results/training_speed.json

60,000 images of 28x28 (MNIST where it is found, else noise; the result says which), batch 128, Adam. An epoch
is timed after a warm-up of 20 steps, with everything it needs: shuffling, pixels to floats, forward, backward, the
optimiser's step.
"""
import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
BATCH, IMAGES, ROUNDS = 128, 60_000, 5


def images_and_labels():
    """(N, 1, 28, 28) uint8, (N,) int64 and what they are: MNIST's training images, or noise where there are none."""
    import numpy as np
    from npcbnet import data
    from npcbnet.errors import NpcbnetError
    try:
        mnist = data.load("mnist", validation=0)
        return mnist.train.images, mnist.train.labels, "MNIST"
    except NpcbnetError:
        rng = np.random.default_rng(0)
        return rng.integers(0, 256, (IMAGES, 1, 28, 28), dtype=np.uint8), rng.integers(0, 10, IMAGES), "noise"


def time_npcbnet():
    """Seconds of one epoch in npcbnet, on one thread."""
    import numpy as np
    from npcbnet.nets import lenet
    from npcbnet.training import ClassifierTask, Plan, fit
    images, labels, _ = images_and_labels()
    net = lenet((1, 28, 28), tuple("0123456789"), np.random.default_rng(0))
    fit(ClassifierTask(net.net, labels), images[:20 * BATCH], Plan(1), stage="warm-up", quiet=True)
    start = time.perf_counter()
    fit(ClassifierTask(net.net, labels), images, Plan(1, BATCH), stage="timed", quiet=True)
    return time.perf_counter() - start


def time_torch():
    """Seconds of one epoch in PyTorch, on one thread; the tensors are float32 beforehand, in PyTorch's favour."""
    import numpy as np
    import torch
    from torch import nn
    torch.set_num_threads(1)
    file = np.load(sys.argv[sys.argv.index("--data") + 1])
    images, labels = torch.from_numpy(file["images"].astype(np.float32) / 255), torch.from_numpy(file["labels"])
    net = nn.Sequential(nn.Conv2d(1, 5, 5, padding=3), nn.MaxPool2d(2, ceil_mode=True), nn.ReLU(),
                        nn.Conv2d(5, 10, 5, padding=3), nn.MaxPool2d(2, ceil_mode=True), nn.ReLU(),
                        nn.Conv2d(10, 20, 5, padding=3), nn.MaxPool2d(2, ceil_mode=True), nn.ReLU(),
                        nn.Flatten(), nn.Linear(720, 84), nn.Linear(84, 10))
    optimiser, loss_of = torch.optim.Adam(net.parameters(), lr=1e-3), nn.CrossEntropyLoss()

    def epoch(count):
        order = torch.randperm(len(images))[:count]
        for batch in order.split(BATCH):
            optimiser.zero_grad()
            loss_of(net(images[batch]), labels[batch]).backward()
            optimiser.step()

    epoch(20 * BATCH)
    start = time.perf_counter()
    epoch(len(images))
    return time.perf_counter() - start


def turn(python, worker, data):
    """Seconds that a fresh process of `python` measures."""
    words = [python, str(Path(__file__).resolve()), "--worker", worker, "--data", data]
    environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT)}
    return float(_said(words, f"run {worker}", env=environment, cwd=ROOT))


def torch_version(python):
    """The version of PyTorch that a Python has. Raises UsageError where it has none."""
    return _said([python, "-c", "import torch; print(torch.__version__)"], "import torch")


def _said(words, what, **more):
    """What a process prints. Raises UsageError, with the last that it said, where it fails."""
    from npcbnet.errors import UsageError
    try:
        done = subprocess.run(words, capture_output=True, text=True, **more)
    except OSError as error:
        raise UsageError(f"cannot start {words[0]}: {error.strerror or error}; name another --peer-python") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise UsageError(f"{words[0]} cannot {what} ({last}); see to that, or name another --peer-python")
    return done.stdout.strip()


def measure(peer_python, rounds):
    """The result: seconds of npcbnet and of PyTorch in a Python that has it, in turns."""
    import tempfile
    import numpy as np
    version = torch_version(peer_python)
    with tempfile.TemporaryDirectory() as folder:
        images, labels, what = images_and_labels()
        data = str(Path(folder) / "data.npz")
        np.savez(data, images=images, labels=labels)
        seconds = {"npcbnet": [], "torch": []}
        for _ in range(rounds):
            for worker, times in seconds.items():
                times.append(turn(peer_python if worker == "torch" else sys.executable, worker, data))
                print(f"{worker}: {times[-1]:.2f} s", file=sys.stderr)
    median = {worker: float(np.median(times)) for worker, times in seconds.items()}
    return {"what": "seconds for one epoch of LeNet, 60,000 images, batch 128, Adam, one thread, taking turns",
            "seconds": seconds, "median": median, "ratio": median["torch"] / median["npcbnet"],
            "images": what, "torch": version}


def main(words=None):
    """The command."""
    from benchmarks import results
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", default=sys.executable, help="a Python that has torch (default: this one)")
    parser.add_argument("--rounds", type=results.whole_number, default=ROUNDS)
    results.add_option(parser)
    options = parser.parse_args(words)
    result = {**measure(options.peer_python, options.rounds), **results.stamp("training_speed")}
    median = result["median"]
    print(f"npcbnet {median['npcbnet']:.2f} s, PyTorch {median['torch']:.2f} s: {result['ratio']:.2f} times as fast")
    results.keep(options.json, result)


if __name__ == "__main__":
    if "--worker" in sys.argv:  # may run in a Python that has torch and no npcbnet
        print(time_npcbnet() if sys.argv[sys.argv.index("--worker") + 1] == "npcbnet" else time_torch())
    else:
        from npcbnet.cli import run_command
        sys.exit(run_command(main))
