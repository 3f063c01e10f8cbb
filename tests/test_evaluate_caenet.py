"""The CAE-Net paper's page: what the paper printed, the sections, rows in words, rows made of what others found."""
import json

import pytest

from npcbnet.evaluate.caenet import paper, rows as caenet_rows, sections
from npcbnet.evaluate.page import document
from npcbnet.evaluate.page.markup import Caution
from npcbnet.report import model_name
from tests import made_up_caenet
from tests.read_page import table_of, written

pytestmark = pytest.mark.independent

REPORT = made_up_caenet.report()


def test_the_paper_s_tables_are_whole():
    assert {family: len(rows) for family, rows in paper.TABLES.items()} == {"cifar10": 15, "mnist": 8}
    for rows in paper.TABLES.values():
        assert all(len(row) == 11 for row in rows.values())
    assert paper.cells("cifar10", "caenet") == {
        "paper_latency_ms": 9.16, "paper_speedup": 4.05, "paper_energy_mj": 37.73, "paper_energy_ratio": 4.1,
        "paper_nano_latency_ms": 0.89, "paper_nano_speedup": 5.7, "paper_nano_energy_mj": 5.3,
            "paper_nano_energy_ratio": 6.05, "paper_parameters": 900_000,
        "paper_file_bytes": 3_500_000, "paper_accuracy": 0.824, "paper_slo_ms": 20}
    lenet = paper.cells("mnist", "lenet-wc")
    assert lenet["paper_file_bytes"] == 52_690 and lenet["paper_accuracy"] == 0.9915 and lenet["paper_slo_ms"] == 10
    assert paper.cells("mnist", "branchynet")["paper_energy_mj"] is None  # N/A
    assert paper.cells("mnist", "caenet-transfer") == paper.cells("mnist", "caenet")
    for family, model in (("fmnist", "caenet"), ("mnist", "caenet-scratch"), ("mnist", "alexnet"), ("", "")):
        assert set(paper.cells(family, model).values()) == {None}


def test_the_paper_s_ratios_are_recomputed():
    """Each printed speed-up and ratio follows from the printed times and energies, but for those that are listed."""
    listed = {(row["model"], row["device"], row["what"]) for row in paper.contradictions()}
    assert listed == {
        ("vgg16-pruned", paper.PI, "speed-up"), ("resnet32", paper.NANO, "speed-up"),
        ("branchynet", paper.PI, "speed-up"),
        ("alexnet-kd", paper.PI, "abstract: over 4-fold faster than distilled AlexNet"),
        ("alexnet-kd", paper.PI, "abstract: over 4-fold less energy than distilled AlexNet")}
    by_model = {row["model"]: row for row in paper.contradictions()}
    assert by_model["vgg16-pruned"]["recomputed"] == pytest.approx(37.1 / 135.67)
    assert by_model["branchynet"]["dataset"] == "mnist" and by_model["branchynet"]["printed"] == 5.4
    for family, base in paper.BASELINES.items():
        for model in paper.TABLES[family]:
            for column, ratio in (("ms", "speedup"), ("mj", "ratio")):
                numbers = [paper.number(family, *cell) for cell in
                           ((base, paper.PI, column), (model, paper.PI, column), (model, paper.PI, ratio))]
                if None not in numbers and (model, paper.PI, "speed-up") not in listed:
                    assert numbers[0] / numbers[1] == pytest.approx(numbers[2], rel=0.1), (family, model, column)


def test_what_the_text_says_fits_the_tables():
    assert 1 - paper.LOSS_WITH / paper.LOSS_WITHOUT == pytest.approx(0.46, abs=0.005)
    for family, parameters in (("cifar10", 9.3), ("mnist", 89.6)):
        base = paper.BASELINES[family]
        assert paper.number(family, f"{base}-wp", None, "parameters") / parameters == pytest.approx(0.625, abs=0.002)
        assert paper.TRANSFER[family][1] == paper.cells(family, "caenet")["paper_accuracy"]
        assert all(paper.number(family, "caenet", device, "ms") < limit for device, limit in
                   paper.SLO_MS[family].items())
    assert paper.OVER <= paper.number("cifar10", "caenet", paper.PI, "speedup")


def test_every_section_is_on_the_page(tmp_path):
    found, markdown, html = written(tmp_path, REPORT)
    assert found["facts"]["paper"] == "caenet" and markdown.startswith("# CAE-Net: ")
    tables = ["table1", "table2", "table3"]
    keys = [key for key in REPORT if key not in ("facts", "windows")] + [f"{key}-sizes" for key in tables]
    assert set(html.ids) == set(keys) and len(html.links) == len(keys)
    assert html.ids[:4] == ["claims", "table1", "table1-sizes", "table2"]
    for section in sections.sections(REPORT):
        assert section.text in html.text and section.title in html.text and section.title in markdown
    for text in ("### MNIST", "CAE-Net, pruned to the SLO", "LeNet-WC", "lightweight DNN, no converter", "not faster"):
        assert text in markdown.replace("\\", ""), text


def test_columns_are_told_apart_and_all_of_them_are_known():
    for section in sections.sections(REPORT):
        heads = [column.heading for column in section.columns]
        assert len(set(heads)) == len(heads), section.key
        shown = {key for row in section.rows(REPORT) for key in row} | {"model"}
        unknown = {column.key for column in section.columns} - shown
        assert unknown <= {"seeds"}, section.key


def test_sizes_that_are_not_the_papers_have_a_note():
    cells = {"dataset": "cifar10", "device": "this machine", "latency_ms": 1.0}
    rows = sections.here([{**cells, "model": "resnet32", "parameters": 464_154, "paper_parameters": 16e6},
                          {**cells, "model": "resnet18", "parameters": 11.2e6, "paper_parameters": 11e6},
                          {**cells, "model": "adadeep", "parameters": 8_532, "paper_parameters": 59_700},
                          {**cells, "model": "subflow-0.1", "parameters": 67_824, "paper_parameters": 8_960},
                          {**cells, "model": "alexnet-wc", "parameters": 9.2e6, "paper_parameters": 5.81e6},
                          {**cells, "model": "branchynet", "parameters": 605_886, "paper_parameters": 9.3e6}])
    notes = [row["size_note"] for row in rows]
    assert "16 million" in notes[0] and notes[1] is None and notes[2] is None and "subgraphs" in notes[3]
    assert "pruned as well" in notes[4] and "9.3 million" in notes[5]


def test_a_variant_that_is_not_faster_says_so():
    rows = {(row["model"], row["device"]): row for row in table_of(REPORT, "table1")}
    verdict = {model: row["than the baseline"] for (model, device), row in rows.items() if device == "this machine"}
    assert verdict["AlexNet"] == "the baseline" and verdict["CAE-Net"] == "faster"
    assert verdict["AlexNet-WP"] == "not faster: 0.95 times as fast as AlexNet"
    assert verdict["AlexNet-WC"] == "not faster: 0.99 times as fast as AlexNet"
    assert "as fast as LeNet" in str(table_of(REPORT, "table2"))
    guess, = sections.in_words([{"dataset": "a", "model": "x", "speedup": 0.5}])
    assert guess["verdict"] == "not faster: 0.50 times as fast as it"
    assert sections.in_words([{"dataset": "a", "model": "x", "faster": False}])[0]["verdict"] == "not faster"
    assert sections.in_words([{"dataset": "a", "model": "x"}])[0]["verdict"] is None


def test_cells_have_units_spreads_and_the_paper_s_own():
    rows = {(row["model"], row["device"]): row for row in table_of(REPORT, "table1")}
    net = rows["CAE-Net", "this machine"]
    assert net["time, ms"] == "0.680 ± 0.014" and net["SLO, ms"] == "0.750" and net["meets it"] == "yes"
    assert net["paper: Raspberry Pi 4, ms"] == "9.16" and net["paper: times"] == "4.05×"
    assert net["times less energy"] == "4.26×" and net["paper: times less"] == "4.10×" and net["seeds"] == "3"
    assert rows["CAE-Net", made_up_caenet.ESTIMATE]["SLO, ms"] == "20.0"
    assert rows["AlexNet-WP", "this machine"]["paper: Raspberry Pi 4, ms"] == "39.05"  # as it is printed
    mnist = table_of(REPORT, "table2")[0]
    assert mnist["time, µs"] == "18.2 ± 0.4" and mnist["paper: Jetson Nano, ms"] == "0.47"


def test_sizes_are_shown_once_and_no_accuracy_is_made_up():
    rows = {row["model"]: row for row in table_of(REPORT, "table1-sizes")}
    assert len(rows) == len(made_up_caenet.MODELS["alexnet"])  # this machine's alone
    assert rows["VGG16"]["accuracy, %"] == "not trained here" and rows["VGG16"]["paper: accuracy, %"] == "93.56"
    assert rows["AlexNet-WP"]["not zero"] == "5,750,000" and rows["AlexNet-WP"]["paper: parameters"] == "5,810,000"
    assert rows["CAE-Net"]["accuracy, %"] == "84.60 ± 0.09" and rows["CAE-Net"]["paper: kB"] == "3,500"
    light = next(row for row in table_of(REPORT, "table2-sizes") if row["model"].startswith("lightweight"))
    assert light["paper: accuracy, %"] == "–"


def test_rows_that_do_not_count_are_warned_of():
    blocks = [block.text for block in document.head(REPORT, sections) if isinstance(block, Caution)]
    assert len(blocks) == 1 + 2 and any("lenet-wc" not in text and "LeNet-WC" in text for text in blocks)


def test_sections_without_rows_are_left_out(tmp_path):
    for gone in [key for key in REPORT if key not in ("facts", "windows")]:
        found, _, html = written(tmp_path, {**REPORT, gone: []})
        assert gone not in html.ids and f"{gone}-sizes" not in html.ids and len(html.ids) >= 15 - 1
        assert found[gone] == []
    for empty in ({"facts": {"paper": "caenet"}}, {"facts": {"paper": "caenet"}, "table1": None, "table٣": [1]},
                  {"facts": {"paper": "caenet"}, "fig6": [{"a": 1}], "elbow": [{"class_name": "x"}]}):
        _, markdown, html = written(tmp_path, empty)
        assert markdown.startswith("# CAE-Net") and not html.ids
    _, markdown, html = written(tmp_path, {"facts": {"paper": "caenet"}, "table1": [{}], "fig5": [{"dataset": None}]})
    assert "fig5" in html.ids


def test_missing_numbers_are_dashes(tmp_path):
    report = json.loads(json.dumps(REPORT))
    for key, rows in report.items():
        if key not in ("facts", "claims"):
            rows[0].update({name: float("nan") for name, value in rows[0].items() if isinstance(value, float | int)})
    _, _, html = written(tmp_path, report)
    assert "nan" not in html.text.lower().split() and table_of(report, "table1")[0]["time, ms"] == "–"


@pytest.mark.parametrize("elbow", [3, 3.2, True])
def test_the_elbow_is_marked_in_its_row(elbow):
    rows = [{"dataset": "a", "clusters": count, "inertia": 9 - count,
             "elbow": count == 3 if elbow is True else elbow} for count in range(1, 6)]
    shown = table_of({"facts": {"paper": "caenet"}, "elbow": rows}, "elbow")
    assert [row["elbow"] for row in shown] == ["no", "no", "yes", "no", "no"]


def test_fig_1_is_made_of_the_tables():
    rows = caenet_rows.fig1(REPORT)
    assert len(rows) == 16 + 14 + 14 and {row["dataset"] for row in rows} == set(made_up_caenet.SETS)
    assert rows[0]["paper_slo_ms"] == 20 and rows[16]["slo_ms"] == made_up_caenet.SLO["lenet"]
    assert caenet_rows.baselines([{"dataset": "c", "model": "lenet"}, {"dataset": "c", "model": "alexnet"},
                                  {"dataset": "d", "model": "lenet"}, {"dataset": "e", "model": "x"}]) == {
        "c": "alexnet", "d": "lenet", "e": None}


def test_rows_of_clusters_pruning_and_search():
    first = caenet_rows.fig2(made_up_caenet._pairs("mnist"))
    assert len(first) == 3 and first[1] == {
        "dataset": "mnist", "class_name": "airplane", "cluster": 2, "images": 1700, "easy_index": 15,
        "easy_entropy": 1e-4, "hard_index": 14, "hard_entropy": 1.3}
    steps = [{"step": "original", "way": None, "kept": None, "latency_ms": 2.0, "accuracy": 0.9, "macs": 5,
              "parameters": 7, "storage_bytes": 28, "met": False, "frontier": True, "chosen": False},
             {"step": "connections", "way": "blocks", "kept": 0.35, "latency_ms": 1.5, "accuracy": 0.9, "macs": 5,
              "parameters": 3, "storage_bytes": 12, "met": False, "frontier": True},
             {"step": "channels 1", "way": "even", "kept": {"conv1": 4, "fc1": 10}, "latency_ms": 0.9,
              "accuracy": 0.89, "macs": 3, "parameters": 3, "storage_bytes": 12, "met": True, "chosen": True}]
    rows = caenet_rows.slo_rows(steps, 1.0, "mnist")
    assert [row["kept"] for row in rows] == [None, "35% of the connections", "conv1: 4, fc1: 10"]
    assert [row["meets"] for row in rows] == [False, False, True] and {row["slo_ms"] for row in rows} == {1.0}
    tried = [{"architecture": f"conv {i}/2", "stage": stage, "latency_ms": 1.0, "accuracy": 0.9, "macs": 3,
              "parameters": 4} for i, stage in enumerate(("2 epochs", "full"))]
    rows = caenet_rows.search_rows(tried, 2.0, "mnist")
    assert [row["chosen"] for row in rows] == [False, True] and rows[0]["round"] == "2 epochs"


@pytest.mark.parametrize("model, name", [
    ("lenet-kd", "LeNet-KD"), ("alexnet-wc", "AlexNet-WC"), ("caenet", "CAE-Net"), ("caenet-scratch",
                                                                                   "CAE-Net (scratch)"),
    ("caenet-slo", "CAE-Net, pruned to the SLO"), ("vgg16", "VGG16"), ("vgg16-pruned", "VGG16, pruned"),
    ("resnet50-pruned", "ResNet-50, pruned"), ("mobilenetv2", "MobileNetV2"), ("lenet-x", "LeNet (x)")])
def test_models_have_names(model, name):
    assert model_name({"model": model}) == name
