"""The fully connected layer at prediction: x (D, N) images last, w (D, O), b (O,), y (O, N), C-contiguous.

Training multiplies batches by NumPy's BLAS (`forward_numpy`); these loops exist because their answer does not depend on
the batch: one output is one chain of fused multiply-adds, the bias first, then the features in order. Features that are
exactly 0 may be left out of such a chain without changing it, which is most of the work on an image of a digit.
"""
import numpy as np

from npcbnet.kernels._jit import choose, jit

FEW = 8  # below this many images the lanes of a vector are outputs, from here on they are images


@jit
def _forward_few(x, w, b, y):
    """For few images: neighbouring lanes are neighbouring outputs; a row of w is read only if its feature is not 0."""
    D, N = x.shape
    O = w.shape[1]
    total = np.empty(O, w.dtype)
    used = np.empty(D, np.int64)
    for n in range(N):
        count = 0
        for d in range(D):
            if x[d, n] != 0:  # NaN is not 0 either
                used[count] = d
                count += 1
        total[:] = b
        i = 0
        while i + 4 <= count:
            d0, d1, d2, d3 = used[i], used[i + 1], used[i + 2], used[i + 3]
            x0, x1, x2, x3 = x[d0, n], x[d1, n], x[d2, n], x[d3, n]
            w0, w1, w2, w3 = w[d0], w[d1], w[d2], w[d3]
            for o in range(O):
                total[o] = total[o] + x0 * w0[o] + x1 * w1[o] + x2 * w2[o] + x3 * w3[o]
            i += 4
        while i < count:
            x0, w0 = x[used[i], n], w[used[i]]
            for o in range(O):
                total[o] = total[o] + x0 * w0[o]
            i += 1
        for o in range(O):
            y[o, n] = total[o]


@jit
def _forward_many(x, w, b, y):
    """For batches: neighbouring lanes are neighbouring images; four features by five outputs share their loads."""
    D, N = x.shape
    O = w.shape[1]
    whole = N // 16 * 16
    for o in range(O):
        y[o] = b[o]
    for o in range(0, O - O % 5, 5):
        y0, y1, y2, y3, y4 = y[o], y[o + 1], y[o + 2], y[o + 3], y[o + 4]
        for d in range(0, D - D % 4, 4):
            x0, x1, x2, x3 = x[d], x[d + 1], x[d + 2], x[d + 3]
            a0, b0, c0, d0 = w[d, o], w[d + 1, o], w[d + 2, o], w[d + 3, o]
            a1, b1, c1, d1 = w[d, o + 1], w[d + 1, o + 1], w[d + 2, o + 1], w[d + 3, o + 1]
            a2, b2, c2, d2 = w[d, o + 2], w[d + 1, o + 2], w[d + 2, o + 2], w[d + 3, o + 2]
            a3, b3, c3, d3 = w[d, o + 3], w[d + 1, o + 3], w[d + 2, o + 3], w[d + 3, o + 3]
            a4, b4, c4, d4 = w[d, o + 4], w[d + 1, o + 4], w[d + 2, o + 4], w[d + 3, o + 4]
            for n in range(whole):  # all loads before all stores, or the compiler must expect them to overlap
                s, t, u, v = x0[n], x1[n], x2[n], x3[n]
                r0 = y0[n] + a0 * s + b0 * t + c0 * u + d0 * v
                r1 = y1[n] + a1 * s + b1 * t + c1 * u + d1 * v
                r2 = y2[n] + a2 * s + b2 * t + c2 * u + d2 * v
                r3 = y3[n] + a3 * s + b3 * t + c3 * u + d3 * v
                r4 = y4[n] + a4 * s + b4 * t + c4 * u + d4 * v
                y0[n], y1[n], y2[n], y3[n], y4[n] = r0, r1, r2, r3, r4
        for i in range(5):
            row = y[o + i]
            for d in range(D):
                weight, pixel = w[d, o + i], x[d]
                for n in range(0 if d >= D - D % 4 else whole, N):
                    row[n] = row[n] + weight * pixel[n]
    for o in range(O - O % 5, O):
        row = y[o]
        for d in range(D):
            weight, pixel = w[d, o], x[d]
            for n in range(N):
                row[n] = row[n] + weight * pixel[n]


@jit
def forward_loop(x, w, b, y):
    """Fill y with w transposed times x plus b."""
    if x.shape[1] < FEW:
        _forward_few(x, w, b, y)
    else:
        _forward_many(x, w, b, y)


def forward_numpy(x, w, b, y):
    """The same in NumPy."""
    np.matmul(w.T, x, out=y)
    y += b[:, None]


forward = choose(forward_loop, forward_numpy)
