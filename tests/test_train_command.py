"""`python -m npcbnet.train` as a user meets it: results, resume, Ctrl-C, kill, and one clear line for every mistake."""
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import npcbnet
from npcbnet.data import digits
from npcbnet.errors import UsageError
from npcbnet.kernels._jit import COMPILED
from npcbnet.run import Run, begin, free_folder, is_finished, latest_unfinished, read_run

ROOT = Path(__file__).resolve().parent.parent
EPOCHS = 30
MODELS = ("lenet", "branchynet", "lightweight", "cbnet")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small data set as an .npz: 12x12 images of four digits."""
    images, labels = digits.generate(1500, seed=3, difficulty=0.1)
    images, labels = images[labels < 4][:, :, 2:26:2, 2:26:2], labels[labels < 4]
    path = tmp_path_factory.mktemp("data") / "small.npz"
    np.savez(path, x_train=images[:480], y_train=labels[:480], x_test=images[480:], y_test=labels[480:],
             class_names=np.array(["zero", "one", "two", "three"]))
    return path


def command(*words, **options):
    """Run the command; returns the finished process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("environment", {})}
    return subprocess.run([sys.executable, "-m", "npcbnet.train", *map(str, words)], capture_output=True, text=True,
                          env=environment, cwd=options.pop("cwd", ROOT), timeout=300)


def model_bytes(out):
    return {path.name: path.read_bytes() for path in sorted(Path(out).glob("*.npz"))}


@pytest.fixture(scope="module")
def whole(small, tmp_path_factory):
    """One run of two recipes from start to end."""
    out = tmp_path_factory.mktemp("whole")
    done = command(small, "--recipe", "fast", "paper", "--epochs", EPOCHS, "--seed", 5, "--threshold", 1.0,
                   "--out", out)
    assert done.returncode == 0, done.stderr
    return out, done


def test_a_run_leaves_models_report_and_pictures(whole):
    out, done = whole
    report = json.loads((out / "report.json").read_text())
    rows = {row["model"]: row for row in report["rows"]}
    assert tuple(rows) == (*MODELS, "cbnet-paper")
    for row in rows.values():
        assert 0 <= row["accuracy"] <= 1 and row["macs"] > 0 and row["latency_ms"] > 0
        assert row["bytes"] == 4 * row["parameters"]
    assert 0 <= rows["branchynet"]["exit_rate"] <= 1 and rows["cbnet"]["exit_rate_converted"] is not None
    assert rows["lenet"]["exit_rate"] is None
    assert rows["lightweight"]["macs"] < rows["branchynet"]["macs"]
    assert not list(out.glob("checkpoint-*")) and not list(out.glob("*.partial"))
    for picture in ("loss.png", "exits-cbnet.png", "exits-cbnet-paper.png"):
        assert (out / picture).stat().st_size > 1000
    assert "lightweight DNN, no converter" in (out / "report.md").read_text()
    assert "lightweight DNN, no converter" in done.stdout
    for stage in ("lenet", "branchynet", "converter-fast", "converter-paper"):
        assert f"{stage} epoch 30/30" in done.stderr and "images/s" in done.stderr and "left" in done.stderr


def test_the_saved_models_are_those_of_the_report(whole, small):
    out, _ = whole
    report = json.loads((out / "report.json").read_text())
    data = np.load(small)
    for row in report["rows"]:
        model = npcbnet.load(out / f"{row['model']}.npz")
        assert (model.predict(data["x_test"]) == data["y_test"]).mean() == pytest.approx(row["accuracy"])
        assert model.class_names == ("zero", "one", "two", "three")
        assert model.record["command"] == report["command"] and model.record["seed"] == 5
    assert np.array_equal(npcbnet.load(out / "lightweight.npz").net[0].params["weight"],
                          npcbnet.load(out / "branchynet.npz").stem[0].params["weight"])


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(whole, small, tmp_path):
    out, _ = whole
    options = ("--recipe", "fast", "paper", "--epochs", EPOCHS, "--threshold", 1.0)
    again = command(small, *options, "--seed", 5, "--threads", 3, "--out", tmp_path / "again", "--json")
    assert json.loads(again.stdout)["rows"][0]["model"] == "lenet"
    assert model_bytes(tmp_path / "again") == model_bytes(out)
    assert command(small, *options, "--seed", 6, "--out", tmp_path / "other").returncode == 0
    assert model_bytes(tmp_path / "other")["lenet.npz"] != model_bytes(out)["lenet.npz"]


def stopped(words, out, when, how):
    """Start the command, send signal `how` once standard error shows `when`; returns (exit status, what it said)."""
    process = subprocess.Popen([sys.executable, "-m", "npcbnet.train", *map(str, words), "--out", str(out)], cwd=ROOT,
                               stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    said = ""
    for line in process.stderr:
        said += line
        if when in line:
            process.send_signal(how)
            break
    said += process.stderr.read()
    return process.wait(timeout=60), said


@pytest.mark.slow
@pytest.mark.parametrize("when, how", [("lenet epoch 20/30", signal.SIGKILL), ("branchynet epoch 9/30", signal.SIGINT),
                                       ("converter-fast epoch 2/30", signal.SIGKILL), ("stage 1 of 4", signal.SIGKILL)])
def test_a_stopped_run_resumes_to_the_same_bytes(when, how, whole, small, tmp_path):
    words = (small, "--recipe", "fast", "paper", "--epochs", EPOCHS, "--seed", 5, "--threshold", 1.0)
    status, said = stopped(words, tmp_path / "run", when, how)
    assert status == (130 if how == signal.SIGINT else -9)
    if how == signal.SIGINT:
        assert "continue with: python -m npcbnet.train --resume" in said and "Traceback" not in said
    if "epoch" in when:
        refused = command(*words, "--out", tmp_path / "run")
        assert refused.returncode == 2 and "--resume" in refused.stderr
    done = command("--resume", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert model_bytes(tmp_path / "run") == model_bytes(whole[0])


@pytest.mark.slow
def test_resume_alone_finds_the_run(small, tmp_path):
    """Without a data set and without --out: the newest unfinished run below runs/."""
    status, _ = stopped((small, "--epochs", "30"), tmp_path / "runs" / "small", "lenet epoch 1/30", signal.SIGKILL)
    assert status == -9
    done = command("--resume", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "small" / "report.json").exists()
    nothing = command("--resume", cwd=tmp_path)
    assert nothing.returncode == 2 and "no unfinished run" in nothing.stderr


def test_a_finished_run_is_not_run_again(whole):
    done = command("--resume", "--out", whole[0])
    assert done.returncode == 2 and "is finished" in done.stderr


def test_resume_of_another_data_set_is_refused(whole):
    done = command("mnist", "--resume", "--out", whole[0])
    assert done.returncode == 2 and "not of mnist" in done.stderr


def test_a_finished_run_may_be_copied_and_begun_anew(tmp_path):
    """A copy's files have other times, in any order."""
    folder = tmp_path / "run"
    begin(Run("digits"), folder)
    assert not is_finished(folder)
    (folder / "report.json").write_text("{}")
    os.utime(folder / "report.json", (0, 0))
    assert is_finished(folder)
    begin(Run("digits"), folder)
    assert not is_finished(folder)


def test_a_finished_run_keeps_its_folder(whole, small, tmp_path):
    """Without --out another run of the same data set goes to runs/DATASET-2; the same run again to its own place."""
    run = Run(str(small), epochs=3)
    (tmp_path / "small").mkdir()
    assert free_folder(tmp_path, run) == tmp_path / "small"
    begin(run, tmp_path / "small")
    assert free_folder(tmp_path, run) == tmp_path / "small"
    (tmp_path / "small" / "report.json").write_text("{}")
    assert free_folder(tmp_path, run) == tmp_path / "small"
    assert free_folder(tmp_path, Run(str(small), epochs=4)) == tmp_path / "small-2"


@pytest.mark.parametrize("text", ["", "[]", "{", '{"dataset": 3}', '{"recipes": "fast"}', "[" * 5000])
def test_a_damaged_run_file_is_named_and_hides_no_other(text, small, tmp_path):
    for name in ("bad", "good"):
        begin(Run(str(small)), tmp_path / name)
    (tmp_path / "bad" / "run.json").write_text(text)
    with pytest.raises(UsageError, match="run.json"):
        read_run(tmp_path / "bad")
    assert latest_unfinished(tmp_path, str(small)) == tmp_path / "good"


def test_too_few_images_are_told_before_any_training(tmp_path):
    images = np.zeros((4, 8, 8), np.uint8)
    labels = np.array([0, 0, 1, 1])
    np.savez(tmp_path / "tiny.npz", x_train=images, y_train=labels, x_test=images, y_test=labels,
             class_names=np.array(["a", "b\tc"]))
    done = command(tmp_path / "tiny.npz", "--out", tmp_path / "out")
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1 and "epoch" not in done.stderr


def test_help_shows_an_example():
    done = command("--help")
    assert done.returncode == 0 and "python -m npcbnet.train digits --quick" in done.stdout


def corrupt(path, tmp_path):
    """A copy of the .npz with its second half missing."""
    copy = tmp_path / "broken.npz"
    copy.write_bytes(path.read_bytes()[:5000])
    return copy


@pytest.mark.parametrize("words, says", [
    (["nosuch"], "nosuch"), ([], "name a data set"), (["SMALL", "--epochs", "0"], "--epochs"),
    (["SMALL", "--threads", "0"], "--threads"), (["SMALL", "--seed", "-1"], "--seed"),
    (["SMALL", "--threshold", "often"], "--threshold"), (["SMALL", "--threshold", "nan"], "--threshold"),
    (["SMALL", "--recipe", "magic"], "magic"), (["SMALL", "--nosuch"], "--nosuch"), (["BROKEN"], "broken.npz"),
    (["SMALL", "--out", "FILE/below"], "FILE"), (["--resume", "--out", "EMPTY"], "no run to resume"),
    (["SMALL", "--shape", "1", "0", "4"], "0")])
def test_a_mistake_gets_one_clear_line_and_status_2(words, says, small, tmp_path):
    (tmp_path / "FILE").write_text("")
    places = {"SMALL": small, "BROKEN": corrupt(small, tmp_path), "FILE/below": tmp_path / "FILE" / "below",
              "EMPTY": tmp_path / "EMPTY"}
    words = [places.get(word, word) for word in words]
    done = command(*words, *([] if "--out" in words else ["--out", tmp_path / "out"]))
    assert done.returncode == 2, done.stderr
    assert says in done.stderr and "Traceback" not in done.stderr
    assert "usage:" in done.stderr or len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not COMPILED, reason="too slow in plain NumPy")
def test_an_easy_set_is_learnt(tmp_path):
    done = command("digits", "--epochs", 2, "--quick", "--out", tmp_path / "run", "--json")
    rows = {row["model"]: row for row in json.loads(done.stdout)["rows"]}
    assert rows["lenet"]["accuracy"] > 0.8 and rows["lightweight"]["accuracy"] > 0.7


@pytest.mark.slow
@pytest.mark.parametrize("shape", [("1", "9", "13"), ("3", "16", "16")])
def test_any_shape_trains(shape, small, tmp_path):
    done = command(small, "--shape", *shape, "--epochs", 8, "--threshold", 2.0, "--recipe", "all",
                   "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert npcbnet.load(tmp_path / "run" / "cbnet.npz").input_shape == tuple(map(int, shape))
