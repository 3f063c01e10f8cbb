"""`python -m npcbnet.energy`: runs, logs joined to runs, estimates, and mistakes."""
import json
import shlex
from pathlib import Path

import numpy as np
import pytest

import npcbnet
from npcbnet import energy, modelfile
from npcbnet.energy import __main__ as command
from npcbnet.energy import conditions, join, rapl, report, vcgencmd
from npcbnet.energy.command import energy_of
from npcbnet.energy.result import Energy
from npcbnet.layers import Dense, Flatten, Sequential, initialise
from npcbnet.nets import Classifier

DATA = Path(__file__).parent / "data" / "energy"
T0 = 1795271405.0


@pytest.fixture(autouse=True)
def bare_machine(tmp_path, monkeypatch):
    """No meter is here but the models, whatever the machine that runs the tests has."""
    monkeypatch.setattr(rapl, "ROOT", tmp_path / "powercap")
    monkeypatch.setattr(conditions, "CPUS", tmp_path / "cpus")
    monkeypatch.setattr(vcgencmd, "COMMAND", "nosuch-vcgencmd")


@pytest.fixture
def model(tmp_path):
    net = initialise(Sequential([Flatten(), Dense(16, 3)]), np.random.default_rng(0))
    path = tmp_path / "small.npz"
    npcbnet.save(Classifier(net, (1, 4, 4), ("a", "b", "c")), path)
    return str(path)


@pytest.fixture
def windows(tmp_path):
    """What --out wrote in a run that the logs cover."""
    one = Energy(1000, 28.0, 5.0, "modelled", "pi4", "r", "s", begin=T0 + 16, end=T0 + 44)
    path = tmp_path / "run.json"
    path.write_text(json.dumps(join.windows_of({"cbnet": one})))
    return str(path)


def test_a_run_prints_a_table_and_writes_its_window(model, tmp_path, capsys):
    out = tmp_path / "run.json"
    assert command.main([model, "--meter", "pi4", "--seconds", "0.25", "--batch", "8", "--out", str(out)]) == 0
    page, written = capsys.readouterr().out, json.loads(out.read_text())
    for word in ("mJ an image", "modelled", "pi4", "Eq. 2", "10 ms of CPU time"):
        assert word in page
    (window,), one = written["windows"], written["results"][model]
    assert window["name"] == model and window["end"] - window["begin"] == pytest.approx(one["seconds"], abs=0.05)
    assert one["energy_mj"] == one["power_w"] * one["seconds"] / one["images"] * 1000 and one["seconds"] >= 0.25
    assert join.read_windows(out)[0][0] == model


def test_json_and_a_model_of_ones_own(model, tmp_path, capsys):
    mine = tmp_path / "desk.json"
    mine.write_text('{"base": "pi4", "idle_w": 3, "peak_w": 3}')
    assert command.main([model, "--meter", str(mine), "--seconds", "0.25", "--json"]) == 0
    one = json.loads(capsys.readouterr().out)[model]
    assert one["meter"] == "desk" and one["power_w"] == pytest.approx(3) and one["images"] % 200 == 0


def test_data_without_test_images_are_refused(model, tmp_path, capsys):
    path = tmp_path / "tiny.npz"
    np.savez(path, x_train=np.zeros((3, 4, 4), np.uint8), y_train=np.arange(3), class_names=["a", "b", "c"])
    assert command.main([model, "--meter", "gci", "--images", str(path)]) == 2
    error = capsys.readouterr().err
    assert "tiny has no test images" in error and error.count("\n") == 1


def test_batches_larger_than_what_there_is(model):
    one = energy_of(model, "gci", batch=300, seconds=0.2)  # random pixels are 200
    assert one.images % 300 == 0


def test_a_pretrained_model_on_drawn_digits(capsys):
    assert command.main(["digits-lightweight", "--images", "digits", "--batch", "256", "--seconds", "0.2"]) == 0
    assert "gci" in capsys.readouterr().out  # auto, where nothing measures


def test_an_invalid_run_is_seen(model, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(conditions.Conditions, "end", lambda self: ("throttled during the run", ()))
    out = tmp_path / "run.json"
    assert command.main([model, "--seconds", "0.2", "--out", str(out)]) == 1
    page = capsys.readouterr().out
    assert "INVALID: " in page and "throttled during the run" in page
    assert page.splitlines()[1].count("INVALID") == 1
    assert join.read_windows(out)[0][4] == "throttled during the run"


@pytest.mark.parametrize("words, watts", [
    (["um34c.csv", "--format", "um34c"], 3.6), (["um34c.csv", "--format", "um34c", "--idle-w", "2.7"], 0.9),
    (["tegrastats-orin.log", "--format", "tegrastats", "--utc-offset", "0"], 6.3),
    (["tegrastats-nano.log", "--format", "tegrastats", "--start", str(T0), "--interval", "1"], 4.8),
    (["nvidia-smi-two-gpus.csv", "--format", "nvidia-smi", "--utc-offset", "0", "--gpu", "0"], 79)])
def test_a_log_joined_to_a_run(words, watts, windows, capsys):
    assert command.main(["--log", str(DATA / words[0]), *words[1:], "--window", windows]) == 0
    assert "measured" in capsys.readouterr().out
    command.main(["--log", str(DATA / words[0]), *words[1:], "--window", windows, "--json"])
    assert json.loads(capsys.readouterr().out)["cbnet"]["power_w"] == pytest.approx(watts, rel=0.02)


def test_estimates(tmp_path, capsys):
    assert command.main(["--latency-ms", "2", "--device", "pi4", "--utilisation", "0.25", "--json"]) == 0
    one, = json.loads(capsys.readouterr().out).values()
    assert one["kind"] == "estimate" and one["energy_mj"] == pytest.approx(2 * 3.625)
    file = tmp_path / "estimates.json"
    file.write_text('{"label": "cycles", "models": [{"model": "lenet", "form": "one image", "us": 50}]}')
    assert command.main(["--estimates", str(file)]) == 0
    page = capsys.readouterr().out
    assert "lenet, one image" in page and "estimate" in page and "cycles" in page


def test_the_meters(capsys):
    assert command.main(["--meters"]) == 0
    page = capsys.readouterr().out
    assert "no: no " in page and "nosuch-vcgencmd" in page and "here: P = 2.7 + 3.7 u W" in page
    assert command.main(["--meters", "--json"]) == 0
    assert [offer["name"] for offer in json.loads(capsys.readouterr().out)] == ["rapl", "pmic", "gci", "pi4"]


@pytest.mark.parametrize("words, says", [
    ([], "one of the three"), (["MODEL", "--latency-ms", "1"], "one of the three"), (["nosuch-model"], "nosuch-model"),
    (["MODEL", "--meter", "rapl"], "the meter rapl is not here: no "),
    (["MODEL", "--meter", "x"], "meters are auto, rapl"),
    (["MODEL", "--batch", "0"], "--batch"), (["MODEL", "--seconds", "0"], "seconds"), (["MODEL", "MODEL"], "twice"),
    (["MODEL", "--threads", "0"], "threads"), (["MODEL", "--images", "nosuch"], "nosuch"),
    (["MODEL", "--format", "um34c"], "--format does not go with MODEL"),
    (["MODEL", "--utilisation", "1"], "--utilisation does not go with MODEL"),
    (["--log", "LOG"], "needs --format"), (["--log", "LOG", "--format", "um34c"], "needs --window"),
    (["--log", "LOG", "--format", "um34c", "--window", "LOG"], "no JSON"),
    (["--log", "LOG", "--format", "um34c", "--window", "WINDOWS", "--gpu", "1"], "takes no gpu"),
    (["--log", "LOG", "--format", "um34c", "--window", "WINDOWS", "--batch", "1"], "--batch does not go with --log"),
    (["--log", "LOG", "--format", "nvidia-smi", "--window", "WINDOWS"], "no column 'timestamp'"),
    (["--latency-ms", "-1"], "latency"), (["--latency-ms", "1", "--device", "pi9"], "'pi9'"),
    (["--latency-ms", "1", "--utilisation", "2"], "0 to 1"), (["--latency-ms", "1", "--estimates", "LOG"], "not both"),
    (["--estimates", "LOG"], "no JSON"), (["--latency-ms", "1", "--out", "FOLDER"], "cannot write")])
def test_mistakes_get_a_line_and_status_2(words, says, model, windows, tmp_path, capsys):
    places = {"MODEL": model, "LOG": str(DATA / "um34c.csv"), "WINDOWS": windows, "FOLDER": str(tmp_path)}
    assert command.main([places.get(word, word) for word in words]) == 2
    error = capsys.readouterr().err
    assert says in error and len(error.strip().splitlines()) == 1


def test_the_examples_in_the_help_are_commands():
    lines = [line.split("   ")[0] for line in (line.strip() for line in command.EXAMPLE.splitlines())
             if line.startswith("python")]
    assert len(lines) >= 6
    for line in lines:
        words = shlex.split(line)
        assert words[:3] == ["python", "-m", "npcbnet.energy"]
        options = command.parser().parse_args(words[3:])
        assert all(name in modelfile.names() for name in options.models)
    assert list(join.KINDS) == ["um34c", "tegrastats", "nvidia-smi"]  # what --format offers


def test_the_table_says_what_a_reader_must_know():
    ones = {"a": Energy(10, 1.0, 5.0, "measured", "rapl", "1 ms", "RAPL", 0.5, notes=("others",)),
            "b": Energy(10, 1.0, 5.0, "measured", "rapl", "1 ms", "RAPL", invalid="the clock changed")}
    page = report.text(ones)
    assert page.count("RAPL") == 1 and "a: others" in page and "INVALID: b: the clock changed" in page
    assert "500" in page and "50%" in page and energy.MODELS["gci"].name not in page
