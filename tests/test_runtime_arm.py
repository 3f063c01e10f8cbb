"""The engine's code for a Raspberry Pi 4, looked at without one: its hot loops are made of vector multiply-adds."""
import re
from functools import cache

import numpy as np

import npcbnet
from benchmarks.pi_code import assembly, inner_loops
from npcbnet import modelfile
from npcbnet.layers import (BatchNorm2d, Conv2d, ConvTranspose2d, Dense, Flatten, LocalResponseNorm, MaxPool2d, ReLU6,
                            Residual, Sequential, Softmax, Tanh)
from npcbnet.nets import Classifier
from tests.runtime_models import filled, names, needs_engine

pytestmark = needs_engine

HOT = ("conv_group", "conv_outputs", "conv_plane", "dense_few", "dense_group", "dense_one", "winograd_group",
       "winograd_one")


class Listing:
    """A Library that compiles nothing: it notes which kernels a program asks for."""

    def __init__(self, target):
        self.target, self.asked = target, {}

    def address(self, name, /, **fixed):
        self.asked[name, tuple(sorted(fixed.items()))] = None
        return 0


def a_larger_net():
    """What the pretrained models have not: strides, groups, batch normalisation that stands alone, a residual."""
    body = Sequential([Conv2d(8, 16, 1), BatchNorm2d(16), ReLU6(), Conv2d(16, 8, 3, pad=1, groups=8)])
    net = Sequential([BatchNorm2d(1), Conv2d(1, 8, 7, 2, 3), LocalResponseNorm(5, 1e-4, 0.75, 2.0, "sum"),
                      Residual(body),
                      ConvTranspose2d(8, 3, 3, 2, 1, 1), MaxPool2d(3, 2), Conv2d(3, 12, 3, 1, 1),
                      Conv2d(12, 40, 3, 2, 1), Conv2d(40, 12, 1, 2), Flatten(), Dense(192, 40), Tanh(), Softmax(),
                      Dense(40, 10)])
    return Classifier(filled(net, np.random.default_rng(0)), (1, 28, 28), names(10))


@cache
def kernels_on_a_pi():
    """[(name, fixed sizes)] of every kernel that the pretrained and a larger net ask for, single images and groups."""
    from npcbnet.runtime.models import program_of
    from npcbnet.runtime.target import CORTEX_A72
    listing = Listing(CORTEX_A72)
    for model in [*map(npcbnet.load, modelfile.names()), a_larger_net()]:
        for vectors in (0, 1):
            program_of(model, listing, vectors)
    listing.address("executor", alone=True)
    listing.address("executor", alone=False)
    return list(listing.asked)


def count(instructions, pattern):
    """How many of them match."""
    return sum(bool(re.match(pattern, line)) for line in instructions)


def main_loop(text, multiply="fmla|fmadd"):
    """The inner loop with the most multiply-adds."""
    return max(inner_loops(text), key=lambda loop: count(loop, multiply), default=[])


def test_every_kernel_of_the_pretrained_models_compiles():
    asked = kernels_on_a_pi()
    assert {"answer", "conv_group", "dense_group", "dense_one", "executor", "read_images", "softmax", "stop"} <= {
        name for name, _ in asked}
    for name, fixed in asked:
        text = assembly(name, fixed)
        assert re.search(rf"^{name}:", text, re.M), name
        assert "ret" in text


def test_the_main_loops_are_vector_multiply_adds():
    seen = 0
    for name, fixed in kernels_on_a_pi():
        if name not in HOT or dict(fixed).get("lanes") == 1:
            continue
        seen += 1
        text = assembly(name, fixed)
        loop = main_loop(text)
        assert count(loop, r"fmla\s+v\d+\.4s") >= 4, (name, fixed)
        assert not count(loop, "fmadd|fmsub"), (name, fixed)  # nothing of it float by float
    assert seen >= 5


def test_the_sums_of_the_main_loops_stay_in_registers():
    """What does not fit is stored to the stack and loaded again in every turn: slow, and a wide tile's usual fault."""
    for name, fixed in kernels_on_a_pi():
        if name in HOT and dict(fixed).get("lanes") != 1:
            loop = main_loop(assembly(name, fixed))
            spilled = count(loop, r"st[rp]\s+q.*\[(?:sp|x29)")
            assert spilled * 10 <= count(loop, "fmla"), (name, fixed, spilled, count(loop, "fmla"))


def test_flushing_of_denormals_is_set_and_put_back():
    for alone in (False, True):
        text = assembly("executor", (("alone", alone),))
        assert len(re.findall(r"msr\s+fpcr", text, re.I)) >= 2 and re.search(r"mrs\s+x\d+, fpcr", text, re.I)


def test_other_processors_compile_too():
    """An x86 of 2013 and one of 2006: vectors of 8 and of 4."""
    from npcbnet.runtime.library import Library, emit
    from npcbnet.runtime.models import program_of
    from npcbnet.runtime.target import Target
    for target, multiply in ((Target("x86_64-unknown-linux-gnu", "haswell", "", 8, 16, "x86"), r"vfmadd\d+ps"),
                             (Target("x86_64-unknown-linux-gnu", "core2", "", 4, 16, "x86"), r"mulps")):
        listing = Listing(target)
        for vectors in (0, 1):
            program_of(npcbnet.load("mnist-lenet"), listing, vectors)
        for name, fixed in listing.asked:
            text = emit(Library(target).text(name, **dict(fixed)), target, assembly=True)
            if name in HOT and dict(fixed).get("lanes") != 1:
                assert count(main_loop(text, multiply), multiply) >= 3, (name, fixed)
