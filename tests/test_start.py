"""How a process starts: nothing is compiled before it is needed; a read-only disk or a missing numba does not stop it.

Each test asks a fresh interpreter; what it runs is the text in the test.
"""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from npcbnet.kernels import _jit
from npcbnet.nets import branchynet_lenet

ROOT = Path(__file__).parent.parent
NO_FOLDER = "no folder to keep compiled code in"
compiled = pytest.mark.skipif(not _jit.COMPILED, reason="needs Numba's compiler, which this process has not")

SMALL_NET = """
import sys, numpy as np
from npcbnet.kernels._jit import COMPILED
from tests.test_start import small_net_answers
np.savez(sys.argv[1], compiled=COMPILED, **small_net_answers(float(sys.argv[2])))
"""

TINY_NET = """
import numpy as np
from npcbnet.layers import Dense, Flatten, Sequential, initialise
from npcbnet.nets import Classifier
net = initialise(Sequential([Flatten(), Dense(4, 3)]), np.random.default_rng(0))
print(Classifier(net, (1, 2, 2), ("a", "b", "c")).predict_proba(np.ones((2, 1, 2, 2), np.float32)).sum(axis=1).tolist())
"""


def run(code, *arguments, cwd=ROOT, root=ROOT, first=None, **changes):
    """Run `code` with npcbnet from `root`, after `first` on PYTHONPATH. changes: of the environment; None unsets."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, filter(None, (first, root)))), **changes}
    environment = {name: str(value) for name, value in environment.items() if value is not None}
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], cwd=cwd, env=environment,
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done


def small_net_answers(threshold):
    """What a small BranchyNet says about 70 images: p (N, O), and entropy and exit (N,)."""
    net = branchynet_lenet((1, 12, 12), ("a", "b", "c"), np.random.default_rng(1), threshold)
    net.branch.params = {name: 8 * array for name, array in net.branch.params.items()}  # from unsure to sure
    images = np.random.default_rng(2).random((70, 1, 12, 12), np.float32)
    seen = net.explain(images)
    return {"p": net.predict_proba(images), "entropy": seen.entropy, "exit": seen.exit}


def assert_same_answers_without_compiler(path, **changes):
    """SMALL_NET in a fresh process (see `run`) writes to `path` what this one computes: p to 1e-5, the same exits."""
    early = np.sort(small_net_answers(float("inf"))["entropy"])
    middle = np.argmax(np.diff(early[20:50])) + 20  # the widest gap there, so that rounding cannot move an exit
    mine = small_net_answers(float(early[middle:middle + 2].mean()))
    assert set(mine["exit"]) == {1, 2} and early[middle + 1] - early[middle] > 1e-3
    done = run(SMALL_NET, path, early[middle:middle + 2].mean(), **changes)
    assert done.stderr == ""
    with np.load(path) as other:
        assert not other["compiled"]
        np.testing.assert_allclose(other["p"], mine["p"], rtol=0, atol=1e-5)
        np.testing.assert_allclose(other["entropy"], mine["entropy"], rtol=0, atol=1e-5)
        np.testing.assert_array_equal(other["exit"], mine["exit"])


def stub_numba(folder, error="ImportError('not for this machine')"):
    """A folder in which numba cannot be imported."""
    folder.mkdir()
    (folder / "numba.py").write_text(f"raise {error}\n")
    return folder


def read_only_copy(folder):
    """A copy of the package in which Numba can write no cache: root may write anywhere, so a file is in the way."""
    for name in ("npcbnet", "kernels"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "pretrained"))
    (folder / "kernels" / "__pycache__").write_text("")
    return folder


@compiled
def test_importing_compiles_nothing_and_loads_no_compiler(tmp_path):
    code = """
import sys
import npcbnet.conversion, npcbnet.exits, npcbnet.modelfile, npcbnet.nets, npcbnet.optim, npcbnet.training
print({"numba", "llvmlite", "scipy"} & set(sys.modules))
"""
    assert run(code, NUMBA_CACHE_DIR=tmp_path / "cache").stdout == "set()\n"
    assert not (tmp_path / "cache").exists()


@compiled
def test_the_first_call_replaces_all_loops_of_its_file_and_of_no_other():
    code = """
from npcbnet.kernels import _jit, dense, softmax
import numpy as np
held = dense.forward
held(np.ones((2, 1), "f4"), np.ones((2, 3), "f4"), np.ones(3, "f4"), y := np.empty((3, 1), "f4"))
assert (y == 3).all()
assert dense.forward is dense.forward_loop is held.serves and dense.forward.signatures
assert not any(isinstance(value, _jit.Loop) for value in vars(dense).values())
assert isinstance(softmax.forward, _jit.Loop)
held(np.ones((2, 1), "f4"), np.ones((2, 3), "f4"), np.ones(3, "f4"), y)  # who kept the old name is served, too
"""
    run(code)


@compiled
def test_threads_that_call_first_together_get_the_right_answer(tmp_path):
    code = """
import threading
import numpy as np
from npcbnet.kernels import conv
x, w, b = np.ones((2, 5, 5, 1), "f4"), np.ones((3, 2, 3, 3), "f4"), np.zeros(3, "f4")
ys = [np.zeros((3, 5, 5, 1), "f4") for _ in range(8)]
threads = [threading.Thread(target=conv.forward, args=(x, w, b, 1, 1, y)) for y in ys]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert all((y[:, 1:4, 1:4] == 18).all() for y in ys)
"""
    assert run(code, NUMBA_CACHE_DIR=tmp_path).stderr == ""


def test_compiled_has_a_name_and_other_names_are_unknown():
    assert _jit.COMPILED is _jit.compiled()
    with pytest.raises(AttributeError, match="no attribute 'COMPLIED'"):
        _jit.COMPLIED


@compiled
@pytest.mark.parametrize("named", [False, True], ids=["none named", "NUMBA_CACHE_DIR"])
def test_read_only_install_without_home_warns_once_and_works(tmp_path, named):
    copy, in_the_way = read_only_copy(tmp_path / "copy"), tmp_path / "file"
    in_the_way.write_text("")
    # Without HOME Python asks the user database, and there a test must not write: XDG_CACHE_HOME goes before it.
    done = run(TINY_NET, root=copy, cwd=copy, HOME=None, XDG_CACHE_HOME=in_the_way / "home",
               NUMBA_CACHE_DIR=in_the_way / "cache" if named else None)
    assert np.allclose(json.loads(done.stdout), 1)
    assert done.stderr.count(NO_FOLDER) == 1, done.stderr
    assert "NUMBA_CACHE_DIR" in done.stderr and "Traceback" not in done.stderr


@compiled
def test_read_only_install_uses_the_folder_it_is_given(tmp_path):
    copy = read_only_copy(tmp_path / "copy")
    done = run(TINY_NET, root=copy, cwd=copy, HOME=None, NUMBA_CACHE_DIR=tmp_path / "cache")
    assert done.stderr == ""
    assert list((tmp_path / "cache").rglob("*.nbc"))


@compiled
@pytest.mark.parametrize("error", ["ImportError('not for this machine')", "OSError('broken llvmlite')"])
def test_without_numba_the_answers_are_the_same(tmp_path, error):
    assert_same_answers_without_compiler(tmp_path / "plain.npz", first=stub_numba(tmp_path / "stub", error))


@compiled
def test_numba_disable_jit_gives_the_same_answers(tmp_path):
    assert_same_answers_without_compiler(tmp_path / "plain.npz", NUMBA_DISABLE_JIT=1)


def test_a_checkout_works_from_another_folder_without_installing(tmp_path):
    code = "import npcbnet.nets, npcbnet.kernels.conv as conv; print(npcbnet.__file__, conv.__file__, sep='\\n')"
    found = run(code, cwd=tmp_path).stdout.splitlines()
    assert found == [str(ROOT / "npcbnet" / "__init__.py"), str(ROOT / "kernels" / "conv.py")]


def test_import_npcbnet_alone_is_light():
    code = "import sys, npcbnet; print({'numpy', 'numba', 'scipy'} & {name.split('.')[0] for name in sys.modules})"
    assert run(code).stdout.strip() == "set()"


def test_unknown_attribute_is_an_ordinary_error():
    code = "import npcbnet\ntry: npcbnet.lod\nexcept AttributeError as error: print(error)\nprint(dir(npcbnet))"
    lines = run(code).stdout.splitlines()
    assert lines[0] == "module 'npcbnet' has no attribute 'lod'" and "'load'" in lines[1]
