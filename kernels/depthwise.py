"""Depthwise convolution: every channel has one square kernel of its own. Images last in memory.

Arrays: x (C, H, W, N), w (C, K, K), b (C,), y (C, P, Q, N), all C-contiguous, float32 or float64; P, Q as in `conv`.
An output has only K * K taps, so what costs time is reading and writing: for the usual 3 x 3 kernel a row of outputs is
written once, with all nine taps in it. As in `conv`, one output is one chain of fused multiply-adds that starts at the
bias and takes the taps by kernel column, then row: its bits depend neither on the batch nor on the path taken.
"""
import numpy as np

from npcbnet.kernels._jit import choose, jit


@jit
def _reach(tap, size, outputs, stride, pad):
    """As in `conv`, whose own a compiled function of this file must not call (README.md)."""
    first = max(0, (pad - tap + stride - 1) // stride)
    last = min(outputs, (size - 1 + pad - tap) // stride + 1)
    return first, max(first, last)


@jit
def _all_taps(y, y_at, n, x, x_at, row, column, w):
    """Add all K * K taps to the stretch of n neighbouring floats of y (flat) that starts at y_at.

    x (flat): the first tap's stretch starts at x_at, that of the next kernel row `row` later, of the next kernel column
    `column` later. w (K, K).
    """
    total = y[y_at:y_at + n]
    if w.shape[0] == 3:
        a0, a1, a2 = w[0, 0], w[1, 0], w[2, 0]
        b0, b1, b2 = w[0, 1], w[1, 1], w[2, 1]
        c0, c1, c2 = w[0, 2], w[1, 2], w[2, 2]
        top, middle, bottom = x_at, x_at + row, x_at + 2 * row
        p0, p1, p2 = x[top:top + n], x[middle:middle + n], x[bottom:bottom + n]
        top, middle, bottom = top + column, middle + column, bottom + column
        q0, q1, q2 = x[top:top + n], x[middle:middle + n], x[bottom:bottom + n]
        top, middle, bottom = top + column, middle + column, bottom + column
        r0, r1, r2 = x[top:top + n], x[middle:middle + n], x[bottom:bottom + n]
        for i in range(n):
            total[i] = (total[i] + a0 * p0[i] + a1 * p1[i] + a2 * p2[i] + b0 * q0[i] + b1 * q1[i] + b2 * q2[i]
                        + c0 * r0[i] + c1 * r1[i] + c2 * r2[i])
        return
    for l in range(w.shape[1]):
        for k in range(w.shape[0]):
            weight, tap = w[k, l], x[x_at + k * row + l * column:x_at + k * row + l * column + n]
            for i in range(n):
                total[i] = total[i] + weight * tap[i]


@jit
def _border(y, x, w, c, p, q_first, q_last, stride, pad):
    """Add the taps that lie inside the image to the outputs q_first..q_last-1 of the map row (c, p)."""
    H, W, N = x.shape[1:]
    K = w.shape[1]
    for q in range(q_first, q_last):
        total = y[c, p, q]
        for l in range(max(0, pad - q * stride), min(K, W + pad - q * stride)):
            for k in range(max(0, pad - p * stride), min(K, H + pad - p * stride)):
                weight, pixel = w[c, k, l], x[c, p * stride + k - pad, q * stride + l - pad]
                for n in range(N):
                    total[n] = total[n] + weight * pixel[n]


@jit
def _forward_rows(x, w, b, stride, pad, y):
    """For batches: row by row, a stretch is all images of neighbouring pixels. Taps that read padding are left out."""
    C, H, W, N = x.shape
    P, Q = y.shape[1:3]
    K = w.shape[1]
    x_flat, y_flat = x.reshape(-1), y.reshape(-1)
    # The outputs all of whose taps lie inside the image, along both axes
    top, bottom = _reach(0, H, P, stride, pad)[0], _reach(K - 1, H, P, stride, pad)[1]
    left, right = _reach(0, W, Q, stride, pad)[0], _reach(K - 1, W, Q, stride, pad)[1]
    for c in range(C):
        for p in range(P):
            y[c, p] = b[c]
            if not (top <= p < bottom and left < right):
                _border(y, x, w, c, p, 0, Q, stride, pad)
                continue
            _border(y, x, w, c, p, 0, left, stride, pad)
            # With stride 1 the pixels of a row follow each other in memory: one long stretch. Else a stretch a pixel.
            pixels = right - left if stride == 1 else 1
            for q in range(left, right, pixels):
                x_at = ((c * H + p * stride - pad) * W + q * stride - pad) * N
                _all_taps(y_flat, ((c * P + p) * Q + q) * N, pixels * N, x_flat, x_at, W * N, N, w[c])
            _border(y, x, w, c, p, right, Q, stride, pad)


@jit
def _forward_plane(x, w, b, stride, pad, y):
    """For one image: a stretch is the whole map, as in `conv`. N = 1.

    The image is copied into a frame of zeros with rows W + pad long: the zeros right of a row are those left of the
    next. With a stride the map of stride 1 is made, and what is between its steps is dropped: still the fastest.
    """
    C, H, W = x.shape[:3]
    P, Q = y.shape[1:3]
    K = w.shape[1]
    pitch = W + pad
    rows = H + 2 * pad - K + 1
    frame = np.zeros((H + 2 * pad) * pitch + pad + K, x.dtype)
    plane = np.empty(rows * pitch, x.dtype)
    for c in range(C):
        for h in range(H):
            start = (h + pad) * pitch + pad
            frame[start:start + W] = x[c, h, :, 0]
        plane[:] = b[c]
        _all_taps(plane, 0, rows * pitch, frame, 0, pitch, 1, w[c])
        for p in range(P):
            start = p * stride * pitch
            for q in range(Q):
                y[c, p, q, 0] = plane[start + q * stride]


@jit
def forward_loop(x, w, b, stride, pad, y):
    """Fill y with each channel's convolution by its own kernel, plus its bias."""
    if x.shape[3] == 1:
        _forward_plane(x, w, b, stride, pad, y)
    else:
        _forward_rows(x, w, b, stride, pad, y)


@jit(fastmath=("contract", "reassoc", "nsz"))
def weight_gradient_loop(x, dy, stride, pad, dw):
    """Fill dw (C, K, K), float64, with the loss's gradient by the weights; dy (C, P, Q, N): that by the outputs.

    Sums of one row in the arrays' type, over rows in float64.
    """
    C, H, W, N = x.shape
    P, Q = dy.shape[1:3]
    K = dw.shape[1]
    x_flat, dy_flat = x.reshape(-1), dy.reshape(-1)
    dw[:] = 0
    for c in range(C):
        for p in range(P):
            for l in range(K):
                first, last = _reach(l, W, Q, stride, pad)
                if first >= last:
                    continue
                pixels = last - first if stride == 1 else 1
                for k in range(max(0, pad - p * stride), min(K, H + pad - p * stride)):
                    total = dy.dtype.type(0)
                    for q in range(first, last, pixels):
                        x_at = ((c * H + p * stride + k - pad) * W + q * stride + l - pad) * N
                        dy_at = ((c * P + p) * Q + q) * N
                        pixel, gradient = x_flat[x_at:x_at + pixels * N], dy_flat[dy_at:dy_at + pixels * N]
                        for i in range(pixels * N):
                            total += gradient[i] * pixel[i]
                    dw[c, k, l] += total


def _windows(x, K, stride, pad):
    """Every window of the padded input as a view, (C, P, Q, N, K, K)."""
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    return np.lib.stride_tricks.sliding_window_view(padded, (K, K), axis=(1, 2))[:, ::stride, ::stride]


def forward_numpy(x, w, b, stride, pad, y):
    """The same in NumPy."""
    y[:] = np.einsum("cpqnkl,ckl->cpqn", _windows(x, w.shape[1], stride, pad), w) + b[:, None, None, None]


def weight_gradient_numpy(x, dy, stride, pad, dw):
    """The same in NumPy."""
    dw[:] = np.einsum("cpqnkl,cpqn->ckl", _windows(x, dw.shape[1], stride, pad), dy)


forward = choose(forward_loop, forward_numpy)
weight_gradient = choose(weight_gradient_loop, weight_gradient_numpy)
