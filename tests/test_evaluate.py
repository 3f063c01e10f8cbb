"""The papers' evaluation: pooling, parts and mixes, the frontier, other devices' latencies, claims; then all of it."""
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from npcbnet import run as runs
from npcbnet.data.dataset import Dataset, Split
from npcbnet.errors import NpcbnetError, UsageError
from npcbnet.evaluate import __main__ as command
from npcbnet.evaluate.cbnet import claims, elsewhere, paper, scaling
from npcbnet.evaluate.cbnet.measured import energies
from npcbnet.evaluate.cbnet.trained import MODELS
from npcbnet.evaluate.measuring import THIS_MACHINE, on_frontier
from npcbnet.evaluate.pooled import pooled
from npcbnet.evaluate.scope import QUICK, reduced

ROOT = Path(__file__).parent.parent


def test_pooled_rows_are_means_with_their_spread():
    rows = [{"dataset": "a", "seed": seed, "model": "m", "accuracy": value, "exit_rate": rate, "meter": "gci"}
            for seed, value, rate in ((0, 0.5, None), (1, 0.7, 0.2), (2, 0.9, 0.4))]
    row, other = pooled([*rows, {"dataset": "b", "seed": 0, "model": "m", "accuracy": 1.0, "exit_rate": None,
                                 "meter": "gci"}], ("dataset", "model"), ("accuracy", "exit_rate"))
    assert row["accuracy"] == pytest.approx(0.7) and row["accuracy_spread"] == pytest.approx(0.2)
    assert row["exit_rate"] == pytest.approx(0.3) and row["exit_rate_spread"] == pytest.approx(np.sqrt(0.02))
    assert (row["seeds"], row["meter"]) == (3, "gci") and "seed" not in row
    assert (other["accuracy_spread"], other["exit_rate"], other["exit_rate_spread"]) == (None, None, None)


def test_no_seeds_warning_is_lost():
    rows = [{"model": "m", "power_w": watts, "invalid": why, "meter": "rapl"} for watts, why in
            ((5.0, None), (6.0, "throttled"), (7.0, "throttled"))]
    assert pooled(rows, ("model",)) == [{"model": "m", "power_w": 6.0, "invalid": "throttled", "meter": "rapl",
                                         "seeds": 3}]


def test_pooling_keeps_flags_and_texts_and_a_number_in_the_key():
    rows = [{"ratio": 0.1, "ok": True, "name": "x", "t": t} for t in (1.0, 3.0)]
    assert pooled(rows, ("ratio",)) == [{"ratio": 0.1, "ok": True, "name": "x", "t": 2.0, "seeds": 2}]


@given(st.integers(1, 300), st.floats(0, 1), st.sampled_from(scaling.RATIOS), st.integers(0, 5))
@settings(deadline=None)
def test_a_part_keeps_the_share_of_hard_images(count, hard_share, ratio, seed):
    rng = np.random.default_rng(seed)
    early = rng.random(count) >= hard_share
    rows = scaling.parts(early, ratio, rng)
    assert len(set(rows)) == len(rows) >= 1
    assert abs(len(rows) - ratio * count) <= 1
    if len(rows) > 1:
        assert abs((~early[rows]).sum() - ratio * (~early).sum()) <= 0.5 + 1e-9


@given(st.integers(1, 40), st.integers(0, 200), st.integers(0, 5))
def test_images_of_a_mix_come_as_seldom_twice_as_can_be(members, count, seed):
    drawn = scaling._drawn(np.arange(members) + 7, count, np.random.default_rng(seed))
    often = np.bincount(drawn - 7, minlength=members) if count else np.zeros(members, int)
    assert len(drawn) == count and often.max() - often.min() <= 1


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 5), st.sampled_from("ab")), min_size=1, max_size=20))
def test_the_frontier_is_what_nothing_beats(points):
    rows = on_frontier([{"dataset": name, "latency_ms": time, "accuracy": right} for time, right, name in points])
    for (time, right, name), row in zip(points, rows):
        beaten = any(n == name and (t < time and a >= right or t <= time and a > right) for t, a, n in points)
        assert row["on_frontier"] is not beaten


def table(times, watts=2.0, names=("mnist",), accuracy=(), made_easy=0.9):
    """Rows of Table II: {model: ms} on each data set; accuracy: {model: accuracy} where it is not 0.99."""
    return energies([{"dataset": name, "model": model, "device": THIS_MACHINE, "latency_ms": ms, "power_w": watts,
                      "accuracy": dict(accuracy).get(model, 0.99), "macs": 1000, "energy_kind": "modelled",
                      "exit_rate": 0.9 if model == "branchynet" else None,
                      "made_easy": made_easy if model.startswith("cbnet") else None}
                     for name in names for model, ms in times.items()])


def test_the_rows_of_table_two_add_up():
    rows = table({"branchynet": 0.5, "lenet": 2.0, "cbnet-fast": 0.25}, watts=3.0)
    assert [row["energy_mj"] for row in rows] == [1.5, 6.0, 0.75]
    assert [row["saving"] for row in rows] == [0.75, 0.0, 0.875]
    assert [row["speedup"] for row in rows] == [4.0, 1.0, 8.0]


def test_the_papers_table_agrees_with_its_text():
    """Its ratios in section IV-D are those of the rows that we took from Table II."""
    for over, published in (("lenet", paper.SPEEDUP_OVER_LENET), ("branchynet", paper.SPEEDUP_OVER_BRANCHYNET)):
        ratios = [paper.TABLE_II[name, over][paper.CLOUD][0] / paper.TABLE_II[name, "cbnet"][paper.CLOUD][0]
                  for name in ("mnist", "fmnist", "kmnist")]
        assert (min(ratios), max(ratios)) == pytest.approx(published, abs=0.02)
    pi = [paper.TABLE_II[name, "lenet"][paper.PI][0] / paper.TABLE_II[name, "cbnet"][paper.PI][0]
          for name in ("mnist", "fmnist", "kmnist")]
    assert (min(pi), max(pi)) == pytest.approx((6.75, 6.87), abs=0.04)
    assert paper.table_ii("mnist", "cbnet-table1")["paper_speedup"] == pytest.approx(1.322 / 0.267)
    assert set(paper.table_ii("mnist", "cbnet-fast").values()) == {None}
    assert set(paper.table_ii("digits", "lenet").values()) == {None}
    assert paper.figure_5("subflow-0.1", "mnist")["paper_latency_ms"] == pytest.approx(4.85 * 1.877)
    assert paper.figure_5("subflow-0.1", "fmnist")["paper_latency_ms"] is None
    assert paper.figure_5("subflow-0.5", "mnist")["paper_latency_ms"] is None


def written(path, content):
    """A file with this content (text, or what becomes JSON)."""
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


GIVEN = {"device": "My Pi", "power": "pi4", "utilisation": 0.25, "latency_ms": {"lenet": 2, "branchynet": 0.5}}


def test_another_devices_latencies_become_estimates(tmp_path):
    here = table({"lenet": 0.02, "branchynet": 0.01, "lightweight": 0.005})
    lenet, branchynet = rows = energies(elsewhere.rows(elsewhere.read(written(tmp_path / "pi.json", GIVEN)), here))
    assert [row["model"] for row in rows] == ["lenet", "branchynet"]
    assert lenet["device"] == "My Pi, estimate" and lenet["energy_kind"] == "estimate"
    assert lenet["power_w"] == pytest.approx(2.7 + 3.7 * 0.25)  # Eq. 2
    assert branchynet["speedup"] == 4 and branchynet["saving"] == pytest.approx(0.75)
    assert branchynet["paper_latency_ms"] == 2.3 and branchynet["accuracy"] == 0.99


def test_the_cycle_estimate_of_this_repository_can_be_read():
    given_ = elsewhere.read(ROOT / "benchmarks" / "results" / "pi_estimate.json")
    here = table(dict.fromkeys(("lenet", "branchynet", "lightweight", "cbnet-fast", "cbnet-table1"), 0.01))
    rows = {row["model"]: row["latency_ms"] for row in elsewhere.rows(given_, here)}
    assert set(rows) == {"lenet", "branchynet", "lightweight", "cbnet-fast", "cbnet-table1"}
    both = given_["latency_ms"]["mnist", "both exits"]
    assert rows["branchynet"] == pytest.approx(rows["lightweight"] + 0.1 * (both - rows["lightweight"]))


@pytest.mark.parametrize("content, says", [
    ("{", "is no JSON"), ("[" * 100_000, "is no JSON"), ([], "latency_ms"), ({}, "latency_ms"),
    ({**GIVEN, "latency_ms": {}}, "latency_ms"), ({**GIVEN, "latency_ms": {"lenet": 0}}, "latency_ms of lenet"),
    ({**GIVEN, "latency_ms": {"lenet": "fast"}}, "latency_ms of lenet"), ({**GIVEN, "power": "sun"}, "power"),
    ({**GIVEN, "latency_ms": {"lenet": float("nan")}}, "latency_ms of lenet"),
    ({**GIVEN, "power": ["pi4"]}, "power"), ({**GIVEN, "latency_ms": {"branchynet": 1}}, "must name lenet"),
    ({**GIVEN, "latency_ms": {"lenet": 1, "LeNet": 1}}, "but not 'LeNet'"),
    ({**GIVEN, "utilisation": 25}, "utilisation"), ({**GIVEN, "utilisation": True}, "utilisation"),
    ({"mca": None, "models": []}, "no time of a model"), ({"mca": "x", "models": [3]}, "a row of models"),
    ({"mca": "x", "models": [{"model": "mnist-lenet", "form": "one image", "us": -1}]}, "us of mnist-lenet")])
def test_a_wrong_file_of_latencies_gets_one_line(tmp_path, content, says):
    path = written(tmp_path / "pi.json", content)
    with pytest.raises(NpcbnetError) as error:
        elsewhere.read(path)
    assert says in str(error.value) and str(path) in str(error.value) and len(str(error.value).splitlines()) == 1


def test_two_files_of_one_device_are_refused(tmp_path):
    paths = [written(tmp_path / name, GIVEN) for name in ("a.json", "b.json")]
    with pytest.raises(UsageError, match="both of 'My Pi, estimate'"):
        elsewhere.read_all(paths)
    other = written(tmp_path / "c.json", {**GIVEN, "device": "Your Pi"})
    assert [given["device"] for given in elsewhere.read_all([paths[0], other])] == ["My Pi, estimate",
                                                                                   "Your Pi, estimate"]


def test_a_missing_file_of_latencies_gets_one_line(tmp_path, capsys):
    assert command.main(["cbnet", "--quick", "--latencies", str(tmp_path / "none.json"), "--out", str(tmp_path)]) == 2
    assert "none.json" in capsys.readouterr().err


TIMES = {"lenet": 1.0, "branchynet": 0.5, "lightweight": 0.25, "cbnet-paper": 0.2, "cbnet-table1": 0.2,
         "cbnet-fast": 0.3, "cbnet-residual": 0.3, "adadeep": 0.9, "subflow-0.1": 0.9}


def made_report(times, **options):
    """A report with what the claims are judged by."""
    return {"table2": table(times, **options), "fig3": [], "converter_share": [
        {"model": model, "share": 0.1} for model in ("cbnet-paper", "cbnet-table1", "cbnet-fast")], "fig6": [
        {"model": model, "ratio": ratio, "total_s": ratio * times[model]} for ratio in (0.1, 1.0) for model in
        ("branchynet", "cbnet-table1")]}


def test_claims_hold_where_the_rows_say_so_and_not_where_they_do_not():
    worse = {"adadeep": 0.98, "subflow-0.1": 0.97}
    good = {claim["claim"]: claim["holds"] for claim in claims.judged(made_report(TIMES, accuracy=worse))}
    assert good["CBNet is faster than LeNet"] == "yes" and good["CBNet saves energy against BranchyNet"] == "yes"
    assert good["CBNet is faster than AdaDeep and SubFlow, and more accurate"] == "yes"
    assert good["Conversion turns hard images into easy ones"] == "yes"
    slow = {**TIMES, "cbnet-paper": 1.5, "cbnet-table1": 1.5}
    bad = {claim["claim"]: claim["holds"] for claim in claims.judged(made_report(slow, made_easy=0.05))}
    for claim in good:
        if claim not in ("CBNet keeps LeNet's accuracy", "The converter takes a small part of CBNet's time",
                         "The converter is what makes the lightweight DNN good enough"):
            assert bad[claim] == "no", claim
    mixed = {claim["claim"]: claim for claim in claims.judged(made_report({**TIMES, "cbnet-paper": 1.5}))}
    assert mixed["CBNet is faster than LeNet"]["holds"] == "in part"
    assert "0.67 to 5.00" in mixed["CBNet is faster than LeNet"]["ours"]
    assert all((claim["why"] is None) is (claim["holds"] == "yes") for claim in mixed.values())


def test_a_faster_cbnet_that_reads_worse_is_not_said_to_beat_the_compressors():
    called = "CBNet is faster than AdaDeep and SubFlow, and more accurate"
    for better, holds in (({"adadeep": 1.0, "subflow-0.1": 1.0}, "no"),
                          ({"adadeep": 1.0, "subflow-0.1": 0.9}, "in part")):
        found = next(claim for claim in claims.judged(made_report(TIMES, accuracy=better)) if claim["claim"] == called)
        assert found["holds"] == holds and "of 2 comparisons" in found["ours"]


def test_a_smaller_scope_draws_images_and_keeps_all_where_there_are_few():
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (90, 1, 6, 6), np.uint8), np.arange(90) % 3)
    data = Dataset("made", "made", split, split, split, ("a", "b", "c"))
    small = reduced(data, replace(QUICK, train=30, validation=None, test=500), 1)
    assert (len(small.train), len(small.validation), len(small.test)) == (30, 90, 90)
    assert np.array_equal(small.train.images, reduced(data, replace(QUICK, train=30), 1).train.images)


@pytest.mark.parametrize("words, says", [
    (["--seeds", "0"], "--seeds"), (["--seed", "-1"], "--seed"), (["--threads", "0"], "--threads"),
    (["--datasets", "no-such-thing"], "no-such-thing"), (["--meter", "sun"], "sun"),
    (["--power-seconds", "0"], "--power")])
def test_wrong_options_get_one_line_and_status_two(tmp_path, capsys, words, says):
    assert command.main(["cbnet", "--quick", "--out", str(tmp_path), *words]) == 2
    printed = capsys.readouterr().err.strip()
    assert says in printed and len(printed.splitlines()) == 1 and not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory):
    """The folder of a whole quick evaluation of drawn digits."""
    out = tmp_path_factory.mktemp("evaluation")
    assert command.main(["cbnet", "--quick", "--datasets", "digits", "--threads", "1", "--meter", "gci", "--latencies",
                         str(written(out / "pi.json", GIVEN)), "--out", str(out)]) == 0
    return out


@pytest.mark.slow
def test_a_quick_evaluation_makes_every_table_and_figure(quick_run):
    report = json.loads((quick_run / "report.json").read_text(encoding="utf-8"))
    filled = ("table1", "table2", "fig1", "fig2", "fig3", "fig4", "fig5", "fig9", "ablations", "frontier", "claims",
              "converter_share", "compressors", "windows")  # fig9: Figs. 6 to 8 are those of the paper's data
    assert all(report[key] and all(isinstance(row, dict) for row in report[key]) for key in filled)
    assert all(report[key] == [] for key in ("fig6", "fig7", "fig8"))
    here = {row["model"]: row for row in report["table2"] if row["device"] == THIS_MACHINE}
    assert set(MODELS) | {"adadeep", "subflow-0.1"} <= set(here)
    for row in report["table2"]:
        lenet = next(r for r in report["table2"] if r["device"] == row["device"] and r["model"] == "lenet")
        assert row["energy_mj"] == pytest.approx(row["power_w"] * row["latency_ms"])
        assert row["saving"] == pytest.approx(1 - row["energy_mj"] / lenet["energy_mj"])
        assert row["energy_kind"] in ("modelled", "measured", "estimate") and row["meter"] and row["resolution"]
    subflow = next(row for row in report["compressors"] if row["model"] == "subflow-0.1")
    assert subflow["macs_share"] <= 0.15
    assert here["lenet"]["accuracy"] > 0.7
    html = (quick_run / "report.html").read_text(encoding="utf-8")
    assert "lightweight DNN, no converter" in html and "data:image/png;base64," in html
    assert len(list(quick_run.glob("*.png"))) >= 12


@pytest.mark.slow
def test_a_compressors_checkpoint_does_not_make_a_run_unfinished(quick_run):
    folder = quick_run / "digits-0"
    assert runs.is_finished(folder) and not list((folder / "compressors").iterdir())
    (folder / "compressors" / "adadeep-0123abcd.npz").write_bytes(b"half a search")
    assert runs.is_finished(folder)
    (folder / "compressors" / "adadeep-0123abcd.npz").unlink()


@pytest.mark.slow
def test_the_same_command_trains_nothing_again_and_other_options_are_refused(quick_run, capsys):
    before = {path: path.stat().st_mtime_ns for path in quick_run.glob("digits-0/*")}
    first = json.loads((quick_run / "report.json").read_text(encoding="utf-8"))
    words = ["cbnet", "--quick", "--datasets", "digits", "--threads", "1", "--meter", "gci", "--out", str(quick_run)]
    assert command.main([*words, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert {path: path.stat().st_mtime_ns for path in quick_run.glob("digits-0/*")} == before
    assert [row["accuracy"] for row in again["fig5"]] == [row["accuracy"] for row in first["fig5"]]
    assert command.main([word for word in words if word != "--quick"]) == 2
    assert "another --out" in capsys.readouterr().err
