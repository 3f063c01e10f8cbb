"""python -m npcbnet.compress, whatever the kind: options that go together, its files, going on after a stop."""
import json
from types import SimpleNamespace

import numpy as np
import pytest

import npcbnet
from npcbnet.checkpoint import Checkpoint
from npcbnet.compress import adadeep, distil, magnitude, share, slo, structure, subflow, variant
from npcbnet.compress.__main__ import main
from npcbnet.compress.stopwatch import Stopwatch
from npcbnet.data.trial import check_classes, trained_on
from npcbnet.errors import UsageError
from npcbnet.files import check_file
from npcbnet.run import Run
from tests.small_models import (epochs_restored, fails, small_digits, small_lenet, stopped_after_an_epoch,
                                write_small_files)
from tests.test_slo import TINY, WHOLE, by_macs

EPOCHS = 2
WAYS = [["--subflow", "0.3", "0.6"], ["--adadeep", "--max-macs", "30000", "--save-anyway"],
        ["--connections", "0.5"], ["--channels", "0.4"], ["--shared", "8"], ["--distil", "lenet"]]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A model and its data as files in the folder where the command runs; --quick takes a second."""
    monkeypatch.chdir(tmp_path)
    for module in (distil, magnitude, share, structure, subflow):
        monkeypatch.setattr(module, "QUICK_EPOCHS", EPOCHS)
    monkeypatch.setattr(adadeep, "QUICK", adadeep.Effort(
        240, 200, (120, 1), 2, (240, 1), 1, (240, 1), EPOCHS, 1, adadeep.QUICK.left))
    monkeypatch.setattr(slo, "QUICK", TINY)
    monkeypatch.setattr(Stopwatch, "_clock", lambda self, models: by_macs(models))
    write_small_files(tmp_path)
    return tmp_path


@pytest.mark.parametrize("options", WAYS, ids=lambda options: options[0][2:])
def test_a_stopped_command_goes_on_to_the_same_network(options, files, monkeypatch, capsys):
    command = ["small.npz", *options, "--quick", "--data", "set.npz"]
    status = main([*command, "--out", "whole.npz"])
    with stopped_after_an_epoch(monkeypatch):
        assert main([*command, "--out", "parts.npz"]) == 130
        raise KeyboardInterrupt  # the command has caught it
    assert "the same command goes on" in capsys.readouterr().err
    kept, = files.glob("parts*")
    assert kept.name.startswith("parts.checkpoint")
    epochs = epochs_restored(monkeypatch)
    assert main([*command, "--out", "parts.npz"]) == status and epochs == [1]
    whole, parts = (npcbnet.load(files / name) for name in ("whole.npz", "parts.npz"))
    assert all(np.array_equal(array, parts.params[name]) for name, array in whole.params.items())
    assert {path.name for path in files.iterdir()} == {"small.npz", "set.npz", "whole.npz", "parts.npz"}
    if "epochs" in parts.record["compressed"]:
        assert parts.record["compressed"]["epochs"] == EPOCHS  # --quick is heard


@pytest.mark.parametrize("place, error, status", [("compress.variant.compare", KeyboardInterrupt(), 130),
                                                  ("modelfile.save", UsageError("the disk is full"), 2)])
@pytest.mark.parametrize("options", [*WAYS, ["--slo-ms", str(0.5 * WHOLE)]], ids=lambda options: options[0][2:])
def test_what_was_trained_stays_until_it_is_saved(options, place, error, status, files, monkeypatch):
    command = ["small.npz", *options, "--quick", "--data", "set.npz", "--out", "made.npz"]
    with monkeypatch.context() as patch:
        patch.setattr(f"npcbnet.{place}", fails(error))
        assert main(command) == status
    assert list(files.glob("made.checkpoint*.npz"))
    epochs = epochs_restored(monkeypatch)
    monkeypatch.setattr(Checkpoint, "save", fails(AssertionError("trained again")))
    assert main(command) in (0, 1) and epochs
    assert {path.name for path in files.iterdir()} == {"small.npz", "set.npz", "made.npz"}


@pytest.mark.parametrize("options", [["--adadeep", "--max-bytes", "100"], ["--slo-ms", "1e-5"]],
                         ids=lambda options: options[0][2:])
def test_what_misses_its_budget_is_saved_without_being_trained_again(options, files, monkeypatch, capsys):
    command = ["small.npz", *options, "--quick", "--data", "set.npz", "--out", "made.npz"]
    assert main(command) == 1 and not (files / "made.npz").exists() and list(files.glob("made.checkpoint-*.npz"))
    assert "that stays in made.checkpoint-" in capsys.readouterr().out
    epochs = epochs_restored(monkeypatch)
    monkeypatch.setattr(Checkpoint, "save", fails(AssertionError("trained again")))
    assert main([*command, "--save-anyway"]) == 1 and epochs
    assert {path.name for path in files.iterdir()} == {"small.npz", "set.npz", "made.npz"}


@pytest.mark.parametrize("kind", ["connections", "channels", "distil", "slo", "adadeep", "int4", None])
def test_make_refuses_what_it_does_not_make(kind):
    with pytest.raises(UsageError, match="make knows float16, int8, prune and subflow, not"):
        variant.make(small_lenet(), small_digits(), kind, 0.5)


@pytest.mark.parametrize("options, more", [
    (["--int8"], "--quick"), (["--float16"], "--quick"), (["--prune", "0.5"], "--quick"),
    (["--prune", "0.5"], "--dense-only"), (["--subflow", "0.5"], "--dense-only"), (["--slo-ms", "1"], "--dense-only"),
    (["--int8"], "--save-anyway"), (["--channels", "0.5"], "--but-first"), (["--connections", "0.5"], "--save-anyway")])
def test_an_option_without_effect_is_refused(options, more, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["digits-lenet", *options, more]) == 2
    error = capsys.readouterr().err
    assert f"{more} goes with" in error and error.count("\n") == 1


@pytest.mark.parametrize("out", [".", "set.npz/made.npz", "m" * 300])
def test_a_file_that_cannot_be_written_is_told_before_anything_is_trained(out, files, monkeypatch, capsys):
    for place in ("make", "select"):
        monkeypatch.setattr(variant, place, lambda *all: pytest.fail("made before the file was tried"))
    before = sorted(files.iterdir())
    for options in (["--subflow", "0.5"], ["--adadeep"], ["--prune", "0.5"]):
        assert main(["small.npz", "--data", "set.npz", *options, "--out", out]) == 2
        error = capsys.readouterr().err
        assert "cannot write" in error and error.count("\n") == 1
    assert sorted(files.iterdir()) == before


@pytest.mark.parametrize("each", [1, 2])  # of a class: none is left for tests, or none for validation
@pytest.mark.parametrize("options", [["--float16"], ["--int8"], ["--distil", "lenet"]])
def test_data_without_images_to_judge_by_are_refused(options, each, files, capsys):
    images = np.random.default_rng(0).integers(0, 256, (10 * each, 14, 14), dtype=np.uint8)
    np.savez(files / "tiny.npz", x_train=images, y_train=np.arange(10 * each) % 10)
    before = sorted(files.iterdir())
    assert main(["small.npz", *options, "--data", "tiny.npz", "--out", "o.npz"]) == 2
    error = capsys.readouterr().err
    assert "tiny has no validation images; give each class at least three" in error and error.count("\n") == 1
    assert sorted(files.iterdir()) == before


def test_a_file_that_replaces_the_models_own_is_compared_with_what_was_there(files, capsys):
    before = (files / "small.npz").stat().st_size
    assert main(["small.npz", "--float16", "--data", "set.npz", "--out", "small.npz", "--json"]) == 0
    size = json.loads(capsys.readouterr().out)["file_bytes"]
    assert size == {"before": before, "after": (files / "small.npz").stat().st_size} and size["after"] < before


def test_trying_a_path_leaves_no_trace(tmp_path):
    (tmp_path / "old.npz").write_bytes(b"old")
    for name in ("old.npz", "new.npz", "folder/new.npz"):
        check_file(tmp_path / name)
    assert (tmp_path / "old.npz").read_bytes() == b"old"
    assert {path.name for path in tmp_path.rglob("*")} == {"old.npz", "folder"}


@pytest.mark.parametrize("options, threads", [(["--int8"], 1), (["--subflow", "0.5"], 3), (["--adadeep"], 3),
                                              (["--subflow", "0.5", "--threads", "2"], 2)])
def test_the_cores_train_where_nobody_says_how_many(options, threads, files, monkeypatch):
    seen = []

    def made(model, dataset, kind, share, convolutions, seed, threads, *more):
        seen.append(threads)
        raise UsageError("enough")

    monkeypatch.setattr(variant, "default_threads", lambda: 3)
    monkeypatch.setattr(variant, "make", made)
    monkeypatch.setattr(variant, "select", lambda *given: made(*given[:3], None, None, *given[3:]))
    assert main(["small.npz", "--data", "set.npz", *options]) == 2 and seen == [threads]


def test_a_data_sets_path_may_have_spaces(files):
    model, path = npcbnet.load("small.npz"), files / "my 'own' data" / "set.npz"
    path.parent.mkdir()
    (files / "set.npz").rename(path)
    model.record["command"] = Run(str(path), seed=3).command()
    assert trained_on(model) == str(path)
    assert variant.dataset_of(model).name == "set"
    for command in ("python -m npcbnet.train 'my data", "python", None):
        model.record["command"] = command
        assert trained_on(model) is None
        with pytest.raises(UsageError, match="--data"):
            variant.dataset_of(model)


DIGITS = tuple("0123456789")


@pytest.mark.parametrize("known, title, names, fits", [
    (DIGITS, "mnist", DIGITS, True), (DIGITS, "letters", tuple("abcdefghij"), False),
    (DIGITS, "five", tuple("01234"), False), (tuple("abcdefghij"), "mnist", DIGITS, False),
    (tuple("abcdefghij"), "from-a-path", DIGITS, True)])
def test_data_of_other_classes_are_refused(known, title, names, fits):
    """Of a path, numbers are no names: a model may know what they stand for."""
    model, dataset = SimpleNamespace(class_names=known), SimpleNamespace(name=title, class_names=names)
    if fits:
        check_classes(model, dataset)
    else:
        with pytest.raises(UsageError, match=f"{title} has {len(names)} classes .*the model knows 10"):
            check_classes(model, dataset)
