"""A convolution in training by Winograd's way: the same numbers as the direct one, and who takes which."""
import numpy as np
import pytest

from npcbnet.gradcheck import gradcheck
from npcbnet.kernels._jit import COMPILED
from npcbnet.layers import Conv2d, ConvTranspose2d, initialise, winograd, winograd_square
from npcbnet.layers.base import images_first, images_last
from npcbnet.layers.conv2d import convolved, direct_gradients, tiled

# in, out, kernel, pad, rows, columns: LeNet's, BranchyNet's branch (widened), one that a tile covers, odd ones
MAPS = [(5, 10, 5, 3, 15, 15), (10, 20, 5, 3, 9, 9), (6, 12, 3, 1, 15, 15), (4, 7, 5, 0, 6, 10), (3, 5, 5, 4, 2, 9),
        (7, 4, 7, 2, 9, 8), (2, 11, 3, 2, 3, 17)]
SQUARE = [(64, 96, 3, 1, 16, 16), (12, 20, 3, 1, 8, 8), (3, 5, 3, 0, 7, 12), (6, 4, 3, 2, 9, 5), (4, 7, 3, 1, 1, 2)]
maps = pytest.mark.parametrize("way, C, F, K, pad, H, W", [
    *((winograd.convolved, *case) for case in (MAPS if COMPILED else MAPS[3:])),
    *((winograd_square.convolved, *case) for case in (SQUARE if COMPILED else SQUARE[2:]))])
N = 64 if COMPILED else 3


def arrays(C, F, K, pad, H, W, dtype, images=N):
    """x (C, H, W, N), weight, bias, dy (F, P, Q, N), random."""
    rng = np.random.default_rng(0)
    shapes = (C, H, W, images), (F, C, K, K), (F,), (F, H + 2 * pad - K + 1, W + 2 * pad - K + 1, images)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def both_ways(way, C, F, K, pad, H, W, dtype):
    """y, dweight, dx by tiles in `dtype` and directly in float64."""
    x, weight, bias, dy = arrays(C, F, K, pad, H, W, dtype)
    y, gradients = way(x, weight, bias, pad, dy.shape)
    x, weight, bias, exact = (array.astype(np.float64) for array in (x, weight, bias, dy))
    direct = convolved(x, weight, bias, 1, pad, 1, dy.shape), *direct_gradients(x, weight, 1, pad, 1)(exact, True)
    return (y, *gradients(dy, True)), direct


@maps
def test_float32_is_right_to_a_hundred_thousandth_of_the_largest_value(way, C, F, K, pad, H, W):
    for mine, exact in zip(*both_ways(way, C, F, K, pad, H, W, np.float32)):
        assert mine.dtype == np.float32 and mine.shape == exact.shape
        np.testing.assert_allclose(mine, exact, rtol=0, atol=1e-5 * np.abs(exact).max())


@maps
def test_float64_is_the_same_function(way, C, F, K, pad, H, W):
    for mine, exact in zip(*both_ways(way, C, F, K, pad, H, W, np.float64)):
        np.testing.assert_allclose(mine, exact, rtol=0, atol=1e-13 * np.abs(exact).max())


@pytest.mark.parametrize("way, case", [(winograd.convolved, MAPS[3]), (winograd_square.convolved, SQUARE[2])])
def test_without_a_bias_and_without_the_input_gradient(way, case):
    x, weight, bias, dy = arrays(*case, np.float64)
    with_bias, gradients = way(x, weight, bias, case[3], dy.shape)
    without, _ = way(x, weight, None, case[3], dy.shape)
    np.testing.assert_allclose(without + bias[:, None, None, None], with_bias, atol=1e-12)
    assert gradients(dy, False)[1] is None
    np.testing.assert_array_equal(gradients(dy, False)[0], gradients(dy, True)[0])


def test_the_layer_takes_it_for_large_convolutions_in_training_and_for_no_other():
    def taken(C, F, K, pad, side, images=64, stride=1, groups=1):
        out = (side + 2 * pad - K) // stride + 1
        shapes = (C, side, side, images), (F, C // groups, K, K), (F, out, out, images)
        return winograd.pays(*shapes, stride, pad, groups)

    assert taken(5, 10, 5, 3, 15) and taken(10, 20, 5, 3, 9) and taken(64, 96, 3, 1, 16)
    assert not taken(1, 5, 5, 3, 28)  # one channel in: the transforms cost more than they save
    assert not taken(5, 10, 5, 3, 15, images=15) and not taken(64, 96, 3, 1, 16, stride=2)
    assert not taken(64, 96, 3, 1, 16, groups=2) and not taken(64, 96, 1, 0, 16) and not taken(64, 96, 11, 5, 16)
    assert not taken(10, 20, 5, 0, 5)  # a tile of six for a single output


def test_the_layer_takes_square_tiles_for_many_channels_and_kernels_of_three():
    def way(C, F, K, pad, side, images=64, stride=1, groups=1):
        out = (side + 2 * pad - K) // stride + 1
        return tiled((C, side, side, images), (F, C // groups, K, K), (F, out, out, images), stride, pad, groups)

    for many in (64, 96, 3, 1, 16), (256, 256, 3, 1, 8), (128, 128, 3, 1, 4):
        assert way(*many) is winograd_square.convolved
    assert way(5, 10, 5, 3, 15) is way(32, 32, 3, 1, 32) is winograd.convolved  # few channels: costly transforms
    assert way(256, 256, 3, 1, 1) is way(256, 256, 3, 1, 8, images=15) is way(256, 256, 3, 1, 8, stride=2) is None
    assert way(256, 256, 3, 1, 8, groups=2) is way(256, 256, 1, 0, 8) is None


@pytest.mark.parametrize("way", [winograd, winograd_square])
@pytest.mark.parametrize("C, F, K, pad, H, W", [(3, 6, 5, 3, 4, 5), (7, 10, 3, 1, 3, 8)])
def test_gradient_of_the_layer_in_float64(C, F, K, pad, H, W, way, monkeypatch):
    if way is winograd_square and K != 3:
        pytest.skip("square tiles are for kernels of three")
    layer = initialise(Conv2d(C, F, K, pad=pad), np.random.default_rng(1))
    calls = []
    monkeypatch.setattr(way, "pays", lambda *shapes: calls.append(shapes) or True)
    x = np.random.default_rng(2).standard_normal((16 if COMPILED else 2, C, H, W))
    assert gradcheck(layer, x, np.random.default_rng(3), step=1e-3) < 1e-7  # linear: a long step costs nothing
    assert calls


@pytest.mark.parametrize("way", [winograd, winograd_square])
@pytest.mark.parametrize("pad, bias", [(0, True), (1, False), (2, True)])
def test_a_transposed_convolution_by_tiles_is_the_direct_one(pad, bias, way, monkeypatch):
    rng = np.random.default_rng(4)
    layer = initialise(ConvTranspose2d(7, 4, 3, pad=pad, bias=bias), rng, dtype=np.float64)
    x, results = rng.standard_normal((16 if COMPILED else 2, 7, 5, 9)), []
    dy = rng.standard_normal((len(x), *layer.output_shape(x.shape[1:])))
    for tiles in True, False:
        monkeypatch.setattr(way, "pays", lambda *shapes, tiles=tiles: tiles)
        y, backward = layer.forward(x, train=True)
        dx, grads = backward(dy)
        assert backward(dy, need_dx=False)[0] is None
        results.append([y, dx, *(grads[name] for name in sorted(grads))])
    assert gradcheck(layer, x, rng, step=1e-3) < 1e-7
    for mine, direct in zip(*results):
        np.testing.assert_allclose(mine, direct, rtol=0, atol=1e-12 * np.abs(direct).max())
    assert len(results[0]) == 3 + bias


def test_prediction_stays_direct_and_training_agrees_to_rounding():
    layer = initialise(Conv2d(5, 10, 5, pad=3), np.random.default_rng(1))
    x, _, _, _ = arrays(5, 10, 5, 3, 15, 15, np.float32, images=16)
    x, params = images_first(x), layer.params
    predicted, trained = layer.forward(x)[0], layer.forward(x, train=True)[0]
    direct = convolved(images_last(x), params["weight"], params["bias"], 1, 3, 1, (10, 17, 17, 16))
    np.testing.assert_array_equal(predicted, images_first(direct))
    assert not np.array_equal(trained, predicted) or not COMPILED
    np.testing.assert_allclose(trained, predicted, rtol=0, atol=1e-5 * np.abs(predicted).max())


@pytest.mark.parametrize("way, case", [(winograd.convolved, MAPS[0]), (winograd_square.convolved, SQUARE[1])])
def test_the_bits_of_training_repeat(way, case):
    x, weight, bias, dy = arrays(*case, np.float32, images=20)
    results = []
    for _ in range(2):
        y, gradients = way(x.copy(), weight, bias, case[3], dy.shape)
        results.append([y, *gradients(dy.copy(), True)])
    for one, two in zip(*results):
        np.testing.assert_array_equal(one, two)
