"""benchmarks.startup: fresh processes answer what this one does, and the table tells how long they took."""
import pytest

from benchmarks import startup
from npcbnet.kernels._jit import COMPILED


@pytest.mark.skipif(not COMPILED, reason="there is no machine code to keep")
def test_processes_start_warm_and_cold(tmp_path):
    rows, imports = startup.measure(["digits-lightweight"], ["npcbnet"], 1, tmp_path)
    assert [(row["runtime"], row["cache"]) for row in rows] == [("npcbnet", "warm"), ("npcbnet", "cold")]
    assert all(0 < row["least_ms"] <= row["median_ms"] <= row["p95_ms"] for row in rows)
    assert list(imports) == ["python", "numpy", "npcbnet"] and min(imports.values()) > 0
    assert list((tmp_path / "machine-code").rglob("*.o"))
    page = startup.markdown({"rows": rows, "import_ms": imports, "rounds": 1, "command": "this",
                             "machine": {"date": "2026-01-01"}})
    assert "| digits-lightweight | npcbnet | none yet |" in page


def test_a_process_that_fails_ends_the_benchmark(tmp_path):
    with pytest.raises(SystemExit, match="a process failed"):
        startup.started("raise SystemExit(3)", (), tmp_path, tmp_path)
