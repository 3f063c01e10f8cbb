"""The verdict on the CAE-Net paper's claims: it follows the rows, and nothing else."""
import copy

import pytest

from npcbnet.evaluate.caenet import claims as caenet_claims, rows as caenet_rows
from tests import made_up_caenet

pytestmark = pytest.mark.independent

REPORT = made_up_caenet.report(("cifar10", "mnist"))
ALEXNET, LENET, ENERGY, SLO, LARGE, BEST, VARIANTS, SPEED, LIGHT, FAST, ENCODER, LOSS, KMEANS, ELBOW, TRANSFER, \
    SCRATCH, DEAD, PRUNING = (row["claim"] for row in caenet_claims.judged(REPORT))


def judged(changes=(), drop=(), report=REPORT):
    """{claim: row} once rows are changed: [(section, {key: value that a row must have}, {key: new value})]."""
    report = copy.deepcopy({key: rows for key, rows in report.items() if key not in drop})
    for section, where, new in changes:
        rows = [row for row in report[section] if all(row.get(key) == value for key, value in where.items())]
        assert rows, (section, where)
        for row in rows:
            row.update({key: value(row[key]) if callable(value) else value for key, value in new.items()})
    return {row["claim"]: row for row in caenet_claims.judged(report)}


def test_every_claim_has_a_verdict_and_a_reason():
    found = judged()
    assert len(found) == 18
    for row in found.values():
        assert row["holds"] in ("yes", "no", "in part") and row["ours"] and row["paper"]
        assert (row["why"] is None) == (row["holds"] == "yes") and row["why"] != ""


HERE = {"device": "this machine"}
WORSE = "branchynet", "adadeep", "caenet-scratch"  # once they are: better than CAE-Net, and fast enough
ALL = {"dataset": "cifar10", "class_name": None}
MINE = {**HERE, "model": "caenet"}
ALIKE = "clustering", {"method": caenet_rows.ONE_TARGET}, {"reconstruction_loss": 0.05,
                                                           "reconstruction_loss_validation": 0.05}
RANDOM, CLUSTERED = ({"dataset": "cifar10", "method": kind} for kind in (caenet_rows.RANDOM_TARGET, caenet_rows.KMEANS))


@pytest.mark.parametrize("claim, before, changes, after", [
    (ALEXNET, "yes", [("table1", MINE, {"latency_ms": 1.5})], "in part"),
    (ALEXNET, "yes", [("table1", MINE, {"accuracy": 0.8})], "in part"),
    (ALEXNET, "yes", [("table1", MINE, {"latency_ms": 3.0})], "no"),
    (LENET, "in part", [("table2", MINE, {"latency_ms": 0.011})], "yes"),
    (LENET, "in part", [("table2", MINE, {"latency_ms": 0.011, "accuracy": 0.981})], "in part"),
    (LENET, "in part", [("table2", MINE, {"latency_ms": 0.02})], "no"),
    (ENERGY, "in part", [("table2", MINE, {"energy_mj": 0.01})], "yes"),
    (SLO, "yes", [("table2", {"model": "caenet", "device": made_up_caenet.ESTIMATE}, {"meets_slo": False})], "in part"),
    (SLO, "yes", [(table, {"model": "caenet"}, {"meets_slo": False}) for table in ("table1", "table2")], "no"),
    (LARGE, "yes", [("table1", {"model": "mobilenetv2", **HERE}, {"meets_slo": True})], "in part"),
    (BEST, "no", [("table2", {**HERE, "model": key}, {"accuracy": 0.98}) for key in WORSE], "in part"),
    (BEST, "no", [(table, {**HERE, "model": key}, {"accuracy": 0.8}) for table, keys in
                  (("table1", ("caenet-scratch",)), ("table2", WORSE)) for key in keys], "yes"),
    (VARIANTS, "in part", [(table, MINE, {"latency_ms": 1e-4, "accuracy": 0.999}) for table in ("table1", "table2")],
     "yes"),
    (SPEED, "yes", [("table1", {**HERE, "model": "alexnet-wp"}, {"latency_ms": 2.0})], "in part"),
    (LIGHT, "in part", [("table2", MINE, {"latency_ms": 0.004})], "yes"),
    (LIGHT, "in part", [("table2", MINE, {"accuracy": 0.98})], "no"),
    (FAST, "yes", [("table2", {**HERE, "model": "caenet-fast"}, {"accuracy": 0.985})], "in part"),
    (FAST, "yes", [("table2", {**HERE, "model": "caenet-fast"}, {"latency_ms": 0.003})], "in part"),
    (ENCODER, "yes", [("fig5", {"dataset": "mnist", "part": "encoder"}, {"latency_share": 0.4})], "in part"),
    (ENCODER, "yes", [("fig5", {"dataset": "mnist", "part": "encoder"}, {"latency_share": 0.95})], "in part"),
    (LOSS, "in part", [("clustering", CLUSTERED, {"reconstruction_loss_validation": 0.03}), ALIKE], "yes"),
    (LOSS, "in part", [("clustering", CLUSTERED, {"reconstruction_loss_validation": 0.07})], "no"),
    (LOSS, "in part", [("clustering", RANDOM, {"reconstruction_loss_validation": None}),
                       ("clustering", CLUSTERED, {"reconstruction_loss": 0.03}), ALIKE], "yes"),
    (KMEANS, "in part", [("clustering", {"method": "k-means"}, {"accuracy": 0.9})], "yes"),
    (KMEANS, "in part", [("clustering", {"method": "k-means"}, {"accuracy": 0.7})], "no"),
    (ELBOW, "in part", [("elbow", {**ALL, "clusters": 1}, {"inertia": 300}), ("elbow", {**ALL, "clusters": 2},
                                                                              {"inertia": 180})], "yes"),
    (ELBOW, "in part", [("elbow", {**ALL, "clusters": 1}, {"inertia": 900})], "no"),
    (TRANSFER, "in part", [("transfer", {"dataset": "cifar10", "variant": caenet_rows.TRANSFERRED},
                            {"accuracy": 0.83})], "yes"),
    (TRANSFER, "in part", [("transfer", {"variant": caenet_rows.RANDOM}, {"accuracy": 0.995})], "no"),
    (SCRATCH, "no", [("transfer", {"dataset": "mnist", "variant": caenet_rows.TUNED}, {"accuracy": 0.9955})],
     "in part"),
    (SCRATCH, "no", [("transfer", {"variant": caenet_rows.SCRATCH}, {"accuracy": 0.5})], "yes"),
    (DEAD, "no", [("dead", {"model": "caenet"}, {"share": 0.001})], "yes"),
    (DEAD, "no", [("dead", {"model": "caenet", "dataset": "mnist"}, {"share": 0.001})], "in part"),
    (PRUNING, "yes", [("table2", {**HERE, "model": "caenet-slo"}, {"accuracy": 0.9})], "in part"),
    (PRUNING, "yes", [("table1", {**HERE, "model": "caenet-slo"}, {"latency_ms": 0.4})], "in part"),
])
def test_a_verdict_follows_its_rows(claim, before, changes, after):
    first, then = judged()[claim], judged(changes)[claim]
    assert (first["holds"], then["holds"]) == (before, after), then
    assert then != first


def test_one_target_a_class_is_told_where_it_lowers_the_loss_more():
    clusters = ("clustering", CLUSTERED, {"reconstruction_loss_validation": 0.03})
    found = judged([clusters])[LOSS]
    assert found["holds"] == "in part" and "0.0223 with one target" in found["ours"]
    assert found["why"].startswith("one target a class")


def test_no_network_without_a_converter_counts_as_cae_net():
    worse = [(table, {**HERE, "model": key}, {"accuracy": 0.8}) for table, keys in
             (("table1", ("caenet-scratch",)), ("table2", WORSE)) for key in keys]
    assert judged(worse)[BEST]["holds"] == "yes"
    found = judged([*worse, ("table2", {**HERE, "model": "caenet-fast"}, {"accuracy": 0.9999})])[BEST]
    assert found["holds"] == "in part" and "the best other CAE-Net (fast) 99.99%" in found["ours"]


def test_a_difference_within_the_spread_is_none():
    changes = [("transfer", {"dataset": "mnist", "variant": caenet_rows.TUNED},
                {"accuracy": 0.9938, "accuracy_spread": 0.002})]
    assert judged(changes)[SCRATCH]["holds"] == "no"
    changes[0][2]["accuracy_spread"] = None
    assert judged(changes)[SCRATCH]["holds"] == "in part"
    scratch = ("transfer", {"dataset": "mnist", "variant": caenet_rows.SCRATCH}, {"accuracy_spread": None})
    changes[0][2]["accuracy"] = 0.9930  # 0.07 points more: of one seed 10,000 test images tell 0.08
    assert judged([*changes, scratch])[SCRATCH]["holds"] == "no"


def test_times_are_means_of_the_ratios_in_each_run():
    """Where LeNet's runs were slow, and CAE-Net's not, the ratio of the means is another."""
    slow = [("table2", {**HERE, "model": "lenet"}, {"latency_ms": 0.03, "speedup": 1.0, "speedup_spread": 0.0}),
            ("table2", MINE, {"speedup": 1.44, "speedup_spread": 0.04})]
    assert judged(slow)[LENET]["ours"].startswith("MNIST: 1.44 times") and judged(slow)[LENET]["holds"] == "in part"


def test_a_lead_of_a_few_test_images_is_none():
    few = [(table, {**HERE, "model": key}, {"accuracy": 0.845, "accuracy_spread": None}) for table, keys in
           (("table1", ("caenet-scratch",)), ("table2", WORSE)) for key in keys]
    few += [("table1", {**HERE, "model": "caenet"}, {"accuracy_spread": None})]
    assert "84.60%" in judged(few)[BEST]["ours"] and judged(few)[BEST]["holds"] == "in part"


def test_a_network_that_is_fast_for_want_of_the_papers_size_is_told():
    small = {"latency_ms": 0.1, "meets_slo": True, "parameters": 464_154, "paper_parameters": 16e6}
    assert "(0.46 of the paper's 16 million parameters)" in judged([("table1", {**HERE, "model": "mobilenetv2"},
                                                                     small)])[LARGE]["why"]


def test_the_paper_s_side_is_counted_from_its_tables():
    found = judged()
    assert found[VARIANTS]["paper"] == "Table I: 6 of 6; Table II: 1 of 6"
    assert found[BEST]["paper"] == "Table I: CAE-Net 82.40%; Table II: LeNet-WC 99.15%"
    assert found[FAST]["paper"].startswith("CBNet is 6.8 times as fast as LeNet with 98.61%")
    assert "9.16 of 20 ms (Raspberry Pi 4)" in found[SLO]["paper"]


def test_ours_names_data_sets_by_their_titles_and_devices_by_their_names():
    found = judged()
    assert found[ALEXNET]["ours"] == "CIFAR-10: 4.26 times, 84.60%, +2.30 points"
    assert "MNIST, this machine: 13.1 µs of 14 µs" in found[SLO]["ours"]
    assert "CIFAR-10, Raspberry Pi 4, estimate: 8.16 ms of 20 ms" in found[SLO]["ours"]
    assert "AlexNet-KD" in found[VARIANTS]["why"] and "MNIST: LeNet-KD" in found[VARIANTS]["why"]


@pytest.mark.parametrize("drop, gone", [
    (("table1",), {ALEXNET, LARGE}), (("table2",), {LENET, LIGHT, FAST}), (("fig5",), {ENCODER}),
    (("clustering",), {LOSS, KMEANS}), (("elbow",), {ELBOW}), (("transfer",), {TRANSFER, SCRATCH}),
    (("dead",), {DEAD}), (("slo",), {PRUNING}),
    (("table1", "table2"), {ALEXNET, LENET, ENERGY, SLO, LARGE, BEST, VARIANTS, SPEED, LIGHT, FAST, PRUNING})])
def test_a_claim_without_its_rows_is_not_judged(drop, gone):
    assert set(judged()) - set(judged(drop=drop)) == gone


def test_other_data_sets_are_judged_where_the_paper_s_are_not_there():
    found = judged(report=made_up_caenet.report(("fmnist",), (0,)))
    assert found[LENET]["holds"] == "in part" and found[LENET]["ours"].startswith("Fashion-MNIST: 1.39 times")
    assert found[FAST]["holds"] == "yes" and ALEXNET not in found  # 89.92 % against CBNet's 89.59 %
    assert judged(report={}) == {} and judged(report={"facts": None, "table1": None, "table2": [{}]}) == {}


@pytest.mark.parametrize("hole", [None, float("nan"), 0, "?"])
def test_holes_stop_no_judge(hole):
    report = copy.deepcopy(REPORT)
    for key, rows in report.items():
        for i, row in enumerate(rows if isinstance(rows, list) else ()):
            if i % 3 == 0:
                row.update({name: hole for name, value in row.items() if isinstance(value, float | int)
                            and name != "clusters"})
    assert isinstance(caenet_claims.judged(report), list)
