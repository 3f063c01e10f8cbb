"""Without an engine the layers answer, through the same methods; and which machines have one."""
import numpy as np
import pytest

import npcbnet
from npcbnet import runtime
from npcbnet.errors import ShapeError, UsageError
from npcbnet.nets import CBNet, Converter, ConverterConfig, branchynet_lenet, lenet, lightweight
from npcbnet.runtime.layerwise import Layerwise
from tests.runtime_models import NO_ENGINE, names, needs_engine, some_images
from tests.test_start import run, stub_numba

SHAPE = (1, 12, 12)
FORM = ConverterConfig((24, 8), ("relu", "linear"), halve_output=True)
ANSWERS = """
import sys, warnings, numpy as np
warnings.simplefilter("error")
from npcbnet import runtime
from npcbnet.runtime.layerwise import Layerwise
from tests.test_runtime_layerwise import answers, models
predictors = [runtime.compile(model, threads=2) for model in models()]
assert all(type(predictor) is Layerwise for predictor in predictors), predictors
np.savez(sys.argv[1], **answers(predictors))
"""


def models():
    """One of each kind; about half of the images leave the BranchyNet early, and none by a hair."""
    rng = np.random.default_rng(1)
    net = branchynet_lenet(SHAPE, names(3), rng, threshold=float("inf"))
    entropy = np.sort(net.explain(the_images()).entropy)
    gap = 8 + np.argmax(np.diff(entropy[8:17]))
    net.threshold = float(entropy[gap:gap + 2].mean())
    converter = Converter(FORM, SHAPE).initialise(rng)
    return [lenet(SHAPE, names(3), rng), net, CBNet(converter, lightweight(net))]


def the_images():
    """25 of them."""
    return some_images(np.random.default_rng(2), SHAPE, 25)


def answers(predictors):
    """What predictors say about the_images, and about one of them."""
    images, found = the_images(), {}
    for predictor in predictors:
        kind = predictor.model.kind
        seen = predictor.warmup().explain(images)
        found |= {f"{kind} {field}": getattr(seen, field) for field in ("label", "entropy", "exit", "confidence")}
        found |= {f"{kind} p": predictor.predict_proba(images), f"{kind} one": predictor.predict_proba(images[0])}
        if kind == "cbnet":
            found |= {"converted": seen.converted, "convert": predictor.convert(images)}
    return found


def assert_same(path):
    """The answers in an .npz file are this process's."""
    mine = answers([runtime.compile(model) for model in models()])
    with np.load(path) as other:
        assert set(other) == set(mine)
        for name, array in mine.items():
            np.testing.assert_allclose(other[name], array, rtol=0, atol=2e-5, err_msg=name)
    exits = mine["branchynet exit"]
    assert 0 < (exits == 1).sum() < len(exits)


def test_numba_disable_jit_gives_the_layers_answers(tmp_path):
    run(ANSWERS, tmp_path / "answers.npz", NUMBA_DISABLE_JIT=1)
    assert_same(tmp_path / "answers.npz")


def test_without_numba_the_layers_answer(tmp_path):
    stub = stub_numba(tmp_path / "stub")
    (stub / "llvmlite.py").write_text("raise ImportError('not for this machine')\n")
    run(ANSWERS, tmp_path / "answers.npz", first=stub)
    assert_same(tmp_path / "answers.npz")


@needs_engine
@pytest.mark.filterwarnings("error")
def test_here_there_is_an_engine():
    from npcbnet.runtime.predictor import Predictor
    assert isinstance(runtime.compile(models()[0]), Predictor)
    assert isinstance(npcbnet.compile(models()[0], threads=2), Predictor)


@pytest.mark.skipif(not NO_ENGINE, reason="this process has an engine")
def test_here_there_is_none():
    assert type(runtime.compile(models()[0])) is Layerwise


@needs_engine
@pytest.mark.parametrize("error", [ImportError, OSError])
def test_a_machine_without_an_engine_says_so_and_works(error, monkeypatch):
    from npcbnet.runtime import target

    def none():
        raise error("no engine for armv7l processors")

    monkeypatch.setattr(target, "host", none)
    model, images = models()[0], some_images(np.random.default_rng(3), SHAPE, 3)
    with pytest.warns(RuntimeWarning, match="no engine for armv7l.*layers are called one by one"):
        predictor = runtime.compile(model)
    assert type(predictor) is Layerwise
    np.testing.assert_array_equal(predictor.predict_proba(images), model.predict_proba(images))


@needs_engine
@pytest.mark.parametrize("triple, features, expected", [
    ("x86_64-unknown-linux-gnu", {}, (4, 16, "x86")),
    ("x86_64-unknown-linux-gnu", {"avx": True, "fma": False}, (4, 16, "x86")),
    ("x86_64-pc-windows-msvc", {"avx": True, "fma": True, "avx512f": False}, (8, 16, "x86")),
    ("x86_64-apple-darwin", {"avx": True, "fma": True, "avx512f": True}, (16, 32, "x86")),
    ("aarch64-unknown-linux-gnu", {"neon": True}, (4, 32, "arm")),
    ("arm64-apple-darwin22", {}, (4, 32, "arm")),
    ("armv7l-unknown-linux-gnueabihf", {"neon": True}, None),
    ("i686-unknown-linux-gnu", {"sse2": True}, None),
    ("riscv64-unknown-linux-gnu", {}, None)])
def test_which_processors_have_one(triple, features, expected, monkeypatch):
    import llvmlite.binding as llvm
    from npcbnet.runtime.target import host
    monkeypatch.setattr(llvm, "get_process_triple", lambda: triple)
    real = llvm.get_host_cpu_features()
    real.clear()
    real.update(features)
    monkeypatch.setattr(llvm, "get_host_cpu_features", lambda: real)
    find = host.__wrapped__  # what `cache` would remember
    if expected is None:
        with pytest.raises(ImportError, match=triple.split("-")[0]):
            find()
    else:
        target = find()
        assert (target.lanes, target.registers, target.family) == expected and target.triple == triple


@needs_engine
def test_a_compiler_that_is_too_old_is_none(monkeypatch):
    import llvmlite.binding as llvm
    from npcbnet.runtime.target import host
    monkeypatch.setattr(llvm, "llvm_version_info", (14, 0, 6))
    with pytest.raises(ImportError, match="too old"):
        host.__wrapped__()


def test_layerwise_has_every_method_and_its_errors():
    images = some_images(np.random.default_rng(4), SHAPE, 5)
    for model in models():
        predictor = Layerwise(model, threads=2)
        assert predictor.warmup() is predictor and predictor.input_shape == SHAPE and predictor.threads == 2
        np.testing.assert_array_equal(predictor.predict(images), model.predict(images))
        np.testing.assert_array_equal(predictor.predict_proba(images), model.predict_proba(images))
        np.testing.assert_array_equal(predictor.explain(images).entropy, model.explain(images).entropy)
        with pytest.raises(ShapeError, match="1x12x12"):
            predictor.predict(images[:, :, 1:])
        if isinstance(model, CBNet):
            np.testing.assert_array_equal(predictor.convert(images), model.convert(images))
            alone = Layerwise(model.converter).warmup()
            np.testing.assert_array_equal(alone.convert(images), model.convert(images))
        else:
            with pytest.raises(UsageError, match="converts nothing"):
                predictor.convert(images)
    for threads in (0, 1.0, True, "1"):
        with pytest.raises(UsageError, match="threads"):
            Layerwise(model, threads)


@needs_engine
def test_both_have_the_same_public_methods():
    from npcbnet.runtime.predictor import Predictor

    def public(kind):
        return {name for name in vars(kind) if not name.startswith("_")}

    assert public(Layerwise) == public(Predictor)
