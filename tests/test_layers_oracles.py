"""The layers of the larger nets against oracles written from their definitions, on random shapes.

Each oracle knows nothing of images last, of groups as slices or of running sums: it loops over what the formula names.
Arrays are (N, C, H, W).
"""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npcbnet.kernels._jit import COMPILED
from npcbnet.layers import (AvgPool2d, BatchNorm2d, Concatenate, Conv2d, ConvTranspose2d, Dense,
                            GlobalAvgPool2d, GlobalMaxPool2d, LeakyReLU,
                            LocalResponseNorm, PadChannels, ReLU, ReLU6, Residual, Sequential, Tanh, initialise)

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


@some
@given(sides, st.tuples(sides, sides, sides), st.tuples(sides, sides), seeds)
def test_concatenate_puts_channels_behind_channels(N, channels, size, seed):
    C, F, G = channels
    layer = Concatenate(Sequential([Conv2d(C, F, 1), ReLU()]), Conv2d(C, G, 1))
    x, y, dy, dx, grads = run(layer, seed, (N, C, *size))
    one, two = (layer.params[f"{name}.weight"][:, :, 0, 0] for name in ("first.0", "second"))
    inner = np.einsum("fc,nchw->nfhw", one, x) + layer.params["first.0.bias"][:, None, None]
    agree(y[:, :F], np.maximum(inner, 0))
    agree(y[:, F:], np.einsum("gc,nchw->nghw", two, x) + layer.params["second.bias"][:, None, None])
    back = dy[:, :F] * (inner > 0)
    agree(dx, np.einsum("fc,nfhw->nchw", one, back) + np.einsum("gc,nghw->nchw", two, dy[:, F:]))
    agree(grads["first.0.weight"][:, :, 0, 0], np.einsum("nfhw,nchw->fc", back, x))
    agree(grads["second.bias"], dy[:, F:].sum(axis=(0, 2, 3)))
    assert set(grads) == set(layer.param_shapes())
    assert layer.macs((C, *size)) == (F + G) * C * size[0] * size[1]


@some
@given(sides, sides, st.tuples(sides, sides), st.integers(0, 5), st.integers(0, 9), seeds)
def test_channels_of_zeros_channel_by_channel(N, C, size, before, after, seed):
    x, y, dy, dx, grads = run(PadChannels(before, after), seed, (N, C, *size))
    assert y.shape == (N, before + C + after, *size) and not grads
    for c in range(y.shape[1]):
        inside = 0 <= c - before < C
        agree(y[:, c], x[:, c - before] if inside else np.zeros((N, *size)))
        if inside:
            agree(dx[:, c - before], dy[:, c])
    assert dx.shape == x.shape


@st.composite
def transposed(draw):
    """A ConvTranspose2d and the shape of its input."""
    groups, kernel, stride = draw(st.sampled_from([1, 2, 3])), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    per_in, per_out = draw(st.sampled_from([(1, 1), (1, 2), (2, 1), (2, 3)]))
    pad, more = draw(st.integers(0, kernel - 1)), draw(st.integers(0, stride - 1))
    layer = ConvTranspose2d(groups * per_in, groups * per_out, kernel, stride, pad, more, groups, draw(st.booleans()))
    least = 1 + max(0, -(-(1 + 2 * pad - kernel - more) // stride))
    return layer, (draw(st.integers(1, 3)), groups * per_in, least + draw(st.integers(0, 2)),
                   least + draw(st.integers(0, 2)))


@given(transposed(), seeds)
@some
def test_transposed_convolution_pixel_by_pixel(case, seed):
    """Every input pixel stamps its kernel, times its value, onto the output; stamps start `stride` apart."""
    layer, shape = case
    x, y, dy, dx, grads = run(layer, seed, shape)
    weight, stride, pad = layer.params["weight"], layer.stride, layer.pad
    per_in, per_out = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    expected, dx_expected, dw_expected = np.zeros(y.shape), np.zeros(x.shape), np.zeros(weight.shape)
    for n, c, h, w in np.ndindex(x.shape):
        for f, k, l in np.ndindex(weight.shape[1:]):
            out = (n, c // per_in * per_out + f, h * stride + k - pad, w * stride + l - pad)
            if 0 <= out[2] < y.shape[2] and 0 <= out[3] < y.shape[3]:
                expected[out] += x[n, c, h, w] * weight[c, f, k, l]
                dx_expected[n, c, h, w] += dy[out] * weight[c, f, k, l]
                dw_expected[c, f, k, l] += dy[out] * x[n, c, h, w]
    if layer.bias:
        expected += layer.params["bias"][:, None, None]
        agree(grads["bias"], dy.sum(axis=(0, 2, 3)))
    agree(y, expected)
    agree(dx, dx_expected)
    agree(grads["weight"], dw_expected)
    assert y.shape[2] == (shape[2] - 1) * stride - 2 * pad + layer.kernel + layer.output_padding


def test_transposed_convolution_undoes_the_shapes_of_convolution():
    for side, kernel, stride in np.ndindex(9, 4, 3):
        side, kernel, stride = side + 4, kernel + 1, stride + 1
        for pad in range(kernel):
            if side + 2 * pad < kernel:
                continue
            small = Conv2d(2, 3, kernel, stride, pad).output_shape((2, side, side))
            more = (side + 2 * pad - kernel) % stride
            assert ConvTranspose2d(3, 2, kernel, stride, pad, more).output_shape(small) == (2, side, side)


@given(st.integers(1, 3), st.integers(1, 9), sides, st.sampled_from([1, 3, 5, 99]), st.sampled_from([0.0, 1e-4, 0.8]),
       st.sampled_from([0.5, 0.75, 2.0]), st.sampled_from([0.5, 2.0]), st.sampled_from(["sum", "mean"]), seeds)
@some
def test_local_response_norm_from_its_definition(N, C, H, size, alpha, beta, k, convention, seed):
    x, y, dy, dx, _ = run(LocalResponseNorm(size, alpha, beta, k, convention), seed, (N, C, H, 2))
    factor = alpha if convention == "sum" else alpha / size
    s, expected, dx_expected = np.zeros(x.shape), np.zeros(x.shape), np.zeros(x.shape)
    for c in range(C):
        s[:, c] = k + factor * sum(x[:, d] ** 2 for d in range(C) if abs(c - d) <= size // 2)
        expected[:, c] = x[:, c] / s[:, c] ** beta
    for c in range(C):  # d y[d] / d x[c]
        for d in range(C):
            slope = (c == d) * s[:, d] ** -beta
            if abs(c - d) <= size // 2:
                slope = slope - x[:, d] * beta * s[:, d] ** (-beta - 1) * factor * 2 * x[:, c]
            dx_expected[:, c] += dy[:, d] * slope
    agree(y, expected)
    agree(dx, dx_expected)


def test_the_two_conventions_are_alpha_apart():
    x = np.random.default_rng(0).standard_normal((2, 7, 3, 3))
    chainer, _ = LocalResponseNorm(3, 5e-5, 0.75, 2, "sum").forward(x)
    torch, _ = LocalResponseNorm(3, 1.5e-4, 0.75, 2, "mean").forward(x)
    np.testing.assert_allclose(chainer, torch, rtol=1e-14)
    assert not np.array_equal(chainer, LocalResponseNorm(3, 5e-5, 0.75, 2, "mean").forward(x)[0])


@given(st.integers(1, 3), st.integers(1, 3), sides, sides, seeds)
@some
def test_global_pools_map_by_map(N, C, H, W, seed):
    x, y, dy, dx, _ = run(GlobalAvgPool2d(), seed, (N, C, H, W))
    agree(y, np.array([[[[sum(plane.ravel()) / (H * W)]] for plane in image] for image in x]))
    agree(dx, np.array([[[[dy[n, c, 0, 0] / (H * W)] * W] * H for c in range(C)] for n in range(N)]))
    x, y, dy, dx, _ = run(GlobalMaxPool2d(), seed, (N, C, H, W))
    agree(y, np.array([[[[max(plane.ravel())]] for plane in image] for image in x]))
    agree(dx, (x == y) * dy)


def test_the_global_maximum_s_gradient_goes_to_the_first_of_equal_pixels():
    x = np.array([1.0, 3, 2, 3]).reshape(1, 1, 2, 2).repeat(2, axis=0)
    _, backward = GlobalMaxPool2d().forward(x, train=True)
    np.testing.assert_array_equal(backward(np.full((2, 1, 1, 1), 5.0))[0].reshape(2, 4), [[0, 5, 0, 0]] * 2)


@pytest.mark.parametrize("layer, function, slope", [
    (ReLU6(), lambda v: min(max(v, 0), 6), lambda v: float(0 < v < 6)),
    (LeakyReLU(0.3), lambda v: v if v > 0 else 0.3 * v, lambda v: 1 if v > 0 else 0.3),
    (Tanh(), lambda v: 1 - 2 / (np.exp(2 * v) + 1), lambda v: 1 / np.cosh(v) ** 2)], ids=["relu6", "leakyrelu", "tanh"])
@given(seed=seeds, N=st.integers(1, 4), D=st.integers(1, 30))
@some
def test_activations_value_by_value(layer, function, slope, N, D, seed):
    x = np.random.default_rng(seed).standard_normal((N, D)) * 4
    dy = np.random.default_rng(seed + 1).standard_normal((N, D))
    y, backward = layer.forward(x, train=True)
    agree(y, np.vectorize(function, otypes=[float])(x))
    agree(backward(dy)[0], dy * np.vectorize(slope, otypes=[float])(x))


@given(st.integers(2, 4), st.integers(1, 3), st.booleans(), st.booleans(), sides, sides, seeds)
@some
def test_average_pooling_with_padding_up_to_the_kernel(kernel, stride, ceil_mode, count_pad, H, W, seed):
    pad = kernel - 1
    x, y, dy, dx, _ = run(AvgPool2d(kernel, stride, pad, ceil_mode, count_pad), seed, (2, 2, H, W))
    expected, dx_expected = np.zeros(y.shape), np.zeros(x.shape)
    for p, q in np.ndindex(y.shape[2:]):
        rows, columns = (range(at * stride - pad, at * stride - pad + kernel) for at in (p, q))
        inside = [(h, w) for h in rows for w in columns if 0 <= h < H and 0 <= w < W]
        counted = sum(-pad <= h < H + pad and -pad <= w < W + pad for h in rows for w in columns)
        count = counted if count_pad else len(inside)
        assert inside
        for h, w in inside:
            expected[:, :, p, q] += x[:, :, h, w] / count
            dx_expected[:, :, h, w] += dy[:, :, p, q] / count
    agree(y, expected)
    agree(dx, dx_expected)
