"""The layers of the larger nets against oracles written from their definitions, on random shapes.

Each oracle knows nothing of images last, of groups as slices or of running sums: it loops over what the formula names.
Arrays are (N, C, H, W).
"""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npcbnet.kernels._jit import COMPILED
from npcbnet.layers import Conv2d, initialise

some = settings(max_examples=40 if COMPILED else 12, deadline=None)
sides, seeds = st.integers(1, 7), st.integers(0, 2 ** 32 - 1)


def run(layer, seed, shape):
    """x, y, dy, dx, gradients of a layer with random float64 parameters on a random input; the cotangent is random."""
    rng = np.random.default_rng(seed)
    initialise(layer, rng, dtype=np.float64)
    layer.params = {name: rng.uniform(0.5, 1.5, array.shape) * (rng.choice([-1, 1], array.shape)
                    if name in ("weight", "bias") else 1) for name, array in layer.params.items()}
    x = rng.standard_normal(shape)
    y, backward = layer.forward(x, train=True, rng=rng)
    dy = rng.standard_normal(y.shape)
    return (x, y, dy, *backward(dy))


def agree(result, expected):
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-9)


def conv_taps(layer, x_shape, y_shape):
    """All (output place, input place, weight place) of a convolution: pairs that its formula multiplies, one by one."""
    per_in, per_out = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    for n, f, p, q in np.ndindex(y_shape):
        for c, k, l in np.ndindex(per_in, layer.kernel, layer.kernel):
            h, w = p * layer.stride + k - layer.pad, q * layer.stride + l - layer.pad
            if 0 <= h < x_shape[2] and 0 <= w < x_shape[3]:
                yield (n, f, p, q), (n, f // per_out * per_in + c, h, w), (f, c, k, l)


@st.composite
def convolutions(draw):
    """A Conv2d and the shape of its input: all kinds of groups, strides and paddings."""
    groups, kernel = draw(st.sampled_from([1, 2, 3])), draw(st.integers(1, 4))
    per_in, per_out = draw(st.sampled_from([(1, 1), (1, 2), (2, 1), (2, 3)]))
    pad = draw(st.integers(0, kernel - 1))
    layer = Conv2d(groups * per_in, groups * per_out, kernel, draw(st.integers(1, 3)), pad, groups, draw(st.booleans()))
    least = max(1, kernel - 2 * pad)
    return layer, (draw(st.integers(1, 3)), groups * per_in, least + draw(st.integers(0, 4)),
                   least + draw(st.integers(0, 4)))


@given(convolutions(), seeds)
@some
def test_grouped_convolution_tap_by_tap(case, seed):
    layer, shape = case
    x, y, dy, dx, grads = run(layer, seed, shape)
    weight = layer.params["weight"]
    expected, dx_expected, dw_expected = np.zeros(y.shape), np.zeros(x.shape), np.zeros(weight.shape)
    for out, pixel, tap in conv_taps(layer, x.shape, y.shape):
        expected[out] += x[pixel] * weight[tap]
        dx_expected[pixel] += dy[out] * weight[tap]
        dw_expected[tap] += dy[out] * x[pixel]
    if layer.bias:
        expected += layer.params["bias"][:, None, None]
        agree(grads["bias"], dy.sum(axis=(0, 2, 3)))
    agree(y, expected)
    agree(dx, dx_expected)
    agree(grads["weight"], dw_expected)
    assert set(grads) == set(layer.param_shapes())


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_groups_do_not_see_each_other(groups):
    layer = initialise(Conv2d(6, 6, 3, pad=1, groups=groups), np.random.default_rng(0))
    x = np.zeros((1, 6, 5, 5), np.float32)
    x[0, 4] = 1
    seen = layer.forward(x)[0].any(axis=(0, 2, 3))
    size = 6 // groups
    np.testing.assert_array_equal(seen, np.arange(6) // size == 4 // size)
