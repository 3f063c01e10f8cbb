"""The weights' gradient of winograd.py: at each of its ten points, products of two arrays summed over rows and images.

Arrays: v (10, C, H, T, N) and d (10, F, P, T, N), the values at the points of x and dy; du (10, F, C, K) float64.
"""
import numpy as np

from npcbnet.kernels._jit import choose, jit


@jit(fastmath=("contract", "reassoc", "nsz"))
def _products(g, g_at, g_step, outputs, x, x_at, x_step, taps, dw, w_at, o_step, t_step, n):
    """Fill dw[o, t] with the sum of products of stretch o of g with stretch t of x: 5 by 5 sums at a time.

    The last five outputs, and the last five taps, may be some of those before them once more.
    """
    zero, s = g.dtype.type(0), o_step
    block, group = 5 if outputs >= 5 else 1, 5 if outputs >= 5 and taps >= 5 else 1
    for first in range(0, outputs, block):
        o = min(first, outputs - block)
        a = g_at + o * g_step
        g0, g1, g2 = g[a:a + n], g[a + g_step:a + g_step + n], g[a + 2 * g_step:a + 2 * g_step + n]
        g3, g4 = g[a + 3 * g_step:a + 3 * g_step + n], g[a + 4 * g_step:a + 4 * g_step + n]
        for here in range(0, taps, group):
            t = min(here, taps - group)
            a = x_at + t * x_step
            x0, x1, x2 = x[a:a + n], x[a + x_step:a + x_step + n], x[a + 2 * x_step:a + 2 * x_step + n]
            x3, x4 = x[a + 3 * x_step:a + 3 * x_step + n], x[a + 4 * x_step:a + 4 * x_step + n]
            a0 = a1 = a2 = a3 = a4 = b0 = b1 = b2 = b3 = b4 = zero
            c0 = c1 = c2 = c3 = c4 = d0 = d1 = d2 = d3 = d4 = e0 = e1 = e2 = e3 = e4 = zero
            if group == 5:
                for i in range(n):
                    h0, h1, h2, h3, h4 = g0[i], g1[i], g2[i], g3[i], g4[i]
                    u, v, p, q, r = x0[i], x1[i], x2[i], x3[i], x4[i]
                    a0, a1, a2, a3, a4 = a0 + h0 * u, a1 + h1 * u, a2 + h2 * u, a3 + h3 * u, a4 + h4 * u
                    b0, b1, b2, b3, b4 = b0 + h0 * v, b1 + h1 * v, b2 + h2 * v, b3 + h3 * v, b4 + h4 * v
                    c0, c1, c2, c3, c4 = c0 + h0 * p, c1 + h1 * p, c2 + h2 * p, c3 + h3 * p, c4 + h4 * p
                    d0, d1, d2, d3, d4 = d0 + h0 * q, d1 + h1 * q, d2 + h2 * q, d3 + h3 * q, d4 + h4 * q
                    e0, e1, e2, e3, e4 = e0 + h0 * r, e1 + h1 * r, e2 + h2 * r, e3 + h3 * r, e4 + h4 * r
            elif block == 5:
                for i in range(n):
                    u = x0[i]
                    a0, a1, a2, a3, a4 = a0 + g0[i] * u, a1 + g1[i] * u, a2 + g2[i] * u, a3 + g3[i] * u, a4 + g4[i] * u
            else:
                for i in range(n):
                    a0 += g0[i] * x0[i]
            sums = ((a0, a1, a2, a3, a4), (b0, b1, b2, b3, b4), (c0, c1, c2, c3, c4), (d0, d1, d2, d3, d4),
                    (e0, e1, e2, e3, e4))
            for j in range(group):
                for k in range(block):
                    dw[w_at + (o + k) * s + (t + j) * t_step] = sums[j][k]


@jit
def weight_gradient_loop(v, d, top, du):
    """Fill du: du[e, f, c, k] = sum over p, t, n of d[e, f, p, t, n] * v[e, c, p + k - top, t, n].

    Rows follow each other in memory, so that for one k all of them are a single stretch. Sums of 16 lanes or more in
    the arrays' type.
    """
    E, C, H, T, N = v.shape
    F, P = d.shape[1:3]
    K, n = du.shape[3], T * N
    du[:] = 0
    v_flat, d_flat, du_flat = v.reshape(-1), d.reshape(-1), du.reshape(-1)
    for e in range(E):
        for k in range(K):
            first, last = max(0, top - k), min(P, H + top - k)
            if first < last:
                _products(d_flat, (e * F * P + first) * n, P * n, F, v_flat, (e * C * H + first + k - top) * n, H * n,
                          C, du_flat, e * F * C * K + k, C * K, K, (last - first) * n)


def _rows(v, P, K, top):
    """The K rows that each of P output rows sees, zeros where there is none, as a view (10, C, P, T, N, K)."""
    padded = np.pad(v, ((0, 0), (0, 0), (top, max(0, P + K - 1 - top - v.shape[2])), (0, 0), (0, 0)))
    return np.lib.stride_tricks.sliding_window_view(padded, K, axis=2)[:, :, :P]


def weight_gradient_numpy(v, d, top, du):
    """The same in NumPy."""
    for e, rows in enumerate(_rows(v, d.shape[2], du.shape[3], top)):
        du[e] = np.tensordot(d[e], rows, axes=((1, 2, 3), (1, 2, 3)))


weight_gradient = choose(weight_gradient_loop, weight_gradient_numpy)
