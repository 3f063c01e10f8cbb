"""A convolution of many channels in training, by kernels/winograd_square.py and BLAS, and the rule when to use it."""
from functools import cache

import numpy as np

from npcbnet.kernels import winograd, winograd_square
from npcbnet.kernels.winograd_square import POINTS, TILE
from npcbnet.layers.base import aligned_empty
from npcbnet.layers.winograd import LEAST_IMAGES, row_cost

# With these points the largest error of y, dx and dw is 2e-6 of the largest value (64 and 96 channels, random values),
# where the customary 1 and 2 give 8e-6.
PAIRS = (0.75, 1.5)
TRANSFORM = 800  # multiply-adds' worth of time that one tile's way to the points and back takes, measured on AlexNet
COLUMNS = 256  # tiles times images in one product: with those of all points they fit the last-level cache


def pays(x_shape, weight_shape, y_shape, stride, pad, groups):
    """Whether a convolution is faster this way than directly, and than by winograd.py; arguments as there."""
    (C, _, _, N), (F, _, K, _), (P, Q) = x_shape, weight_shape, y_shape[1:3]
    if K != 3 or stride != 1 or groups != 1 or N < LEAST_IMAGES:
        return False
    cost = -(-P // TILE) * -(-Q // TILE) * (POINTS ** 2 * C * F + TRANSFORM * (C + F))
    return cost < 0.8 * P * Q * K ** 2 * C * F and cost < 0.9 * P * row_cost(C, F, K, Q)


@cache
def _matrices(dtype):
    """A (6, 4) and B (6, 6), and G for both directions at once, (36, 9), in the type of the arrays."""
    A, B, G = winograd.matrices(3, PAIRS)
    return A.astype(dtype), B.astype(dtype), np.kron(G, G).astype(dtype)


def _blocks(rows, columns, images):
    """(first, last + 1) rows of tiles of each block: as many at a time as COLUMNS allows."""
    some = max(1, COLUMNS // (columns * images))
    return [(first, min(rows, first + some)) for first in range(0, rows, some)]


def _values(channels, block, columns, like):
    """An uninitialised array (6, 6, channels, R, T, N) for a block's tiles, of the type and the images of `like`."""
    return aligned_empty((POINTS, POINTS, channels, block[1] - block[0], columns, like.shape[-1]), like.dtype)


def _by_points(values):
    """(6, 6, C, R, T, N) -> (36, C, R * T * N), a view."""
    return values.reshape(POINTS * POINTS, values.shape[2], -1)


def convolved(x, weight, bias, pad, shape):
    """As winograd.convolved, for kernels of 3 x 3."""
    F, C = weight.shape[:2]
    A, B, G = _matrices(weight.dtype)
    rows, columns = (-(-side // TILE) for side in shape[1:3])
    u = (G @ weight.reshape(F * C, 9).T).reshape(-1, F, C)
    y, bias = aligned_empty(shape, x.dtype), np.zeros(F, x.dtype) if bias is None else bias
    blocks = _blocks(rows, columns, shape[3])
    kept = [_values(C, block, columns, x) for block in blocks]
    for block, v in zip(blocks, kept):
        winograd_square.evaluate(x, B, pad, block[0], v)
        m = _values(F, block, columns, x)
        np.matmul(u, _by_points(v), out=_by_points(m))
        winograd_square.interpolate(m, A, 0, block[0], bias, y)
    x_shape = x.shape

    def gradients(dy, need_dx):
        du, nothing = np.zeros(u.shape, dy.dtype), np.zeros(C, dy.dtype)
        dx = aligned_empty(x_shape, dy.dtype) if need_dx else None
        for block, v in zip(blocks, kept):
            d = _values(F, block, columns, dy)
            winograd_square.evaluate(dy, A, 0, block[0], d)
            du += _by_points(d) @ _by_points(v).swapaxes(1, 2)
            if need_dx:
                m = _values(C, block, columns, dy)
                np.matmul(u.swapaxes(1, 2), _by_points(d), out=_by_points(m))
                winograd_square.interpolate(m, B, pad, block[0], nothing, dx)
        return (du.reshape(len(u), -1).T @ G).reshape(weight.shape), dx

    return y, gradients
