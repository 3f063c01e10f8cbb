"""The engine's code for a Raspberry Pi 4: its hot loops are vector multiply-adds whose sums stay in registers."""
from types import SimpleNamespace

import numpy as np
import pytest

import npcbnet
from benchmarks import pi_code, pi_estimate
from npcbnet import modelfile
from npcbnet.layers import Conv2d, Dense, Flatten, ReLU, Sequential, initialise
from npcbnet.nets import Classifier

pytest.importorskip("llvmlite", reason="the code is made by llvmlite")

TEXT = """
kernel:
\tmov\tx8, xzr
.LBB0_1:
\tldr\tq1, [sp, #16]
\tcbz\tx3, .LBB0_3
.LBB0_2:
\tldp\tq2, q3, [x1]
\tfmla\tv0.4s, v2.4s, v3.s[0]
\tfmla\tv4.4s, v2.4s, v3.s[1]
\tfmla\tv5.4s, v2.4s, v3.s[2]
\tfmla\tv6.4s, v2.4s, v3.s[3]
\tstp\tq0, q4, [sp, #32]
\tfmadd\ts1, s2, s3, s1
\tb.lt\t.LBB0_2
.LBB0_3:
\tb.ne\t.LBB0_1
\tret
"""


def test_a_loop_is_read_as_it_is():
    assert [len(loop) for loop in pi_code.inner_loops(TEXT)] == [8]
    loop, = pi_code.hot_loops(TEXT)
    assert (loop.vector, loop.single, loop.spilled, len(loop.code)) == (4, 1, 2, 7)
    assert loop.faults() == ["1 multiply-adds float by float", "2 vectors to or from the stack in 7 instructions"]
    better = TEXT.replace("\tfmadd\ts1, s2, s3, s1\n", "").replace("[sp, #32]", "[x2]")
    assert pi_code.hot_loops(better)[0].faults() == []


@pytest.mark.parametrize("name", modelfile.names())
def test_hot_loops_are_vector_multiply_adds_without_spills(name):
    hot = {(kernel, fixed) for vectors in (0, 1) for kernel, fixed, _ in pi_code.steps(npcbnet.load(name), vectors)
           if pi_code.is_hot(kernel, fixed)}
    assert len(hot) >= 4
    assert not {f"{kernel} {fixed}": found for kernel, fixed in hot if (found := pi_code.faults(kernel, fixed))}


def test_counted_multiply_adds_are_those_of_the_layers():
    """And a little more: tiles reach beyond the last output, vectors beyond the last pixel."""
    net = Sequential([Conv2d(4, 20, 1), Conv2d(20, 30, 3, stride=2), Conv2d(30, 12, 1), Flatten(), Dense(12 * 100, 64),
                      Dense(64, 10)])
    model = Classifier(initialise(net, np.random.default_rng(0)), (4, 22, 22), tuple("0123456789"))
    for vectors in (0, 1):
        adds = 0
        for name, fixed, row in pi_code.steps(model, vectors):
            if pi_code.is_hot(name, fixed):
                loop = pi_estimate.products(pi_code.hot_loops(pi_code.assembly(name, fixed)))
                adds += loop.vector * pi_estimate.turns(name, dict(fixed), row)
        lanes = 1 if vectors else 4  # a group's vectors hold the same pixel of four images
        assert model.macs() <= lanes * adds <= 1.35 * model.macs()


def test_cycles_come_from_llvm_mca(tmp_path):
    fake = tmp_path / "llvm-mca"
    fake.write_text("#!/bin/sh\ncat > /dev/null\necho 'Total Cycles:      420'\n")
    fake.chmod(0o755)
    assert pi_estimate.cycles_a_turn(str(fake), ["fmla v0.4s, v1.4s, v2.4s"]) == 420 / pi_estimate.TURNS
    fake.write_text("#!/bin/sh\nexit 1\n")
    assert pi_estimate.cycles_a_turn(str(fake), ["what"]) is None


def test_zeros_that_the_engine_leaves_out_are_not_counted(monkeypatch):
    net = Sequential([Flatten(), Dense(64, 48), ReLU(), Dense(48, 10)])
    model = Classifier(initialise(net, np.random.default_rng(0)), (1, 8, 8), tuple("0123456789"))
    images = np.zeros((40, 1, 8, 8), np.uint8)
    images[::4, 0, :4], images[1::4, 0, 0] = 200, 200  # half of the pixels in one of four images, an eighth in another
    dataset = SimpleNamespace(test=SimpleNamespace(images=images))
    monkeypatch.setattr(pi_estimate, "trained_on", lambda model: "these")
    monkeypatch.setattr(pi_estimate.data, "load", lambda name, shape: dataset)
    monkeypatch.setattr(pi_estimate, "load", lambda name: model)
    (features, one), (hidden, _) = pi_estimate.wanted(model, 1)
    assert (features, hidden) == (64, 48) and one == (0.5 + 0.125) / 4
    assert pi_estimate.wanted(model, 4)[0] == (64, 0.5)
    _, rows = pi_estimate.measure(["these"], None)
    monkeypatch.setattr(pi_estimate, "wanted", lambda model, together: [(64, 1.0), (48, 1.0)])
    _, whole = pi_estimate.measure(["these"], None)
    for some, every in zip(rows, whole):
        assert 0.1 * every["vector_multiply_adds"] < some["vector_multiply_adds"] < 0.8 * every["vector_multiply_adds"]


def test_a_loop_that_llvm_mca_cannot_read_is_named(tmp_path):
    fake = tmp_path / "llvm-mca"
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    _, models = pi_estimate.measure(["digits-lightweight"], str(fake))
    assert all(set(row["not_counted"]) >= {"winograd_one"} for row in models if row["form"] == "one image")


def test_the_page_says_that_it_is_an_estimate():
    kernels, models = pi_estimate.measure(["digits-lightweight"], None)
    result = {"label": pi_estimate.LABEL, "mca": None, "kernels": kernels, "models": models, "command": "this",
              "machine": {"date": "2026-01-01"}}
    page = pi_estimate.markdown(result)
    assert "estimate: instruction throughput only, no caches" in page and "llvm-mca is not installed" in page
    assert "winograd_one" in page and "a group of four" in page
