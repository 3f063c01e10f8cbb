"""Every layer: its gradient, shapes, costs, configuration and manners."""
import json
import re

import numpy as np
import pytest

from npcbnet.errors import ModelFileError, NpcbnetError, ShapeError, UsageError
from npcbnet.gradcheck import gradcheck
from npcbnet.kernels._jit import COMPILED
from npcbnet.layers import (LAYERS, AvgPool2d, BatchNorm2d, Clip, Concatenate, Conv2d, ConvTranspose2d, Dense, Dropout,
                            Flatten, GlobalAvgPool2d, GlobalMaxPool2d, LeakyReLU, LocalResponseNorm, MaxPool2d,
                            PadChannels, ReLU, ReLU6, Reshape, Residual, Sequential, Sigmoid, Softmax, Tanh, Upsample2d,
                            from_config, initialise)
from npcbnet.layers.base import images_last
from npcbnet.layers.maxpool2d import pooled_side

CASES = {  # layer and the shape of its input (N, ...); sizes that plain Python can loop over
    "avgpool2d": [(AvgPool2d(), (3, 2, 6, 4)), (AvgPool2d(3, 2, 1, True), (2, 2, 6, 7)),
                  (AvgPool2d(3, 2, 1, False, True), (1, 3, 5, 8)), (AvgPool2d(4, 4), (17, 2, 4, 4)),
                  (AvgPool2d(3, 2, 2), (2, 2, 4, 5)), (AvgPool2d(3, 2, 2, True, True), (2, 2, 4, 5))],
    "batchnorm2d": [(BatchNorm2d(2), (3, 2, 4, 5)), (BatchNorm2d(3, 0.01, 0.3), (2, 3, 1, 2)),
                    (BatchNorm2d(2), (17, 2, 2, 3)), (BatchNorm2d(1), (1, 1, 1, 1))],
    "clip": [(Clip(-0.31, 0.77), (3, 2, 4, 5)), (Clip(), (1, 7)), (Clip(-1.234, 99), (5, 9))],
    "concatenate": [(Concatenate(Sequential([Conv2d(2, 3, 3, pad=1), Sigmoid()]), Conv2d(2, 4, 1)), (3, 2, 4, 5)),
                    (Concatenate(Sequential([]), Sequential([Dense(5, 2), Sigmoid()])), (4, 5)),
                    (Concatenate(Sequential([BatchNorm2d(2)]), Sequential([Concatenate(Conv2d(2, 1, 1), Sigmoid())])),
                     (2, 2, 3, 4))],
    "conv2d": [(Conv2d(2, 3, 3), (2, 2, 5, 6)), (Conv2d(3, 6, 5, pad=3), (1, 3, 4, 6)),
               (Conv2d(2, 7, 3, 2, 1), (3, 2, 7, 6)), (Conv2d(2, 5, 1), (17, 2, 2, 3)),
               (Conv2d(4, 2, 4, 3, 2), (2, 4, 8, 9)), (Conv2d(2, 3, 2, 2), (1, 2, 5, 4)),
               (Conv2d(4, 6, 3, pad=1, groups=2), (2, 4, 5, 3)), (Conv2d(6, 3, 2, 2, 1, groups=3), (1, 6, 4, 5)),
               (Conv2d(4, 4, 3, pad=1, groups=4), (3, 4, 5, 6)), (Conv2d(3, 3, 3, 2, 1, groups=3), (1, 3, 6, 5)),
               (Conv2d(2, 6, 3, pad=2, groups=2), (2, 2, 3, 4)), (Conv2d(2, 3, 3, bias=False), (2, 2, 4, 5)),
               (Conv2d(2, 2, 5, 3, 4, groups=2, bias=False), (2, 2, 6, 5))],
    "convtranspose2d": [(ConvTranspose2d(2, 3, 3), (2, 2, 3, 4)), (ConvTranspose2d(3, 2, 4, 3, 1, 2), (1, 3, 2, 3)),
                        (ConvTranspose2d(2, 5, 3, 2, 1, 1), (3, 2, 4, 3)), (ConvTranspose2d(3, 2, 1), (17, 3, 2, 2)),
                        (ConvTranspose2d(4, 6, 3, 2, 2, groups=2), (2, 4, 3, 3)),
                        (ConvTranspose2d(3, 3, 3, 2, 1, groups=3, bias=False), (2, 3, 3, 4))],
    "dense": [(Dense(7, 4), (3, 7)), (Dense(1, 6), (1, 1)), (Dense(5, 11), (17, 5))],
    "dropout": [(Dropout(0.4), (3, 2, 4, 5)), (Dropout(0.0), (2, 6))],
    "flatten": [(Flatten(), (3, 2, 4, 5)), (Flatten(), (1, 2, 3, 1)), (Flatten(), (3, 6))],
    "globalavgpool2d": [(GlobalAvgPool2d(), (3, 2, 4, 5)), (GlobalAvgPool2d(), (1, 3, 1, 1)),
                        (GlobalAvgPool2d(), (17, 2, 3, 7))],
    "globalmaxpool2d": [(GlobalMaxPool2d(), (3, 2, 4, 5)), (GlobalMaxPool2d(), (1, 3, 1, 1)),
                        (GlobalMaxPool2d(), (17, 2, 3, 7))],
    "leakyrelu": [(LeakyReLU(), (3, 2, 4, 5)), (LeakyReLU(0.2), (4, 7)), (LeakyReLU(-0.5), (2, 3))],
    "localresponsenorm": [(LocalResponseNorm(3, 5e-5, 0.75, 2, "sum"), (3, 5, 4, 2)),
                          (LocalResponseNorm(5, 0.7, 0.75, 1, "mean"), (2, 3, 2, 3)),
                          (LocalResponseNorm(1, 2.0, 1.5, 0.5, "sum"), (2, 2, 2, 3)),
                          (LocalResponseNorm(99, 0.3, 0.5, 1, "mean"), (1, 7, 3, 2))],
    "maxpool2d": [(MaxPool2d(), (3, 2, 5, 7)), (MaxPool2d(3, 2, 1), (2, 2, 6, 8)),
                  (MaxPool2d(3, 1, 1, False), (1, 3, 5, 4)), (MaxPool2d(2, 3, ceil_mode=False), (17, 2, 5, 8))],
    "padchannels": [(PadChannels(1, 2), (3, 2, 4, 5)), (PadChannels(0, 5), (17, 2, 3, 2)),
                    (PadChannels(), (1, 3, 2, 2)), (PadChannels(3), (2, 1, 1, 4))],
    "relu": [(ReLU(), (3, 2, 4, 5)), (ReLU(), (4, 7))],
    "relu6": [(ReLU6(), (3, 2, 4, 5)), (ReLU6(), (4, 7))],
    "reshape": [(Reshape([2, 3, 4]), (3, 24)), (Reshape((12,)), (2, 3, 2, 2)), (Reshape([4, 3, 1]), (5, 2, 6, 1))],
    "residual": [(Residual(Sequential([Conv2d(2, 2, 3, pad=1), BatchNorm2d(2)])), (3, 2, 4, 5)),
                 (Residual(Sequential([Conv2d(2, 3, 3, 2, 1), Sigmoid()]), Conv2d(2, 3, 1, 2)), (2, 2, 5, 4)),
                 (Residual(Sequential([Residual(Sequential([Dense(5, 5)])), Sigmoid()]), Sequential([Dense(5, 5)])),
                  (4, 5)), (Residual(Sequential([]), Dense(3, 3)), (1, 3))],
    "sequential": [
        (Sequential([Conv2d(2, 3, 3, pad=1), MaxPool2d(), ReLU(), Flatten(), Dense(18, 4)]), (3, 2, 6, 3)),
        (Sequential([AvgPool2d(2), Flatten(), Dense(6, 5), ReLU(), Dense(5, 6), Sigmoid(), Reshape([1, 2, 3]),
                     Upsample2d()]), (2, 1, 4, 6)),
        (Sequential([Dropout(0.3), Dense(4, 3), Softmax(7.5)]), (5, 4)), (Sequential([]), (2, 3))],
    "sigmoid": [(Sigmoid(), (3, 2, 4, 5)), (Sigmoid(), (2, 7))],
    "softmax": [(Softmax(), (3, 7)), (Softmax(total=101.7), (2, 9)), (Softmax(), (1, 1))],
    "tanh": [(Tanh(), (3, 2, 4, 5)), (Tanh(), (2, 7))],
    "upsample2d": [(Upsample2d(), (3, 2, 4, 5)), (Upsample2d(), (1, 3, 1, 2)), (Upsample2d(), (2, 2, 1, 1))],
}
ELSEWHERE = {"quantizedconv2d", "quantizeddense", "activeconv2d", "activedense"}  # test_quantized, test_active_layers
every_case = pytest.mark.parametrize("layer, shape", [case for cases in CASES.values() for case in cases], ids=repr)


def pixels(shape, dtype=np.float64, seed=0):
    """Values that lie apart from each other and from 0, so that no maximum ties and no kink is near."""
    size = int(np.prod(shape))
    return ((np.random.default_rng(seed).permutation(size) + 0.3) * 4 / size - 2).reshape(shape).astype(dtype)


def prepared(layer, dtype=np.float64, seed=1):
    """The layer with random weights and, unlike after training's start, random biases; variances are positive."""
    rng = np.random.default_rng(seed)
    initialise(layer, rng, dtype=dtype)
    drawn = {name: array if array.ndim > 1 else rng.standard_normal(array.shape).astype(dtype)
             for name, array in layer.params.items()}
    layer.params = {name: np.exp(array) if name.endswith("running_var") else array for name, array in drawn.items()}
    return layer


def forward(layer, x, train=False):
    return layer.forward(x, train, np.random.default_rng(2))


def test_every_layer_has_cases():
    assert set(CASES) == {*LAYERS, "sequential"} - ELSEWHERE
    assert all(layer.name == name for name, cases in CASES.items() for layer, _ in cases)


@every_case
def test_gradient(layer, shape):
    assert gradcheck(prepared(layer), pixels(shape), np.random.default_rng(3)) < 1e-6


class Wrong(Dense):
    """A Dense whose gradients can be spoilt."""

    def __init__(self, spoil):
        super().__init__(5, 4)
        self.spoil = spoil

    def forward(self, x, train=False, rng=None):
        y, backward = super().forward(x, train, rng)
        return y, lambda dy, need_dx=True: self.spoil(*backward(dy, need_dx))


@pytest.mark.parametrize("spoil", [
    lambda dx, grads: (dx * 1.001, grads),
    lambda dx, grads: (dx[::-1], grads),
    lambda dx, grads: (dx, {**grads, "bias": grads["bias"] * 0}),
    lambda dx, grads: (dx, {**grads, "weight": grads["weight"][::-1]}),
])
def test_gradcheck_sees_a_wrong_gradient(spoil):
    assert gradcheck(prepared(Wrong(spoil)), pixels((3, 5)), np.random.default_rng(3)) > 1e-4


def test_gradcheck_puts_the_parameters_back():
    layer = prepared(Dense(3, 2), np.float32)
    before = dict(layer.params)
    gradcheck(layer, pixels((2, 3)), np.random.default_rng(3))
    assert all(layer.params[name] is array for name, array in before.items())


@every_case
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_output_and_gradient_have_the_promised_shape_and_the_type_of_the_input(layer, shape, dtype):
    prepared(layer, dtype)
    y, backward = forward(layer, pixels(shape, dtype), train=True)
    assert y.shape == (shape[0], *layer.output_shape(shape[1:])) and y.dtype == dtype
    dx, grads = backward(y)
    assert dx.shape == shape and dx.dtype == dtype
    assert {name: gradient.shape for name, gradient in grads.items()} == layer.param_shapes()
    assert all(gradient.dtype == dtype for gradient in grads.values())


@every_case
def test_initialise_makes_the_promised_parameters(layer, shape):
    assert initialise(layer, np.random.default_rng(0)) is layer
    assert {name: array.shape for name, array in layer.params.items()} == layer.param_shapes()
    assert all(array.dtype == np.float32 for array in layer.params.values())


@every_case
def test_prediction_keeps_nothing_and_agrees_with_training(layer, shape):
    x = pixels(shape, np.float32)
    y, backward = forward(prepared(layer, np.float32), x)
    assert backward is None
    if "Dropout" not in repr(layer) and not layer.statistics:  # these two differ on purpose
        np.testing.assert_array_equal(y, forward(layer, x, train=True)[0])


def test_dropout_predicts_the_identity_and_keeps_nothing():
    x = pixels((2, 6))
    y, backward = Dropout(0.5).forward(x)
    assert backward is None
    np.testing.assert_array_equal(y, x)


@every_case
def test_forward_and_backward_leave_input_gradient_and_parameters_as_they_were(layer, shape):
    x = pixels(shape, np.float32)
    params = {name: array.copy() for name, array in prepared(layer, np.float32).params.items()}
    y, backward = forward(layer, x, train=True)
    dy = pixels(y.shape, np.float32, seed=5)
    backward(dy)
    np.testing.assert_array_equal(x, pixels(shape, np.float32))
    np.testing.assert_array_equal(dy, pixels(y.shape, np.float32, seed=5))
    for name, array in params.items():
        np.testing.assert_array_equal(layer.params[name], array)


def flat(dx, grads):
    return np.concatenate([dx.ravel(), *(gradient.ravel() for gradient in grads.values())])


@every_case
def test_interleaved_calls_do_not_disturb_each_other(layer, shape):
    prepared(layer)
    inputs = [pixels(shape, seed=seed) for seed in (6, 7)]
    y, _ = forward(layer, inputs[0], train=True)
    dy = pixels(y.shape, seed=8)
    lone = [flat(*forward(layer, x, train=True)[1](dy)) for x in inputs]
    backwards = [forward(layer, x, train=True)[1] for x in inputs]
    forward(layer, pixels((1, *shape[1:]), seed=9))
    np.testing.assert_array_equal(flat(*backwards[0](dy)), lone[0])
    np.testing.assert_array_equal(flat(*backwards[1](dy)), lone[1])
    np.testing.assert_array_equal(flat(*backwards[0](dy)), lone[0])


@pytest.mark.parametrize("layer, shape", [(Dense(5, 3), (2, 5)), (Conv2d(2, 3, 3), (2, 2, 4, 4))])
def test_backward_belongs_to_the_weights_of_its_forward(layer, shape):
    y, backward = forward(prepared(layer), pixels(shape), train=True)
    before = flat(*backward(y))
    layer.params = {name: array * 3 for name, array in layer.params.items()}
    np.testing.assert_array_equal(flat(*backward(y)), before)


@every_case
def test_without_need_dx_the_parameters_gradients_are_the_same(layer, shape):
    y, backward = forward(prepared(layer), pixels(shape), train=True)
    dy = pixels(y.shape, seed=8)
    _, grads = backward(dy)
    dx, alone = backward(dy, need_dx=False)
    assert alone.keys() == grads.keys()
    assert all(np.array_equal(alone[name], grads[name]) for name in grads)
    assert dx is None or not grads or isinstance(layer, Sequential)


@pytest.mark.parametrize("shortcut", [None, Dense(4, 4)], ids=["without shortcut", "with shortcut"])
def test_a_residual_asks_its_parts_for_no_input_gradient(shortcut):
    layer = prepared(Residual(Dense(4, 4), shortcut))
    assert forward(layer, pixels((2, 4)), train=True)[1](np.ones((2, 4)), need_dx=False)[0] is None


@pytest.mark.parametrize("train", [False, True])
def test_a_rectifier_behind_a_pool_costs_no_pass_and_changes_no_bit(train):
    layers = [MaxPool2d(), ReLU(), ReLU(), MaxPool2d(3, 2, 1), ReLU()]
    x, backwards = pixels((17, 2, 9, 8), np.float32), []
    y, backward = Sequential(layers).forward(x, train)
    alone = x
    for layer in layers:
        alone, own = layer.forward(alone, train)
        backwards.append(own)
    np.testing.assert_array_equal(y, alone)
    if train:
        dy = gradient = pixels(y.shape, np.float32, seed=5)
        for own in reversed(backwards):
            gradient = own(gradient)[0]
        np.testing.assert_array_equal(backward(dy)[0], gradient)


def test_sequential_asks_its_first_layer_for_no_input_gradient():
    layer, x = prepared(Sequential([Dense(4, 3), ReLU(), Dense(3, 2)])), pixels((2, 4))
    assert forward(layer, x, train=True)[1](np.ones((2, 2)), need_dx=False)[0] is None


def orders(x):
    """x as other memory: images last, Fortran, every second image, every second column, turned round twice."""
    yield np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 0, -1)), -1, 0)
    yield np.asfortranarray(x)
    yield np.repeat(x, 2, axis=0)[::2]
    yield np.repeat(x, 2, axis=-1)[..., ::2]
    yield np.ascontiguousarray(x[..., ::-1])[..., ::-1]


@every_case
def test_any_memory_order_gives_the_same_answer(layer, shape):
    x = pixels(shape, np.float32)
    y, backward = forward(prepared(layer, np.float32), x, train=True)
    dy = pixels(y.shape, np.float32, seed=8)
    gradient = flat(*backward(dy))
    for other, other_dy in zip(orders(x), orders(dy)):
        again, backward = forward(layer, other, train=True)
        np.testing.assert_allclose(again, y, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(flat(*backward(other_dy)), gradient, rtol=1e-5, atol=1e-5)


def read_only(x):
    view = x.view()
    view.flags.writeable = False
    return view


@every_case
def test_a_read_only_input_gives_the_same_answer(layer, shape):
    prepared(layer, np.float32)
    x, dy = pixels(shape, np.float32), pixels((shape[0], *layer.output_shape(shape[1:])), np.float32, seed=8)
    for other, other_dy in (x, dy), *zip(orders(x), orders(dy)):
        y, backward = forward(layer, other, train=True)
        again, backward_again = forward(layer, read_only(other), train=True)
        np.testing.assert_array_equal(again, y)
        np.testing.assert_array_equal(flat(*backward_again(read_only(other_dy))), flat(*backward(other_dy)))


@pytest.mark.skipif(not COMPILED, reason="the bits of BLAS depend on the batch")
@pytest.mark.parametrize("layer, shape", [
    (Conv2d(3, 6, 5, pad=3), (3, 9, 8)), (Conv2d(2, 7, 3, 2, 1), (2, 7, 6)), (Dense(90, 11), (90,)),
    (Conv2d(6, 9, 3, pad=1, groups=3), (6, 9, 8)), (Conv2d(6, 6, 3, 2, 1, groups=6), (6, 7, 6)),
    (Dense(33, 5), (33,)), (MaxPool2d(), (3, 5, 7)), (AvgPool2d(), (3, 6, 4)), (ReLU(), (50,)),
    (Sigmoid(), (53,)), (Clip(), (50,)),
    (Upsample2d(), (2, 4, 5)), (Flatten(), (3, 4, 5)), (Reshape([3, 5, 2]), (30,)), (Softmax(150.0), (784,)),
    (GlobalAvgPool2d(), (3, 9, 7)), (GlobalMaxPool2d(), (3, 9, 7)), (ReLU6(), (50,)), (LeakyReLU(0.1), (53,)),
    (Tanh(), (53,)), (LocalResponseNorm(3, 0.5, 0.75, 2, "sum"), (5, 3, 7)),
    (ConvTranspose2d(3, 6, 3, 2, 1, 1), (3, 5, 4)), (ConvTranspose2d(4, 4, 3, 2, groups=4), (4, 5, 4)),
    (BatchNorm2d(3), (3, 5, 7)), (Residual(Conv2d(3, 2, 3, pad=1), Conv2d(3, 2, 1)), (3, 5, 7)),
], ids=repr)
def test_an_image_has_the_same_bits_alone_and_in_any_batch(layer, shape):
    x = pixels((40, *shape), np.float32)
    for order in x, images_last_view(x):
        whole = prepared(layer, np.float32).forward(order)[0]
        for first, last in (0, 1), (7, 8), (39, 40), (3, 20), (0, 33):
            np.testing.assert_array_equal(layer.forward(order[first:last])[0], whole[first:last])


def images_last_view(x):
    return np.moveaxis(images_last(x), -1, 0)


def test_images_last_copies_nothing_that_already_lies_so():
    for shape in (3, 4), (3, 2, 5, 4), (1, 2, 5, 4):
        view = images_last_view(pixels(shape))
        assert np.shares_memory(images_last(view), view) and images_last(view).flags.c_contiguous
    alone = pixels((1, 2, 5, 4))
    assert np.shares_memory(images_last(alone), alone)


LENET = [  # from the table of B-LeNet (kunglab/branchynet): layer, input shape, multiply-adds, parameters
    (Conv2d(1, 5, 5, pad=3), (1, 28, 28), 112_500, 130), (Conv2d(5, 10, 3, pad=1), (5, 15, 15), 101_250, 460),
    (Conv2d(5, 10, 5, pad=3), (5, 15, 15), 361_250, 1_260), (Conv2d(10, 20, 5, pad=3), (10, 9, 9), 605_000, 5_020),
    (Dense(640, 10), (640,), 6_400, 6_410), (Dense(720, 84), (720,), 60_480, 60_564), (Dense(84, 10), (84,), 840, 850),
]


GROUPS = [  # depthwise, grouped and pointwise convolutions: height * width * outputs * taps, weights and biases
    (Conv2d(32, 32, 3, pad=1, groups=32), (32, 16, 16), 16 * 16 * 32 * 9, 32 * 9 + 32),
    (Conv2d(32, 64, 3, 2, 1, groups=4), (32, 16, 16), 8 * 8 * 64 * 8 * 9, 64 * 8 * 9 + 64),
    (Conv2d(32, 64, 1, bias=False), (32, 16, 16), 16 * 16 * 64 * 32, 64 * 32),
    (ConvTranspose2d(32, 24, 3, 2, 1, 1), (32, 8, 8), 8 * 8 * 32 * 24 * 9, 32 * 24 * 9 + 24),
    (ConvTranspose2d(32, 24, 3, 2, 1, 1, groups=8), (32, 8, 8), 8 * 8 * 32 * 3 * 9, 32 * 3 * 9 + 24),
]


@pytest.mark.parametrize("layer, shape, macs, parameters", LENET + GROUPS, ids=repr)
def test_macs_and_parameters_of_single_layers(layer, shape, macs, parameters):
    assert layer.macs(shape) == macs
    assert sum(int(np.prod(shape)) for shape in layer.param_shapes().values()) == parameters


def test_macs_and_shapes_of_lenet():
    lenet = Sequential([Conv2d(1, 5, 5, pad=3), MaxPool2d(), ReLU(), Conv2d(5, 10, 5, pad=3), MaxPool2d(), ReLU(),
                        Conv2d(10, 20, 5, pad=3), MaxPool2d(), ReLU(), Flatten(), Dense(720, 84), Dense(84, 10)])
    assert lenet.macs((1, 28, 28)) == 1_140_070
    assert lenet.shapes((1, 28, 28))[1::3] == [(5, 30, 30), (10, 17, 17), (20, 11, 11), (720,)]
    assert lenet.output_shape((1, 28, 28)) == (10,)


def test_pooled_side_against_walking_windows():
    for side, kernel, stride, ceil_mode in np.ndindex(14, 6, 5, 2):
        for pad in range((kernel + 1) // 2 + 1):
            side_, kernel_, stride_ = side + 1, kernel + 1, stride + 1
            if side_ + 2 * pad < kernel_ or 2 * pad > kernel_:
                continue
            last_fit = [at for at in range(-pad, side_ + pad, stride_) if at + kernel_ <= side_ + pad]
            windows, after = len(last_fit), last_fit[-1] + stride_
            windows += bool(ceil_mode) and last_fit[-1] + kernel_ < side_ + pad and after < side_
            assert pooled_side(side_, kernel_, stride_, pad, ceil_mode) == windows


@every_case
def test_configuration_survives_json(layer, shape):
    config = json.loads(json.dumps(layer.config()))
    again = from_config(config)
    assert type(again) is type(layer) and again.config() == layer.config() and repr(again) == repr(layer)
    assert again.param_shapes() == layer.param_shapes() and not again.params


def test_a_field_at_its_default_is_left_out_of_the_configuration():
    """So a configuration from before the field existed still loads, and is written again to the same bytes."""
    before = {"layer": "conv2d", "in_channels": 4, "out_channels": 4, "kernel": 3, "stride": 1, "pad": 0}
    assert from_config(before).config() == before == Conv2d(4, 4, 3).config()
    assert from_config({**before, "groups": 4}).config() == {**before, "groups": 4} != before
    assert Conv2d(4, 4, 3, groups=1, bias=False).config() == {**before, "bias": False}
    for wrong in {"group": 2}, {"weight": 1}:
        with pytest.raises(ModelFileError, match="has the fields"):
            from_config({**before, **wrong})


def test_the_configuration_of_a_sequential_is_the_list_of_its_layers():
    layer = Sequential([Dense(3, 2), Sequential([ReLU()])])
    assert layer.config() == [{"layer": "dense", "in_features": 3, "out_features": 2}, [{"layer": "relu"}]]
    assert from_config(layer.config()).config() == layer.config()


@pytest.mark.parametrize("config", [
    None, 3, "relu", {}, {"layer": "convolution"}, {"layer": None}, {"layer": "__class__"}, {"layer": "relu", "x": 1},
    {"layer": "dense"}, {"layer": "dense", "in_features": 3}, [{"layer": "relu"}, 5], {"layer": "sequential"}])
def test_an_unknown_configuration_is_refused(config):
    with pytest.raises(ModelFileError):
        from_config(config)


def nest(levels):
    """The configuration of so many Residuals in each other."""
    config = {"layer": "relu"}
    for _ in range(levels):
        config = {"layer": "residual", "body": [config]}
    return [config]


def test_layers_nest_only_so_deep():
    assert from_config(nest(3)).config() == nest(3)
    for deep in nest(4), nest(300), [[[[[[[[[[{"layer": "relu"}]]]]]]]]]]:
        with pytest.raises(ModelFileError, match="in each other more than 8 deep"):
            from_config(deep)


@pytest.mark.parametrize("fields", [{}, {"shortcut": [{"layer": "relu"}]}, {"body": None}, {"body": 3},
                                    {"body": {"layer": "none"}}, {"body": [], "shortcut": None},
                                    {"body": [], "shortcut": 3}, {"body": [], "bodies": []}])
def test_a_residual_of_no_layers_is_refused(fields):
    with pytest.raises(ModelFileError):
        from_config({"layer": "residual", **fields})


@pytest.mark.parametrize("name", [["relu"], {"relu": 1}])
def test_a_layer_name_that_is_no_text_is_refused(name):
    with pytest.raises(ModelFileError):
        from_config({"layer": name})


SIZES = {"conv2d": ("in_channels", "out_channels", "kernel", "stride", "pad", "groups"),
         "dense": ("in_features", "out_features"),
         "maxpool2d": ("kernel", "stride", "pad"), "avgpool2d": ("kernel", "stride", "pad"),
         "batchnorm2d": ("channels",), "localresponsenorm": ("size",),
         "padchannels": ("before", "after"),
         "convtranspose2d": ("in_channels", "out_channels", "kernel", "stride", "pad", "output_padding", "groups")}


@pytest.mark.parametrize("value", ["3", True, False, -1, 2.0, [2], float("nan")], ids=repr)
@pytest.mark.parametrize("name, field", [(name, field) for name, fields in SIZES.items() for field in fields])
def test_a_size_that_is_no_whole_number_is_refused_by_name(name, field, value):
    config = {**CASES[name][0][0].config(), field: value}
    with pytest.raises(ShapeError, match=rf"{LAYERS[name].__name__}: {field} must be .*{re.escape(repr(value))}"):
        from_config(config)


@pytest.mark.parametrize("make", [
    lambda: Dense(0, 3), lambda: Conv2d(1, 0, 3), lambda: Conv2d(1, 1, 0), lambda: Conv2d(1, 1, 3, stride=0),
    lambda: Conv2d(1, 1, 3, pad=3), lambda: Conv2d(1, 1, 3, pad=10 ** 9), lambda: Conv2d(4, 6, 3, groups=4),
    lambda: Conv2d(6, 4, 3, groups=4), lambda: Conv2d(4, 4, 3, groups=8), lambda: Conv2d(4, 4, 3, bias=1),
    lambda: MaxPool2d(0), lambda: MaxPool2d(16), lambda: MaxPool2d(3, pad=2), lambda: AvgPool2d(2, pad=10 ** 9),
    lambda: Dropout(1), lambda: Dropout(-0.1), lambda: Dropout(True), lambda: Dropout("0.5"),
    lambda: Dropout(float("nan")),
    lambda: MaxPool2d(2, ceil_mode="false"), lambda: AvgPool2d(2, ceil_mode="false"),
    lambda: AvgPool2d(2, count_pad="false"), lambda: AvgPool2d(2, count_pad=1),
    lambda: Clip(False, True), lambda: Clip(0, 10 ** 400), lambda: Clip(0, float("inf")), lambda: Clip(-10 ** 400, 0),
    lambda: Clip(1, 1), lambda: Clip("0", "1"), lambda: Clip(float("nan"), 1), lambda: Clip(0, None),
    lambda: BatchNorm2d(2, eps=0), lambda: BatchNorm2d(2, eps="1"), lambda: BatchNorm2d(2, momentum=1.1),
    lambda: BatchNorm2d(2, momentum=-0.1), lambda: BatchNorm2d(2, momentum=float("nan")), lambda: Residual(None),
    lambda: Residual([ReLU()]), lambda: Residual(ReLU(), 3),
    lambda: ConvTranspose2d(1, 1, 3, pad=3), lambda: ConvTranspose2d(1, 1, 3, output_padding=1),
    lambda: ConvTranspose2d(1, 1, 3, 2, output_padding=2), lambda: ConvTranspose2d(2, 3, 3, groups=2),
    lambda: ConvTranspose2d(2, 2, 3, bias="no"), lambda: AvgPool2d(3, pad=3),
    lambda: LocalResponseNorm(4, 1, 1, 1, "sum"), lambda: LocalResponseNorm(3, -1, 1, 1, "sum"),
    lambda: LocalResponseNorm(3, 1, 1, 0, "sum"), lambda: LocalResponseNorm(3, 1, 1, 1, "torch"),
    lambda: LocalResponseNorm(3, 1, 1, 1, None), lambda: LocalResponseNorm(3, 1, 1, 1, ["sum"]),
    lambda: LocalResponseNorm(3, 1, "1", 1, "sum"), lambda: LeakyReLU("0.1"), lambda: LeakyReLU(float("nan")),
    lambda: Softmax(10 ** 400), lambda: Dropout(10 ** 400),
    lambda: Softmax(0), lambda: Softmax(-1), lambda: Softmax(True), lambda: Softmax("1"), lambda: Softmax(float("inf")),
    lambda: Softmax(float("nan")), lambda: Reshape(6), lambda: Reshape("123"), lambda: Reshape([2, 3]),
    lambda: Reshape([]),
    lambda: Reshape([2, -1, 3]), lambda: Reshape([2, True, 3]), lambda: Reshape(["2"]), lambda: Reshape([0]),
])
def test_values_that_cannot_work_are_refused(make):
    with pytest.raises(ShapeError) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("layer, shape, words", [
    (Conv2d(3, 5, 3), (2, 1, 8, 8), r"Conv2d\(in_ch.* takes \(3, H, W\) images, not an input of shape \(1, 8, 8\)"),
    (Conv2d(1, 5, 5, pad=1), (2, 1, 2, 8), r"at least 3 pixels, not an input of shape \(1, 2, 8\)"),
    (Dense(5, 3), (2, 4), r"Dense\(in_features=5.* takes \(5,\) features an image, not an input of shape \(4,\)"),
    (Dense(4, 3), (2, 1, 2, 2), r"features an image, not an input of shape \(1, 2, 2\)"),
    (MaxPool2d(), (2, 9), r"takes \(C, H, W\) images, not an input of shape \(9,\)"),
    (AvgPool2d(4), (2, 1, 3, 9), r"no smaller than its window, not an input of shape \(1, 3, 9\)"),
    (Softmax(), (2, 1, 2, 3), r"put Flatten before it, not an input of shape \(1, 2, 3\)"),
    (Upsample2d(), (2, 6), r"\(C, H, W\) images, not an input of shape \(6,\)"),
    (ConvTranspose2d(3, 5, 3), (2, 1, 8, 8), r"ConvTranspose2d\(in.* takes \(3, H, W\) images.* shape \(1, 8, 8\)"),
    (ConvTranspose2d(1, 5, 5, pad=4), (2, 1, 2, 8), r"at least 5 pixels, not an input of shape \(1, 2, 8\)"),
    (ConvTranspose2d(1, 5, 5, 2, 4), (2, 1, 2, 8), r"at least 3 pixels, not an input of shape \(1, 2, 8\)"),
    (LocalResponseNorm(3, 1, 1, 1, "sum"), (2, 9), r"\(C, H, W\) images, not an input of shape \(9,\)"),
    (GlobalAvgPool2d(), (2, 9), r"GlobalAvgPool2d\(\) takes \(C, H, W\) images, not an input of shape \(9,\)"),
    (GlobalMaxPool2d(), (2, 9), r"GlobalMaxPool2d\(\) takes \(C, H, W\) images, not an input of shape \(9,\)"),
    (BatchNorm2d(3), (2, 2, 4, 4), r"BatchNorm2d\(channels=3.* takes \(3, H, W\) images.* shape \(2, 4, 4\)"),
    (Residual(Sequential([Dense(4, 3)])), (2, 4), r"the body makes \(3,\), the shortcut \(4,\)"),
    (Residual(ReLU(), Conv2d(2, 3, 3)), (2, 2, 5, 5),
     r"an input of shape \(2, 5, 5\) the body makes \(2, 5, 5\), the shortcut \(3, 3, 3\)"),
    (Reshape([2, 2, 2]), (3, 9), r"cannot hold the 9 values of an input of shape \(9,\)"),
])
def test_a_shape_error_names_the_layer_and_the_shape(layer, shape, words):
    with pytest.raises(ShapeError, match=words):
        prepared(layer).forward(np.zeros(shape))
    with pytest.raises(ShapeError, match=words):
        layer.output_shape(shape[1:])


def test_sequential_names_the_place_of_the_layer_that_does_not_fit():
    with pytest.raises(ShapeError, match=r"layer 3 of 3: Dense\(in_features=9"):
        Sequential([ReLU(), Flatten(), Dense(9, 2)]).output_shape((1, 2, 4))


@every_case
@pytest.mark.parametrize("given", [(3,), (2, 3), (2, 24), (2, 3, 4), (2, 2, 4, 4), (2, 3, 1, 1), (2, 2, 4, 4, 4),
                                   (0, 3, 9, 9), (0, 7)], ids=repr)
def test_any_shape_is_either_served_or_refused_by_our_own_error(layer, shape, given):
    try:
        y, _ = forward(prepared(layer), np.zeros(given))
    except NpcbnetError:
        return
    assert y.shape == (given[0], *layer.output_shape(given[1:]))


@pytest.mark.parametrize("layer, given", [
    (Conv2d(1, 1, 3), (2, 1, 0, 4)), (MaxPool2d(), (2, 1, 0, 4)), (Reshape([1]), (2, 0)),
    (Conv2d(1, 1, 2, pad=1), (2, 1, 0, 4)), (MaxPool2d(2, pad=1), (2, 1, 0, 4)),
    (GlobalAvgPool2d(), (2, 1, 0, 4)), (GlobalMaxPool2d(), (2, 1, 4, 0)), (ConvTranspose2d(1, 1, 3), (2, 1, 0, 4)),
    (BatchNorm2d(1), (2, 1, 0, 4)), (LocalResponseNorm(1, 1, 1, 1, "sum"), (2, 1, 0, 4)),
    (AvgPool2d(2, pad=1), (2, 1, 0, 4)), (Upsample2d(), (2, 1, 0, 4)), (Softmax(), (2, 0)), (Flatten(), ()),
], ids=repr)
def test_images_without_pixels_are_refused(layer, given):
    with pytest.raises(ShapeError):
        prepared(layer).forward(np.zeros(given))


def test_dropout_draws_by_its_rate_and_keeps_the_mean():
    x = np.ones((100, 1000), np.float32)
    for rate in 0.0, 0.2, 0.75:
        y, _ = Dropout(rate).forward(x, train=True, rng=np.random.default_rng(4))
        assert (y == 0).mean() == pytest.approx(rate, abs=0.01)
        np.testing.assert_allclose(y[y != 0], 1 / (1 - rate), rtol=1e-6)


def test_dropout_follows_its_generator_alone():
    x = pixels((4, 2, 5, 6), np.float32)
    draw = [Dropout(0.5).forward(order, True, np.random.default_rng(seed))[0]
            for seed, order in ((4, x), (4, images_last_view(x)), (5, x))]
    np.testing.assert_array_equal(draw[0], draw[1])
    assert not np.array_equal(draw[0], draw[2])


def test_dropout_without_a_generator_says_what_to_do():
    with pytest.raises(ShapeError, match="default_rng"):
        Dropout().forward(np.ones((1, 2)), train=True)


@pytest.mark.parametrize("layer, shape", [(ReLU(), (3, 4)), (Clip(), (3, 4)), (Sigmoid(), (3, 4)), (Softmax(), (3, 4)),
                                          (Dense(4, 2), (3, 4)), (Conv2d(1, 2, 2), (3, 1, 2, 2)),
                                          (MaxPool2d(), (3, 1, 2, 2)), (AvgPool2d(), (3, 1, 2, 2)),
                                          (ReLU6(), (3, 4)), (LeakyReLU(), (3, 4)), (Tanh(), (3, 4)),
                                          (GlobalAvgPool2d(), (3, 1, 2, 2)), (GlobalMaxPool2d(), (3, 1, 2, 2)),
                                          (LocalResponseNorm(3, 1, 0.75, 1, "mean"), (3, 2, 2, 1)),
                                          (ConvTranspose2d(1, 2, 2, 2), (3, 1, 2, 2)),
                                          (BatchNorm2d(1), (3, 1, 2, 2)), (Residual(Dense(4, 4)), (3, 4)),
                                          (Upsample2d(), (3, 1, 2, 2))], ids=repr)
def test_nan_comes_through_and_stays_with_its_image(layer, shape):
    x = pixels(shape, np.float32)
    x[1].flat[3] = np.nan
    with np.errstate(invalid="ignore"):
        y, _ = prepared(layer, np.float32).forward(x)
    assert np.isnan(y[1]).any() and np.isfinite(y[[0, 2]]).all()


def test_the_functions_at_chosen_points():
    x = np.array([[-1000, -1, 0, 1, 1000]], np.float32)
    with np.errstate(over="raise", invalid="raise"):
        np.testing.assert_array_equal(ReLU().forward(x)[0], [[0, 0, 0, 1, 1000]])
        np.testing.assert_array_equal(ReLU6().forward(x)[0], [[0, 0, 0, 1, 6]])
        np.testing.assert_array_equal(LeakyReLU(0.125).forward(x)[0], [[-125, -0.125, 0, 1, 1000]])
        np.testing.assert_allclose(Tanh().forward(x)[0], [[-1, -np.tanh(1), 0, np.tanh(1), 1]], rtol=1e-6)
        np.testing.assert_array_equal(Clip(-2, 0.5).forward(x)[0], [[-2, -1, 0, 0.5, 0.5]])
        np.testing.assert_allclose(Sigmoid().forward(x)[0], [[0, 1 / (1 + np.e), 0.5, np.e / (1 + np.e), 1]], rtol=1e-6)
        np.testing.assert_allclose(Softmax(3).forward(np.log([[1.0, 2, 3]]))[0], [[0.5, 1, 1.5]])
        np.testing.assert_allclose(Softmax(3).forward(x)[0], [[0, 0, 0, 0, 3]], atol=1e-30)


def test_gradients_at_and_beyond_the_kinks():
    x = np.array([[-3.0, 0, 0.5, 3, 6, 7]])
    for layer, slopes in ((ReLU(), [0, 0, 1, 1, 1, 1]), (Clip(0, 1), [0, 1, 1, 0, 0, 0]), (ReLU6(), [0, 0, 1, 1, 0, 0]),
                          (LeakyReLU(0.25), [0.25, 0.25, 1, 1, 1, 1])):
        _, backward = layer.forward(x, train=True)
        np.testing.assert_array_equal(backward(np.full((1, 6), 7.0))[0], [np.multiply(slopes, 7)])


def test_upsampling_is_bilinear_with_half_pixel_centres():
    x = pixels((2, 3, 4, 5))
    y, _ = Upsample2d().forward(x)
    for h, w in np.ndindex(8, 10):
        row, column = np.clip((h + 0.5) / 2 - 0.5, 0, 3), np.clip((w + 0.5) / 2 - 0.5, 0, 4)
        top, left = min(int(row), 2), min(int(column), 3)
        down, right = row - top, column - left
        expected = ((1 - down) * ((1 - right) * x[:, :, top, left] + right * x[:, :, top, left + 1])
                    + down * ((1 - right) * x[:, :, top + 1, left] + right * x[:, :, top + 1, left + 1]))
        np.testing.assert_allclose(y[:, :, h, w], expected, rtol=1e-12)


def test_average_that_counts_padding_counts_nothing_beyond_it():
    """As ONNX's averagepool_2d_ceil and PyTorch: of a 3x3 window only the pixels and the padding count."""
    x = np.arange(1.0, 17).reshape(1, 1, 4, 4)
    y, _ = AvgPool2d(3, 2, ceil_mode=True, count_pad=True).forward(x)
    np.testing.assert_allclose(y[0, 0], [[6, 7.5], [12, 13.5]])


def test_flatten_goes_channel_by_channel_and_row_by_row_and_reshape_back():
    x = pixels((3, 2, 4, 5))
    rows, _ = Flatten().forward(x)
    np.testing.assert_array_equal(rows, x.reshape(3, 40))
    np.testing.assert_array_equal(Reshape([2, 4, 5]).forward(rows)[0], x)


def test_dense_is_a_matrix_product():
    layer, x = prepared(Dense(7, 4)), pixels((3, 7))
    np.testing.assert_allclose(layer.forward(x)[0], x @ layer.params["weight"] + layer.params["bias"], rtol=1e-12)


def test_a_slice_of_a_sequential_shares_its_layers():
    whole = prepared(Sequential([Dense(4, 3), ReLU(), Dense(3, 2)]))
    head, tail = whole[:2], whole[2:]
    assert len(head) == 2 and head[0] is whole[0] and tail.params["0.weight"] is whole.params["2.weight"]
    x = pixels((5, 4))
    np.testing.assert_array_equal(tail.forward(head.forward(x)[0])[0], whole.forward(x)[0])


def test_sequential_takes_its_parameters_back_by_name():
    source, target = (prepared(Sequential([Dense(4, 3), ReLU(), Dense(3, 2)]), seed=seed) for seed in (1, 2))
    target.params = source.params
    assert all(target.params[name] is array for name, array in source.params.items())


def test_a_sequential_inside_a_sequential_takes_its_parameters_too():
    layer = prepared(Sequential([Sequential([Dense(4, 3)]), ReLU()]))
    layer.params = {name: array * 0 for name, array in layer.params.items()}
    assert not layer.params["0.0.weight"].any()


def test_the_largest_map_may_lie_inside():
    body = Sequential([Conv2d(2, 12, 1), Conv2d(12, 2, 1)])
    assert Residual(body).peak((2, 4, 5)) == Sequential([Residual(body), Flatten()]).peak((2, 4, 5)) == 12 * 4 * 5
    assert Residual(ReLU(), Sequential([Conv2d(2, 7, 1), Conv2d(7, 2, 1)])).peak((2, 4, 5)) == 7 * 4 * 5
    assert Sequential([MaxPool2d()]).peak((2, 4, 6)) == 48 and Sequential([]).peak((3,)) == 3


def test_a_residual_costs_what_its_two_ways_cost():
    body, shortcut = Conv2d(2, 3, 3, 2, 1), Conv2d(2, 3, 1, 2)
    assert Residual(body, shortcut).macs((2, 6, 6)) == body.macs((2, 6, 6)) + shortcut.macs((2, 6, 6)) > 0


def test_batchnorm_starts_as_the_identity_of_normal_values():
    params = initialise(BatchNorm2d(3), np.random.default_rng(0), "he_normal").params
    assert {name: set(array.tolist()) for name, array in params.items()} == {
        "weight": {1.0}, "bias": {0.0}, "running_mean": {0.0}, "running_var": {1.0}}


def test_statistics_are_named_through_every_container():
    net = Sequential([Conv2d(2, 2, 1), Residual(Sequential([BatchNorm2d(2)]), BatchNorm2d(2))])
    assert net.statistics == ("1.body.0.running_mean", "1.body.0.running_var",
                              "1.shortcut.running_mean", "1.shortcut.running_var")
    assert set(net.statistics) <= set(initialise(net, np.random.default_rng(0)).params)


def test_conv_of_one_uint8_image_as_of_many():
    layer, x = prepared(Conv2d(1, 2, 2), np.float32), np.full((1, 1, 3, 3), 200, np.uint8)
    np.testing.assert_allclose(layer.forward(x)[0], layer.forward(x.astype(np.float32))[0], rtol=1e-6)


SPREAD = {"lecun_normal": lambda fan_in, fan_out: np.sqrt(1 / fan_in),
          "he_normal": lambda fan_in, fan_out: np.sqrt(2 / fan_in),
          "xavier_uniform": lambda fan_in, fan_out: np.sqrt(2 / (fan_in + fan_out))}


@pytest.mark.parametrize("scheme", SPREAD)
@pytest.mark.parametrize("layer, fan_in, fan_out", [(Conv2d(16, 32, 5), 400, 800), (Dense(300, 100), 300, 100)],
                         ids=repr)
def test_initial_weights_have_the_published_spread_and_biases_are_0(layer, fan_in, fan_out, scheme):
    initialise(layer, np.random.default_rng(0), scheme)
    weight = layer.params["weight"]
    assert weight.mean() == pytest.approx(0, abs=SPREAD[scheme](fan_in, fan_out) / 30)
    assert weight.std() == pytest.approx(SPREAD[scheme](fan_in, fan_out), rel=0.02)
    if scheme == "xavier_uniform":
        bound = np.sqrt(6 / (fan_in + fan_out))
        assert 0.99 * bound < np.abs(weight).max() <= bound * (1 + 1e-6)
    else:
        assert np.abs(weight).max() > 3.3 * weight.std()
    assert not layer.params["bias"].any()


def test_initialise_follows_its_generator_and_knows_its_schemes():
    first, second, third = (initialise(Dense(4, 3), np.random.default_rng(seed)).params["weight"] for seed in (1, 1, 2))
    assert np.array_equal(first, second) and not np.array_equal(first, third)
    with pytest.raises(UsageError, match="lecun_normal"):
        initialise(Dense(4, 3), np.random.default_rng(0), "glorot")
