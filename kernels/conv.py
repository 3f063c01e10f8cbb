"""Two-dimensional convolution (cross-correlation, as every deep-learning text means it), images last in memory.

Arrays: x (C, H, W, N), w (F, C, K, K), b (F,), y (F, P, Q, N), all C-contiguous, float32 or float64.
P = (H + 2 pad - K) // stride + 1, Q likewise. With the images innermost, the inner loop of every kernel runs over
neighbouring floats: 16 images, or 16 pixels of several images, per vector instruction.

Whatever the path, one output is one chain of fused multiply-adds: it starts at the bias and takes the taps in the order
(kernel column, input channel, kernel row). So the bits of a result depend neither on the batch nor on the path taken.
"""
import numpy as np

from npcbnet.kernels._jit import choose, jit


@jit
def _mix(y, y_at, y_step, outputs, x, x_at, taps, w, w_at, w_step, n):
    """Add `taps` weighted stretches of x to `outputs` stretches of y; a stretch is n neighbouring floats.

    y, x, w are flat. y_at: start of the first output, y_step: distance to the next. x_at[t], w_at[t]: start of tap t's
    input stretch, and the place of its weight for the first output; w_step: distance to the next output's weight.
    Five outputs by four taps are 20 weights, 4 inputs and 5 sums: what fits 32 vector registers.
    """
    whole, s = n // 16 * 16, w_step
    o = 0
    while o < outputs:
        block = 5 if o + 5 <= outputs else 1
        y0 = y[y_at + o * y_step:y_at + o * y_step + n]
        y1 = y[y_at + (o + 1) * y_step:y_at + (o + 1) * y_step + n]
        y2 = y[y_at + (o + 2) * y_step:y_at + (o + 2) * y_step + n]
        y3 = y[y_at + (o + 3) * y_step:y_at + (o + 3) * y_step + n]
        y4 = y[y_at + (o + 4) * y_step:y_at + (o + 4) * y_step + n]
        t = 0
        while t < taps:
            x0 = x[x_at[t]:x_at[t] + n]
            a = w_at[t] + o * s
            if t + 4 <= taps:
                x1 = x[x_at[t + 1]:x_at[t + 1] + n]
                x2 = x[x_at[t + 2]:x_at[t + 2] + n]
                x3 = x[x_at[t + 3]:x_at[t + 3] + n]
                b, c, d = w_at[t + 1] + o * s, w_at[t + 2] + o * s, w_at[t + 3] + o * s
                a0, b0, c0, d0 = w[a], w[b], w[c], w[d]
                if block == 5:
                    a1, b1, c1, d1 = w[a + s], w[b + s], w[c + s], w[d + s]
                    a2, b2, c2, d2 = w[a + 2 * s], w[b + 2 * s], w[c + 2 * s], w[d + 2 * s]
                    a3, b3, c3, d3 = w[a + 3 * s], w[b + 3 * s], w[c + 3 * s], w[d + 3 * s]
                    a4, b4, c4, d4 = w[a + 4 * s], w[b + 4 * s], w[c + 4 * s], w[d + 4 * s]
                    for i in range(whole):  # all loads before all stores, or the compiler must expect them to overlap
                        u, v, p, q = x0[i], x1[i], x2[i], x3[i]
                        r0 = y0[i] + a0 * u + b0 * v + c0 * p + d0 * q
                        r1 = y1[i] + a1 * u + b1 * v + c1 * p + d1 * q
                        r2 = y2[i] + a2 * u + b2 * v + c2 * p + d2 * q
                        r3 = y3[i] + a3 * u + b3 * v + c3 * p + d3 * q
                        r4 = y4[i] + a4 * u + b4 * v + c4 * p + d4 * q
                        y0[i], y1[i], y2[i], y3[i], y4[i] = r0, r1, r2, r3, r4
                else:
                    for i in range(whole):
                        y0[i] = y0[i] + a0 * x0[i] + b0 * x1[i] + c0 * x2[i] + d0 * x3[i]
                t += 4
            else:
                if block == 5:
                    a0, a1, a2, a3, a4 = w[a], w[a + s], w[a + 2 * s], w[a + 3 * s], w[a + 4 * s]
                    for i in range(whole):
                        u = x0[i]
                        r0, r1, r2 = y0[i] + a0 * u, y1[i] + a1 * u, y2[i] + a2 * u
                        r3, r4 = y3[i] + a3 * u, y4[i] + a4 * u
                        y0[i], y1[i], y2[i], y3[i], y4[i] = r0, r1, r2, r3, r4
                else:
                    a0 = w[a]
                    for i in range(whole):
                        y0[i] = y0[i] + a0 * x0[i]
                t += 1
        o += block
    for o in range(outputs):
        for i in range(y_at + o * y_step + whole, y_at + o * y_step + n):
            total = y[i]
            for t in range(taps):
                total = total + w[w_at[t] + o * s] * x[x_at[t] + i - y_at - o * y_step]
            y[i] = total


@jit
def _reach(tap, size, outputs, stride, pad):
    """The outputs first..last-1 along one axis whose input pixel at this kernel row or column lies inside the image."""
    first = max(0, (pad - tap + stride - 1) // stride)
    last = min(outputs, (size - 1 + pad - tap) // stride + 1)
    return first, max(first, last)


@jit
def _list_taps(shape, K, top, left, l, x_at, w_at):
    """Fill x_at and w_at for _mix with the taps of kernel column l; returns how many.

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
def _forward_rows(x, w, b, stride, pad, y):
    """For batches: row by row, a stretch is all images of neighbouring pixels. Taps that read padding are left out."""
    C, H, W, N = x.shape
    F, P, Q = y.shape[:3]
    K = w.shape[2]
    x_flat, y_flat, w_flat = x.reshape(-1), y.reshape(-1), w.reshape(-1)
    x_at, w_at, shifted = np.empty(C * K, np.int64), np.empty(C * K, np.int64), np.empty(C * K, np.int64)
    for p in range(P):
        for f in range(F):
            y[f, p] = b[f]
        for l in range(K):
            first, last = _reach(l, W, Q, stride, pad)
            if first == last:
                continue
            taps = _list_taps(x.shape, K, p * stride - pad, first * stride + l - pad, l, x_at, w_at)
            # With stride 1 the pixels of a row follow each other in memory: one long stretch. Else a stretch a pixel.
            pixels = last - first if stride == 1 else 1
            for q in range(first, last, pixels):
                for t in range(taps):
                    shifted[t] = x_at[t] + (q - first) * stride * N
                _mix(y_flat, (p * Q + q) * N, P * Q * N, F, x_flat, shifted, taps, w_flat, w_at, C * K * K, pixels * N)


@jit
def _forward_plane(x, w, b, pad, y):
    """For one image and stride 1: a stretch is the whole map. N = 1.

    The image is copied into a frame of zeros with rows W + pad long: the zeros right of a row are those left of the
    next. Every tap then is one shift of the flat frame, and the few wrong sums that a map's row end holds are dropped.
    """
    C, H, W = x.shape[:3]
    F, P, Q = y.shape[:3]
    K = w.shape[2]
    pitch = max(W + pad, Q)
    size = (H + 2 * pad) * pitch + pad + K
    frame = np.zeros(C * size, x.dtype)
    for c in range(C):
        for h in range(H):
            start = c * size + (h + pad) * pitch + pad
            frame[start:start + W] = x[c, h, :, 0]
    maps = np.empty(F * P * pitch, x.dtype)
    for f in range(F):
        maps[f * P * pitch:(f + 1) * P * pitch] = b[f]
    x_at, w_at = np.empty(C * K * K, np.int64), np.empty(C * K * K, np.int64)
    taps = 0
    for l in range(K):
        for c in range(C):
            for k in range(K):
                x_at[taps] = c * size + k * pitch + l
                w_at[taps] = (c * K + k) * K + l
                taps += 1
    _mix(maps, 0, P * pitch, F, frame, x_at, taps, w.reshape(-1), w_at, C * K * K, P * pitch)
    for f in range(F):
        for p in range(P):
            start = (f * P + p) * pitch
            y[f, p, :, 0] = maps[start:start + Q]


@jit
def forward_loop(x, w, b, stride, pad, y):
    """Fill y with the convolution of x by w plus b."""
    if x.shape[3] == 1 and stride == 1:
        _forward_plane(x, w, b, pad, y)
    else:
        _forward_rows(x, w, b, stride, pad, y)


@jit(fastmath=("contract", "reassoc", "nsz"))
def _products(dy, dy_at, dy_step, outputs, x, x_at, taps, dw, w_at, w_step, n):
    """Add to each weight's gradient the sum of products of its input stretch with its output's gradient stretch.

    The mirror image of _mix: same arguments, but w receives and y gives. Sums of one stretch in the arrays' type, over
    stretches in float64 (dw).
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
def weight_gradient_loop(x, dy, stride, pad, dw):
    """Fill dw (F, C, K, K), float64, with the loss's gradient by the weights; dy (F, P, Q, N): that by the outputs."""
    C, H, W, N = x.shape
    F, P, Q = dy.shape[:3]
    K = dw.shape[2]
    dw[:] = 0
    x_flat, dy_flat, dw_flat = x.reshape(-1), dy.reshape(-1), dw.reshape(-1)
    x_at, w_at, shifted = np.empty(C * K, np.int64), np.empty(C * K, np.int64), np.empty(C * K, np.int64)
    for p in range(P):
        for l in range(K):
            first, last = _reach(l, W, Q, stride, pad)
            if first == last:
                continue
            taps = _list_taps(x.shape, K, p * stride - pad, first * stride + l - pad, l, x_at, w_at)
            pixels = last - first if stride == 1 else 1
            for q in range(first, last, pixels):
                for t in range(taps):
                    shifted[t] = x_at[t] + (q - first) * stride * N
                _products(dy_flat, (p * Q + q) * N, P * Q * N, F, x_flat, shifted, taps,
                          dw_flat, w_at, C * K * K, pixels * N)


def forward_numpy(x, w, b, stride, pad, y):
    """The same in NumPy: every window of the padded input as a view, one product summed over channels and taps."""
    K = w.shape[2]
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (K, K), axis=(1, 2))[:, ::stride, ::stride]
    y[:] = np.tensordot(w, windows, axes=((1, 2, 3), (0, 4, 5))) + b[:, None, None, None]


def weight_gradient_numpy(x, dy, stride, pad, dw):
    """The same in NumPy: the windows of the forward pass against the gradient of the outputs."""
    K = dw.shape[2]
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (K, K), axis=(1, 2))[:, ::stride, ::stride]
    dw[:] = np.tensordot(dy, windows, axes=((1, 2, 3), (1, 2, 3)))


forward = choose(forward_loop, forward_numpy)
weight_gradient = choose(weight_gradient_loop, weight_gradient_numpy)
