"""The engine's machine code on disk: never stale, healed when damaged, not needed; and what a fresh process loads."""
import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import npcbnet
from npcbnet.kernels._jit import cache_folder
from npcbnet.layers import Dense, Flatten, Sequential
from npcbnet.nets import Classifier, branchynet_lenet
from tests.runtime_models import filled, names, needs_engine, some_images
from tests.test_house import MODULES, NOT_ON_A_PI, imports

pytestmark = needs_engine

ROOT = Path(__file__).resolve().parent.parent
SHAPE = (1, 12, 12)
PREDICT = """
import sys, npcbnet, numpy as np
from npcbnet import runtime
model = npcbnet.load(sys.argv[1])
predictor = runtime.compile(model)
images = np.random.default_rng(0).integers(0, 256, (40, 1, 12, 12), dtype=np.uint8)
p = [predictor.predict_proba(images[:1]), predictor.predict_proba(images)]
print(*[f"{value:.5f}" for value in np.concatenate(p).ravel()])
from npcbnet.runtime.library import library
print(len(library().compiled))
print(*sorted(sys.modules))
"""


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    """A network that needs few kernels."""
    path = tmp_path_factory.mktemp("model") / "net.npz"
    net = filled(Sequential([Flatten(), Dense(144, 3)]), np.random.default_rng(1))
    npcbnet.save(Classifier(net, SHAPE, names(3)), path)
    return path


@pytest.fixture(scope="module")
def right(model_file):
    """What a process with a warm cache prints about the images."""
    return answer(start(model_file))[0]


def start(path, root=ROOT, limit="", **changes):
    """A fresh process that predicts. changes: of the environment; None unsets."""
    environment = {**os.environ, "PYTHONPATH": str(root), **changes}
    environment = {name: str(value) for name, value in environment.items() if value is not None}
    words = ["sh", "-c", f'{limit} exec "$0" -c "$1" "$2"', sys.executable, PREDICT, str(path)]
    return subprocess.Popen(words, cwd=root, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def answer(process):
    """(p as text, how many kernels it compiled, its modules, what it said on stderr) of a process of `start`."""
    out, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    p, compiled, modules = out.splitlines()
    return p, int(compiled), set(modules.split()), said


@pytest.fixture
def module(tmp_path, monkeypatch):
    """npcbnet.runtime.library with an empty cache folder."""
    from npcbnet.runtime import library
    monkeypatch.setattr(library, "_folder", lambda: tmp_path)
    return library


@pytest.fixture
def source(monkeypatch, tmp_path):
    """A copy of the runtime's folder that names of cache files are made from."""
    from npcbnet.runtime import library
    copy = tmp_path / "runtime"
    shutil.copytree(library._HERE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(library, "_HERE", copy)
    library._source.cache_clear()
    yield copy
    library._source.cache_clear()


def file_name():
    """The name of a kernel's cache file."""
    from npcbnet.runtime.library import Library, _source
    from npcbnet.runtime.target import host
    _source.cache_clear()
    return Library(host())._hash("stop")


def test_an_edit_of_any_source_file_changes_the_name(source):
    files = sorted(source.rglob("*.py"))
    assert len(files) > 20
    first = file_name()
    for path in files:
        text = path.read_bytes()
        path.write_bytes(text + b"#")
        assert file_name() != first, path.name
        path.write_bytes(text)
    assert file_name() == first
    files[0].unlink()
    assert file_name() != first


def test_kernels_are_written_by_hashed_files_alone():
    """What a kernel's text depends on lies in the folder whose every byte is in the name."""
    waiting, seen = [name for name in MODULES if name.startswith("npcbnet.runtime.micro.")], set()
    assert waiting
    while waiting:
        module = waiting.pop()
        assert module.startswith("npcbnet.runtime"), module
        seen.add(module)
        waiting += (imports(module) & set(MODULES)) - seen - {"npcbnet.runtime"}


@pytest.mark.parametrize("change", [{"cpu": "another"}, {"features": "+new"}, {"lanes": 2}, {"registers": 8},
                                    {"family": "other"}, {"triple": "aarch64-unknown-linux-gnu"}], ids=str)
def test_another_processor_changes_the_name(change):
    from npcbnet.runtime.library import Library
    from npcbnet.runtime.target import host
    assert Library(dataclasses.replace(host(), **change))._hash("stop") != file_name()


def test_other_versions_and_sizes_change_the_name(monkeypatch):
    import llvmlite
    import llvmlite.binding
    from npcbnet.runtime.library import Library
    from npcbnet.runtime.target import host
    first = file_name()
    assert Library(host())._hash("stop_kernel3") != first
    with monkeypatch.context() as changed:
        changed.setattr(llvmlite, "__version__", "999")
        assert file_name() != first
    with monkeypatch.context() as changed:
        changed.setattr(llvmlite.binding, "llvm_version_info", (999, 0, 0))
        assert file_name() != first
    assert file_name() == first


def test_an_edited_kernel_is_never_answered_from_the_cache(model_file, tmp_path):
    """In new processes, with the same cache: the edit counts at once, and taking it back finds the first code again."""
    for folder in ("npcbnet", "kernels"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "pretrained"))
    kernel = tmp_path / "npcbnet" / "runtime" / "micro" / "read_images.py"
    text = kernel.read_text()
    assert "PIXEL = 1 / 255" in text

    def predict():
        return answer(start(model_file, tmp_path, NUMBA_CACHE_DIR=tmp_path / "cache"))[:2]

    first, compiled = predict()
    assert compiled
    kernel.write_text(text.replace("PIXEL = 1 / 255", "PIXEL = 1 / 510"))
    edited, compiled = predict()
    assert edited != first and compiled
    kernel.write_text(text)
    assert predict() == (first, 0)


DAMAGE = {"empty": lambda data: b"", "10 bytes": lambda data: data[:10], "half": lambda data: data[:len(data) // 2],
          "last byte": lambda data: data[:-1], "one byte": lambda data: data[:200] + b"?" + data[201:],
          "zeros": lambda data: bytes(len(data)), "longer": lambda data: data + b"more"}


def test_damaged_files_are_compiled_anew_and_healed(module, tmp_path):
    from npcbnet.runtime.predictor import Predictor
    from npcbnet.runtime.target import host
    net = branchynet_lenet(SHAPE, names(3), np.random.default_rng(1), 1.0)
    images = some_images(np.random.default_rng(2), SHAPE, 20)

    def kernels_compiled():
        library = module.Library(host())
        p = Predictor(net, kernels=library).predict_proba(images)
        np.testing.assert_allclose(p, net.predict_proba(images), rtol=0, atol=1e-5)
        return len(library.compiled)

    count = kernels_compiled()
    files = sorted(tmp_path.iterdir())
    assert len(files) == count > len(DAMAGE) and kernels_compiled() == 0
    for path, damage in zip(files, DAMAGE.values()):
        path.write_bytes(damage(path.read_bytes()))
    assert kernels_compiled() == len(DAMAGE)
    assert kernels_compiled() == 0
    assert sorted(tmp_path.iterdir()) == files


def test_a_folder_in_the_place_of_a_file_costs_a_warning(module, tmp_path, monkeypatch):
    from npcbnet.runtime.target import host
    module.Library(host()).address("stop")
    path, = tmp_path.iterdir()
    path.unlink()
    path.mkdir()
    monkeypatch.setattr(module, "_warned", False)
    with pytest.warns(RuntimeWarning, match="cannot be kept") as seen:
        for _ in range(2):
            assert module.Library(host()).address("stop")
    assert len(seen) == 1


def test_a_warm_cache_compiles_nothing_and_loads_no_training_code(model_file, right, tmp_path):
    p, cold, _, said = answer(start(model_file, NUMBA_CACHE_DIR=tmp_path))
    assert cold > 5 and (p, said) == (right, "")
    p, warm, modules, said = answer(start(model_file, NUMBA_CACHE_DIR=tmp_path))
    assert (p, warm, said) == (right, 0, "")
    assert "npcbnet.runtime.predictor" in modules
    assert not modules & (set(NOT_ON_A_PI) - {"scipy"})  # Numba imports scipy of its own accord


def test_predicting_with_a_warm_cache_does_not_load_numba(model_file):
    modules = answer(start(model_file))[2]
    assert "llvmlite.binding" in modules
    assert not modules & {"numba", "scipy"}


@pytest.mark.parametrize("statement, heavy", [
    ("import npcbnet", {"numpy", "numba", "llvmlite"}),
    ("import npcbnet.runtime", {"numba", "llvmlite"})])
def test_imports_load_no_compiler(statement, heavy):
    done = subprocess.run([sys.executable, "-c", f"import sys\n{statement}\nprint(*sys.modules)"], cwd=ROOT, text=True,
                          capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
    assert not heavy & set(done.stdout.split())


def test_processes_that_start_together_with_an_empty_cache(model_file, right, tmp_path):
    together = [start(model_file, NUMBA_CACHE_DIR=tmp_path) for _ in range(3)]
    for process in together:
        p, _, _, said = answer(process)
        assert (p, said) == (right, "")
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize("case", ["told folder", "home", "full disk"])
def test_no_place_for_the_cache_warns_once_and_works(case, model_file, right, tmp_path):
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    # Without HOME Python asks the user database, and there a test must not write: XDG_CACHE_HOME goes before it.
    changes = {"told folder": {"NUMBA_CACHE_DIR": in_the_way / "cache", "HOME": None},
               "home": {"NUMBA_CACHE_DIR": None, "HOME": None, "XDG_CACHE_HOME": in_the_way / "home"},
               "full disk": {"NUMBA_CACHE_DIR": tmp_path / "cache", "PYTHONDONTWRITEBYTECODE": 1}}[case]
    limit = "trap '' XFSZ; ulimit -f 0;" if case == "full disk" else ""
    p, compiled, _, said = answer(start(model_file, limit=limit, **changes))
    assert p == right and compiled > 5
    assert said.count("npcbnet: machine code cannot be kept") == 1, said
    assert "NUMBA_CACHE_DIR" in said and "Traceback" not in said


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="folders have owners and modes on POSIX alone")
def test_machine_code_lies_where_nobody_else_may_write(tmp_path, monkeypatch):
    folder = cache_folder(tmp_path)
    assert folder == tmp_path / "npcbnet" and folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    assert cache_folder(tmp_path).stat().st_mode & 0o022 == 0
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(PermissionError, match="npcbnet is another user's"):
        cache_folder(tmp_path)


def test_a_relative_cache_home_is_ignored(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    assert cache_folder() == tmp_path / "home" / ".cache" / "npcbnet"


def test_without_home_the_cache_may_be_told(model_file, tmp_path):
    for changes in ({"NUMBA_CACHE_DIR": tmp_path / "a"}, {"NUMBA_CACHE_DIR": None, "XDG_CACHE_HOME": tmp_path / "b"}):
        compiled = [answer(start(model_file, **{"HOME": None, **changes}))[1] for _ in range(2)]
        assert compiled[0] > 5 and compiled[1] == 0
    assert list((tmp_path / "a").rglob("*.o")) and list((tmp_path / "b").rglob("*.o"))
