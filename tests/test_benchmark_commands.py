"""The benchmarks' commands: a mistake gets one line and status 2, before anything is measured; what a run left."""
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import accuracy, latency, results, sparse, startup, training_speed
from npcbnet import data, recipes, run as runs
from npcbnet.errors import TrainingError, UsageError
from npcbnet.judge import Latency

ROOT = Path(__file__).parent.parent
COMPILER = importlib.util.find_spec("llvmlite") is not None


@pytest.mark.parametrize("words, says", [
    ("latency nosuch", "not of 'nosuch'"), ("realism --json tests", "cannot write"),
    ("startup --models nosuch", "'nosuch'"), ("sparse --rounds 1", "--rounds"),
    ("accuracy nosuch --out nowhere", "nosuch"), ("training_speed --peer-python nosuch", "nosuch"),
    pytest.param("pi_estimate --models mnist-lenet nosuch", "'nosuch'", marks=pytest.mark.skipif(
        not COMPILER, reason="llvmlite makes the code"))])
def test_a_mistake_gets_one_line_and_status_two(words, says):
    name, *options = words.split()
    done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options], capture_output=True, text=True,
                          cwd=ROOT, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"}, timeout=120)
    *others, line = done.stderr.splitlines()
    assert done.returncode == 2 and "error: " in line and says in line and not done.stdout
    assert not [other for other in others if "error" in other or other.startswith("Traceback")]
    assert not (ROOT / "nowhere").exists()


@pytest.mark.parametrize("module, words, says", [
    (latency, "mnist kmnist", "not of 'kmnist'"), (latency, "digits --images 0", "--images"),
    (latency, "digits --rounds 0", "--rounds"), (latency, "digits --json tests", "cannot write"),
    (startup, "--models cifar10-alexnet", "(3, 32, 32)"), (startup, "--rounds 0", "--rounds"),
    (sparse, "--json tests", "cannot write"), (accuracy, "digits --seeds 0", "--seeds"),
    (accuracy, "digits --threads -1", "--threads"), (training_speed, "--rounds 0", "--rounds")])
def test_what_cannot_be_is_told_before_anything_is_measured(module, words, says, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(subprocess, "Popen", lambda *all, **more: pytest.fail("it began"))
    monkeypatch.setattr(data, "load", lambda *all, **more: pytest.fail("it began"))
    with pytest.raises((SystemExit, UsageError)) as stop:
        module.main(words.split())
    assert says in str(stop.value) + capsys.readouterr().err


def test_a_python_without_torch_is_named_before_an_epoch_is_timed(tmp_path, monkeypatch):
    monkeypatch.setattr(training_speed, "images_and_labels", lambda: pytest.fail("it began"))
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\n[ $2 = --worker ] && echo 1.5 && exit\n"
                      "echo 'ModuleNotFoundError: no torch' >&2\nexit 1\n")
    python.chmod(0o755)
    assert training_speed.turn(str(python), "torch", "data.npz") == 1.5
    with pytest.raises(UsageError, match="python cannot import torch .ModuleNotFoundError: no torch.*--peer-python"):
        training_speed.measure(str(python), 1)


def test_the_option_json_leaves_what_is_there(tmp_path):
    (tmp_path / "old.json").write_text("old")
    assert results.writable(str(tmp_path / "old.json")) == tmp_path / "old.json"
    assert (tmp_path / "old.json").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


# --- benchmarks.latency
def test_without_a_lenet_nothing_is_compared_with_one(tmp_path, monkeypatch, capsys):
    split = SimpleNamespace(images=np.zeros((3, 3, 32, 32), np.uint8))
    monkeypatch.setattr(data, "load", lambda name: SimpleNamespace(test=split))
    monkeypatch.setattr(latency.judge, "latencies", lambda models, images, rounds: {
        name: Latency(0.5, 0.5, 0.5, 0.5) for name in models})
    latency.main(["cifar10", "--json", str(tmp_path / "latency.json")])
    table = (tmp_path / "latency.md").read_text()
    assert "| cifar10-alexnet | 141,368,832 | 500.0 | 500.0 | 500.0 |  |\n" in table
    assert [row["model"] for row in json.loads((tmp_path / "latency.json").read_text())["datasets"]["cifar10"]] == [
        "cifar10-alexnet", "cifar10-caenet"]
    rows = [{"model": f"mnist-{name}", "macs": 1, **vars(Latency(ms, ms, ms, ms))}
            for name, ms in (("lenet", 0.4), ("cbnet", 0.1))]
    page = latency.markdown({"datasets": {"mnist": rows}, "command": "this", "machine": {"date": "2026-01-01"}})
    assert "| 1.00 |" in page and "| 4.00 |" in page


# --- benchmarks.accuracy
@pytest.fixture
def sets(tmp_path, monkeypatch):
    """Two data sets of one name in two folders, below the folder where the command runs."""
    monkeypatch.chdir(tmp_path)
    for place in ("first", "second"):
        Path(place).mkdir()
        np.savez(Path(place, "k.npz"), x_train=np.zeros((24, 28, 28), np.uint8), y_train=np.arange(24) % 2)


@pytest.fixture
def trained(monkeypatch):
    """Folders that have been trained in; training takes no time here."""
    folders = []

    def run(command, **more):
        folder = Path(command[command.index("--out") + 1])
        folders.append(folder)
        figures = dict.fromkeys(accuracy.COLUMNS, 0.5)
        (folder / "report.json").write_text(json.dumps({
            "dataset": runs.read_run(folder).dataset, "epochs": {}, "notes": [],
            "rows": [{"model": "lenet", "parameters": 1, **figures}]}))
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(accuracy.subprocess, "run", run)
    return folders


def test_two_data_sets_of_one_name_do_not_share_their_reports(sets, trained, capsys):
    with pytest.raises(UsageError, match="first/k.npz and second/k.npz are both called k; rename one file"):
        accuracy.main(["first/k.npz", "second/k.npz", "--seeds", "1"])
    assert not trained and not Path("runs").exists()
    accuracy.main(["first/k.npz", "--seeds", "2"])
    assert trained == [Path("runs/accuracy/k-0"), Path("runs/accuracy/k-1")]
    assert runs.read_run(trained[1]) == runs.Run("first/k.npz", tuple(recipes.RECIPES), seed=1)
    with pytest.raises(UsageError, match="k-0 holds a run with other options .*first/k.npz.*; choose another --out"):
        accuracy.main(["second/k.npz", "--seeds", "1"])
    accuracy.main(["first/k.npz", "--seeds", "2"])
    assert len(trained) == 2 and "### first/k.npz" in capsys.readouterr().out


def test_a_report_that_is_damaged_is_named(sets, trained):
    accuracy.main(["first/k.npz", "--seeds", "1"])
    (trained[0] / "report.json").write_text("{")
    with pytest.raises(TrainingError, match="report.json is damaged .*; remove it to train anew"):
        accuracy.main(["first/k.npz", "--seeds", "1"])


def test_how_a_training_ended_is_passed_on(sets, monkeypatch):
    monkeypatch.setattr(accuracy.subprocess, "run", lambda command, **more: SimpleNamespace(returncode=130))
    with pytest.raises(SystemExit) as stop:
        accuracy.main(["first/k.npz", "--seeds", "1"])
    assert stop.value.code == 130
