"""The rules of the house, read from the source: which way data flows, what a kernel may touch, how long a page is."""
import ast
import builtins
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = sorted([*ROOT.glob("npcbnet/**/*.py"), *ROOT.glob("kernels/*.py")])
PAGES = PACKAGE + [page for name in ("examples", "benchmarks", "tests")
                   for page in sorted(ROOT.glob(f"{name}/**/*.py"))]

# A module imports only from lines above its own, or from its own package. Names on one line do not know each other.
FLOW = ["errors",
        "files npyfile codebook cli",
        "kernels",
        "layers",
        "data",
        "losses optim gradcheck exits quantize",
        "nets",
        "progress",
        "checkpoint", "training",
        "conversion recipes truncation",
        "clustering",
        "manifest",
        "modelfile onnx_io",
        "runtime",
        "cost energy judge roofline",
        "measure compress",
        "drawing machine",
        "pictures report bench_report",
        "run", "pipeline", "caenet", "evaluate",
        "train predict bench export import_weights search"]

# Beyond the order: what these must not reach, by any number of imports at the top of modules.
NEVER = {"layers": "data losses optim exits",
         "data": "kernels layers losses optim",
         "nets": "data losses optim gradcheck",
         "modelfile": "data losses optim gradcheck progress training conversion recipes judge pictures pipeline"}

# What a script on a Pi that loads a model and predicts does not pay for.
NOT_ON_A_PI = ("npcbnet.training", "npcbnet.optim", "npcbnet.conversion", "npcbnet.data", "npcbnet.losses",
               "scipy", "skimage", "matplotlib", "tqdm", "psutil")

# Public names that need no docstring of their own: the class above them says it, or the name does.
PLAIN = {"params", "from_config"}
LONGEST_LINE, LONGEST_FILE, LONGEST_FUNCTION = 120, 300, 60


@cache
def tree(path):
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def module_of(path):
    """The name that npcbnet/nets/lenet.py, npcbnet/nets/__init__.py or kernels/conv.py is imported by."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join((["npcbnet"] if parts[0] == "kernels" else []) + parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in PACKAGE}


def imported(nodes):
    """Modules that the import statements among syntax nodes name; `from package import module` names the module."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = "." * node.level + (node.module or "")
            inner = {f"{source}.{alias.name}" for alias in node.names}
            yield from inner & set(MODULES)
            if inner - set(MODULES):
                yield source


@cache
def imports(module, lazy=True):
    """Modules that a module of the package imports; without `lazy`, only at its top, where importing it runs them."""
    nodes = ast.walk(tree(MODULES[module])) if lazy else tree(MODULES[module]).body
    return frozenset(imported(nodes))


def place(module):
    """The name in FLOW of a module, or of the package it lies in."""
    return module.split(".")[1] if "." in module else ""


def level(module):
    """Its line in FLOW; npcbnet itself, which holds the version, is above all."""
    lines = [number for number, names in enumerate(FLOW) if place(module) in names.split()]
    return lines[0] if lines else -1


def functions(path):
    """All functions and methods of a file."""
    return [node for node in ast.walk(tree(path)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def where(path, node):
    """file:line, as an editor takes it."""
    return f"{path.relative_to(ROOT)}:{node.lineno}"


def test_every_module_has_a_place_in_the_flow():
    assert {place(module) for module in MODULES} - {""} <= {name for line in FLOW for name in line.split()}


def test_no_import_cycle():
    done, path = set(), []

    def visit(module):
        assert module not in path, " -> ".join([*path[path.index(module):], module])
        if module not in done:
            path.append(module)
            for other in sorted(imports(module) & set(MODULES)):
                visit(other)
            done.add(path.pop())

    for module in MODULES:
        visit(module)


def test_data_flows_one_way():
    against = [f"{module} imports {other}" for module in MODULES for other in imports(module)
               if other in MODULES and place(module) != place(other) and level(other) >= level(module)]
    assert not against
    assert not [module for module in MODULES if any(name.startswith(".") for name in imports(module))]  # relative


@pytest.mark.parametrize("start", NEVER)
def test_nothing_reaches_what_it_must_not_know(start):
    reached = {module for module in MODULES if place(module) == start}
    waiting = list(reached)
    while waiting:
        new = (imports(waiting.pop(), lazy=False) & set(MODULES)) - reached
        reached |= new
        waiting += new
    assert not {place(module) for module in reached} & set(NEVER[start].split())


def test_what_both_papers_evaluations_share_knows_neither():
    shared = [module for module in MODULES if place(module) == "evaluate" and not module.endswith("__main__")]
    within = {module: (module.split(".") + [""])[2] for module in shared}
    against = [f"{module} imports {other}" for module in shared for other in imports(module) & set(shared)
               if within[other] == "caenet" != within[module] or within[other] == "cbnet" and within[module] not in
               ("cbnet", "caenet")]
    assert not against and {"cbnet", "caenet"} <= set(within.values())


def test_predicting_on_a_pi_loads_nothing_of_training(tmp_path):
    import numpy as np  # here, so that the other rules are judged even where the package cannot be imported

    import npcbnet
    from npcbnet.layers import Dense, Flatten, Sequential, initialise
    from npcbnet.nets import Classifier
    net = initialise(Sequential([Flatten(), Dense(4, 3)]), np.random.default_rng(0))
    npcbnet.save(Classifier(net, (1, 2, 2), ("a", "b", "c")), tmp_path / "model.npz")
    code = ("import sys, npcbnet, numpy; model = npcbnet.load(sys.argv[1]); "
            "model.explain(numpy.zeros((2, 1, 2, 2), numpy.uint8)); print(*sys.modules)")
    # Numba imports scipy of its own accord where it finds it; without Numba, all that is loaded is our doing.
    (tmp_path / "numba.py").write_text("raise ImportError('hidden')")
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "model.npz"], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])})
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "npcbnet.modelfile" in loaded
    assert not loaded & set(NOT_ON_A_PI)


@pytest.mark.parametrize("path", sorted(ROOT.glob("kernels/*.py")), ids=lambda path: path.name)
def test_a_kernel_imports_numpy_and_jit_alone(path):
    standard = {"contextlib", "functools", "importlib.util", "os", "pathlib", "threading", "warnings"}
    allowed = standard | {"numba"} if path.name == "_jit.py" else {"numpy", "npcbnet.kernels._jit"}
    assert imports(module_of(path)) <= allowed


@pytest.mark.parametrize("path", sorted(ROOT.glob("kernels/*.py")), ids=lambda path: path.name)
def test_a_compiled_function_calls_only_its_own_file(path):
    """With cache=True Numba looks at the calling file alone: an edited callee elsewhere would keep its old results."""
    own = {node.name for node in tree(path).body if isinstance(node, ast.FunctionDef)}
    for function in functions(path):
        if not any(ast.unparse(decorator).split("(")[0].endswith("jit") for decorator in function.decorator_list):
            continue
        local = {argument.arg for argument in function.args.args}
        nodes = [node for line in function.body for node in ast.walk(line)]
        local |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        for call in (node for node in nodes if isinstance(node, ast.Call)):
            name, _, method = ast.unparse(call.func).partition(".")
            known = name == "np" or name in local if method else name in own or hasattr(builtins, name)
            assert known, f"{where(path, call)} calls {ast.unparse(call.func)}"


def test_the_kernels_readme_is_true():
    text = (ROOT / "kernels" / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+\.py)` \|(.*)$", text, re.M))
    assert set(rows) == {path.name for path in ROOT.glob("kernels/*.py")}
    for name, row in rows.items():
        defined = {node.id for node in ast.walk(tree(ROOT / "kernels" / name)) if isinstance(node, ast.Name)}
        defined |= {function.name for function in functions(ROOT / "kernels" / name)}
        assert set(re.findall(r"`(\w+)`", row.split("|")[0])) <= defined, name
        for mentioned in re.findall(r"`([\w/]+\.py)`", row):
            assert (ROOT / mentioned).exists() or (ROOT / "npcbnet" / mentioned).exists(), f"{name}: {mentioned}"
        assert "`tests/" in row, f"{name} names no test"


def test_lines_are_short():
    long = [f"{path.relative_to(ROOT)}:{number} has {len(line)}" for path in PAGES
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if len(line) > LONGEST_LINE]
    assert not long, f"{len(long)} lines over {LONGEST_LINE}:\n" + "\n".join(long)


def test_files_are_short():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE}
    assert not {name: length for name, length in lengths.items() if length > LONGEST_FILE}


def test_functions_are_short():
    long = {where(path, f): f.name for path in PACKAGE if path.parent.name != "kernels"
            for f in functions(path) if f.end_lineno - f.lineno + 1 > LONGEST_FUNCTION}
    assert not long


def documented_once():
    """Methods whose meaning a base class states for all that override them."""
    bases = [(ROOT / "npcbnet" / "layers" / "base.py", "Layer"), (ROOT / "npcbnet" / "nets" / "model.py", "Model")]
    return {method.name for path, name in bases for node in tree(path).body
            if isinstance(node, ast.ClassDef) and node.name == name
            for method in node.body if isinstance(method, ast.FunctionDef) and ast.get_docstring(method)}


@pytest.mark.parametrize("path", PACKAGE, ids=lambda path: str(path.relative_to(ROOT)))
def test_everything_public_has_a_docstring(path):
    assert ast.get_docstring(tree(path)), "the module"
    inherited, kinds = PLAIN | documented_once(), (ast.ClassDef, ast.FunctionDef)
    top = [(node, PLAIN) for node in tree(path).body if isinstance(node, kinds)]
    inside = [(method, inherited) for node, _ in top if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
              for method in node.body if isinstance(method, kinds)]
    assert not [f"{where(path, node)} {node.name}" for node, exempt in top + inside
                if not node.name.startswith("_") and node.name not in exempt and not ast.get_docstring(node)]


@pytest.mark.parametrize("path", PACKAGE, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_runs_code_from_data_and_nothing_asserts(path):
    roots = {name.split(".")[0] for name in imports(module_of(path))}
    assert not roots & {"pickle", "dill", "joblib", "marshal", "shelve"}
    for node in ast.walk(tree(path)):
        assert not isinstance(node, ast.Assert), f"{where(path, node)}: assert vanishes under -O; raise an error"
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in ("eval", "exec", "__import__", "os.system"), where(path, node)
            risky = [k for k in node.keywords if k.arg in ("allow_pickle", "shell") and ast.unparse(k.value) != "False"]
            assert not risky, where(path, node)
