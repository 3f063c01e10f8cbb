"""python -m npcbnet.search: what it finds, saves, refuses, and goes on from. Every decision with a clock of our own."""
import json

import numpy as np
import pytest

import npcbnet
from npcbnet.checkpoint import Checkpoint
from npcbnet.compress import search
from npcbnet.compress.space import Space
from npcbnet.compress.stopwatch import Stopwatch
from npcbnet.errors import UsageError
from npcbnet.search import main
from tests.small_models import epochs_restored, fails, small_digits, stopped_after_an_epoch, write_small_files
from tests.test_slo import BRIEF, by_macs, same, searched


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A model and its data as files in the folder where the command runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(search, "QUICK", BRIEF)
    monkeypatch.setattr(Stopwatch, "_clock", lambda self, models: by_macs(models))
    write_small_files(tmp_path)
    return tmp_path


def test_the_winner_is_judged_and_saved(files, capsys):
    assert main(["set.npz", "--slo-ms", "0.03", "--quick", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    model = npcbnet.load(result["out"])
    assert result["met"] and result["macs"] == model.macs() <= 30_000 and result["out"] == "set-search.npz"
    test = small_digits().test
    right = (model.predict(test.images) == test.labels).mean()
    assert result["test_accuracy"] == pytest.approx(right, abs=0.01) == model.record["test_accuracy"]
    assert model.record["searched"]["validation_accuracy"] == result["validation_accuracy"]
    assert result["trained"][-1]["stage"] == "full"
    assert {path.name for path in files.iterdir()} == {"small.npz", "set.npz", "set-search.npz"}
    assert main(["set.npz", "--slo-ms", "0.03", "--quick", "--teacher", "small.npz", "--out", "taught.npz"]) == 0
    page = capsys.readouterr().out
    assert "the best within 0.03 ms" in page and "saved as taught.npz" in page
    assert not same(npcbnet.load("taught.npz").params, model.params)


def test_what_misses_the_slo_is_saved_only_on_demand(files, monkeypatch, capsys):
    options = ["set.npz", "--slo-ms", "1e-5", "--quick", "--out", "b.npz"]
    assert main(options) == 1 and not (files / "b.npz").exists()
    page = capsys.readouterr().out
    assert "no architecture takes at most 1e-05 ms" in page and "not saved; --save-anyway" in page
    assert list(files.glob("b.search-*-full-*.npz")) and "stays in b.search-" in page
    epochs = epochs_restored(monkeypatch)
    monkeypatch.setattr(Checkpoint, "save", fails(AssertionError("trained again")))
    assert main([*options, "--save-anyway"]) == 1 and epochs == [BRIEF.epochs]
    assert npcbnet.load("b.npz").record["searched"]["met"] is False
    assert [path.name for path in files.glob("b*")] == ["b.npz"]


@pytest.mark.parametrize("place", ["compress.searched.accuracy", "modelfile.save"])
def test_the_winner_stays_until_it_is_saved(place, files, monkeypatch):
    options = ["set.npz", "--slo-ms", "0.03", "--quick", "--out", "b.npz"]
    with monkeypatch.context() as patch:
        patch.setattr(f"npcbnet.{place}", fails(KeyboardInterrupt()))
        assert main(options) == 130
    epochs = epochs_restored(monkeypatch)
    monkeypatch.setattr(Checkpoint, "save", fails(AssertionError("trained again")))
    assert main(options) == 0 and epochs == [BRIEF.epochs]
    assert [path.name for path in files.glob("b*")] == ["b.npz"]


def test_a_stopped_search_goes_on_to_the_same_network(files, monkeypatch):
    options = ["set.npz", "--slo-ms", "0.03", "--quick", "--out"]
    assert main([*options, "whole.npz"]) == 0
    with stopped_after_an_epoch(monkeypatch):
        assert main([*options, "parts.npz"]) == 130
        raise KeyboardInterrupt  # the command has caught it
    assert {path.name[:13] for path in files.glob("parts*")} == {"parts.search-"}
    epochs = epochs_restored(monkeypatch)
    assert main([*options, "parts.npz"]) == 0 and epochs == [1]
    assert same(npcbnet.load("whole.npz").params, npcbnet.load("parts.npz").params)
    assert [path.name for path in files.glob("parts*")] == ["parts.npz"]


@pytest.mark.parametrize("options, words", [
    (["--slo-ms", "0"], "SLO must be"), (["--slo-ms", "1", "--teacher", "nobody"], "no pretrained model"),
    (["--slo-ms", "1", "--teacher", "digits-cbnet"], "takes a Classifier"),
    (["--slo-ms", "1", "--seed", "-1"], "seed"), (["--slo-ms", "1", "--out", "set.npz/file.npz"], "set.npz"),
    (["--slo-ms", "1", "--out", "."], "it is a folder"), (["--slo-ms", "1", "--threads", "0"], "--threads")])
def test_a_mistake_is_one_line(options, words, files, capsys):
    assert main(["set.npz", "--quick", *options]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_the_cores_train_where_nobody_says_how_many(files, monkeypatch, capsys):
    seen = []

    def noted(*arguments, threads, **more):
        seen.append(threads)
        raise UsageError("enough")

    monkeypatch.setattr(search, "search_architecture", noted)
    monkeypatch.setattr("npcbnet.compress.searched.default_threads", lambda: 3)
    for more in ([], ["--threads", "2"]):
        assert main(["set.npz", "--slo-ms", "1", *more]) == 2
    assert seen == [3, 2]


def test_rungs_may_take_all_images(capsys):
    found = searched(0.02, effort=search.Effort(300, 200, 8, 2, ((None, 1), (200, 1)), 1), quiet=False)
    said = capsys.readouterr().err
    assert "1 epochs on 300 images" in said and "1 epochs on 200 images" in said and found.rows


def test_small_networks_are_tried_where_a_multiply_add_costs_them_more():
    """As in a real runtime, where large networks fill the vectors better."""
    def concave(models):
        return {name: 0.02 * (model.macs() / 1e4) ** 0.6 for name, model in models.items()}

    found = searched(0.05, effort=search.Effort(400, 200, 60, 4, ((200, 1),), 1), measure=concave, space=Space())
    first = [row for row in found.rows if row["stage"] == "rung 1"]
    assert len(first) == 4 and max(row["macs"] for row in first) > 1.5 * min(row["macs"] for row in first)


def test_networks_between_a_good_and_a_slow_one_are_measured():
    """Calibration may find the cheapest network alone; those a little dearer are tried all the same."""
    found = searched(0.02, effort=search.Effort(400, 200, 60, 4, ((200, 1),), 1))
    first = [row for row in found.rows if row["stage"] == "rung 1"]
    assert len(first) == 4 and max(row["macs"] for row in first) > 2 * min(row["macs"] for row in first)
    assert np.all([row["latency_ms"] <= 0.02 for row in first])


@pytest.mark.parametrize("each, part", [(1, "validation"), (2, "validation")])
def test_data_with_nothing_to_judge_by_are_named(each, part, files, capsys):
    images = np.zeros((10 * each, 14, 14), np.uint8)
    np.savez(files / "tiny.npz", x_train=images, y_train=np.arange(10 * each) % 10)
    assert main(["tiny.npz", "--slo-ms", "1", "--quick"]) == 2
    error = capsys.readouterr().err
    assert f"tiny has no {part} images; give each class at least three" in error and error.count("\n") == 1
