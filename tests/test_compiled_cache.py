"""Numba's cache on disk may be damaged or full; predictions must not care."""
import os
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
