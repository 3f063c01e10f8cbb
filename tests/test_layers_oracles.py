"""The layers of the larger nets against oracles written from their definitions, on random shapes.

Each oracle knows nothing of images last, of groups as slices or of running sums: it loops over what the formula names.
Arrays are (N, C, H, W).
"""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npcbnet.kernels._jit import COMPILED
from npcbnet.layers import BatchNorm2d, Conv2d, Dense, ReLU, Residual, Sequential, initialise

some = settings(max_examples=40 if COMPILED else 12, deadline=None)
sides, seeds = st.integers(1, 7), st.integers(0, 2 ** 32 - 1)


def run(layer, seed, shape):
    """x, y, dy, dx, gradients of a layer with random float64 parameters on a random input; the cotangent is random."""
    rng = np.random.default_rng(seed)
    initialise(layer, rng, dtype=np.float64)
    signs = {True: [1], False: [-1, 1]}  # a variance is positive
    layer.params = {name: rng.uniform(0.5, 1.5, array.shape) * rng.choice(signs["running" in name], array.shape)
                    for name, array in layer.params.items()}
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


@given(st.integers(1, 4), st.integers(1, 3), sides, sides, st.sampled_from([1e-5, 0.1]),
       st.sampled_from([0.1, 0.4, 1.0]), seeds)
@some
def test_batchnorm_from_its_definition(N, C, H, W, eps, momentum, seed):
    layer = BatchNorm2d(C, eps, momentum)
    x, y, dy, dx, grads = run(layer, seed, (N, C, H, W))
    params, count = layer.params, N * H * W
    for c in range(C):
        values, cotangent = x[:, c].ravel().tolist(), dy[:, c].ravel()
        mean = sum(values) / count
        variance = sum((value - mean) ** 2 for value in values) / count
        deviation = np.sqrt(variance + eps)
        normal = (x[:, c].ravel() - mean) / deviation
        agree(y[:, c].ravel(), params["weight"][c] * normal + params["bias"][c])
        # dx from the Jacobian: d normal[i] / d x[j] = ((i == j) - 1 / m - normal[i] normal[j] / m) / deviation
        jacobian = (np.eye(count) - 1 / count - np.outer(normal, normal) / count) / deviation
        agree(dx[:, c].ravel(), params["weight"][c] * (cotangent @ jacobian))
        assert grads["weight"][c] == pytest.approx(cotangent @ normal, rel=1e-9, abs=1e-9)
        assert grads["bias"][c] == pytest.approx(cotangent.sum(), rel=1e-9, abs=1e-9)
        moved = (1 - momentum) * params["running_mean"][c] + momentum * mean
        assert params["running_mean"][c] - grads["running_mean"][c] == pytest.approx(moved)
        unbiased = sum((value - mean) ** 2 for value in values) / max(1, count - 1)
        moved = (1 - momentum) * params["running_var"][c] + momentum * unbiased
        assert params["running_var"][c] - grads["running_var"][c] == pytest.approx(moved)
    predicted, _ = layer.forward(x)
    for c in range(C):
        normal = (x[:, c] - params["running_mean"][c]) / (params["running_var"][c] + eps) ** 0.5
        agree(predicted[:, c], params["weight"][c] * normal + params["bias"][c])


def test_batchnorm_keeps_its_digits_far_from_zero():
    """A variance taken as mean square minus squared mean would be 0 or negative here."""
    layer = initialise(BatchNorm2d(2), np.random.default_rng(0))
    x = (np.random.default_rng(1).standard_normal((8, 2, 5, 5)) + 3000).astype(np.float32)
    y, _ = layer.forward(x, train=True)
    np.testing.assert_allclose(y.mean(axis=(0, 2, 3)), 0, atol=1e-3)
    np.testing.assert_allclose(y.std(axis=(0, 2, 3)), 1, atol=1e-2)


@given(st.integers(1, 4), st.integers(1, 4), st.booleans(), seeds)
@some
def test_residual_is_a_sum_of_two_ways(N, D, projected, seed):
    shortcut = Dense(D, D) if projected else None
    layer = Residual(Sequential([Dense(D, D), ReLU()]), shortcut)
    x, y, dy, dx, grads = run(layer, seed, (N, D))
    body = layer.params["body.0.weight"]
    inner = x @ body + layer.params["body.0.bias"]
    straight = layer.params["shortcut.weight"] if projected else np.eye(D)
    agree(y, np.maximum(inner, 0) + x @ straight + (layer.params["shortcut.bias"] if projected else 0))
    agree(dx, (dy * (inner > 0)) @ body.T + dy @ straight.T)
    agree(grads["body.0.weight"], x.T @ (dy * (inner > 0)))
    assert set(grads) == set(layer.param_shapes())
    if projected:
        agree(grads["shortcut.weight"], x.T @ dy)
