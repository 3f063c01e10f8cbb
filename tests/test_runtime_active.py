"""Active layers in the engine: the answers of the layers on random shapes and levels, and work that shrinks."""
import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from npcbnet import runtime
from npcbnet.layers import (ActiveConv2d, ActiveDense, AvgPool2d, Clip, Conv2d, Flatten, LeakyReLU, MaxPool2d,
                            ReLU, Residual, Sequential, Sigmoid)
from npcbnet.nets import BranchyNet, Classifier
from tests.runtime_models import TARGETS, assert_same_logits, kernels, names, needs_engine, some_images

pytestmark = needs_engine
some = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def filled(layer, rng, share):
    """The layer with random weights; about `share` of its neurons active at level 0, as many more at level 1."""
    layer.params = {}
    for name, shape in layer.param_shapes().items():
        if name in layer.levels:
            layer.params[name] = rng.choice([0, 1, 127], shape, p=[share, share, 1 - 2 * share]).astype(np.int8)
        else:
            scale = 1 / np.sqrt(layer.fans()[0]) if name == "weight" else 0.3
            layer.params[name] = (scale * rng.standard_normal(shape)).astype(np.float32)
    return layer


def active_conv(rng, shape, share, kernel=None):
    """An ActiveConv2d of random form for images of this shape."""
    kernel = kernel or int(rng.integers(1, min(10, *shape[1:]) + 1))
    window = kernel, int(rng.choice([1, 1, 1, 2, 3])), int(rng.integers(0, kernel))
    F, P, Q = Conv2d(shape[0], int(rng.integers(1, 14)), *window).output_shape(shape)
    return filled(ActiveConv2d(shape[0], F, *window, P, Q, int(rng.integers(0, 2))), rng, share)


def random_net(rng):
    """A Classifier of active layers and others among them."""
    shape = now = (int(rng.choice([1, 3])), int(rng.integers(3, 24)), int(rng.integers(3, 24)))
    layers, share = [], float(rng.choice([0.0, 0.05, 0.25, 0.5]))
    for _ in range(rng.integers(1, 4)):
        layers.append(active_conv(rng, now, share))
        layers += [[], [ReLU()], [MaxPool2d(2), ReLU()], [MaxPool2d(2, ceil_mode=False)],
                   [Clip(-0.1, 0.2), MaxPool2d(2)], [Clip(0.1, 0.9)],
                   [MaxPool2d(3, 2)], [LeakyReLU(0.2)], [AvgPool2d(2)], [Sigmoid()],
                   [Residual(Sequential([]))]][rng.integers(11) if min(layers[-1].output_shape(now)[1:]) > 3 else 1]
        now = Sequential(layers).output_shape(shape)
    layers.append(Flatten())
    for size in (int(rng.integers(1, 120)), 5):
        features = Sequential(layers).output_shape(shape)[0]
        layers += [filled(ActiveDense(features, size, int(rng.integers(0, 2))), rng, share), ReLU()]
    return Classifier(Sequential(layers[:-1]), shape, names(5))


@pytest.mark.parametrize("target", TARGETS)
def test_a_compiled_network_says_what_its_layers_say(target):
    from npcbnet.runtime.predictor import Predictor

    @some
    @given(st.integers(0, 2 ** 40), st.sampled_from(["dense", "ink"]))
    def check(seed, kind):
        rng = np.random.default_rng(seed)
        model = random_net(rng)
        note(f"{model.input_shape} {model.net!r}")
        images = some_images(rng, model.input_shape, 35, kind)
        predictor, right = Predictor(model, kernels=kernels(target)), model.predict_proba(images)
        for count in (1, 2, 35, 17, 1):  # and again: nothing is left of the call before
            assert_same_logits(predictor.predict_proba(images[:count]), right[:count])

    check()


def kernels_of(program):
    """The names of the micro-kernels of a program's steps."""
    found = {address: key for key, address in program.library._addresses.items()}
    return [found[row[0]] for row in program.rows]


def test_a_maximum_and_a_clamp_are_done_on_the_way_where_zero_stays_zero():
    rng = np.random.default_rng(0)
    for between, steps in (([MaxPool2d(2), ReLU()], 3), ([ReLU(), MaxPool2d(2)], 3), ([Clip(0.1, 0.9)], 4),
                           ([MaxPool2d(3, 2)], 4)):
        head = Sequential([active_conv(rng, (2, 12, 11), 0.3, kernel=3), *between, Flatten()])
        model = Classifier(Sequential([*head, filled(ActiveDense(*head.output_shape((2, 12, 11)), 4), rng, 0.5)]),
                           (2, 12, 11), names(4))
        used = [name for name in kernels_of(runtime.compile(model)._one.program) if "dense" not in name]
        assert len([name for name in used if name.startswith(("conv_some", "scatter", "pool", "elem"))]) >= steps
        assert any(name.startswith(("pool", "elementwise")) for name in used) == (steps == 4)


def test_what_is_wholly_active_is_a_whole_convolution():
    rng = np.random.default_rng(0)
    layer = filled(ActiveConv2d(1, 6, 5, 1, 2, 12, 12), rng, 0.3)
    layer.params["level"][:] = 0
    model = Classifier(Sequential([layer, ReLU(), Flatten(), filled(ActiveDense(864, 4), rng, 0.3)]), (1, 12, 12),
                       names(4))
    used = kernels_of(runtime.compile(model)._one.program)
    whole = ("winograd_one", "conv_plane", "conv_outputs")
    assert any(name.startswith(whole) for name in used) and not any("conv_some" in name for name in used)


@pytest.mark.parametrize("target", TARGETS)
def test_values_that_may_overflow_answer_as_the_layers_do(target):
    """What lies behind a row of taps meets weights of zero; it must not turn into NaN."""
    from npcbnet.runtime.predictor import Predictor
    rng = np.random.default_rng(0)
    for kernel in (1, 3, 5, 7, 9):
        first, P = Conv2d(1, 3, 3, pad=1), 12 - kernel + 1
        first.params = {"weight": np.zeros((3, 1, 3, 3), np.float32), "bias": np.zeros(3, np.float32)}
        first.params["weight"][:, 0, 1, :2] = 3e38  # of a white pixel; where two are side by side the sum is infinite
        second = filled(ActiveConv2d(3, 2, kernel, 1, 0, P, P), rng, 0.3)
        second.params["weight"][:] = 1
        last = filled(ActiveDense(2 * P * P, 3), rng, 0.5)
        model = Classifier(Sequential([first, second, Clip(-1, 1), Flatten(), last]), (1, 12, 12), names(3))
        images = np.zeros((35, 1, 12, 12), np.uint8)
        images[..., 5:] = 255
        with np.errstate(over="ignore", invalid="ignore"):
            right = model.predict_proba(images)
        for count in (1, 35):
            np.testing.assert_allclose(Predictor(model, kernels=kernels(target)).predict_proba(images[:count]),
                                       right[:count], atol=1e-5)


@pytest.mark.parametrize("target", TARGETS)
def test_behind_an_exit_and_in_a_residual(target):
    from npcbnet.runtime.predictor import Predictor
    rng, shape = np.random.default_rng(2), (1, 10, 9)
    stem = [filled(ActiveConv2d(1, 4, 3, 1, 1, 10, 9), rng, 0.4), ReLU()]
    inner = filled(ActiveConv2d(4, 4, 5, 1, 2, 10, 9), rng, 0.2)

    def head():
        return [Residual(Sequential([inner, ReLU()])), Flatten(), filled(ActiveDense(360, 30), rng, 0.3), ReLU(),
                filled(ActiveDense(30, 4), rng, 0.5)]

    net = BranchyNet(Sequential(stem), Sequential(head()), Sequential(head()), float("inf"), shape, names(4))
    images = some_images(rng, shape, 37)
    entropy = np.sort(net.explain(images).entropy)
    for net.threshold in (0.0, float(entropy[17:19].mean()), 10.0):
        predictor, right = Predictor(net, kernels=kernels(target)), net.predict_proba(images)
        for count in (1, 37):
            assert_same_logits(predictor.predict_proba(images[:count]), right[:count])


def test_many_calls_leave_nothing_behind():
    """What is not written stays zero: masks and maps of one call must not show in the next, whatever the images."""
    rng = np.random.default_rng(4)
    model = random_net(rng)
    predictor = runtime.compile(model)
    for kind in ("dense", "flat", "ink", "dense"):
        images = some_images(rng, model.input_shape, 50, kind)
        right = model.predict_proba(images)
        for count in (50, 1, 20, 3):
            assert_same_logits(predictor.predict_proba(images[:count]), right[:count])


def test_on_a_pi_sums_stay_in_registers():
    pi_code = pytest.importorskip("benchmarks.pi_code")
    for kernel in (3, 5):
        for together in (8, 4):
            for name in ("conv_some", "conv_some_group"):
                sure = (("sure", True),) if name == "conv_some" else ()
                fixed = (("kernel", kernel), ("together", together), *sure)
                assert not pi_code.faults(name, fixed), (name, fixed)
