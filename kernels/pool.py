"""Max and average pooling, images last in memory: x (C, H, W, N), y (C, P, Q, N), C-contiguous.

Windows start at p * stride - pad. In ceil mode, and with padding, windows reach over the edge; they see only the pixels
that exist: the maximum ignores the rest, the average divides by the number of pixels seen (with count_pad: image and
padding). A NaN in a window is its maximum. Of equal pixels the first in reading order counts, as in every framework.
"""
import numpy as np

from npcbnet.kernels._jit import choose, jit

NOBODY = np.uint8(255)  # the winner of a window whose maximum is not above 0, where that matters


@jit
def _max_of_four(x, x_at, row, rectify, y, winner, y_at, N):
    """One 2x2 window inside the map in a single pass, all arrays flat; row: floats from one row of x to the next."""
    x0, x1 = x[x_at:x_at + N], x[x_at + N:x_at + 2 * N]
    x2, x3 = x[x_at + row:x_at + row + N], x[x_at + row + N:x_at + row + 2 * N]
    best, place, zero = y[y_at:y_at + N], winner[y_at:y_at + N], x.dtype.type(0)
    for n in range(N):
        a, b, c, d = x0[n], x1[n], x2[n], x3[n]
        take = (b > a) | (b != b)
        value, here = b if take else a, np.uint8(1) if take else np.uint8(0)
        take = (c > value) | (c != c)
        value, here = c if take else value, np.uint8(2) if take else here
        take = (d > value) | (d != d)
        value, here = d if take else value, np.uint8(3) if take else here
        low = rectify & (value <= 0)
        best[n], place[n] = zero if low else value, NOBODY if low else here


@jit
def max_forward_loop(x, K, stride, pad, rectify, y, winner):
    """Fill y with the windows' maxima and winner (uint8, same shape) with their place k * K + l in the window.

    rectify: a maximum below 0 becomes 0, and nobody has won: pooling and the rectifier behind it in one pass.
    """
    C, H, W, N = x.shape
    P, Q = y.shape[1:3]
    x_flat, y_flat, winner_flat, zero = x.reshape(-1), y.reshape(-1), winner.reshape(-1), x.dtype.type(0)
    for c in range(C):
        for p in range(P):
            for q in range(Q):
                h, w = p * stride - pad, q * stride - pad
                if K == 2 and 0 <= h < H - 1 and 0 <= w < W - 1:
                    x_at, y_at = ((c * H + h) * W + w) * N, ((c * P + p) * Q + q) * N
                    _max_of_four(x_flat, x_at, W * N, rectify, y_flat, winner_flat, y_at, N)
                    continue
                best, place = y[c, p, q], winner[c, p, q]
                fresh = True
                for k in range(max(0, -h), min(K, H - h)):
                    for l in range(max(0, -w), min(K, W - w)):
                        pixel, here = x[c, h + k, w + l], np.uint8(k * K + l)
                        if fresh:
                            fresh = False
                            for n in range(N):
                                best[n] = pixel[n]
                                place[n] = here
                        else:
                            for n in range(N):
                                value = pixel[n]
                                take = (value > best[n]) | (value != value)
                                best[n] = value if take else best[n]
                                place[n] = here if take else place[n]
                if rectify:
                    for n in range(N):
                        low = best[n] <= 0
                        best[n], place[n] = zero if low else best[n], NOBODY if low else place[n]


@jit
def _to_one_of_four(dy, winner, y_at, dx, x_at, row, N):
    """The mirror image of _max_of_four: fill the four pixels, which no other window sees."""
    gradient, place = dy[y_at:y_at + N], winner[y_at:y_at + N]
    x0, x1 = dx[x_at:x_at + N], dx[x_at + N:x_at + 2 * N]
    x2, x3 = dx[x_at + row:x_at + row + N], dx[x_at + row + N:x_at + row + 2 * N]
    nothing = dy.dtype.type(0)
    for n in range(N):
        g, here = gradient[n], place[n]
        a, b = g if here == 0 else nothing, g if here == 1 else nothing
        c, d = g if here == 2 else nothing, g if here == 3 else nothing
        x0[n], x1[n], x2[n], x3[n] = a, b, c, d


@jit
def max_backward_loop(dy, winner, K, stride, pad, dx):
    """Fill dx with dy (C, P, Q, N) sent to the pixel that won its window."""
    C, H, W, N = dx.shape
    P, Q = dy.shape[1:3]
    dy_flat, winner_flat, dx_flat = dy.reshape(-1), winner.reshape(-1), dx.reshape(-1)
    once = stride == K and P * K - pad >= H and Q * K - pad >= W  # every pixel lies in exactly one window
    for c in range(C):
        if not once:
            dx[c] = 0
        for p in range(P):
            for q in range(Q):
                h, w = p * stride - pad, q * stride - pad
                if once and K == 2 and 0 <= h < H - 1 and 0 <= w < W - 1:
                    _to_one_of_four(dy_flat, winner_flat, ((c * P + p) * Q + q) * N,
                                    dx_flat, ((c * H + h) * W + w) * N, W * N, N)
                    continue
                gradient, place = dy[c, p, q], winner[c, p, q]
                for k in range(max(0, -h), min(K, H - h)):
                    for l in range(max(0, -w), min(K, W - w)):
                        pixel, here, nothing = dx[c, h + k, w + l], np.uint8(k * K + l), dy.dtype.type(0)
                        if once:
                            pixel[:] = 0
                        for n in range(N):
                            pixel[n] += gradient[n] if place[n] == here else nothing


@jit
def average_forward_loop(x, K, stride, pad, count_pad, y):
    """Fill y with the windows' means over the image's pixels, with count_pad also over those of the padding."""
    C, H, W, N = x.shape
    P, Q = y.shape[1:3]
    for c in range(C):
        for p in range(P):
            for q in range(Q):
                k_first, k_last = max(0, pad - p * stride), min(K, H + pad - p * stride)
                l_first, l_last = max(0, pad - q * stride), min(K, W + pad - q * stride)
                seen = (k_last - k_first) * (l_last - l_first)
                if count_pad:
                    seen = min(K, H + 2 * pad - p * stride) * min(K, W + 2 * pad - q * stride)
                total = y[c, p, q]
                total[:] = 0
                for k in range(k_first, k_last):
                    for l in range(l_first, l_last):
                        pixel = x[c, p * stride + k - pad, q * stride + l - pad]
                        for n in range(N):
                            total[n] += pixel[n]
                for n in range(N):
                    total[n] /= seen


@jit
def average_backward_loop(dy, K, stride, pad, count_pad, dx):
    """Fill dx with dy (C, P, Q, N) shared equally by the pixels of its window."""
    C, H, W, N = dx.shape
    P, Q = dy.shape[1:3]
    for c in range(C):
        dx[c] = 0
        for p in range(P):
            for q in range(Q):
                k_first, k_last = max(0, pad - p * stride), min(K, H + pad - p * stride)
                l_first, l_last = max(0, pad - q * stride), min(K, W + pad - q * stride)
                seen = (k_last - k_first) * (l_last - l_first)
                if count_pad:
                    seen = min(K, H + 2 * pad - p * stride) * min(K, W + 2 * pad - q * stride)
                gradient = dy[c, p, q]
                for k in range(k_first, k_last):
                    for l in range(l_first, l_last):
                        pixel = dx[c, p * stride + k - pad, q * stride + l - pad]
                        for n in range(N):
                            pixel[n] += gradient[n] / seen


def _taps(shape, K, stride, pad, P, Q):
    """For each place (k, l) of the window: the outputs that see a pixel there, and those pixels, as pairs of slices."""
    H, W = shape[1:3]
    for k in range(K):
        p0, p1 = max(0, -((k - pad) // stride)), min(P, (H - 1 + pad - k) // stride + 1)
        for l in range(K):
            q0, q1 = max(0, -((l - pad) // stride)), min(Q, (W - 1 + pad - l) // stride + 1)
            if p0 < p1 and q0 < q1:
                h0, w0 = p0 * stride + k - pad, q0 * stride + l - pad
                yield k * K + l, np.s_[:, p0:p1, q0:q1], np.s_[
                    :, h0:h0 + (p1 - p0 - 1) * stride + 1:stride, w0:w0 + (q1 - q0 - 1) * stride + 1:stride]


def max_forward_numpy(x, K, stride, pad, rectify, y, winner):
    """The same in NumPy, one place of the window after the other."""
    winner[:] = NOBODY
    for here, outputs, pixels in _taps(x.shape, K, stride, pad, *y.shape[1:3]):
        value, best, place = x[pixels], y[outputs], winner[outputs]
        take = (value > best) | np.isnan(value) | (place == NOBODY)
        np.copyto(best, value, where=take)
        np.copyto(place, here, where=take)
    if rectify:
        low = y <= 0
        y[low], winner[low] = 0, NOBODY


def max_backward_numpy(dy, winner, K, stride, pad, dx):
    """The same in NumPy."""
    dx[:] = 0
    for here, outputs, pixels in _taps(dx.shape, K, stride, pad, *dy.shape[1:3]):
        dx[pixels] += np.where(winner[outputs] == here, dy[outputs], 0)


def _seen(shape, K, stride, pad, count_pad, P, Q):
    """How many pixels each window's mean is over, (1, P, Q, 1): the image's, with count_pad the padding's too."""
    if count_pad:
        rows = np.minimum(K, shape[1] + 2 * pad - np.arange(P) * stride)
        columns = np.minimum(K, shape[2] + 2 * pad - np.arange(Q) * stride)
        return np.outer(rows, columns)[None, :, :, None].astype(np.float64)
    seen = np.zeros((1, P, Q, 1))
    for _, outputs, _ in _taps(shape, K, stride, pad, P, Q):
        seen[outputs] += 1
    return seen


def average_forward_numpy(x, K, stride, pad, count_pad, y):
    """The same in NumPy."""
    y[:] = 0
    for _, outputs, pixels in _taps(x.shape, K, stride, pad, *y.shape[1:3]):
        y[outputs] += x[pixels]
    y /= _seen(x.shape, K, stride, pad, count_pad, *y.shape[1:3]).astype(y.dtype)


def average_backward_numpy(dy, K, stride, pad, count_pad, dx):
    """The same in NumPy."""
    dx[:] = 0
    share = dy / _seen(dx.shape, K, stride, pad, count_pad, *dy.shape[1:3]).astype(dy.dtype)
    for _, outputs, pixels in _taps(dx.shape, K, stride, pad, *dy.shape[1:3]):
        dx[pixels] += share[outputs]


max_forward = choose(max_forward_loop, max_forward_numpy)
max_backward = choose(max_backward_loop, max_backward_numpy)
average_forward = choose(average_forward_loop, average_forward_numpy)
average_backward = choose(average_backward_loop, average_backward_numpy)
