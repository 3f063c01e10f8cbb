"""npcbnet.report and npcbnet.machine: strict JSON, complete tables, missing numbers, hostile names, light imports."""
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from npcbnet import machine, report
from npcbnet.errors import UsageError

pytestmark = pytest.mark.independent

ROWS = [
    {"model": "lenet", "accuracy": 0.9912, "accuracy_easy": 0.9991, "accuracy_hard": 0.91234, "exit_rate": None,
     "macs": 1_140_070, "parameters": 67_824, "bytes": 271_296, "latency_ms": 0.0881, "latency_p95_ms": 0.101},
    {"model": "branchynet", "accuracy": 0.991, "accuracy_easy": 0.9991, "accuracy_hard": 0.91, "exit_rate": 0.9363,
     "macs": 285_600, "parameters": 74_694, "bytes": 298_776, "latency_ms": 0.0281, "latency_p95_ms": 0.1209},
    {"model": "lightweight", "accuracy": 0.9901, "macs": 220_150, "parameters": 7_000, "bytes": 28_000,
     "latency_ms": 0.0181, "latency_p95_ms": 0.02},
    {"model": "cbnet", "accuracy": np.float32(0.9891), "accuracy_hard": float("nan"), "exit_rate": 0.9363,
     "exit_rate_converted": 0.98, "macs": np.int64(313_000), "parameters": 100_123, "bytes": 400_492,
     "latency_ms": 0.0222, "latency_p95_ms": 0.03, "fine_tuned": True},
]
FACTS = {"dataset": "MNIST", "command": "python -m npcbnet.train mnist --seed 3", "seed": 3, "epochs": {"lenet": 12},
         "threshold": 0.05, "threads": 1, "recipe": "fast", "notes": ["one | two", "three"]}


def strict(path):
    """The parsed file; NaN and infinity are errors."""
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")
    return json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=refuse)


def cells(table):
    """The cells of a Markdown table, line by line."""
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]


def test_report_json_is_strict_and_round_trips(tmp_path):
    path, _ = report.write_report(tmp_path, ROWS, {**FACTS, "machine": machine.describe(), "curve": np.arange(3)})
    found = strict(path)
    assert list(found)[0] == "rows" and found["threshold"] == 0.05 and found["curve"] == [0, 1, 2]
    assert [row["model"] for row in found["rows"]] == ["lenet", "branchynet", "lightweight", "cbnet"]
    cbnet = found["rows"][3]
    assert cbnet["accuracy_hard"] is None and cbnet["macs"] == 313_000 and cbnet["fine_tuned"] is True
    assert cbnet["accuracy"] == pytest.approx(0.9891) and found["rows"][0] == ROWS[0]
    assert report.clean(found) == found
    assert sorted(file.name for file in tmp_path.iterdir()) == ["report.json", "report.md"]


def test_clean_knows_what_a_run_hands_over():
    @dataclasses.dataclass
    class Plan:
        epochs: int
        rate: float

    value = {1: Plan(2, float("inf")), "p": Path("a/b"), "t": (np.float64("nan"), np.bool_(True)),
             "a": np.array([[1.5, np.nan]]), "n": None, "s": "a\udce9b"}
    assert report.clean(value) == {"1": {"epochs": 2, "rate": None}, "p": "a/b", "t": [None, True],
                                   "a": [[1.5, None]], "n": None, "s": "a?b"}


def test_markdown_table_has_every_row_and_number():
    table = cells(report.markdown_table(ROWS, FACTS))
    head, rows = table[0], {row[0]: row for row in table[2:]}
    assert list(rows) == ["LeNet", "BranchyNet at T = 0.05", "lightweight DNN, no converter", "CBNet (fast)"]
    assert all(len(row) == len(head) for row in table[:1] + table[2:])
    lenet = dict(zip(head, rows["LeNet"]))
    assert lenet["accuracy %"] == "99.12" and lenet["hard %"] == "91.23" and lenet["MACs"] == "1,140,070"
    assert lenet["latency µs"] == "88.1" and lenet["95 % µs"] == "101" and lenet["early exits %"] == "–"
    cbnet = dict(zip(head, rows["CBNet (fast)"]))
    assert cbnet["early exits, converted %"] == "98.00" and cbnet["hard %"] == "–" and cbnet["kB"] == "400.5"
    assert cbnet["fewer than LeNet"] == "3.64×" and cbnet["faster than LeNet"] == "3.97×"


@pytest.mark.parametrize("row, name", [
    ({"model": "branchynet"}, "BranchyNet at T"),
    ({"model": "branchynet", "threshold": 0.5}, "BranchyNet at T = 0.5"),
    ({"model": "cbnet"}, "CBNet"),
    ({"model": "cbnet", "recipe": "paper"}, "CBNet (paper)"),
    ({"model": "cbnet-table1"}, "CBNet (table1)"),
    ({"model": "cbnet-residual"}, "CBNet (residual, not the paper's)"),
    ({"model": "student"}, "student"), ({"model": "adadeep"}, "AdaDeep"), ({"model": "subflow"}, "SubFlow"),
    ({"model": "subflow-0.1"}, "SubFlow at 10 %"), ({"model": "subflow-x"}, "SubFlow (x)"),
    ({"model": "subflow-.5.1"}, "SubFlow (.5.1)"), ({"model": "subflow-²"}, "SubFlow (²)"),
])
def test_model_names(row, name):
    assert report.model_name(row) == name


def test_columns_without_a_number_are_left_out():
    table = report.markdown_table([{"model": "cbnet", "accuracy": 0.5, "macs": None}])
    assert cells(table)[0] == ["model", "accuracy %"]
    assert "LeNet" not in table  # no ratio without LeNet's row


@pytest.mark.parametrize("rows", [[], [{"model": "lenet"}], [{"model": "lenet", "latency_ms": 0.0, "macs": 0}]])
def test_nearly_empty_reports(tmp_path, rows):
    assert report.text_table(rows).startswith("model")
    assert len(report.markdown_table(rows).splitlines()) == 2 + len(rows)
    path, _ = report.write_report(tmp_path, rows, {})
    assert strict(path) == {"rows": rows}


def test_text_table_is_aligned_and_fits_a_terminal():
    large = {"macs": 1_410_000_000, "parameters": 92_000_000, "bytes": 368_000_000, "latency_ms": 12_345.6,
             "accuracy_easy": 1.0, "accuracy_hard": 1.0, "exit_rate_converted": 1.0}
    wide = [{**row, **large, "recipe": "residual"} for row in ROWS]
    for rows in (ROWS, wide):
        lines = report.text_table(rows, FACTS).splitlines()
        assert len(lines) == len(ROWS) + 2 and max(map(len, lines)) <= report.WIDEST
        right_edge = lines[0].index(" acc %") + len(" acc %")
        assert all(line[right_edge - 1] in "0123456789" and line[right_edge] == " " for line in lines[2:])
    assert "12,346" in lines[2] and " ms " in lines[0]


def test_report_md_says_what_was_run(tmp_path):
    pictures = [tmp_path / "exits-cbnet-table1.png", tmp_path / "own.png",
                (tmp_path / "more" / "a b.png", "Hard | easy")]
    _, path = report.write_report(tmp_path, ROWS, {**FACTS, "machine": machine.describe()}, pictures)
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# npcbnet on MNIST\n") and report.markdown_table(ROWS, FACTS) in text
    assert f"\n```\n{FACTS['command']}\n```\n" in text and "- three\n" in text and "- one \\| two\n" in text
    assert "seed 3" in text and "T = 0.05 nats" in text and "leave BranchyNet at its early exit" in text
    assert "\n*CBNet (table1). Entropy" in text and "](exits-cbnet-table1.png)" in text and "![own](own.png)" in text
    assert "(more/a%20b.png)" in text and "numpy " in text


def test_names_from_files_cannot_break_the_table(tmp_path):
    facts = {"dataset": "a\udce9|\nb", "command": "python -m npcbnet.train 'a\udce9'", "notes": []}
    _, path = report.write_report(tmp_path, [{"model": "x|y\nz", "accuracy": 0.1}], facts, [tmp_path / "a\udce9.png"])
    text = path.read_text(encoding="utf-8")
    assert "# npcbnet on a?\\| b\n" in text and "| x\\|y z | 10.00 |" in text and "(a%E9.png)" in text


def test_unwritable_folder_is_a_usage_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="report.json") as caught:
        report.write_report(tmp_path / "file", ROWS, FACTS)
    assert len(str(caught.value).splitlines()) == 1


def test_machine_describes_itself():
    found = machine.describe()
    assert json.loads(json.dumps(found)) == found and found["cores"] >= 1 and found["cpu"]
    assert found["versions"]["numpy"] == np.__version__ and found["date"].endswith("+00:00")
    assert set(found["versions"]) >= {"npcbnet", "python", "numba", "scipy"}
    assert found["cpu"] in machine.in_words(found) and machine.in_words({}) == ""


@pytest.mark.parametrize("cpuinfo, name", [
    ("processor\t: 0\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n", "AMD EPYC"),
    ("model name\t: ARMv7 Processor rev 3 (v7l)\nHardware\t: BCM2711\nModel\t\t: Raspberry Pi 4 Model B Rev 1.4\n",
     "Raspberry Pi 4 Model B Rev 1.4"),
    ("CPU part\t: 0xd08\nHardware\t: BCM2835\n", "BCM2835"),
])
def test_the_cpu_has_a_name_on_a_pc_and_on_a_pi(tmp_path, monkeypatch, cpuinfo, name):
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(machine, "_CPUINFO", str(tmp_path / "cpuinfo"))
    assert machine.describe()["cpu"] == name


def test_a_machine_that_tells_nothing(monkeypatch):
    monkeypatch.setattr(machine, "_CPUINFO", "/nowhere/cpuinfo")
    monkeypatch.setattr(machine, "_PACKAGES", ("numpy", "no-such-package"))
    found = machine.describe()
    assert found["versions"]["no-such-package"] is None and (found["cpu"] or found["architecture"])


def test_machine_imports_nothing_heavy():
    code = ("import sys, npcbnet.machine as m; m.describe()\n"
            "print([name for name in ('numpy', 'numba', 'scipy') if name in sys.modules])")
    root = Path(report.__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"
