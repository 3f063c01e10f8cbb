"""Numba's cache on disk may be damaged or full; predictions must not care."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from npcbnet.kernels._jit import COMPILED

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = """
import numpy as np
from npcbnet.kernels import softmax
p, h = np.empty((2, 3), "f4"), np.empty(2)
softmax.forward(np.zeros((2, 3), "f4"), p, h)
assert np.allclose(h, np.log(3)), h
"""


def run(folder, limit=""):
    """A fresh process that calls one compiled kernel with its cache in `folder`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(folder)}
    words = ["sh", "-c", f'{limit} exec "$0" -c "$1"', sys.executable, SCRIPT]
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
@pytest.mark.parametrize("ending", ["nbi", "nbc"])
@pytest.mark.parametrize("size", [0, 40])
def test_a_damaged_cache_is_compiled_anew_and_healed(ending, size, tmp_path):
    assert run(tmp_path).returncode == 0
    files = list(tmp_path.rglob(f"*.{ending}"))
    assert files
    for file in files:
        file.write_bytes(file.read_bytes()[:size])
    damaged = run(tmp_path)
    assert damaged.returncode == 0, damaged.stderr
    assert run(tmp_path).returncode == 0
    assert all(file.stat().st_size > size for file in tmp_path.rglob(f"*.{ending}"))


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
def test_a_full_disk_costs_a_warning(tmp_path):
    done = run(tmp_path, limit="trap '' XFSZ; ulimit -f 0;")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("could not be kept") == 1


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
def test_machine_code_does_not_lie_among_the_packages_files(tmp_path):
    """There pip would leave it behind, and the folder around it would hide an editable install."""
    for name in ("npcbnet", "kernels"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "pretrained"))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "home"),
                   "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("NUMBA_CACHE_DIR", None)
    code = SCRIPT + "from numba.core import config\nassert not config.CACHE_DIR\n"
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True,
                              timeout=120, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nb[ic]")}
        assert kept and all((tmp_path / "home" / "npcbnet") in path.parents for path in kept)
    assert not list(tmp_path.rglob("__pycache__"))
