"""The gradient of a convolution (conv.py) by its weights: products of inputs and outputs, summed over images and map.

Arrays: x (C, H, W, N), dy (F, P, Q, N), dw (F, C, K, K) float64, all C-contiguous.
"""
import numpy as np

from npcbnet.kernels._jit import choose, jit


@jit(fastmath=("contract", "reassoc", "nsz"))
def _products(dy, dy_at, dy_step, outputs, x, x_at, taps, dw, w_at, w_step, n):
    """Add to each weight's gradient the sum of products of its input stretch with its output's gradient stretch.

    The mirror image of conv.py's _mix: same arguments, but w receives and y gives. Sums of one stretch in the arrays'
    type, over stretches in float64 (dw).
    """
    zero, s = dy.dtype.type(0), w_step
    o = 0
    while o < outputs:
        block = 5 if o + 5 <= outputs else 1
        g0 = dy[dy_at + o * dy_step:dy_at + o * dy_step + n]
        g1 = dy[dy_at + (o + 1) * dy_step:dy_at + (o + 1) * dy_step + n]
        g2 = dy[dy_at + (o + 2) * dy_step:dy_at + (o + 2) * dy_step + n]
        g3 = dy[dy_at + (o + 3) * dy_step:dy_at + (o + 3) * dy_step + n]
        g4 = dy[dy_at + (o + 4) * dy_step:dy_at + (o + 4) * dy_step + n]
        t = 0
        while t < taps:
            x0 = x[x_at[t]:x_at[t] + n]
            a = w_at[t] + o * s
            a0 = a1 = a2 = a3 = a4 = zero
            if t + 5 <= taps:
                x1, x2 = x[x_at[t + 1]:x_at[t + 1] + n], x[x_at[t + 2]:x_at[t + 2] + n]
                x3, x4 = x[x_at[t + 3]:x_at[t + 3] + n], x[x_at[t + 4]:x_at[t + 4] + n]
                b, c, d, e = w_at[t + 1] + o * s, w_at[t + 2] + o * s, w_at[t + 3] + o * s, w_at[t + 4] + o * s
                b0 = b1 = b2 = b3 = b4 = c0 = c1 = c2 = c3 = c4 = zero
                d0 = d1 = d2 = d3 = d4 = e0 = e1 = e2 = e3 = e4 = zero
                if block == 5:
                    for i in range(n):
                        h0, h1, h2, h3, h4 = g0[i], g1[i], g2[i], g3[i], g4[i]
                        u, v, p, q, r = x0[i], x1[i], x2[i], x3[i], x4[i]
                        a0, a1, a2, a3, a4 = a0 + h0 * u, a1 + h1 * u, a2 + h2 * u, a3 + h3 * u, a4 + h4 * u
                        b0, b1, b2, b3, b4 = b0 + h0 * v, b1 + h1 * v, b2 + h2 * v, b3 + h3 * v, b4 + h4 * v
                        c0, c1, c2, c3, c4 = c0 + h0 * p, c1 + h1 * p, c2 + h2 * p, c3 + h3 * p, c4 + h4 * p
                        d0, d1, d2, d3, d4 = d0 + h0 * q, d1 + h1 * q, d2 + h2 * q, d3 + h3 * q, d4 + h4 * q
                        e0, e1, e2, e3, e4 = e0 + h0 * r, e1 + h1 * r, e2 + h2 * r, e3 + h3 * r, e4 + h4 * r
                    for at, r1, r2, r3, r4 in ((a, a1, a2, a3, a4), (b, b1, b2, b3, b4), (c, c1, c2, c3, c4),
                                               (d, d1, d2, d3, d4), (e, e1, e2, e3, e4)):
                        dw[at + s] += r1
                        dw[at + 2 * s] += r2
                        dw[at + 3 * s] += r3
                        dw[at + 4 * s] += r4
                else:
                    for i in range(n):
                        h0 = g0[i]
                        a0, b0, c0 = a0 + h0 * x0[i], b0 + h0 * x1[i], c0 + h0 * x2[i]
                        d0, e0 = d0 + h0 * x3[i], e0 + h0 * x4[i]
                dw[a] += a0
                dw[b] += b0
                dw[c] += c0
                dw[d] += d0
                dw[e] += e0
                t += 5
            else:
                if block == 5:
                    for i in range(n):
                        u = x0[i]
                        a0, a1, a2 = a0 + g0[i] * u, a1 + g1[i] * u, a2 + g2[i] * u
                        a3, a4 = a3 + g3[i] * u, a4 + g4[i] * u
                    dw[a + s] += a1
                    dw[a + 2 * s] += a2
                    dw[a + 3 * s] += a3
                    dw[a + 4 * s] += a4
                else:
                    for i in range(n):
                        a0 += g0[i] * x0[i]
                dw[a] += a0
                t += 1
        o += block


@jit
def _reach(tap, size, outputs, stride, pad):
    """The outputs first..last-1 along one axis whose input pixel at this kernel row or column lies inside the image."""
    first = max(0, (pad - tap + stride - 1) // stride)
    last = min(outputs, (size - 1 + pad - tap) // stride + 1)
    return first, max(first, last)


@jit
def _by_phase(x, stride):
    """x (C, H, W, N) with each row's columns sorted: 0, stride, 2 stride, ..., then 1, stride + 1, ..., and so on.

    Every such phase takes up ceil(W / stride) columns. What one kernel column sees in a row then lies side by side.
    """
    C, H, W, N = x.shape
    if stride == 1:
        return x
    width = (W + stride - 1) // stride
    phases = np.empty((C, H, min(stride, W) * width, N), x.dtype)  # those behind the image's width are empty
    for c in range(C):
        for h in range(H):
            for w in range(W):
                pixel, to = x[c, h, w], phases[c, h, w % stride * width + w // stride]
                for n in range(N):
                    to[n] = pixel[n]
    return phases


@jit
def _list_taps(shape, K, top, left, l, x_at, w_at):
    """Fill x_at and w_at for _products with the taps of kernel column l; returns how many.

    The output row's window begins at image row `top`; left: the image column that the first output sees through l.
    Taps above or below the image are left out.
    """
    C, H, W, N = shape
    taps = 0
    for c in range(C):
        for k in range(max(0, -top), min(K, H - top)):
            x_at[taps] = ((c * H + top + k) * W + left) * N
            w_at[taps] = (c * K + k) * K + l
            taps += 1
    return taps


@jit
def weight_gradient_loop(x, dy, stride, pad, dw):
    """Fill dw (F, C, K, K), float64, with the loss's gradient by the weights; dy (F, P, Q, N): that by the outputs."""
    C, _, W, N = x.shape
    F, P, Q = dy.shape[:3]
    K = dw.shape[2]
    x = _by_phase(x, stride)
    width = (W + stride - 1) // stride
    dw[:] = 0
    x_flat, dy_flat, dw_flat = x.reshape(-1), dy.reshape(-1), dw.reshape(-1)
    x_at, w_at = np.empty(C * K, np.int64), np.empty(C * K, np.int64)
    for p in range(P):
        for l in range(K):
            first, last = _reach(l, W, Q, stride, pad)
            if first < last:
                left = first * stride + l - pad
                taps = _list_taps(x.shape, K, p * stride - pad, left % stride * width + left // stride, l, x_at, w_at)
                _products(dy_flat, (p * Q + first) * N, P * Q * N, F, x_flat, x_at, taps, dw_flat, w_at, C * K * K,
                          (last - first) * N)


def weight_gradient_numpy(x, dy, stride, pad, dw):
    """The same in NumPy: the windows of the forward pass against the gradient of the outputs."""
    K = dw.shape[2]
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (K, K), axis=(1, 2))[:, ::stride, ::stride]
    dw[:] = np.tensordot(dy, windows, axes=((1, 2, 3), (1, 2, 3)))


weight_gradient = choose(weight_gradient_loop, weight_gradient_numpy)
