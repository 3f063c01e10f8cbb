"""A convolution in training, forward and backward, by kernels/winograd.py: its formula, and the rule when to use it."""
from functools import cache

import numpy as np

from npcbnet.kernels import winograd, winograd_weights
from npcbnet.layers.base import aligned_empty

LEAST_IMAGES = 16  # a vector register of images; for fewer the loops are too short
TRANSFORM = 100  # multiply-adds' worth of time that one tile's way to the points and back takes, measured on LeNet


def pays(x_shape, weight_shape, y_shape, stride, pad, groups):
    """Whether a convolution is faster this way: x (C, H, W, N), weight (F, C, K, K), y (F, P, Q, N).

    Compared are the multiply-adds of one row of outputs: K^2 C F for each output; by tiles 10 K C F for each tile of
    11 - K outputs, and its transforms. In LeNet's first layer the transforms alone would cost more than they save.
    """
    (C, _, _, N), (F, _, K, _), Q = x_shape, weight_shape, y_shape[2]
    if K not in (3, 5, 7) or stride != 1 or groups != 1 or N < LEAST_IMAGES:
        return False
    return row_cost(C, F, K, Q) < 0.8 * Q * K ** 2 * C * F


def row_cost(C, F, K, Q):
    """Multiply-adds' worth of time that a row of Q outputs takes by tiles: products and transforms."""
    tiles = -(-Q // (winograd.POINTS + 1 - K))
    return tiles * (winograd.POINTS * K * C * F + TRANSFORM * (C + F))


@cache
def _matrices(kernel, dtype):
    """A, B in the type of the arrays, G in float64."""
    A, B, G = winograd.matrices(kernel)
    return A.astype(dtype), B.astype(dtype), G


def _whole_fives(u):
    """u (10, F, C, K), C-contiguous, with filters of zeros up to a multiple of five."""
    missing = -u.shape[1] % 5
    return np.pad(u, ((0, 0), (0, missing), (0, 0), (0, 0))) if missing else np.ascontiguousarray(u)


def convolved(x, weight, bias, pad, shape):
    """x (C, H, W, N), weight (F, C, K, K), bias (F,) or None -> y of `shape`, (F, P, Q, N), and its backward pass.

    That is a function: dy (F, P, Q, N), need_dx -> the gradients by weight and by x (or None).
    """
    F, C, K, _ = weight.shape
    A, B, G = _matrices(K, weight.dtype)
    tile = A.shape[1]
    tiles = -(-shape[2] // tile)
    v = aligned_empty((len(B), *x.shape[:2], tiles, x.shape[3]), x.dtype)
    winograd.evaluate(x, B, tile, pad, v)
    u = (G @ weight.reshape(-1, K).T).reshape(len(G), F, C, K).astype(weight.dtype)
    y = aligned_empty(shape, x.dtype)
    winograd.interpolate(v, _whole_fives(u), A, tile, 0, pad, np.zeros(F, x.dtype) if bias is None else bias, y)
    x_shape = x.shape

    def gradients(dy, need_dx):
        d = aligned_empty((len(A), *shape[:2], tiles, shape[3]), dy.dtype)
        winograd.evaluate(dy, A, tile, 0, d)
        du = np.empty(u.shape, np.float64)
        winograd_weights.weight_gradient(v, d, pad, du)
        dweight = (du.reshape(len(G), -1).T @ G).reshape(weight.shape).astype(weight.dtype)
        if not need_dx:
            return dweight, None
        dx = aligned_empty(x_shape, dy.dtype)
        turned = _whole_fives(u.swapaxes(1, 2)[..., ::-1])
        winograd.interpolate(d, turned, B, tile, pad, K - 1 - pad, np.zeros(C, dy.dtype), dx)
        return dweight, dx

    return y, gradients
