"""The comparison with other runtimes: what needs none of them here, their translations in test_peer_translations.py."""
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks import peers
from benchmarks.peer_runtimes import models, turns
from benchmarks.peer_runtimes.errors import PeerError
from benchmarks.peer_runtimes.runtimes import RUNTIMES, Runtime, in_two_parts
from benchmarks.peer_runtimes.table import as_row, markdown
from benchmarks.peer_runtimes.worker import Desk, Worker
from npcbnet.layers import Dense, Flatten, Sequential, initialise
from npcbnet.nets import BranchyNet, Classifier

ROOT = Path(__file__).resolve().parent.parent


def us(median, mean=None):
    """Statistics of a runtime."""
    return {"median": median, "p95": 2 * median, **({} if mean is None else {"mean": mean})}


def small_model():
    """A Classifier of 2x3 images."""
    net = initialise(Sequential([Flatten(), Dense(6, 3)]), np.random.default_rng(0))
    return Classifier(net, (1, 2, 3), ("a", "b", "c"))


def small_images(count=4):
    """(count, 1, 2, 3) float32."""
    return np.random.default_rng(1).random((count, 1, 2, 3), np.float32)


class FakeWorker:
    """A worker in this process that answers with `answer` and notes its turns in `diary`."""

    def __init__(self, name, call_s, answer, diary):
        self.name, self.call_s, self.answer, self.diary = name, call_s, answer, diary

    def prepare(self, inputs):
        return 0.5, 0.25, [self.answer(x) for x in inputs]

    def turn(self, calls):
        self.diary.append((self.name, calls))
        return [self.call_s * (1 + i % 3) for i in range(calls)]


# --- ratios and statistics

def test_the_ratio_is_the_best_peer_over_npcbnet():
    row = {"npcbnet": us(10), "ort": us(40), "litert": us(30), "openvino": us(20), "layers": us(1)}
    assert turns.ratio(row, turns.PEERS) == (3.0, "litert")
    assert turns.ratio(row, turns.ALL_PEERS) == (2.0, "openvino")


def test_the_ratio_takes_means_where_images_differ():
    row = {"npcbnet": us(10, mean=20), "ort": us(40, mean=30), "litert": us(30, mean=50)}
    assert turns.ratio(row, turns.PEERS) == (1.5, "ort")


@pytest.mark.parametrize("row", [{"npcbnet": us(1)}, {"ort": us(1)}, {}, {"npcbnet": us(1), "openvino": us(1)}])
def test_no_ratio_without_both_sides(row):
    assert turns.ratio(row, turns.PEERS) == (None, None)


def test_summary_of_rounds():
    seconds = np.array([[1, 2, 9], [1, 2, 3], [5, 6, 7]])  # medians of the rounds: 2, 2, 6
    figures = turns.summary(seconds, different=False)
    assert figures == {"median": 2.0, "p95": np.percentile(seconds, 95)}
    assert turns.summary(seconds, different=True)["mean"] == np.mean([1, 2, 7])  # medians of the inputs


def test_a_turn_is_neither_one_call_nor_very_many():
    assert turns.calls_in_a_turn(1e-9) == turns.MOST_CALLS
    assert turns.calls_in_a_turn(turns.TURN_S / 7.5) == 7
    assert turns.calls_in_a_turn(100) == 1


# --- taking turns

def test_workers_take_turns_and_nobody_always_starts():
    diary, images = [], [small_images(2)]
    workers = {name: FakeWorker(name, call_s, np.copy, diary) for name, call_s in (("a", 0.01), ("b", 0.02))}
    found = turns.measure(workers, images, images, rounds=3, pause_s=0)
    assert diary == [("a", 1), ("b", 1),  # how long is a call?
                     ("a", 5), ("b", 2), ("b", 2), ("a", 5), ("a", 5), ("b", 2)]
    # calls of 10, 20, 30, 10, 20 ms and of 20, 40 ms, for two images each
    assert found["a"] == pytest.approx({"median": 1e4, "p95": 1.5e4, "build": 2.5e5, "first": 1.25e5})
    assert found["b"]["median"] == pytest.approx(1.5e4)


def test_different_images_all_have_their_turn():
    diary, images = [], [small_images(1)] * 7
    found = turns.measure({"a": FakeWorker("a", 0.01, np.copy, diary)}, images, images, rounds=2, pause_s=0)
    assert diary == [("a", 7), ("a", 7)]
    assert found["a"]["mean"] == pytest.approx(1e4 * (1 + 2 + 3 + 1 + 2 + 3 + 1) / 7)


@pytest.mark.parametrize("answer, words", [
    (lambda x: x + 2e-4, "ort: its answer is 0.0002"),
    (lambda x: x * np.nan, "ort: its answer is nan"),
    (lambda x: x[:, 0], "ort: answers with an array"),
])
def test_another_answer_is_an_error_that_names_the_runtime(answer, words):
    images = [np.ones((2, 1, 2, 3), np.float32)]
    workers = {"torch": FakeWorker("torch", 1, np.copy, []), "ort": FakeWorker("ort", 1, answer, [])}
    with pytest.raises(PeerError, match=words):
        turns.measure(workers, images, images, rounds=1, pause_s=0)


def test_a_small_difference_is_none():
    turns.check("ort", [np.array([1.0, 0.5])], [np.array([1.0, 0.50009])])


def test_images_are_turned_for_a_runtime_that_wants_channels_last():
    seen = []

    def program(model, images):
        return lambda x: seen.append(x) or x * 2

    images = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)
    desk = Desk(program, None, channels_last=True)
    _, _, outputs = desk.prepare([images])
    assert seen[0].shape == (1, 2, 3, 2) and seen[0].flags.c_contiguous
    assert np.array_equal(outputs[0], 2 * images)


# --- a BranchyNet in two parts

def test_the_trunk_sees_only_the_images_that_stay():
    rng, names = np.random.default_rng(0), ("a", "b", "c")
    parts = [initialise(Sequential(layers), rng) for layers in
             ([Flatten(), Dense(6, 4)], [Dense(4, 3)], [Dense(4, 3)])]
    images = small_images(9)
    net = BranchyNet(*parts, 0.0, (1, 2, 3), names)
    net.threshold = float(np.median(BranchyNet(*parts, 9.9, (1, 2, 3), names).explain(images).entropy))
    built, calls = [], []

    def build(graph, count):
        layers = parts[0] if graph.input_shape == (1, 2, 3) else parts[2]
        built.append(count)

        def run(x):
            calls.append(len(x))
            y = layers.forward(x)[0]
            logits = parts[1].forward(y)[0] if layers is parts[0] else y
            p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            return [p, np.array(y)]
        return run

    run = in_two_parts(build, net, 9)
    for _ in range(2):
        turns.check("fake", [run(images)], [net.predict_proba(images)])
    assert calls == [9, 5, 9, 5] and built == [9, 5]  # built once; 4 of 9 lie below their median
    net.threshold = 9.9
    run(images)
    assert calls == [9, 5, 9, 5, 9]


# --- processes

def test_a_worker_answers_from_a_process_of_its_own(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    model, images = small_model(), small_images()
    worker = Worker("layers", model, 1)
    try:
        assert os.environ["OMP_NUM_THREADS"] == "7" and "MKL_NUM_THREADS" not in os.environ
        worker.ready()
        found = turns.measure({"layers": worker}, [images], [model.predict_proba(images)], rounds=2)
        assert found["layers"]["median"] > 0 and found["layers"]["first"] > 0
        with pytest.raises(PeerError, match="^layers: ShapeError: images of shape"):
            worker.prepare([images[:, :, :1]])
        worker.process.kill()
        with pytest.raises(PeerError, match="^layers: its process ended with status -"):
            worker.turn(1)
    finally:
        worker.close()
    assert not worker.process.is_alive()


def test_a_runtime_that_cannot_be_opened_is_one_line(monkeypatch):
    worker = Worker("nobody", small_model(), 1)
    try:
        with pytest.raises(PeerError, match="^nobody: KeyError: 'nobody'"):
            worker.ready()
    finally:
        worker.close()


# --- the command

def test_what_is_missing_is_named(monkeypatch):
    there, absent = Runtime(None, {"json": "json"}), Runtime(None, {"json": "json", "no_such_thing": "no-such-thing"})
    monkeypatch.setattr(peers, "RUNTIMES", {"npcbnet": there, "layers": there, "ort": absent})
    assert peers.chosen_runtimes(None) == (["npcbnet"], {"ort": ["no_such_thing"]})
    assert peers.chosen_runtimes(["layers"]) == (["layers"], {})
    with pytest.raises(PeerError, match=r'ort needs no_such_thing: pip install -e "\.\[peers\]"'):
        peers.chosen_runtimes(["npcbnet", "ort"])


def test_defaults_follow_the_model():
    plan = peers.planned(peers.options_from([]))
    assert list(plan) == [(1, name) for name in models.MODELS]
    assert plan[1, "lenet"] == [("random", 1), ("random", 256), ("random", 10_000)]
    assert plan[1, "fast"] == [("images", 1), ("images", 256), ("images", 10_000)]
    assert len(plan[1, "table1"]) == 6
    assert plan[1, "alexnet"] == [("random", 1), ("random", 256)]


def test_options_replace_the_defaults():
    words = "--models lenet fast --batches 3 --threads 1 2 --inputs random".split()
    assert peers.planned(peers.options_from(words)) == {
        (threads, name): [("random", 3)] for threads in (1, 2) for name in ("lenet", "fast")}


@pytest.mark.parametrize("words", [["--models", "vgg"], ["--batches", "0"], ["--batches", "x"], ["--inputs", "noise"],
                                   ["--runtimes", "mxnet"], ["--threads", "-1"], ["--rounds", "0"]])
def test_a_wrong_option_is_refused(words, capsys):
    with pytest.raises(SystemExit) as stop:
        peers.options_from(words)
    assert stop.value.code == 2 and words[0] in capsys.readouterr().err.splitlines()[-1]


def test_images_for_a_model_that_none_fit(monkeypatch):
    entry = models.Entry(lambda seed: small_model(), (1,), ("random",), images=None)
    monkeypatch.setitem(models.MODELS, "lenet", entry)
    with pytest.raises(PeerError, match="no images for lenet"):
        peers.planned(peers.options_from(["--models", "lenet", "--inputs", "images"]))
    with pytest.raises(PeerError, match="no images for lenet"):
        models.inputs("lenet", "images", (1, 2, 3), 1, 0)


def test_inputs_are_reproducible_and_within_bounds():
    first, second = (models.inputs("lenet", "random", (1, 28, 28), 5, seed=3) for _ in range(2))
    assert len(first) == 1 and first[0].shape == (5, 1, 28, 28) and first[0].dtype == np.float32
    assert np.array_equal(first, second) and 0 <= first[0].min() and first[0].max() <= 1


def test_markdown():
    rows = [as_row("lenet", 10_000, 1, "random", {"npcbnet": us(9.84), "ort": us(62.1), "openvino": us(19.68)}),
            as_row("table1", 1, 2, "images", {"npcbnet": us(30, mean=40), "ort": us(1500, mean=1600)})]
    machine = {"cpu": "Abacus", "cores": 2, "memory_gib": 4.0, "os": "Debian", "date": "2026-01-02T03:04:05+00:00"}
    training = {"what": "seconds for an epoch", "median": {"npcbnet": 2.0, "torch": 12.0}, "ratio": 6.0}
    text = markdown({"command": "python -m benchmarks.peers", "machine": machine, "rows": rows, "training": training,
                     "peers": {"onnxruntime": "1.31.1"}, "missing": {"litert": ["ai_edge_litert"]},
                     "failed": ["fast: ort: no"]})
    assert text.splitlines() == [
        "| model | input | batch | threads | npcbnet | ort | openvino "
        "| best of ONNX Runtime, LiteRT, PyTorch ÷ npcbnet | and of OpenVINO |",
        "|---|---|---|---|---|---|---|---|---|",
        "| lenet | random | 10,000 | 1 | 9.84 (19.7) | 62.1 (124) | 19.7 (39.4) | 6.31 (ort) | 2.00 (openvino) |",
        "| table1 | images | 1 | 2 | 40 (60) | 1600 (3000) |  | 40.00 (ort) | 40.00 (ort) |",
        "",
        "Microseconds per image, a median (at batch 1 on images the mean of those of the single images); in brackets "
        "the 95th percentile of the calls.",
        "",
        "Training, seconds for an epoch: npcbnet 2.00 s, PyTorch 12.00 s, 6.00 times as fast.",
        "",
        "With onnxruntime 1.31.1.",
        "Not there: litert.",
        "Failed: fast: ort: no.",
        "Made by `python -m benchmarks.peers` on Abacus, 2 cores, 4 GiB, Debian, 2026-01-02."]


def test_one_failure_does_not_cost_the_other_models(monkeypatch, tmp_path, capsys):
    def rows_of(name, threads, pairs, runtimes, options):
        yield as_row(name, 1, threads, "random", {"npcbnet": us(1), "ort": us(2)})
        if name == "lenet":
            raise PeerError("lenet: ort: its answer is wrong")

    monkeypatch.setattr(peers, "rows_of", rows_of)
    words = ["--models", "lenet", "fast", "--runtimes", "layers", "--json", str(tmp_path / "peers.json")]
    with pytest.raises(PeerError, match="^lenet: ort: its answer is wrong$"):
        peers.main(words)
    result = json.loads((tmp_path / "peers.json").read_text())
    assert [row["model"] for row in result["rows"]] == ["lenet", "fast"]
    assert result["failed"] == ["lenet: ort: its answer is wrong"]
    assert "failed: lenet: ort: its answer is wrong" in capsys.readouterr().err


def command(*words):
    """python -m benchmarks.peers words, in the checkout's root."""
    return subprocess.Popen([sys.executable, "-m", "benchmarks.peers", *words], cwd=ROOT, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def test_the_command_writes_rows(tmp_path):
    process = command(*"--models lightweight --batches 1 2 --runtimes layers --inputs random --rounds 2 --json".split(),
                      str(tmp_path / "peers.json"))
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    result = json.loads((tmp_path / "peers.json").read_text())
    assert [(row["model"], row["batch"], row["threads"], row["input"]) for row in result["rows"]] == [
        ("lightweight", 1, 1, "random"), ("lightweight", 2, 1, "random")]
    assert set(result["rows"][0]["us"]["layers"]) == {"median", "p95", "first", "build"}
    assert result["rows"][0]["ratio"] is None and result["seed"] == 0 and result["rounds"] == 2
    assert "lightweight" in (tmp_path / "peers.md").read_text()


def runs(process):
    """Is there a process of this number that is more than a zombie?"""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_leaves_no_worker_behind():
    process = command(*"--models lightweight --batches 1 --runtimes layers --inputs random --rounds 100000".split())
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not workers.parent.exists():
        process.kill()
        pytest.skip("needs /proc")
    deadline = time.monotonic() + 60
    children = []
    while len(children) < 2 and time.monotonic() < deadline:  # the worker, and multiprocessing's own helper
        time.sleep(0.1)
        children = workers.read_text().split()
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors and errors.strip().endswith("stopped")
    deadline = time.monotonic() + 10
    while any(map(runs, children)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [child for child in children if runs(child)]


@pytest.mark.parametrize("name", [name for name in RUNTIMES if name not in ("npcbnet", "layers")])
def test_the_extra_names_a_version_of_every_package(name):
    extra = (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("\npeers = [")[1].split("]")[0]
    for package in RUNTIMES[name].packages.values():
        assert f'"{package}==' in extra
