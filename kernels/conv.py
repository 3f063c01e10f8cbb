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
    """Row by row, a stretch is all images of neighbouring outputs. Taps that read padding are left out."""
    W, N = x.shape[2:]
    F, P, Q = y.shape[:3]
    C, K = w.shape[1:3]
    x = _by_phase(x, stride)
    width = (W + stride - 1) // stride
    x_flat, y_flat, w_flat = x.reshape(-1), y.reshape(-1), w.reshape(-1)
    x_at, w_at = np.empty(C * K, np.int64), np.empty(C * K, np.int64)
    for p in range(P):
        for f in range(F):
            y[f, p] = b[f]
        for l in range(K):
            first, last = _reach(l, W, Q, stride, pad)
            if first < last:
                left = first * stride + l - pad
                taps = _list_taps(x.shape, K, p * stride - pad, left % stride * width + left // stride, l, x_at, w_at)
                _mix(y_flat, (p * Q + first) * N, P * Q * N, F, x_flat, x_at, taps, w_flat, w_at, C * K * K,
                     (last - first) * N)


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


@jit
def transposed_loop(x, w, b, stride, pad, y):
    """Fill y with the convolution, stride 1, of x spread out: its pixels `stride` apart, zeros between, by w plus b.

    Zeros are not multiplied. An output sees only each stride-th kernel column; those that see the same ones, each
    stride-th of a row, lie together in `row` until the row is done.
    """
    C, H, W, N = x.shape
    F, P, Q = y.shape[:3]
    K, width = w.shape[2], (Q + stride - 1) // stride
    phases = min(stride, Q)  # the others have no column
    row = np.empty((F, phases * width, N), x.dtype)
    x_flat, row_flat, w_flat = x.reshape(-1), row.reshape(-1), w.reshape(-1)
    x_at, w_at = np.empty(C * K, np.int64), np.empty(C * K, np.int64)
    for p in range(P):
        for f in range(F):
            row[f] = b[f]
        for l in range(K):
            phase = (pad - l) % stride  # output `phase` sees column `left`, the next of its phase the next column
            left = (phase + l - pad) // stride
            first, last = max(0, -left), min((Q - phase + stride - 1) // stride, W - left)
            taps = 0
            for c in range(C):
                for k in range((pad - p) % stride, K, stride):
                    h = (p + k - pad) // stride
                    if 0 <= h < H:
                        x_at[taps] = ((c * H + h) * W + left + first) * N
                        w_at[taps] = (c * K + k) * K + l
                        taps += 1
            if first < last:
                _mix(row_flat, (phase * width + first) * N, phases * width * N, F, x_flat, x_at, taps, w_flat, w_at,
                     C * K * K, (last - first) * N)
        for f in range(F):
            for q in range(Q):
                to, source = y[f, p, q], row[f, q % stride * width + q // stride]
                for n in range(N):
                    to[n] = source[n]


def forward_numpy(x, w, b, stride, pad, y):
    """The same in NumPy: every window of the padded input as a view, one product summed over channels and taps."""
    K = w.shape[2]
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (K, K), axis=(1, 2))[:, ::stride, ::stride]
    y[:] = np.tensordot(w, windows, axes=((1, 2, 3), (0, 4, 5))) + b[:, None, None, None]


def transposed_numpy(x, w, b, stride, pad, y):
    """The same in NumPy, zeros and all."""
    K = w.shape[2]
    spread = np.zeros((len(x), y.shape[1] + K - 1 - 2 * pad, y.shape[2] + K - 1 - 2 * pad, x.shape[3]), x.dtype)
    spread[:, ::stride, ::stride] = x
    forward_numpy(spread, w, b, 1, pad, y)


forward = choose(forward_loop, forward_numpy)
transposed = choose(transposed_loop, transposed_numpy)
