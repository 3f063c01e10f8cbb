"""Pruning until an SLO holds, and searching for a network that meets one: every decision with a clock of our own."""
import json
from dataclasses import replace

import numpy as np
import pytest

import npcbnet
from npcbnet.compress import search, slo, space
from npcbnet.compress.__main__ import main
from npcbnet.compress.sidecars import Sidecars
from npcbnet.compress.stopwatch import Stopwatch
from npcbnet.compress.structure import cuts
from npcbnet.errors import TrainingError, UsageError
from npcbnet.layers import Dense, Flatten, Sequential
from npcbnet.nets import Classifier
from tests.runtime_models import filled, names
from tests.small_models import small_digits, small_lenet, stopped_after_an_epoch, write_small_files

TINY = slo.Effort(400, 200, 2, (200, 1), 1, 4)
WHOLE = small_lenet().macs() * 1e-6


def by_macs(models):
    """A clock for which multiply-adds alone count: a million takes a second's thousandth."""
    return {name: model.macs() * 1e-6 for name, model in models.items()}


def by_zeros(models):
    """A clock for which a pruned weight takes no time."""
    return {name: model.macs() * 1e-6 * slo.nonzero(model) / model.parameter_count() for name, model in models.items()}


def busy_first(times, readings=4):
    """A clock by multiply-adds whose first readings are so many times too long."""
    turns = iter([times] * readings)
    return lambda models: {name: time * turn for turn in [next(turns, 1)] for name, time in by_macs(models).items()}


def met(slo_ms, measure=by_macs, **more):
    return slo.meet(small_lenet(), small_digits(), slo_ms, **{"effort": TINY, "measure": measure, **more})


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(array, other[name]) for name, array in one.items())


# --- the loop ---
def test_half_the_time_is_reached_by_fewer_channels(tmp_path):
    before = {name: array.copy() for name, array in small_lenet().params.items()}
    found = met(0.5 * WHOLE, quiet=True)
    assert found.met and found.over_ms == 0 and found.row["latency_ms"] <= 0.5 * WHOLE
    assert found.row["latency_ms"] == found.model.macs() * 1e-6 > 0.3 * WHOLE  # not far more than was asked for
    assert [row["step"] for row in found.rows] == ["original", "channels 1", "channels 2"]
    assert found.rows[1]["latency_ms"] <= WHOLE * (0.5 * slo.SPARE) ** 0.5 and not found.rows[1]["met"]
    assert found.row["kept"] == {cut.name: cut.channels for cut in cuts(found.model)}
    assert found.row["accuracy"] > found.rows[0]["accuracy"] - 0.2
    assert "not faster" in found.notes[0] and same(before, small_lenet().params) and json.dumps(found.rows)
    npcbnet.save(found.model, tmp_path / "m.npz")
    again, images = npcbnet.load(tmp_path / "m.npz"), small_digits().test.images[:30]
    assert np.array_equal(again.predict_proba(images), found.model.predict_proba(images))
    compiled = npcbnet.compile(again).predict_proba(images)
    np.testing.assert_allclose(compiled, found.model.predict_proba(images), atol=1e-5)


def test_a_model_that_meets_it_stays_what_it_is():
    found = met(WHOLE)
    assert found.met and len(found.rows) == 1 and found.model is small_lenet() and found.row["frontier"]


def test_connections_go_first_where_zeros_are_faster():
    """As few as needed; then channels are pruned, too, and the best by validation accuracy is chosen."""
    found = met(0.6 * WHOLE, by_zeros)
    row = found.rows[1]
    assert row["step"] == "connections" and row["kept"] in slo.KEPT and row["met"] and found.met
    assert found.row["accuracy"] == max(row["accuracy"] for row in found.rows if row["met"])
    assert {row["step"] for row in found.rows} == {"original", "connections", "channels 1", "channels 2"}


def test_where_connections_are_not_enough_channels_go_on_from_there():
    found = met(0.1 * WHOLE, by_zeros)
    assert found.met and found.rows[1]["kept"] == slo.KEPT[-1] and not found.rows[1]["met"]
    weight = found.model.net.params["7.weight"]
    assert found.row["step"].startswith("channels") and 0 < (weight != 0).mean() < 0.25  # held zero while trained


def test_what_cannot_be_met_is_said_with_the_frontier():
    found = met(1e-5)
    assert not found.met and found.over_ms == pytest.approx(found.row["latency_ms"] - 1e-5)
    assert found.row["latency_ms"] == min(row["latency_ms"] for row in found.rows) < 0.1 * WHOLE
    assert "cannot be reached" in found.notes[-1] and found.model.record["compressed"]["met"] is False
    frontier = [row for row in found.rows if row["frontier"]]
    assert found.row in frontier
    for row in found.rows:
        better = [one for one in found.rows if one["latency_ms"] < row["latency_ms"]
                  and one["accuracy"] >= row["accuracy"]]
        assert row["frontier"] == (not better)


def test_what_misses_when_it_is_measured_again_gets_another_round():
    seen = []

    def clock(models):  # the network of round 2 seems faster before it is trained than after
        seen.extend(keys := [model.macs() for name, model in models.items() if name != "original"])
        slow = len(keys) == 1 and seen.count(keys[0]) == 2 and keys[0] * 1e-6 < 0.5 * WHOLE
        times = by_macs(models)
        return {name: time * (1.2 if slow and name != "original" else 1) for name, time in times.items()}

    found = met(0.5 * WHOLE, clock)
    assert [row["step"] for row in found.rows] == ["original", "channels 1", "channels 2", "channels 3"]
    assert not found.rows[2]["met"] or found.rows[3]["met"]
    assert found.rows[3]["macs"] < found.rows[2]["macs"]


def test_a_model_without_channels_to_prune():
    net = filled(Sequential([Flatten(), Dense(196, 10)]), np.random.default_rng(0))
    found = slo.meet(Classifier(net, (1, 14, 14), names(10)), small_digits(), 1e-6, effort=TINY, measure=by_macs)
    assert not found.met and len(found.rows) == 1 and [note.split(":")[0] for note in found.notes] == \
        ["connections", "channels"]


def test_the_same_bits_on_any_number_of_threads_and_after_a_stop(tmp_path, monkeypatch):
    whole, here = met(0.4 * WHOLE), tmp_path / "c.npz"
    for _ in range(2):
        with stopped_after_an_epoch(monkeypatch):
            met(0.4 * WHOLE, checkpoint=here)
    assert len(list(tmp_path.glob("*.json"))) == 1 and len(list(tmp_path.glob("c-*.npz"))) == 2
    (tmp_path / "c-mine.npz").touch()
    again = met(0.4 * WHOLE, checkpoint=here, threads=2)
    assert same(whole.model.params, again.model.params) and whole.rows == again.rows
    assert len(list(tmp_path.glob("*.json"))) == 1 and len(list(tmp_path.glob("c-*.npz"))) > 2  # until it is saved
    whole.files.clear()  # without a checkpoint: none
    again.files.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["c-mine.npz"]
    other = met(0.4 * WHOLE, seed=1)
    assert not same(other.model.params, whole.model.params)


def test_test_images_take_no_part():
    dataset = small_digits()
    dark = replace(dataset, test=replace(dataset.test, images=np.zeros_like(dataset.test.images)))
    first, second = (slo.meet(small_lenet(), one, 0.5 * WHOLE, effort=TINY, measure=by_macs) for one in (dataset, dark))
    assert same(first.model.params, second.model.params)


@pytest.mark.parametrize("slo_ms", [0, -1, float("nan"), float("inf"), True, "fast", None])
def test_an_slo_that_cannot_be(slo_ms):
    for call in (lambda: met(slo_ms), lambda: search.search_architecture(small_digits(), slo_ms)):
        with pytest.raises(UsageError, match="SLO must be a number of milliseconds above 0"):
            call()


def test_an_slo_may_be_a_share_of_the_latency_that_the_loop_measures(tmp_path):
    """...in turns with what is pruned: a machine that becomes slower changes both."""
    asked = []

    def slower_each_time(models):
        asked.append(list(models))
        return {name: time * len(asked) for name, time in by_macs(models).items()}

    found = met(None, slower_each_time, share=0.5, checkpoint=tmp_path / "slo.npz")
    assert found.slo_ms == 0.5 * found.rows[0]["latency_ms"] and found.met
    assert asked[:3] == [["original"]] * 3 and ["original"] not in asked[3:]
    assert found.row["macs"] <= 0.5 * WHOLE * 1e6


@pytest.mark.parametrize("changes, words", [
    ({"share": 0.0}, "share"), ({"share": 1.5}, "share"), ({"share": True}, "share"), ({"share": "half"}, "share"),
    ({"share": float("nan")}, "share"), ({"slo_ms": 1.0, "share": 0.5}, "not by both")])
def test_a_share_that_cannot_be(changes, words):
    with pytest.raises(UsageError, match=words):
        met(**{"slo_ms": None, **changes})


def test_what_the_loop_does_not_take():
    for changes in ({"seed": -1}, {"seed": True}, {"threads": 0}):
        with pytest.raises(UsageError):
            met(0.1, **changes)
    with pytest.raises(UsageError, match="not a BranchyNet"):
        slo.meet(npcbnet.load("digits-branchynet"), small_digits(), 1)
    with pytest.raises(UsageError, match="the model takes"):
        slo.meet(npcbnet.load("digits-lenet"), small_digits(), 1)


# --- the stopwatch ---
def test_latencies_are_shares_of_the_originals_first(tmp_path):
    model, turns = small_lenet(), iter([2.0, 2.0, 2.0, 4.0, 1.0])
    small = Classifier(small_lenet().net, (1, 14, 14), names(10))
    half = Classifier(filled(Sequential([Flatten(), Dense(196, 10)]), np.random.default_rng(0)), (1, 14, 14), names(10))

    def clock(models):
        whole = next(turns)
        return {name: whole * (1 if one is model else 0.5) for name, one in models.items()}

    watch = Stopwatch(model, None, clock, tmp_path / "t.json")
    assert watch.times([half, model, small]) == [1.0, 2.0, 2.0]  # busy now: everything takes twice as long
    assert Stopwatch(model, None, None, tmp_path / "t.json").times([model, half]) == [2.0, 1.0]
    for text in ("[]", "{", '{"a": -1.0}', '{"a": "1"}', '{"a": NaN}'):
        (tmp_path / "t.json").write_text(text)
        with pytest.raises(TrainingError, match=r"t\.json is damaged .*; remove it to measure anew$"):
            Stopwatch(model, None, None, tmp_path / "t.json")


def test_the_stopwatch_tells_how_busy_the_machine_was_at_the_beginning(tmp_path):
    busy = busy_first(3)
    watch = Stopwatch(small_lenet(), None, busy, tmp_path / "t.json")
    assert watch.drift == 1 and watch.times([small_lenet()]) == [pytest.approx(3 * WHOLE)] and watch.drift == 1
    for number, drift in enumerate((1, 1, 1 / 2, 1 / 3, 1 / 3)):  # readings: 3 3 3, then 3 1 1 1 1
        assert watch.times([small_lenet()], f"again {number} ") == [pytest.approx(3 * WHOLE)]
        assert watch.drift == pytest.approx(drift)
    again = Stopwatch(small_lenet(), None, busy, tmp_path / "t.json")
    assert again.drift == watch.drift and again.known == watch.known
    older = {key: ms for key, ms in json.loads((tmp_path / "t.json").read_text()).items() if "reading" not in key}
    (tmp_path / "t.json").write_text(json.dumps(older))
    assert Stopwatch(small_lenet(), None, busy, tmp_path / "t.json").drift == 1


@pytest.mark.parametrize("asked", [{"slo_ms": 0.5 * WHOLE}, {"share": 0.5}])
def test_a_busy_moment_at_the_beginning_makes_no_slo_stricter(asked):
    found = met(**{"slo_ms": None, "measure": busy_first(3), **asked})
    assert found.met and found.slo_ms == pytest.approx(0.5 * WHOLE)
    assert [row["latency_ms"] for row in found.rows] == pytest.approx([row["macs"] * 1e-6 for row in found.rows])
    assert 0.3 * WHOLE < found.row["latency_ms"] <= 0.5 * WHOLE


def test_the_searchs_times_are_those_of_quiet_moments():
    found = searched(0.02, measure=busy_first(3))
    assert found.met and found.slo_ms == 0.02
    assert [row["latency_ms"] for row in found.rows] == pytest.approx([row["macs"] * 1e-6 for row in found.rows])
    assert found.model.record["searched"]["latency_ms"] == found.row["latency_ms"]


def test_the_engines_clock_measures():
    time, = Stopwatch(small_lenet(), small_digits().validation.images).times([small_lenet()])
    assert 0 < time < 1000


@pytest.mark.parametrize("name", ["c.npz", "c[12].npz"])  # no pattern
def test_another_search_does_not_find_ones_files(name, tmp_path):
    one = Sidecars(tmp_path / name, 1, 2)
    others = [Sidecars(tmp_path / name, 1, 3), Sidecars(tmp_path / "c1.npz", 1, 2)]
    for each in (one, *others):
        each.path("a b").touch()
    assert str(one) == str(one.path("*", ""))
    one.clear()
    assert set(tmp_path.iterdir()) == {other.path("a b") for other in others}
    assert Sidecars(None, 1).path("x") is None and str(Sidecars(None, 1)) == ""


# --- searching ---
SMALL = space.Space((1, 2), (2, 4, 8), (1, 2), (8, 16), 3)
BRIEF = search.Effort(400, 200, 25, 4, ((200, 1), (400, 1)), 40)


def searched(slo_ms, **more):
    return search.search_architecture(small_digits(), slo_ms, **{"space": SMALL, "effort": BRIEF, "measure": by_macs,
                                                                 **more})


def test_the_search_meets_its_slo():
    found = searched(0.02)
    assert found.met and found.row["latency_ms"] == found.model.macs() * 1e-6 <= 0.02
    assert SMALL.holds(found.architecture, (1, 14, 14)) and found.over_ms == 0
    assert all(row["latency_ms"] <= 0.02 for row in found.rows)
    stages = [row["stage"] for row in found.rows]
    assert stages.count("rung 1") == 4 and stages[-1] == "full" and stages.count("rung 2") >= 2
    best = max((row for row in found.rows if row["stage"] == "rung 1"), key=lambda row: row["macs"])
    assert best["latency_ms"] > 0.005  # dear ones are among those that are tried
    assert found.model.record["searched"]["architecture"]["hidden"] == found.architecture.hidden
    assert (found.model.predict(small_digits().test.images) == small_digits().test.labels).mean() > 0.2


def test_the_search_says_that_it_cannot_and_repeats_itself():
    found = searched(1e-5)
    assert not found.met and found.over_ms == pytest.approx(found.row["latency_ms"] - 1e-5) and len(found.rows) == 1
    one, other = searched(0.02), searched(0.02, threads=2)
    assert same(one.model.params, other.model.params) and one.rows == other.rows
    taught = searched(0.02, teacher=small_lenet())
    assert not same(one.model.params, taught.model.params)
    with pytest.raises(UsageError, match="the model takes"):
        searched(0.02, teacher=npcbnet.load("digits-lenet"))


def slower(stage, wrong):
    """A clock by multiply-adds; at a `stage` of the search a hundred times as slow for those of which wrong(macs)."""
    def clock(models):
        return {name: time * (100 if name.startswith(stage) and wrong(models[name].macs()) else 1)
                for name, time in by_macs(models).items()}

    return clock


@pytest.mark.parametrize("stage, trained", [("again ", 1), ("trained ", 2)])
def test_where_the_best_misses_when_it_is_measured_again_the_next_is_taken(stage, trained):
    """...before it is trained fully, if that shows it then."""
    best = searched(0.02)
    found = searched(0.02, measure=slower(stage, lambda macs: macs == best.row["macs"]))
    full = [row for row in found.rows if row["stage"] == "full"]
    assert found.met and found.row is found.rows[-1] and found.row["latency_ms"] == found.model.macs() * 1e-6 <= 0.02
    assert found.architecture != best.architecture and found.row["architecture"] == str(found.architecture)
    assert len(full) == trained and [row["latency_ms"] > 0.02 for row in full] == [True] * (trained - 1) + [False]


def test_where_all_miss_when_they_are_trained_the_fastest_is_the_last_row():
    effort = replace(BRIEF, pool=8, rungs=BRIEF.rungs[:1], epochs=1)
    found = searched(0.02, measure=slower("trained ", lambda macs: True), effort=effort)
    full = [row for row in found.rows if row["stage"] == "full"]
    assert not found.met and found.over_ms > 0 and len(full) == 1 + slo.TRIES
    assert found.row is found.rows[-1] and found.row["latency_ms"] == min(row["latency_ms"] for row in full)
    assert found.row["macs"] == found.model.macs()


def test_finalists_of_the_same_shapes_do_not_find_each_others_checkpoint(tmp_path):
    """A stride instead of a pool leaves as many features."""
    here = {"measure": slower("trained ", lambda macs: True), "space": space.Space((1,), (4,), (1, 2), (16,), 3),
            "effort": replace(BRIEF, rungs=(), epochs=1)}
    found, again = searched(0.02, **here), searched(0.02, checkpoint=tmp_path / "c.npz", **here)
    assert {row["architecture"] for row in found.rows} >= {"conv 4/2, hidden 16", "conv 4/1, pool, hidden 16"}
    assert found.rows == again.rows and len(list(tmp_path.glob("c-*-full-*.npz"))) == len(found.rows) == 3
    again.files.clear()
    assert not list(tmp_path.iterdir())


def test_architectures_are_of_the_space():
    rng, shape = np.random.default_rng(0), (1, 28, 28)
    whole = space.Space()
    for _ in range(100):
        one = whole.draw(rng, shape)
        assert len(one.widths) == len(one.strides) in whole.depths and list(one.widths) == sorted(one.widths)
        model = search.network(one, shape, names(10), rng)
        features = model.net.layers[-3].in_features
        assert features >= one.widths[-1] * whole.least_side ** 2 and model.net.layers[-3].out_features == one.hidden
        child = whole.child(one, rng, shape)
        assert child is None or child != one and whole.holds(child, shape)
        if child is not None:
            assert sum([child.hidden != one.hidden, child.pool != one.pool, len(child.widths) != len(one.widths),
                        len(child.widths) == len(one.widths)
                        and sum(map(int.__ne__, child.widths, one.widths)) == 1,
                        len(child.widths) == len(one.widths) and child.strides != one.strides]) == 1
    assert str(space.Architecture((4, 8), (2, 1), 16, True)) == "conv 4/2 8/1, pool, hidden 16"
    with pytest.raises(UsageError, match="no architecture of the space leaves"):
        whole.draw(rng, (1, 1, 1))


# --- the command ---
@pytest.fixture
def files(tmp_path, monkeypatch):
    """The model and its data as files in the folder where the command runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(slo, "QUICK", TINY)
    write_small_files(tmp_path)
    return tmp_path


def test_the_command_meets_an_slo(files, capsys, monkeypatch):
    monkeypatch.setattr(Stopwatch, "_clock", lambda self, models: by_macs(models))
    options = ["small.npz", "--quick", "--data", "set.npz", "--slo-ms"]
    assert main([*options, str(0.5 * WHOLE), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["met"] and result["out"] == "small-slo.npz"
    assert result["macs"]["after"] <= 0.5 * result["macs"]["before"]
    found = npcbnet.load("small-slo.npz")
    assert found.macs() == result["macs"]["after"] and found.record["compressed"]["rows"] == result["rows"]
    assert main([*options, "1e-5", "--out", "b.npz"]) == 1
    page = capsys.readouterr().out
    assert "budget missed: the SLO of 1e-05 ms" in page and "not saved" in page and not (files / "b.npz").exists()
    assert "channels 1" in page and "chosen" in page and "b.checkpoint-" in page
    assert main([*options, "1e-5", "--out", "b.npz", "--save-anyway"]) == 1
    assert npcbnet.load("b.npz").record["compressed"]["met"] is False
    assert {path.name for path in files.iterdir()} == {"small.npz", "set.npz", "small-slo.npz", "b.npz"}


def test_the_command_prunes_connections_and_channels(files, capsys):
    assert main(["small.npz", "--connections", "0.5", "--quick", "--data", "set.npz", "--scope", "global"]) == 0
    assert "parameters are left and not zero" in capsys.readouterr().out
    assert npcbnet.load("small-connections.npz").record["pruned"]["scope"] == "global"
    assert main(["small.npz", "--channels", "0.4", "--quick", "--data", "set.npz", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["channels"] == {"0": 4, "3": 7, "7": 19} and result["macs"]["after"] < result["macs"]["before"]


@pytest.mark.parametrize("options, words", [
    (["--slo-ms", "0"], "SLO must be"), (["--slo-ms", "nan"], "SLO must be"),
    (["--connections", "0"], "share of weights"), (["--channels", "2"], "share of channels"),
    (["--slo-ms", "1", "--max-drop", "1"], "--adadeep alone"),
    (["--slo-ms", "1", "--scope", "layer"], "--scope goes with"), (["--int8", "--hard", "0.5"], "--hard with --distil"),
    (["--prune", "0"], "between 0 and 1")])
def test_a_mistake_is_one_line(options, words, files, capsys):
    assert main(["small.npz", "--data", "set.npz", *options]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
