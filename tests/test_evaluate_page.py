"""The evaluation's page: strict JSON, whole Markdown tables, HTML that needs nothing else, and hostile texts."""
import base64
import json

import numpy as np
import pytest

from npcbnet.errors import UsageError
from npcbnet.evaluate.cbnet import sections
from npcbnet.evaluate.page import document
from npcbnet.evaluate.page.markup import Caution
from tests import made_up_caenet, made_up_report
from tests.read_page import EVIL, picture, table_of, written

pytestmark = pytest.mark.independent

REPORT = made_up_report.report()


def test_every_section_is_on_the_page(tmp_path):
    found, markdown, html = written(tmp_path, REPORT)
    assert found["table2"][0]["latency_ms"] == 0.0183 and found["windows"]
    assert found["facts"]["seeds"] == [0, 1, 2]
    keys = [key for key in REPORT if key not in ("facts", "windows")]
    assert set(html.ids) == set(keys) and len(html.links) == len(keys)
    for section in sections.sections(REPORT):
        assert section.text in html.text and section.title in html.text and section.title in markdown
    for text in ("python -m npcbnet.evaluate cbnet --quick", "AMD EPYC, 2 cores", "npcbnet 1.0", "2026-11-21",
                 "0, 1, 2", "55,000", "lightweight DNN, no converter", "SubFlow at 10 %", "AdaDeep", "CBNet (paper)"):
        assert text in html.text, text
        assert text in markdown.replace("\\", ""), text


def test_cells_have_units_spreads_and_dashes():
    rows = {(row["model"], row["device"]): row for row in table_of(REPORT, "table2")}
    lenet = rows["LeNet", "this machine"]
    assert lenet["time, µs"] == "18.3 ± 0.5" and lenet["paper: time, µs"] == "12,735"
    assert lenet["accuracy, %"] == "99.36 ± 0.20" and lenet["paper: accuracy, %"] == "99.11"
    assert lenet["early exits, %"] == "–" and lenet["times as fast as LeNet"] == "1.00×"
    assert lenet["energy, mJ"] == "0.188" and lenet["energy is"] == "modelled" and lenet["invalid"] == "–"
    assert rows["LeNet", "Raspberry Pi 4, estimate"]["time, µs"] == "219.6 ± 0.5"
    assert rows["BranchyNet", "this machine"]["early exits, %"] == "96.12 ± 3.00"
    assert rows["CBNet (fast)", "Raspberry Pi 4, estimate"]["invalid"] == "the processor was throttled"
    assert rows["lightweight DNN, no converter", "this machine"]["paper: time, µs"] == "–"
    assert "resolution" not in lenet  # no row has one


def test_slow_machines_speak_of_milliseconds():
    rows = [{**row, "latency_ms": 1000 * row["latency_ms"]} for row in REPORT["fig5"]]
    assert table_of({"fig5": rows}, "fig5")[0]["time, ms"] == "18.300 ± 0.001"


def test_every_invalid_row_has_its_own_warning(tmp_path):
    blocks = [block.text for block in document.head(REPORT, sections) if isinstance(block, Caution)]
    assert len(blocks) == 1 + sum(bool(row["invalid"]) for row in REPORT["table2"]) and "quick" in blocks[0]
    assert any("Fashion-MNIST, CBNet (fast), this machine" in text and "throttled" in text for text in blocks)
    _, markdown, html = written(tmp_path, REPORT)
    assert html.text.count("Warning") == len(blocks) == markdown.count("> **Warning**")


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize("paper", ["cbnet", "caenet"])
def test_hostile_texts_stay_texts(tmp_path, paper, evil):
    report = made_up_report.report(("MNIST",), (0,), ("lenet", "cbnet-fast")) if paper == "cbnet" else \
        made_up_caenet.report(("mnist",), (0,))
    for rows in report.values():
        for row in rows if isinstance(rows, list) else ():
            row.update({key: evil for key, value in row.items() if isinstance(value, str)})
    report["facts"].update(command=f"run '{evil}'", notes=[evil], versions={evil: evil}, date=evil,
                           machine={"cpu": evil}, datasets=[{"name": evil, "train": evil}])
    path = picture(tmp_path / "a b].png")
    _, markdown, html = written(tmp_path, report, {"fig5": [(path, evil)]})
    visible = " ".join("".join(letter if letter.isprintable() else " " for letter in evil).split())
    assert html.text.count(visible) > 20 and html.images[0]["alt"] == visible
    outside = markdown.split("```")[-1]
    assert "<script" not in outside and "<img" not in outside and "a%20b%5D.png)" in markdown
    assert len([line for line in markdown.splitlines() if line.startswith("# ")]) == 1


@pytest.mark.parametrize("hole", [None, float("nan"), float("inf"), np.float32("nan")])
def test_missing_numbers_are_dashes(tmp_path, hole):
    report = made_up_report.report(("MNIST",), (0,))
    for key, rows in report.items():
        if key not in ("facts", "claims"):
            rows[0].update({name: hole for name, value in rows[0].items() if isinstance(value, float | int)})
    found, _, html = written(tmp_path, report)
    assert found["table2"][0]["latency_ms"] is None and "nan" not in html.text.lower().split()
    assert table_of(report, "table2")[0]["time, µs"] == "–"
    assert table_of(report, "fig5")[1]["time, µs"] == "6.60"  # one seed: no spread


@pytest.mark.parametrize("report", [{}, {"facts": {}}, {"facts": None, "table2": []},
                                    {"facts": {"notes": "one"}, "fig6": None},
                                    {"table2": [{}]}, {"table2": [{"model": "lenet"}, {"dataset": None}]},
                                    {"table1": [{"layer": None, "macs": 5}], "figure": [1], "fig": [1], "fig٣": [1]}])
def test_a_nearly_empty_report_is_a_short_page(tmp_path, report):
    _, markdown, html = written(tmp_path, report)
    assert markdown.startswith("# CBNet") and len(html.ids) <= 1


def test_more_or_fewer_data_sets_than_the_papers():
    for count in (1, 5):
        report = made_up_report.report([f"set {i}" for i in range(count)], models=("lenet", "cbnet-fast"))
        figures = [section.key for section in sections.sections(report) if section.title.endswith("more images")]
        assert figures == [f"fig{6 + i}" for i in range(count)]


def test_pictures_are_inside_and_a_missing_one_is_named(tmp_path):
    path = picture(tmp_path / "a.png")
    pictures = {"fig5": [(path, "One"), (str(path), "Two")], "unknown": [(path, "No")]}
    _, markdown, html = written(tmp_path, REPORT, pictures)
    assert [image["alt"] for image in html.images] == ["One", "Two"]
    assert base64.b64decode(html.images[0]["src"].partition(",")[2]) == path.read_bytes()
    assert (html.images[0]["width"], html.images[0]["height"]) == ("13", "7")
    assert "![One](../a.png)" in markdown
    with pytest.raises(UsageError, match="gone.png"):
        document.write(tmp_path / "out", REPORT, sections, {"fig5": [(tmp_path / "gone.png", "x")]})
    path.write_text("no picture")
    with pytest.raises(UsageError, match="no PNG"):
        document.write(tmp_path / "out", REPORT, sections, {"fig5": [(path, "x")]})


def test_the_same_report_makes_the_same_files(tmp_path):
    first = [path.read_bytes() for path in document.write(tmp_path / "a", REPORT, sections)]
    assert first == [path.read_bytes() for path in document.write(tmp_path / "b", REPORT, sections)]


def test_an_unwritable_folder_is_a_usage_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="report.json"):
        document.write(tmp_path / "file", REPORT, sections)


def test_columns_of_one_section_are_told_apart():
    for section in sections.sections(REPORT):
        heads = [column.heading for column in section.columns]
        assert len(set(heads)) == len(heads), section.key
        shown = {key for row in REPORT[section.key] for key in row}
        assert {column.key for column in section.columns} <= shown | {"model", "activation", "utilisation"}, section.key


def test_data_sets_are_shown_by_their_titles_and_kept_by_their_names(tmp_path):
    made = json.loads(json.dumps(REPORT))
    made["facts"]["datasets"][0]["name"], title = "short-name", made["facts"]["datasets"][0]["title"]
    for rows in made.values():
        for row in rows if isinstance(rows, list) else ():
            if row.get("dataset") == title:
                row["dataset"] = "short-name"
    kept, shown, _ = document.write(tmp_path, made, sections)
    assert "short-name" not in shown.read_text(encoding="utf-8") and f"### {title}" in shown.read_text(encoding="utf-8")
    assert json.loads(kept.read_text(encoding="utf-8"))["table2"][0]["dataset"] == "short-name"
