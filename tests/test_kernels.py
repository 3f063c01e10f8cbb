"""The hot loops and their NumPy twins against oracles so plain that they are obviously right.

Arrays lie images last, as the kernels want them: x (C, H, W, N), y (F, P, Q, N).
Where Numba is switched off the loops run as plain Python, on sizes that allow it.
"""
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import correlate2d
from scipy.special import softmax as scipy_softmax
from scipy.stats import entropy as scipy_entropy

from npcbnet.kernels import (active, adam, conv, conv_weights, dense, depthwise, pool, softmax, sums, winograd,
                             winograd_square, winograd_weights)
from npcbnet.kernels._jit import COMPILED

BATCHES = (1, 2, 7, 16, 33, 64) if COMPILED else (1, 2, 9)
CASES = 40 if COMPILED else 12
LARGEST = 12 if COMPILED else 5
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}

both_dtypes = pytest.mark.parametrize("dtype", TOLERANCE)
compiled_only = pytest.mark.skipif(not COMPILED, reason="the bits of BLAS depend on the batch")


def implementations(module, kernel):
    """Parametrise a test over the loop and the NumPy twin of a kernel."""
    return pytest.mark.parametrize(kernel, [pytest.param(getattr(module, f"{kernel}_{twin}"), id=twin)
                                            for twin in ("loop", "numpy")])


def unset(shape, dtype):
    """An array that shows every place a kernel forgets to fill."""
    return np.full(shape, 99 if np.dtype(dtype).kind == "u" else 1e30, dtype)


def assert_close(result, expected, dtype, about):
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(result, expected, rtol=0, atol=TOLERANCE[dtype] * scale, err_msg=str(about))


def conv_cases(seed, dtype):
    """(x, w, b, stride, pad, y shape): every batch, stride and padding; sides smaller than kernel or stride, too."""
    rng = np.random.default_rng(seed)
    for case in range(CASES):
        K, stride = 1 + case % 5, (1, 2, 3, 9)[case // 5 % 4]
        pad, N = int(rng.integers(0, K)), BATCHES[case % len(BATCHES)]
        C, F = (int(value) for value in rng.integers(2, 8 if COMPILED else 7, 2))
        H, W = (int(value) for value in rng.integers(max(1, K - 2 * pad), LARGEST + K, 2))
        x, w, b = (rng.standard_normal(shape).astype(dtype) for shape in ((C, H, W, N), (F, C, K, K), (F,)))
        yield x, w, b, stride, pad, (F, (H + 2 * pad - K) // stride + 1, (W + 2 * pad - K) // stride + 1, N)


def conv_oracle(x, w, b, stride, pad):
    padded = np.pad(x.astype(np.float64), ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    maps = [[b[f] + sum(correlate2d(padded[c, :, :, n], w[f, c], "valid") for c in range(len(x)))
             for f in range(len(w))] for n in range(x.shape[3])]
    return np.moveaxis(np.array(maps)[:, :, ::stride, ::stride], 0, -1)


def weight_gradient_oracle(x, dy, stride, pad, K):
    """dw[f, c, k, l]: the sum over images and outputs of the gradient times the pixel this weight met there."""
    padded = np.pad(x.astype(np.float64), ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    F, P, Q, _ = dy.shape
    dw = np.zeros((F, len(x), K, K))
    for f, c, k, l in np.ndindex(dw.shape):
        for p in range(P):
            for q in range(Q):
                dw[f, c, k, l] += dy[f, p, q].astype(np.float64) @ padded[c, p * stride + k, q * stride + l]
    return dw


@both_dtypes
@implementations(conv, "forward")
def test_conv_forward(forward, dtype):
    for x, w, b, stride, pad, shape in conv_cases(1, dtype):
        y = unset(shape, dtype)
        forward(x, w, b, stride, pad, y)
        assert_close(y, conv_oracle(x, w, b, stride, pad), dtype, (x.shape, w.shape, stride, pad))


@both_dtypes
@implementations(conv, "transposed")
def test_conv_transposed_is_the_convolution_of_the_pixels_spread_out(transposed, dtype):
    for x, w, b, stride, pad, _ in conv_cases(22, dtype):
        C, H, W, N = x.shape
        K, more = w.shape[2], (len(w) + H) % stride  # rows and columns that the last pixel does not reach
        spread = np.zeros((C, (H - 1) * stride + 1 + more, (W - 1) * stride + 1 + more, N))
        spread[:, :spread.shape[1] - more:stride, :spread.shape[2] - more:stride] = x
        y = unset((len(w), *(side + 2 * pad - K + 1 for side in spread.shape[1:3]), N), dtype)
        if min(y.shape) > 0:
            transposed(x, w, b, stride, pad, y)
            assert_close(y, conv_oracle(spread, w, b, 1, pad), dtype, (x.shape, w.shape, stride, pad))


@both_dtypes
@implementations(active, "forward")
def test_convolution_of_some_outputs_is_the_convolution_there_and_zero_elsewhere(forward, dtype):
    rng = np.random.default_rng(11)
    for x, w, b, stride, pad, shape in conv_cases(12, dtype):
        on, y = rng.random(shape[:3]) < rng.choice([0, 0.1, 0.5, 1]), unset(shape, dtype)
        forward(x, w, b, np.argwhere(on), stride, pad, y)
        assert_close(y, conv_oracle(x, w, b, stride, pad) * on[..., None], dtype, (x.shape, w.shape, stride, pad))


@both_dtypes
@implementations(conv_weights, "weight_gradient")
def test_conv_weight_gradient(weight_gradient, dtype):
    rng = np.random.default_rng(2)
    for x, w, _, stride, pad, shape in conv_cases(2, dtype):
        dy = rng.standard_normal(shape).astype(dtype)
        dw = unset(w.shape, np.float64)
        weight_gradient(x, dy, stride, pad, dw)
        assert_close(dw, weight_gradient_oracle(x, dy, stride, pad, w.shape[2]), dtype, (x.shape, w.shape, stride, pad))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("N", [1, 2, 16])
@implementations(conv, "forward")
def test_conv_carries_a_bad_pixel_to_the_outputs_that_see_it_and_to_no_other(forward, N, value):
    rng = np.random.default_rng(3)
    for stride, pad, row, column in (1, 0, 0, 0), (1, 2, 5, 6), (2, 1, 3, 2), (1, 1, 2, 6):
        x = rng.standard_normal((2, 6, 7, N))
        w, b = rng.standard_normal((6, 2, 3, 3)), rng.standard_normal(6)
        x[1, row, column, N // 2] = value
        expected = conv_oracle(x, w, b, stride, pad)
        y = unset(expected.shape, np.float64)
        with np.errstate(invalid="ignore"):
            forward(x, w, b, stride, pad, y)
        np.testing.assert_allclose(y, expected, atol=1e-12)
        assert 0 < np.isfinite(y).sum() < y.size


@implementations(conv, "forward")
def test_conv_carries_a_bad_weight_to_its_channel_and_to_no_other(forward):
    for N in BATCHES[:3]:
        x, w, b, y = np.ones((2, 4, 5, N)), np.ones((6, 2, 3, 3)), np.ones(6), unset((6, 2, 3, N), np.float64)
        w[4, 1, 2, 0] = np.nan
        forward(x, w, b, 1, 0, y)
        assert np.isnan(y[4]).all() and np.isfinite(np.delete(y, 4, axis=0)).all()


@implementations(conv_weights, "weight_gradient")
def test_conv_weight_gradient_carries_a_bad_pixel_to_the_weights_that_met_it(weight_gradient):
    x, dy = np.ones((2, 5, 5, 3)), np.ones((6, 3, 3, 3))
    x[1, 0, 0, 1] = np.nan  # only the first weight of a kernel ever meets the first pixel
    dw = unset((6, 2, 3, 3), np.float64)
    weight_gradient(x, dy, 1, 0, dw)
    assert np.isnan(dw[:, 1, 0, 0]).all() and np.isnan(dw).sum() == 6


@implementations(conv_weights, "weight_gradient")
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_conv_weight_gradient_carries_a_bad_gradient_to_its_channel_and_to_no_other(weight_gradient, value):
    for channel in 0, 3, 5:
        x, dy = np.ones((2, 5, 5, 3)), np.ones((6, 3, 3, 3))
        dy[channel, 0, 0, 0] = value
        dw = unset((6, 2, 3, 3), np.float64)
        weight_gradient(x, dy, 1, 0, dw)
        np.testing.assert_array_equal(dw[channel], value)
        np.testing.assert_array_equal(np.delete(dw, channel, axis=0), 27)


CONV_LAYERS = [  # C, F, K, stride, pad, H, W: those of B-LeNet, then odd ones
    (1, 5, 5, 1, 3, 28, 28), (5, 10, 3, 1, 1, 15, 15), (5, 10, 5, 1, 3, 15, 15), (10, 20, 5, 1, 3, 9, 9),
    (3, 7, 3, 2, 1, 11, 8), (2, 6, 4, 1, 0, 4, 9), (3, 11, 1, 1, 0, 5, 3), (4, 3, 5, 3, 4, 6, 7),
]


def bits(array):
    return np.ascontiguousarray(array).view(f"u{array.itemsize}")


def assert_bits_do_not_depend_on_the_batch(run, x):
    """run(x (..., N)) -> (..., N): each image the same bits alone, in any batch, at any position."""
    alone = np.stack([run(np.ascontiguousarray(x[..., n:n + 1]))[..., 0] for n in range(x.shape[-1])], axis=-1)
    for N in range(1, x.shape[-1] + 1):
        first = x.shape[-1] - N
        np.testing.assert_array_equal(bits(run(np.ascontiguousarray(x[..., first:]))), bits(alone[..., first:]), str(N))
    np.testing.assert_array_equal(bits(run(np.ascontiguousarray(x[..., ::-1]))), bits(alone[..., ::-1]))


@compiled_only
@pytest.mark.parametrize("C, F, K, stride, pad, H, W", CONV_LAYERS)
def test_conv_bits_do_not_depend_on_the_batch(C, F, K, stride, pad, H, W):
    rng = np.random.default_rng(4)
    w, b = rng.standard_normal((F, C, K, K), np.float32), rng.standard_normal(F, np.float32)

    def run(x):
        y = unset((F, (H + 2 * pad - K) // stride + 1, (W + 2 * pad - K) // stride + 1, x.shape[3]), np.float32)
        conv.forward(x, w, b, stride, pad, y)
        return y

    assert_bits_do_not_depend_on_the_batch(run, rng.standard_normal((C, H, W, 40), np.float32))


def winograd_cases(seed, dtype):
    """(rng, K, tile, C, F, H, T, N): every kernel size, more and fewer channels than a block of five."""
    rng = np.random.default_rng(seed)
    for case in range(CASES // 2):
        K, N = 3 + 2 * (case % 3), (BATCHES[::-1])[case % len(BATCHES)]
        C, F = (int(value) for value in rng.integers(2, 13 if COMPILED else 7, 2))
        yield rng, K, 11 - K, C, F, int(rng.integers(1, LARGEST + 1)), int(rng.integers(1, 4)), N


@both_dtypes
@implementations(winograd, "evaluate")
def test_winograd_evaluate(evaluate, dtype):
    for rng, K, tile, C, _, H, T, N in winograd_cases(17, dtype):
        A, B, _ = winograd.matrices(K)
        for matrix, pad, W in (B, int(rng.integers(0, K)), T * tile - 1), (A, 0, T * tile - K // 2):
            x, v = rng.standard_normal((C, H, W, N)).astype(dtype), unset((10, C, H, T, N), dtype)
            evaluate(x, matrix.astype(dtype), tile, pad, v)
            expected = np.zeros(v.shape)
            for t, i in np.ndindex(T, matrix.shape[1]):
                if 0 <= t * tile + i - pad < W:
                    expected[:, :, :, t] += matrix[:, i, None, None, None] * x[:, :, t * tile + i - pad]
            assert_close(v, expected, dtype, (K, x.shape))


@both_dtypes
@implementations(winograd, "interpolate")
def test_winograd_interpolate(interpolate, dtype):
    for rng, K, tile, C, F, H, T, N in winograd_cases(18, dtype):
        A, B, _ = winograd.matrices(K)
        top = int(rng.integers(0, K))
        H = max(H, K - 2 * top)
        v, u = (rng.standard_normal(shape).astype(dtype) for shape in ((10, C, H, T, N), (10, F + -F % 5, C, K)))
        b, P = rng.standard_normal(F).astype(dtype), H + 2 * top - K + 1
        m = np.zeros((10, F, P, T, N))
        for e, f, c, k, p in np.ndindex(10, F, C, K, P):
            if 0 <= p + k - top < H:
                m[e, f, p] += u[e, f, c, k].astype(float) * v[e, c, p + k - top]
        for matrix, left, Q in (A, 0, T * tile - 1), (B, min(2, K - 1), (T - 1) * tile + 10 - 2 * min(2, K - 1)):
            expected = np.zeros((F, P, Q, N)) + b[:, None, None, None]
            for t, i in np.ndindex(T, matrix.shape[1]):
                if 0 <= t * tile + i - left < Q:
                    expected[:, :, t * tile + i - left] += np.tensordot(matrix[:, i], m, 1)[:, :, t]
            y = unset(expected.shape, dtype)
            interpolate(v, u, matrix.astype(dtype), tile, left, top, b, y)
            assert_close(y, expected, dtype, (K, v.shape, u.shape, top, left))


@both_dtypes
@implementations(winograd_weights, "weight_gradient")
def test_winograd_weight_gradient(weight_gradient, dtype):
    for rng, K, _, C, F, H, T, N in winograd_cases(19, dtype):
        top = int(rng.integers(0, K))
        H = max(H, K - 2 * top)
        P = H + 2 * top - K + 1
        v, d = (rng.standard_normal(shape).astype(dtype) for shape in ((10, C, H, T, N), (10, F, P, T, N)))
        expected = np.zeros((10, F, C, K))
        for e, k, p in np.ndindex(10, K, P):
            if 0 <= p + k - top < H:
                expected[e, :, :, k] += np.tensordot(d[e, :, p].astype(float), v[e, :, p + k - top], ((1, 2), (1, 2)))
        du = unset(expected.shape, np.float64)
        weight_gradient(v, d, top, du)
        assert_close(du, expected, dtype, (K, v.shape, d.shape, top))


def square_cases(seed, dtype):
    """(rng, matrix, pad, x (C, H, W, N), (first, end) blocks of rows of tiles, T): A and B; tiles overhang maps."""
    A, B, _ = winograd.matrices(3, (0.75, 1.5))
    rng = np.random.default_rng(seed)
    for case in range(CASES // 2):
        matrix, pad = [(A, 0), (B, int(rng.integers(0, 3)))][case % 2]
        rows, T, C, N = *(int(value) for value in rng.integers(1, 4, 2)), 2 + case % 3, BATCHES[case % len(BATCHES)]
        outputs = rng.integers(4 * np.array([rows, T]) - 3, 4 * np.array([rows, T]) + 1)
        H, W = np.maximum(1, outputs + (2 - 2 * pad if case % 2 else 0))
        some = int(rng.integers(1, rows + 1))
        blocks = [(first, min(rows, first + some)) for first in range(0, rows, some)]
        x = rng.standard_normal((C, H, W, N)).astype(dtype)
        yield rng, matrix.astype(dtype), pad, x, blocks, T


def square_tiles(matrix, pad, shape, first, R, T):
    """For each pixel that each tile sees: (tile, place in the tile, place in the map)."""
    for r, t, i, j in np.ndindex(R, T, matrix.shape[1], matrix.shape[1]):
        h, w = 4 * (first + r) + i - pad, 4 * t + j - pad
        if 0 <= h < shape[1] and 0 <= w < shape[2]:
            yield (r, t), (i, j), (h, w)


@both_dtypes
@implementations(winograd_square, "evaluate")
def test_square_tiles_at_all_pairs_of_points(evaluate, dtype):
    for _, matrix, pad, x, blocks, T in square_cases(23, dtype):
        for first, end in blocks:
            v = unset((6, 6, len(x), end - first, T, x.shape[3]), dtype)
            evaluate(x, matrix, pad, first, v)
            expected = np.zeros(v.shape)
            for (r, t), (i, j), (h, w) in square_tiles(matrix, pad, x.shape, first, end - first, T):
                weights = np.outer(matrix[:, i], matrix[:, j])
                expected[:, :, :, r, t] += weights[:, :, None, None] * x[:, h, w].astype(float)
            assert_close(v, expected, dtype, (matrix.shape, pad, x.shape))


@both_dtypes
@implementations(winograd_square, "interpolate")
def test_square_tiles_back_to_the_map_block_after_block(interpolate, dtype):
    for rng, matrix, pad, y, blocks, T in square_cases(24, dtype):
        b = rng.standard_normal(len(y)).astype(dtype)
        y, expected = unset(y.shape, dtype), np.zeros(y.shape) + b[:, None, None, None]
        for first, end in blocks:
            m = rng.standard_normal((6, 6, len(y), end - first, T, y.shape[3])).astype(dtype)
            interpolate(m, matrix, pad, first, b, y)
            for (r, t), (i, j), (h, w) in square_tiles(matrix, pad, y.shape, first, end - first, T):
                expected[:, h, w] += np.tensordot(np.outer(matrix[:, i], matrix[:, j]), m[:, :, :, r, t], 2)
        assert_close(y, expected, dtype, (matrix.shape, pad, y.shape))


@pytest.mark.parametrize("K, pairs", [(3, winograd.PAIRS), (5, winograd.PAIRS), (7, winograd.PAIRS), (3, (0.75, 1.5))])
def test_winograd_matrices_make_a_correlation(K, pairs):
    A, B, G = winograd.matrices(K, pairs)
    rng = np.random.default_rng(20)
    d, g = rng.standard_normal(len(B)), rng.standard_normal(K)
    np.testing.assert_allclose(A.T @ ((G @ g) * (B @ d)), np.correlate(d, g, "valid"), atol=1e-12)


def depthwise_cases(seed, dtype):
    """(x, w, b, stride, pad, y shape) as conv_cases, every channel with one kernel of its own."""
    for x, w, b, stride, pad, (_, P, Q, N) in conv_cases(seed, dtype):
        C = min(len(x), len(w))
        yield np.ascontiguousarray(x[:C]), np.ascontiguousarray(w[:C, 0]), b[:C], stride, pad, (C, P, Q, N)


def own_maps(oracle, *arrays):
    """oracle(channel of each array, each still with a channel axis), channel by channel."""
    return np.concatenate([oracle(*(array[c:c + 1] for array in arrays)) for c in range(len(arrays[0]))])


@both_dtypes
@implementations(depthwise, "forward")
def test_depthwise_forward(forward, dtype):
    for x, w, b, stride, pad, shape in depthwise_cases(15, dtype):
        y = unset(shape, dtype)
        forward(x, w, b, stride, pad, y)
        expected = own_maps(lambda x, w, b: conv_oracle(x, w[:, None], b, stride, pad), x, w, b)
        assert_close(y, expected, dtype, (x.shape, w.shape, stride, pad))


@both_dtypes
@implementations(depthwise, "weight_gradient")
def test_depthwise_weight_gradient(weight_gradient, dtype):
    rng = np.random.default_rng(16)
    for x, w, _, stride, pad, shape in depthwise_cases(16, dtype):
        dy, dw, K = rng.standard_normal(shape).astype(dtype), unset(w.shape, np.float64), w.shape[1]
        weight_gradient(x, dy, stride, pad, dw)
        expected = own_maps(lambda x, dy: weight_gradient_oracle(x, dy, stride, pad, K)[:, 0], x, dy)
        assert_close(dw, expected, dtype, (x.shape, w.shape, stride, pad))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("N", [1, 2, 16])
@implementations(depthwise, "forward")
def test_depthwise_carries_a_bad_pixel_to_the_outputs_that_see_it_and_to_no_other(forward, N, value):
    rng = np.random.default_rng(17)
    for K, stride, pad, row, column in (3, 1, 0, 0, 0), (3, 1, 2, 5, 6), (3, 2, 1, 3, 2), (5, 1, 1, 2, 6):
        x, w, b = rng.standard_normal((3, 6, 7, N)), rng.standard_normal((3, K, K)), rng.standard_normal(3)
        x[1, row, column, N // 2] = value
        expected = own_maps(lambda x, w, b: conv_oracle(x, w[:, None], b, stride, pad), x, w, b)
        y = unset(expected.shape, np.float64)
        with np.errstate(invalid="ignore"):
            forward(x, w, b, stride, pad, y)
        np.testing.assert_allclose(y, expected, atol=1e-12)
        assert 0 < np.isfinite(y).sum() < y.size


@implementations(depthwise, "weight_gradient")
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_depthwise_weight_gradient_carries_a_bad_gradient_to_its_channel_and_to_no_other(weight_gradient, value):
    for channel in 0, 1, 3:
        x, dy, dw = np.ones((4, 5, 5, 3)), np.ones((4, 3, 3, 3)), unset((4, 3, 3), np.float64)
        dy[channel, 0, 0, 0] = value
        weight_gradient(x, dy, 1, 0, dw)
        np.testing.assert_array_equal(dw[channel], value)
        np.testing.assert_array_equal(np.delete(dw, channel, axis=0), 27)


@compiled_only
@pytest.mark.parametrize("C, K, stride, pad, H, W", [(4, 3, 1, 1, 8, 9), (3, 3, 2, 1, 8, 7), (5, 5, 1, 2, 6, 9),
                                                     (2, 3, 1, 2, 1, 5), (3, 2, 3, 1, 7, 4), (7, 1, 1, 0, 3, 3)])
def test_depthwise_bits_do_not_depend_on_the_batch(C, K, stride, pad, H, W):
    rng = np.random.default_rng(18)
    w, b = rng.standard_normal((C, K, K), np.float32), rng.standard_normal(C, np.float32)

    def run(x):
        y = unset((C, (H + 2 * pad - K) // stride + 1, (W + 2 * pad - K) // stride + 1, x.shape[3]), np.float32)
        depthwise.forward(x, w, b, stride, pad, y)
        return y

    assert_bits_do_not_depend_on_the_batch(run, rng.standard_normal((C, H, W, 40), np.float32))


def dense_cases(dtype):
    rng = np.random.default_rng(5)
    for case in range(CASES):
        D, O = (int(value) for value in rng.integers(1, 60 if COMPILED else 14, 2))
        x = rng.standard_normal((D, BATCHES[case % len(BATCHES)])) * (rng.random((D, 1)) < case % 3 / 2)
        yield x.astype(dtype), rng.standard_normal((D, O)).astype(dtype), rng.standard_normal(O).astype(dtype)


@both_dtypes
@implementations(dense, "forward")
def test_dense_forward(forward, dtype):
    for x, w, b in dense_cases(dtype):
        y = unset((len(b), x.shape[1]), dtype)
        forward(x, w, b, y)
        expected = [[b[o] + sum(float(p) * float(q) for p, q in zip(w[:, o], x[:, n])) for n in range(x.shape[1])]
                    for o in range(len(b))]
        assert_close(y, expected, dtype, (x.shape, w.shape))


@pytest.mark.parametrize("N", [1, 7, 8, 33])
@pytest.mark.parametrize("value", [np.nan, np.inf])
@implementations(dense, "forward")
def test_dense_carries_a_bad_feature_to_its_image_and_to_no_other(forward, value, N):
    x, w, b, y = np.zeros((9, N)), np.ones((9, 6)), np.ones(6), unset((6, N), np.float64)
    x[8, N // 2] = value
    forward(x, w, b, y)
    np.testing.assert_array_equal(y[:, N // 2], value)
    np.testing.assert_array_equal(np.delete(y, N // 2, axis=1), 1)


@pytest.mark.parametrize("N", [1, 8])
def test_dense_loop_shows_a_bad_weight_for_few_images_and_for_many(N):
    w, y = np.ones((9, 6)), unset((6, N), np.float64)
    w[3, 4] = np.nan
    dense.forward_loop(np.ones((9, N)), w, np.ones(6), y)
    assert np.isnan(y[4]).all() and np.isfinite(np.delete(y, 4, axis=0)).all()


@compiled_only
@pytest.mark.parametrize("ink", [0.2, 1.0])
@pytest.mark.parametrize("D, O", [(640, 10), (720, 84), (84, 10), (785, 13), (3, 5), (1, 1)])
def test_dense_bits_do_not_depend_on_the_batch(D, O, ink):
    rng = np.random.default_rng(6)
    w, b = rng.standard_normal((D, O), np.float32), rng.standard_normal(O, np.float32)

    def run(x):
        y = unset((O, x.shape[1]), np.float32)
        dense.forward(x, w, b, y)
        return y

    assert_bits_do_not_depend_on_the_batch(run, rng.standard_normal((D, 40), np.float32) * (rng.random((D, 40)) < ink))


def starts(side, K, stride, pad, ceil_mode):
    """Where the windows along one side begin: all that fit, in ceil mode one more if it begins on a pixel."""
    found = [at for at in range(-pad, side, stride) if at + K <= side + pad]
    after = found[-1] + stride
    return found + [after] if ceil_mode and found[-1] + K < side + pad and after < side else found


def window(x, top, left, K):
    """The pixels of a window that exist: their values (count, C, N) and their places k * K + l in reading order."""
    H, W = x.shape[1:3]
    here = [(k, l) for k in range(K) for l in range(K) if 0 <= top + k < H and 0 <= left + l < W]
    return np.array([x[:, top + k, left + l] for k, l in here]), np.array([k * K + l for k, l in here])


def pool_cases(seed, dtype, levels=None):
    """(x, K, stride, pad, window starts); with `levels` few different values, so that maxima tie."""
    rng = np.random.default_rng(seed)
    for case in range(CASES):
        K, stride, N = 1 + case % 5, 1 + case // 5 % 3, BATCHES[case % len(BATCHES)]
        pad, ceil_mode = int(rng.integers(0, K // 2 + 1)), bool(case % 2)
        H, W = (int(value) for value in rng.integers(max(1, K - 2 * pad), LARGEST + 1 + K, 2))
        shape = (int(rng.integers(2, 5)), H, W, N)
        x = rng.standard_normal(shape) if levels is None else rng.integers(-levels, levels, shape)
        yield x.astype(dtype), K, stride, pad, [starts(side, K, stride, pad, ceil_mode) for side in (H, W)]


def max_oracle(x, K, windows, rectify=False):
    y = np.empty((len(x), len(windows[0]), len(windows[1]), x.shape[3]), x.dtype)
    winner = np.empty(y.shape, np.uint8)
    for p, top in enumerate(windows[0]):
        for q, left in enumerate(windows[1]):
            values, places = window(x, top, left, K)
            y[:, p, q], winner[:, p, q] = values.max(axis=0), places[values.argmax(axis=0)]
    if rectify:
        winner[y <= 0], y[y <= 0] = pool.NOBODY, 0
    return y, winner


@both_dtypes
@pytest.mark.parametrize("rectify", [False, True])
@pytest.mark.parametrize("levels", [None, 2])
@implementations(pool, "max_forward")
def test_max_forward_takes_the_first_of_the_largest_pixels_that_exist(max_forward, levels, rectify, dtype):
    for x, K, stride, pad, windows in pool_cases(7, dtype, levels):
        expected, first = max_oracle(x, K, windows, rectify)
        y, winner = unset(expected.shape, dtype), unset(first.shape, np.uint8)
        max_forward(x, K, stride, pad, rectify, y, winner)
        np.testing.assert_array_equal(y, expected, str((x.shape, K, stride, pad)))
        np.testing.assert_array_equal(winner, first, str((x.shape, K, stride, pad)))


@pytest.mark.parametrize("rectify", [False, True])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@implementations(pool, "max_forward")
def test_max_forward_with_a_bad_pixel(max_forward, value, rectify):
    for x, K, stride, pad, windows in pool_cases(8, np.float32):
        x[0, x.shape[1] // 2, x.shape[2] // 2, 0] = value
        x[1] = -np.inf
        expected, first = max_oracle(x, K, windows, rectify)
        y, winner = unset(expected.shape, np.float32), unset(first.shape, np.uint8)
        max_forward(x, K, stride, pad, rectify, y, winner)
        np.testing.assert_array_equal(y, expected)
        np.testing.assert_array_equal(winner, first)


@both_dtypes
@implementations(pool, "max_backward")
def test_max_backward_gives_each_gradient_to_the_pixel_that_won(max_backward, dtype):
    rng = np.random.default_rng(9)
    for case, (x, K, stride, pad, windows) in enumerate(pool_cases(9, dtype, levels=3)):
        y, winner = max_oracle(x, K, windows, rectify=case % 3 == 0)
        dy, expected = rng.standard_normal(y.shape).astype(dtype), np.zeros(x.shape)
        for c, p, q, n in np.argwhere(winner != pool.NOBODY):
            k, l = divmod(int(winner[c, p, q, n]), K)
            expected[c, windows[0][p] + k, windows[1][q] + l, n] += dy[c, p, q, n]
        dx = unset(x.shape, dtype)
        max_backward(dy, winner, K, stride, pad, dx)
        assert_close(dx, expected, dtype, (x.shape, K, stride, pad))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@implementations(pool, "max_backward")
def test_max_backward_gives_a_bad_gradient_to_the_winner_alone(max_backward, value):
    dx = unset((1, 2, 2, 1), np.float64)
    max_backward(np.full((1, 1, 1, 1), value), np.full((1, 1, 1, 1), 3, np.uint8), 2, 2, 0, dx)
    np.testing.assert_array_equal(dx.ravel(), [0, 0, 0, value])


def counted(x, top, left, K, pad):
    """How many places of a window its mean is over if the padding counts: none beyond the padding does."""
    H, W = x.shape[1:3]
    return sum(-pad <= top + k < H + pad and -pad <= left + l < W + pad for k in range(K) for l in range(K))


@both_dtypes
@pytest.mark.parametrize("count_pad", [False, True])
@implementations(pool, "average_forward")
def test_average_forward_over_the_pixels_that_count(average_forward, count_pad, dtype):
    for x, K, stride, pad, windows in pool_cases(10, dtype):
        expected = np.empty((len(x), len(windows[0]), len(windows[1]), x.shape[3]))
        for p, top in enumerate(windows[0]):
            for q, left in enumerate(windows[1]):
                values, _ = window(x, top, left, K)
                count = counted(x, top, left, K, pad) if count_pad else len(values)
                expected[:, p, q] = values.sum(axis=0, dtype=np.float64) / count
        y = unset(expected.shape, dtype)
        average_forward(x, K, stride, pad, count_pad, y)
        assert_close(y, expected, dtype, (x.shape, K, stride, pad))


@both_dtypes
@pytest.mark.parametrize("count_pad", [False, True])
@implementations(pool, "average_backward")
def test_average_backward_shares_among_the_pixels_that_count(average_backward, count_pad, dtype):
    rng = np.random.default_rng(11)
    for x, K, stride, pad, windows in pool_cases(11, dtype):
        dy = rng.standard_normal((len(x), len(windows[0]), len(windows[1]), x.shape[3])).astype(dtype)
        expected = np.zeros(x.shape)
        for p, top in enumerate(windows[0]):
            for q, left in enumerate(windows[1]):
                _, places = window(x, top, left, K)
                count = counted(x, top, left, K, pad) if count_pad else len(places)
                for k, l in (divmod(int(place), K) for place in places):
                    expected[:, top + k, left + l] += dy[:, p, q] / count
        dx = unset(x.shape, dtype)
        average_backward(dy, K, stride, pad, count_pad, dx)
        assert_close(dx, expected, dtype, (x.shape, K, stride, pad))


@implementations(pool, "average_forward")
def test_average_forward_carries_nan_to_the_windows_that_see_it(average_forward):
    x, y = np.ones((2, 4, 4, 3)), unset((2, 2, 2, 3), np.float64)
    x[1, 0, 3, 2] = np.nan
    average_forward(x, 2, 2, 0, False, y)
    assert np.isnan(y[1, 0, 1, 2]) and np.isnan(y).sum() == 1


@both_dtypes
@implementations(sums, "channels")
def test_the_sum_of_each_channel(channels, dtype):
    rng = np.random.default_rng(21)
    for shape in (3, 4, 5, 16), (2, 1, 1, 1), (7, 30, 30, 64) if COMPILED else (7, 3, 3, 6):
        dy, total = rng.standard_normal(shape).astype(dtype), unset(shape[:1], np.float64)
        channels(dy, total)
        assert_close(total, dy.sum(axis=(1, 2, 3), dtype=np.float64), dtype, shape)


def probabilities(forward, z):
    p, h = unset(z.shape, z.dtype), unset(len(z), np.float64)
    forward(z, p, h)
    return p, h


@both_dtypes
@implementations(softmax, "forward")
def test_softmax_and_entropy_as_scipy_computes_them(forward, dtype):
    rng = np.random.default_rng(12)
    for N, O in (1, 1), (1, 10), (7, 2), (33, 10), (16, 101):
        for scale in 0.01, 1, 10, 1000:
            z = (rng.standard_normal((N, O)) * scale).astype(dtype)
            p, h = probabilities(forward, z)
            expected = scipy_softmax(z.astype(np.float64), axis=1)
            np.testing.assert_allclose(p, expected, rtol=20 * np.finfo(dtype).eps, atol=1e-44)
            np.testing.assert_allclose(h, scipy_entropy(expected, axis=1), rtol=1e-9, atol=1e-12)


@implementations(softmax, "forward")
def test_entropy_is_ln_of_the_number_of_classes_if_uniform_and_0_if_certain(forward):
    for O in 1, 2, 10, 101:
        for level in 0, -1e30, 3e4:
            assert probabilities(forward, np.full((2, O), level, np.float32))[1] == pytest.approx(np.log(O), abs=1e-14)
        certain = np.full((2, O), -1000, np.float32)
        certain[:, O // 2] = 1000
        p, h = probabilities(forward, certain)
        np.testing.assert_array_equal(p, certain > 0)
        np.testing.assert_array_equal(h, 0)


@implementations(softmax, "forward")
def test_entropy_is_never_negative(forward):
    z = np.random.default_rng(13).standard_normal((200, 10)).astype(np.float32)
    z[:, 3] += np.linspace(0, 60, 200)
    assert (probabilities(forward, z)[1] >= 0).all()


@implementations(softmax, "forward")
def test_an_entropy_of_small_doubt_keeps_its_digits(forward):
    h = probabilities(forward, np.array([[0, -30.0]], np.float32))[1]
    assert h[0] == pytest.approx(31 * np.exp(-30), rel=1e-2)


@implementations(softmax, "forward")
def test_a_logit_of_minus_infinity_is_a_class_that_does_not_exist(forward):
    p, h = probabilities(forward, np.array([[1, -np.inf, 1, -np.inf]], np.float32))
    np.testing.assert_allclose(p, [[0.5, 0, 0.5, 0]])
    assert h == pytest.approx(np.log(2))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("place", [0, 1, 4])
@implementations(softmax, "forward")
def test_softmax_and_entropy_of_an_image_with_a_bad_logit_are_nan_and_those_of_others_not(forward, bad, place):
    z = np.zeros((3, 5), np.float32)
    z[1, place] = bad
    with np.errstate(invalid="ignore"):
        p, h = probabilities(forward, z)
    assert np.isnan(p[1, place]) and np.isnan(h[1])
    np.testing.assert_allclose(p[[0, 2]], 0.2, rtol=1e-6)
    np.testing.assert_allclose(h[[0, 2]], np.log(5))


@implementations(softmax, "forward")
def test_softmax_of_nothing_but_minus_infinity_is_nan(forward):
    with np.errstate(invalid="ignore"):
        p, h = probabilities(forward, np.full((1, 4), -np.inf, np.float32))
    assert np.isnan(p).all() and np.isnan(h).all()


@both_dtypes
@implementations(adam, "update")
def test_adam_update(update, dtype):
    rng = np.random.default_rng(14)
    theta, m, g = (rng.standard_normal(50).astype(dtype) for _ in range(3))
    v = rng.random(50).astype(dtype)
    beta1, beta2, rate, divisor, epsilon = (dtype(value) for value in (0.9, 0.75, 0.01, 0.4, 1e-3))
    expected_m = 0.9 * m.astype(float) + 0.1 * g
    expected_v = 0.75 * v.astype(float) + 0.25 * g.astype(float) ** 2
    expected = theta - 0.01 * expected_m / ((expected_v / 0.4) ** 0.5 + 1e-3)
    update(theta, m, v, g, beta1, beta2, rate, divisor, epsilon)
    for result, wanted in (m, expected_m), (v, expected_v), (theta, expected):
        assert result.dtype == dtype
        assert_close(result, wanted, dtype, "adam")


FOLDER = Path(conv.__file__).parent
MODULES = [import_module(f"npcbnet.kernels.{file.stem}") for file in sorted(FOLDER.glob("[a-z]*.py"))]
KERNELS = [(module, name.removesuffix("_loop")) for module in MODULES for name in dir(module) if name.endswith("_loop")]


@pytest.mark.parametrize("module, name", KERNELS)
def test_the_loop_serves_where_it_is_compiled_and_the_twin_elsewhere(module, name):
    assert getattr(module, name) is getattr(module, f"{name}_loop" if COMPILED else f"{name}_numpy")


def test_every_kernel_is_tested_here():
    text = Path(__file__).read_text(encoding="utf-8")
    assert len(KERNELS) >= 9
    for module, name in KERNELS:
        assert f'@implementations({module.__name__.rsplit(".", 1)[1]}, "{name}"' in text
