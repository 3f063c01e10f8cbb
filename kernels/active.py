"""Convolution of some outputs alone, images last in memory; what is not asked for becomes 0 and costs nothing.

Arrays: x (C, H, W, N), w (F, C, K, K), b (F,), places (M, 3) int64: f, p, q of each output that is asked for,
y (F, P, Q, N), as in `conv`. One output is the same chain of fused multiply-adds as there, to the same bits: the bias
first, then the taps inside the image in the order (kernel column, input channel, kernel row).
"""
import numpy as np

from npcbnet.kernels._jit import choose, jit


@jit
def _list_taps(shape, w, f, top, left, x_at, weight):
    """Fill x_at and weight with the taps of the window that begins at image row `top`, column `left`; returns how many.

    shape: of x. Taps above, below or beside the image are left out.
    """
    C, H, W, N = shape
    K = w.shape[2]
    taps = 0
    for l in range(max(0, -left), min(K, W - left)):
        for c in range(C):
            for k in range(max(0, -top), min(K, H - top)):
                x_at[taps] = ((c * H + top + k) * W + left + l) * N
                weight[taps] = w[f, c, k, l]
                taps += 1
    return taps


@jit
def forward_loop(x, w, b, places, stride, pad, y):
    """Fill y with the convolution of x by w plus b at `places`, with 0 elsewhere."""
    N, room = x.shape[3], w.shape[1] * w.shape[2] * w.shape[3]
    x_flat, x_at, weight = x.reshape(-1), np.empty(room, np.int64), np.empty(room, w.dtype)
    y[:] = 0
    for i in range(len(places)):
        f, p, q = places[i, 0], places[i, 1], places[i, 2]
        taps = _list_taps(x.shape, w, f, p * stride - pad, q * stride - pad, x_at, weight)
        total = y[f, p, q]
        total[:] = b[f]
        t = 0
        while t + 4 <= taps:  # four taps share the sums' way to a register and back
            a0, a1, a2, a3 = weight[t], weight[t + 1], weight[t + 2], weight[t + 3]
            x0, x1 = x_flat[x_at[t]:x_at[t] + N], x_flat[x_at[t + 1]:x_at[t + 1] + N]
            x2, x3 = x_flat[x_at[t + 2]:x_at[t + 2] + N], x_flat[x_at[t + 3]:x_at[t + 3] + N]
            for n in range(N):
                total[n] = total[n] + a0 * x0[n] + a1 * x1[n] + a2 * x2[n] + a3 * x3[n]
            t += 4
        while t < taps:
            a0, x0 = weight[t], x_flat[x_at[t]:x_at[t] + N]
            for n in range(N):
                total[n] = total[n] + a0 * x0[n]
            t += 1


def forward_numpy(x, w, b, places, stride, pad, y):
    """The same in NumPy: the windows of one filter's outputs side by side."""
    K = w.shape[2]
    framed = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(framed, (K, K), axis=(1, 2))[:, ::stride, ::stride]
    y[:] = 0
    for f in range(len(w)):
        _, p, q = places[places[:, 0] == f].T
        y[f, p, q] = np.einsum("cmnkl,ckl->mn", windows[:, p, q], w[f]) + b[f]


forward = choose(forward_loop, forward_numpy)
