"""Winograd's way with tiles in both directions: the transforms. The products between them are left to BLAS.

winograd.py cuts rows into tiles and says why that suits few channels. With many, products outweigh transforms, and
square tiles save more of them: 4 x 4 outputs y of a kernel g of 3 x 3 weights read 6 x 6 inputs d, and with six points

    y = A^T [ (G g G^T) * (B^T d B) ] A                    36 multiplications in place of 144

    x (C, H, W, N) --evaluate, B^T--> v (6, 6, C, R, T, N) --+-- m[a, b] = u[a, b] v[a, b] --interpolate, A^T--> y
    w (F, C, 3, 3) --G--> u (6, 6, F, C) --------------------+

R rows of T tiles at a time, as many as stay in the caches. Backward go the transposes:

    dy --evaluate, A--> d (6, 6, F, R, T, N);   u^T d --interpolate, B--> dx;   d v^T --> du --G^T--> dw

Matrices are (6, n), row e for point e in the order 0, +p, -p, +q, -q, infinity, n = 4 (A) or 6 (B); see
winograd.matrices.
"""
import numpy as np

from npcbnet.kernels._jit import choose, jit

TILE = 4  # outputs along a side; the next tile's inputs begin as many pixels further
POINTS = 6


@jit
def _values(matrix, d0, d1, d2, d3, d4, d5, v, at, step):
    """v[at + e * step:] = sum over i of matrix[e, i] * d_i for six stretches d; v is flat.

    Rows +p and -p of the matrix have the same even columns, and odd ones of opposite sign: both share the two halves
    of the sum. Point 0 sees even columns alone, infinity odd ones.
    """
    n = len(d0)
    v0, v1, v2 = v[at:at + n], v[at + step:at + step + n], v[at + 2 * step:at + 2 * step + n]
    v3, v4 = v[at + 3 * step:at + 3 * step + n], v[at + 4 * step:at + 4 * step + n]
    v5 = v[at + 5 * step:at + 5 * step + n]
    a0, a2, a4, f1, f3, f5 = matrix[0, 0], matrix[0, 2], matrix[0, 4], matrix[5, 1], matrix[5, 3], matrix[5, 5]
    p0, p1, p2, p3, p4 = matrix[1, 0], matrix[1, 1], matrix[1, 2], matrix[1, 3], matrix[1, 4]
    q0, q1, q2, q3, q4 = matrix[3, 0], matrix[3, 1], matrix[3, 2], matrix[3, 3], matrix[3, 4]
    for i in range(n):  # all loads before all stores, or the compiler must expect them to overlap
        x0, x1, x2, x3, x4, x5 = d0[i], d1[i], d2[i], d3[i], d4[i], d5[i]
        even, odd = p0 * x0 + p2 * x2 + p4 * x4, p1 * x1 + p3 * x3
        more, rest = q0 * x0 + q2 * x2 + q4 * x4, q1 * x1 + q3 * x3
        r0, r5 = a0 * x0 + a2 * x2 + a4 * x4, f1 * x1 + f3 * x3 + f5 * x5
        v0[i], v1[i], v2[i], v3[i], v4[i], v5[i] = r0, even + odd, even - odd, more + rest, more - rest, r5


@jit
def evaluate_loop(x, matrix, pad, first, v):
    """Fill v (6, 6, C, R, T, N) with the values of the tiles of rows first..first + R - 1, at all pairs of points.

    v[a, b, c, r, t] = sum over i, j of matrix[a, i] * matrix[b, j] * x[c, 4 (first + r) + i - pad, 4 t + j - pad].
    """
    C, H, W, N = x.shape
    R, T, n = v.shape[3], v.shape[4], matrix.shape[1]
    full = np.zeros((POINTS, POINTS), x.dtype)
    full[:, :n] = matrix
    width = (T * TILE + n - TILE) * N  # floats of a row with its padding
    length, skip = min(W * N, width - pad * N), pad * N
    lines, nothing = np.zeros(POINTS * width, x.dtype), np.zeros(width, x.dtype)
    x_flat, v_flat = x.reshape(-1), v.reshape(-1)
    step = C * R * T * N
    for c in range(C):
        for r in range(R):
            top = (first + r) * TILE - pad
            rows = [nothing[:length]] * POINTS
            for i in range(n):
                if 0 <= top + i < H:
                    at = (c * H + top + i) * W * N
                    rows[i] = x_flat[at:at + length]
            _values(full, rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], lines, skip, width)
            for a in range(POINTS):
                for t in range(T):
                    at = a * width + t * TILE * N
                    d0, d1, d2 = lines[at:at + N], lines[at + N:at + 2 * N], lines[at + 2 * N:at + 3 * N]
                    d3 = lines[at + 3 * N:at + 4 * N]
                    d4, d5 = d0, d0
                    if n == POINTS:
                        d4, d5 = lines[at + 4 * N:at + 5 * N], lines[at + 5 * N:at + 6 * N]
                    _values(full, d0, d1, d2, d3, d4, d5, v_flat, a * POINTS * step + ((c * R + r) * T + t) * N, step)


@jit
def _back(matrix, m, m_at, m_step, y, y_at, y_step, n):
    """y[y_at + i * y_step:] = sum over e of matrix[e, i] * m[m_at + e * m_step:], six stretches of n; both flat."""
    m0, m1 = m[m_at:m_at + n], m[m_at + m_step:m_at + m_step + n]
    m2, m3 = m[m_at + 2 * m_step:m_at + 2 * m_step + n], m[m_at + 3 * m_step:m_at + 3 * m_step + n]
    m4, m5 = m[m_at + 4 * m_step:m_at + 4 * m_step + n], m[m_at + 5 * m_step:m_at + 5 * m_step + n]
    y0, y1 = y[y_at:y_at + n], y[y_at + y_step:y_at + y_step + n]
    y2, y3 = y[y_at + 2 * y_step:y_at + 2 * y_step + n], y[y_at + 3 * y_step:y_at + 3 * y_step + n]
    a0, p0, q0, a2, p2, q2 = matrix[0, 0], matrix[1, 0], matrix[3, 0], matrix[0, 2], matrix[1, 2], matrix[3, 2]
    f1, p1, q1, f3, p3, q3 = matrix[5, 1], matrix[1, 1], matrix[3, 1], matrix[5, 3], matrix[1, 3], matrix[3, 3]
    if matrix.shape[1] == TILE:
        for i in range(n):
            even, odd, more, rest = m1[i] + m2[i], m1[i] - m2[i], m3[i] + m4[i], m3[i] - m4[i]
            r0, r2 = a0 * m0[i] + p0 * even + q0 * more, p2 * even + q2 * more
            r1, r3 = p1 * odd + q1 * rest, p3 * odd + q3 * rest + f3 * m5[i]
            y0[i], y1[i], y2[i], y3[i] = r0, r1, r2, r3
    else:
        y4, y5 = y[y_at + 4 * y_step:y_at + 4 * y_step + n], y[y_at + 5 * y_step:y_at + 5 * y_step + n]
        a4, p4, q4, f5 = matrix[0, 4], matrix[1, 4], matrix[3, 4], matrix[5, 5]
        for i in range(n):
            z0, z5 = m0[i], m5[i]
            even, odd, more, rest = m1[i] + m2[i], m1[i] - m2[i], m3[i] + m4[i], m3[i] - m4[i]
            r0, r2, r4 = a0 * z0, a2 * z0 + p2 * even + q2 * more, a4 * z0 + p4 * even + q4 * more
            r1, r3, r5 = f1 * z5 + p1 * odd + q1 * rest, f3 * z5 + p3 * odd + q3 * rest, f5 * z5
            y0[i], y1[i], y2[i], y3[i], y4[i], y5[i] = r0, r1, r2, r3, r4, r5


@jit
def interpolate_loop(m, matrix, pad, first, b, y):
    """The way back, into y (F, P, Q, N), for products m (6, 6, F, R, T, N) of the tiles evaluate_loop took.

    Pixel (4 (first + r) + i - pad, 4 t + j - pad) gets b (F,) plus the sum over e, g of
    matrix[e, i] * matrix[g, j] * m[e, g, f, r, t]. Where tiles overlap, as inputs do, the sums add up: rows of tiles
    come in their order.
    """
    F, R, T, N = m.shape[2:]
    P, Q, n, some = y.shape[1], y.shape[2], matrix.shape[1], T * N
    step, row = F * R * some, (T * TILE + n - TILE) * N
    lines, line, tile = np.empty(n * POINTS * some, y.dtype), np.zeros(row, y.dtype), np.empty(POINTS * N, y.dtype)
    m_flat, y_flat = m.reshape(-1), y.reshape(-1)
    count = min(Q * N, row - pad * N)
    for f in range(F):
        for r in range(R):
            for g in range(POINTS):
                at = g * step + (f * R + r) * some
                _back(matrix, m_flat, at, POINTS * step, lines, g * some, POINTS * some, some)
            for i in range(n):
                h = (first + r) * TILE + i - pad
                if not 0 <= h < P:
                    continue
                line[:(n - TILE) * N] = 0
                for t in range(T):
                    at, to = i * POINTS * some + t * N, t * TILE * N
                    if n == TILE:
                        _back(matrix, lines, at, some, line, to, N, N)
                        continue
                    _back(matrix, lines, at, some, tile, 0, N, N)
                    for k in range(2 * N):
                        line[to + k] += tile[k]
                    for k in range(2 * N, POINTS * N):
                        line[to + k] = tile[k]
                at = (f * P + h) * Q * N
                source, target, bias = line[pad * N:pad * N + count], y_flat[at:at + count], b[f]
                if i >= n - TILE or first + r == 0:
                    for k in range(count):
                        target[k] = bias + source[k]
                else:
                    for k in range(count):
                        target[k] += source[k]


def evaluate_numpy(x, matrix, pad, first, v):
    """The same in NumPy: every tile as a view, one sum of products."""
    (R, T), n = v.shape[3:5], matrix.shape[1]
    rows, columns = ((count * TILE + n - TILE - pad - side for count, side in zip((first + R, T), x.shape[1:3])))
    padded = np.pad(x, ((0, 0), (pad, max(0, rows)), (pad, max(0, columns)), (0, 0)))
    tiles = np.lib.stride_tricks.sliding_window_view(padded, (n, n), axis=(1, 2))
    tiles = tiles[:, first * TILE:(first + R - 1) * TILE + 1:TILE, :(T - 1) * TILE + 1:TILE]
    v[:] = np.einsum("ai,bj,crtnij->abcrtn", matrix, matrix, tiles, optimize=True)


def interpolate_numpy(m, matrix, pad, first, b, y):
    """The same in NumPy: all tiles into one wide map, place by place of the tile."""
    (F, R, T, N), n = m.shape[2:], matrix.shape[1]
    tiles = np.einsum("ai,bj,abfrtn->ijfrtn", matrix, matrix, m, optimize=True)
    wide = np.zeros((F, R * TILE + n - TILE, T * TILE + n - TILE, N), y.dtype)
    for i, j in np.ndindex(n, n):
        wide[:, i:i + (R - 1) * TILE + 1:TILE, j:j + (T - 1) * TILE + 1:TILE] += tiles[i, j]
    start = first * TILE - pad  # the row of y that the first row of `wide` belongs to
    top, end, old = max(0, start), min(y.shape[1], start + wide.shape[1]), start + n - TILE if first else 0
    y[:, max(old, top):end] = b[:, None, None, None]
    y[:, top:end] += wide[:, top - start:end - start, pad:pad + y.shape[2]]


evaluate = choose(evaluate_loop, evaluate_numpy)
interpolate = choose(interpolate_loop, interpolate_numpy)
