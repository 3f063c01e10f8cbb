"""Convolution with stride 1 for fewer multiplications (Winograd, 1980; Lavin and Gray, 2016), images last in memory.

A product of two polynomials can be found from their values at a few points. Along a row of an image, a tile of m
outputs y of one kernel row g of K weights reads m + K - 1 = 10 inputs d, and with ten points

    y = A^T [ (G g) * (B^T d) ]                            10 multiplications in place of m K: for K = 5, 30

G g are the weights' values at the points, B^T d the inputs'. Sums over kernel rows and channels are taken there, point
by point, before A^T brings them back:

    x (C, H, W, N) --evaluate, B^T--> v (10, C, H, T, N) --+--interpolate, A^T--> y (F, P, Q, N)
    w (F, C, K, K) --G--> u (10, F, C, K) -----------------+

T tiles of m outputs make a row of Q. Only rows are cut into tiles, not columns as well: on maps as small as LeNet's the
transforms would cost what the products save, and above and below the map no padding is multiplied. All of it is linear
in x and in w, so that the backward pass is made of the transposes:

    dy --evaluate, A--> d (10, F, P, T, N);   d, u --interpolate, B--> dx;   d, v --weight_gradient--> du --G^T--> dw

(`weight_gradient` is in winograd_weights.py.) It rounds to about 3e-6 of the largest value in float32, ten times as
coarsely as conv.py, and not to the same bits; prediction, which promises bits, does without.
"""
import numpy as np

from npcbnet.kernels._jit import choose, jit

# The points are 0, +p and -p of these, and infinity. Of pairs p with few bits these round best: 2.3e-6, where the
# customary 1, 2, 1/2 and 4 give 12e-6 (the largest error of y, dx and dw, K = 5, 10 to 20 channels, random values).
PAIRS = (0.375, 0.875, 1.25, 2.0)
POINTS = 2 * len(PAIRS) + 2
STRETCH = 640  # floats of several rows that are worked on together: 10 stretches fit the first-level cache
FILTERS = 10  # outputs that are worked on together: their products at all points stay in the second-level cache


def matrices(kernel, pairs=PAIRS):
    """A (E, m), B (E, E) and G (E, K), float64, for an odd K; rows in the order 0, +p, -p, ..., infinity.

    E = 2 len(pairs) + 2 points give m = E + 1 - K outputs: with PAIRS E = 10, and K from 3 to 7. Row e of A and G
    evaluates a polynomial at point e, row e of B is the one that is 0 at all other points.
    """
    finite = np.array([0.0, *(sign * p for p in pairs for sign in (1, -1))])
    points = len(finite) + 1
    A, B, G = np.zeros((points, points + 1 - kernel)), np.zeros((points, points)), np.zeros((points, kernel))
    for e, point in enumerate(finite):
        others = np.delete(finite, e)
        A[e] = point ** np.arange(A.shape[1])
        G[e] = point ** np.arange(kernel) / np.prod(point - others)
        B[e, :-1] = np.poly(others)[::-1]
    A[-1, -1] = G[-1, -1] = 1
    B[-1] = np.poly(finite)[::-1]
    return A, B, G


@jit
def _aligned(rows, length, like):
    """An uninitialised array (rows, length) that starts on a cache line."""
    memory = np.empty(rows * length + 16, like.dtype)
    start = -memory.ctypes.data % 64 // memory.itemsize
    whole = memory[start:start + rows * length]
    return whole.reshape(rows, length)


@jit
def _values(matrix, lines, n, v, v_at, v_step):
    """The first n values of lines (10, ...), transformed: v[e] = sum over i of matrix[e, i] * lines[i]; v is flat.

    Rows +p and -p of the matrix have the same even columns, and odd ones of opposite sign: both share the two halves
    of the sum.
    """
    d0, d1, d2, d3, d4 = lines[0, :n], lines[1, :n], lines[2, :n], lines[3, :n], lines[4, :n]
    d5, d6, d7, d8, d9 = lines[5, :n], lines[6, :n], lines[7, :n], lines[8, :n], lines[9, :n]
    for e in range(0, 9, 2):
        one, two = (0, 9) if e == 0 else (e - 1, e)
        a0, a2, a4, a6, a8 = matrix[one, 0], matrix[one, 2], matrix[one, 4], matrix[one, 6], matrix[one, 8]
        a1, a3, a5, a7, a9 = matrix[two, 1], matrix[two, 3], matrix[two, 5], matrix[two, 7], matrix[two, 9]
        v0, v1 = v[v_at + one * v_step:v_at + one * v_step + n], v[v_at + two * v_step:v_at + two * v_step + n]
        if e == 0:
            for i in range(n):
                even = a0 * d0[i] + a2 * d2[i] + a4 * d4[i] + a6 * d6[i] + a8 * d8[i]
                odd = a1 * d1[i] + a3 * d3[i] + a5 * d5[i] + a7 * d7[i] + a9 * d9[i]
                v0[i], v1[i] = even, odd
        elif a6 == 0 and a8 == 0:
            for i in range(n):
                even, odd = a0 * d0[i] + a2 * d2[i] + a4 * d4[i], a1 * d1[i] + a3 * d3[i] + a5 * d5[i]
                p, q = even - odd, even + odd
                v0[i], v1[i] = p, q
        else:
            for i in range(n):
                even = a0 * d0[i] + a2 * d2[i] + a4 * d4[i] + a6 * d6[i] + a8 * d8[i]
                odd = a1 * d1[i] + a3 * d3[i] + a5 * d5[i] + a7 * d7[i] + a9 * d9[i]
                p, q = even - odd, even + odd
                v0[i], v1[i] = p, q


@jit
def evaluate_loop(x, matrix, tile, pad, v):
    """Fill v (10, C, H, T, N): v[e, c, h, t] = sum over i of matrix[e, i] * x[c, h, t * tile + i - pad]."""
    C, H, W, N = x.shape
    T, inputs = v.shape[3], matrix.shape[1]
    n, rows = T * N, max(1, STRETCH // (T * N))
    full = np.zeros((10, 10), x.dtype)
    full[:, :inputs] = matrix
    lines = _aligned(10, rows * n, x)  # input i of all tiles of some rows; where padding is, 0
    lines[:] = 0
    x_flat, v_flat = x.reshape(-1), v.reshape(-1)
    for first in range(0, C * H, rows):
        last = min(first + rows, C * H)
        for row in range(first, last):
            for w in range(W):
                t = min((w + pad) // tile, T - 1)
                i = w + pad - t * tile
                pixel = x_flat[(row * W + w) * N:(row * W + w + 1) * N]
                while t >= 0 and i < inputs:  # a pixel lies in one tile or two
                    line = lines[i, ((row - first) * T + t) * N:((row - first) * T + t + 1) * N]
                    for k in range(N):
                        line[k] = pixel[k]
                    t, i = t - 1, i + tile
        _values(full, lines, (last - first) * n, v_flat, first * n, C * H * n)


@jit
def _mix(y, y_at, y_step, outputs, x, x_at, taps, w, w_at, w_step, n, fresh):
    """Add `taps` weighted stretches of x to `outputs` stretches of y, or with `fresh` fill y with their sum.

    As in conv.py: five outputs by four taps at a time, outputs being a multiple of five; whole registers first, among
    which 20 weights find room only if the compiler need not keep them for a rest of less than 16 as well.
    """
    rest, n, s = n, n // 16 * 16, w_step
    for o in range(0, outputs, 5):
        at = y_at + o * y_step
        y0, y1, y2 = y[at:at + n], y[at + y_step:at + y_step + n], y[at + 2 * y_step:at + 2 * y_step + n]
        y3, y4 = y[at + 3 * y_step:at + 3 * y_step + n], y[at + 4 * y_step:at + 4 * y_step + n]
        if fresh and taps < 4:
            for i in range(5):
                y[at + i * y_step:at + i * y_step + n] = 0
        t = 0
        while t < taps:
            x0, a = x[x_at[t]:x_at[t] + n], w_at[t] + o * s
            a0, a1, a2, a3, a4 = w[a], w[a + s], w[a + 2 * s], w[a + 3 * s], w[a + 4 * s]
            if t + 2 > taps:
                for i in range(n):
                    u = x0[i]
                    r0, r1, r2, r3, r4 = y0[i] + a0 * u, y1[i] + a1 * u, y2[i] + a2 * u, y3[i] + a3 * u, y4[i] + a4 * u
                    y0[i], y1[i], y2[i], y3[i], y4[i] = r0, r1, r2, r3, r4
                break
            x1, b = x[x_at[t + 1]:x_at[t + 1] + n], w_at[t + 1] + o * s
            b0, b1, b2, b3, b4 = w[b], w[b + s], w[b + 2 * s], w[b + 3 * s], w[b + 4 * s]
            if t + 4 > taps:
                for i in range(n):
                    u, v = x0[i], x1[i]
                    r0, r1, r2 = y0[i] + a0 * u + b0 * v, y1[i] + a1 * u + b1 * v, y2[i] + a2 * u + b2 * v
                    r3, r4 = y3[i] + a3 * u + b3 * v, y4[i] + a4 * u + b4 * v
                    y0[i], y1[i], y2[i], y3[i], y4[i] = r0, r1, r2, r3, r4
                t += 2
                continue
            x2, x3 = x[x_at[t + 2]:x_at[t + 2] + n], x[x_at[t + 3]:x_at[t + 3] + n]
            c, d = w_at[t + 2] + o * s, w_at[t + 3] + o * s
            c0, c1, c2, c3, c4 = w[c], w[c + s], w[c + 2 * s], w[c + 3 * s], w[c + 4 * s]
            d0, d1, d2, d3, d4 = w[d], w[d + s], w[d + 2 * s], w[d + 3 * s], w[d + 4 * s]
            if fresh and t == 0:
                for i in range(n):
                    u, v, p, q = x0[i], x1[i], x2[i], x3[i]
                    r0, r1 = a0 * u + b0 * v + c0 * p + d0 * q, a1 * u + b1 * v + c1 * p + d1 * q
                    r2, r3 = a2 * u + b2 * v + c2 * p + d2 * q, a3 * u + b3 * v + c3 * p + d3 * q
                    r4 = a4 * u + b4 * v + c4 * p + d4 * q
                    y0[i], y1[i], y2[i], y3[i], y4[i] = r0, r1, r2, r3, r4
            else:
                for i in range(n):  # all loads before all stores, or the compiler must expect them to overlap
                    u, v, p, q = x0[i], x1[i], x2[i], x3[i]
                    r0 = y0[i] + a0 * u + b0 * v + c0 * p + d0 * q
                    r1 = y1[i] + a1 * u + b1 * v + c1 * p + d1 * q
                    r2 = y2[i] + a2 * u + b2 * v + c2 * p + d2 * q
                    r3 = y3[i] + a3 * u + b3 * v + c3 * p + d3 * q
                    r4 = y4[i] + a4 * u + b4 * v + c4 * p + d4 * q
                    y0[i], y1[i], y2[i], y3[i], y4[i] = r0, r1, r2, r3, r4
            t += 4
    for o in range(outputs):
        for i in range(n, rest):
            total = y.dtype.type(0) if fresh else y[y_at + o * y_step + i]
            for t in range(taps):
                total = total + w[w_at[t] + o * s] * x[x_at[t] + i]
            y[y_at + o * y_step + i] = total


@jit
def _columns(matrix, i, m, m_at, step, even, odd):
    """Fill `even` and `odd` with columns i and i + 1 of the matrix, transposed, times ten stretches of m (flat).

    What +p and -p share goes to even columns as their sum, to odd ones as their difference.
    """
    n = len(even)
    v0, v1 = m[m_at:m_at + n], m[m_at + step:m_at + step + n]
    v2, v3 = m[m_at + 2 * step:m_at + 2 * step + n], m[m_at + 3 * step:m_at + 3 * step + n]
    v4, v5 = m[m_at + 4 * step:m_at + 4 * step + n], m[m_at + 5 * step:m_at + 5 * step + n]
    v6, v7 = m[m_at + 6 * step:m_at + 6 * step + n], m[m_at + 7 * step:m_at + 7 * step + n]
    v8, v9 = m[m_at + 8 * step:m_at + 8 * step + n], m[m_at + 9 * step:m_at + 9 * step + n]
    a0, a1, a2, a3, a4 = matrix[0, i], matrix[1, i], matrix[3, i], matrix[5, i], matrix[7, i]
    b0, b1, b2, b3, b4 = matrix[9, i + 1], matrix[1, i + 1], matrix[3, i + 1], matrix[5, i + 1], matrix[7, i + 1]
    for k in range(n):
        p1, p2, p3, p4, q1, q2, q3, q4 = v1[k], v3[k], v5[k], v7[k], v2[k], v4[k], v6[k], v8[k]
        r = a0 * v0[k] + a1 * (p1 + q1) + a2 * (p2 + q2) + a3 * (p3 + q3) + a4 * (p4 + q4)
        s = b0 * v9[k] + b1 * (p1 - q1) + b2 * (p2 - q2) + b3 * (p3 - q3) + b4 * (p4 - q4)
        even[k], odd[k] = r, s


@jit
def _gather(lines, tile, left, b, y, y_at, Q, T, N, line_at):
    """One row of y: pixel q is b plus all that lines[i], column i of every tile t, hold for t * tile + i - left = q."""
    inputs = len(lines)
    for q in range(Q):
        t = min((q + left) // tile, T - 1)
        i = q + left - t * tile
        to, source = y[y_at + q * N:y_at + q * N + N], lines[i, line_at + t * N:line_at + t * N + N]
        for n in range(N):
            to[n] = b + source[n]
        while t > 0 and i + tile < inputs:
            t, i = t - 1, i + tile
            more = lines[i, line_at + t * N:line_at + t * N + N]
            for n in range(N):
                to[n] += more[n]


@jit
def interpolate_loop(v, u, matrix, tile, left, top, b, y):
    """Fill y (F, P, Q, N) with b (F,) plus the products of v (10, C, H, T, N) and u (10, F', C, K), transformed back.

    F' is the next multiple of five. What u holds beyond F filters does not matter.
    m[e, f, p, t] = sum over c, k of u[e, f, c, k] * v[e, c, p + k - top, t], of the rows that exist; it adds
    sum over e of matrix[e, i] * m[e, f, p, t] to y[f, p, t * tile + i - left].
    """
    E, C, H, T, N = v.shape
    F, P, Q = y.shape[:3]
    K, n, inputs = u.shape[3], T * N, matrix.shape[1]
    rows = max(1, STRETCH // n)
    line = rows * n
    products, lines = _aligned(E * FILTERS, line, v), _aligned(inputs, line, v)
    v_flat, u_flat, y_flat, m = v.reshape(-1), u.reshape(-1), y.reshape(-1), products.reshape(-1)
    x_at, w_at = np.empty(C * K, np.int64), np.empty(C * K, np.int64)
    for p in range(0, P, rows):
        end = min(P, p + rows)
        # Kernel rows that reach the same output rows go together; first, if there are any, those that reach all
        start = max(0, top - p)
        all_reached = start < K and end - 1 + start - top < H
        for some in range(0, F, FILTERS):
            outputs = min(FILTERS, u.shape[1] - some)
            for e in range(E):
                if not all_reached:
                    m[e * FILTERS * line:(e * FILTERS + outputs) * line] = 0
                j = 0
                while j < K:
                    fresh, k = all_reached and j == 0, (start + j) % K
                    first, last = max(p, top - k), min(end, H + top - k)
                    taps = 0
                    while j < K and first == max(p, top - k) and last == min(end, H + top - k):
                        for c in range(C):
                            x_at[taps] = ((e * C + c) * H + first + k - top) * n
                            w_at[taps] = ((e * u.shape[1] + some) * C + c) * K + k
                            taps += 1
                        j += 1
                        k = (start + j) % K
                    if first < last:
                        _mix(m, e * FILTERS * line + (first - p) * n, line, outputs, v_flat, x_at, taps, u_flat, w_at,
                             C * K, (last - first) * n, fresh)
            for f in range(min(outputs, F - some)):
                for i in range(0, inputs, 2):
                    _columns(matrix, i, m, f * line, FILTERS * line, lines[i, :(end - p) * n],
                             lines[i + 1, :(end - p) * n])
                for r in range(p, end):
                    _gather(lines, tile, left, b[some + f], y_flat, ((some + f) * P + r) * Q * N, Q, T, N, (r - p) * n)


def evaluate_numpy(x, matrix, tile, pad, v):
    """The same in NumPy: every tile as a view, one matrix product."""
    T, inputs = v.shape[3], matrix.shape[1]
    missing = max(0, (T - 1) * tile + inputs - pad - x.shape[2])
    padded = np.pad(x, ((0, 0), (0, 0), (pad, missing), (0, 0)))
    tiles = np.lib.stride_tricks.sliding_window_view(padded, inputs, axis=2)[:, :, :T * tile:tile]
    v[:] = np.moveaxis(tiles @ matrix.T, -1, 0)


def _rows(v, P, K, top):
    """The K rows that each of P output rows sees, zeros where there is none, as a view (10, C, P, T, N, K)."""
    padded = np.pad(v, ((0, 0), (0, 0), (top, max(0, P + K - 1 - top - v.shape[2])), (0, 0), (0, 0)))
    return np.lib.stride_tricks.sliding_window_view(padded, K, axis=2)[:, :, :P]


def interpolate_numpy(v, u, matrix, tile, left, top, b, y):
    """The same in NumPy."""
    F, P, Q, N = y.shape
    T, inputs = v.shape[3], matrix.shape[1]
    m = np.stack([np.tensordot(weight, rows, axes=((1, 2), (0, 4)))
                  for weight, rows in zip(u[:, :F], _rows(v, P, u.shape[3], top))])
    wide = np.zeros((F, P, (T - 1) * tile + inputs, N), y.dtype)
    for i in range(inputs):
        wide[:, :, i:i + (T - 1) * tile + 1:tile] += np.tensordot(matrix[:, i], m, axes=1)
    y[:] = wide[:, :, left:left + Q] + b[:, None, None, None]


evaluate = choose(evaluate_loop, evaluate_numpy)
interpolate = choose(interpolate_loop, interpolate_numpy)
