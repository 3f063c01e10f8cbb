"""Depthwise convolution of one image: every channel by itself, from frame to result while it is in the nearest cache.

    x, channel c  --copy-->  frame  --flat convolution, as in conv_plane-->  sums  --stride, clamp-->  y, channel c

The K x K weights of a channel stay in registers; the sums of several vectors of places run side by side.

row: x, w, b, y, bounds, frame (a map of one channel; its zeros stay), raw (sums with a stride of 1), C, H, W, x's row
and channel stride, frame's row stride, y's row and channel stride, rows and columns of y, position tiles, pad.
fixed: kernel, stride, vectors. w is (C, K, K).
"""
from npcbnet.runtime.micro.finish_plane import lanes_below, picked
from npcbnet.runtime.micro.vectors import clamp

LARGEST = 11  # kernel: all its taps follow each other in the code, and 63 x 63 would take most of a minute to compile


def write(f, kernel, stride, vectors):
    """The function's text."""
    x, w, b, y, bounds, frame, raw = f.pointers(0, 7)
    C, H, W, x_row, x_channel, pitch, y_row, y_channel, rows, columns, tiles, pad = f.numbers(7, 12)
    low, high = f.broadcast(bounds, 0), f.broadcast(bounds, 1)
    zero, taps = f.constant(0.0), kernel * kernel
    inside = f.at(frame, pad * pitch + pad)
    with f.loop(0, C) as c:
        xc, yc, wc, bias = f.at(x, c * x_channel), f.at(y, c * y_channel), f.at(w, c * taps), f.broadcast(b, c)
        with f.loop(0, H) as h:  # what is written behind the end of a row is zero, or the next row's to write
            with f.loop(0, W, step=f.lanes) as i:
                pixels = f.select(lanes_below(f, W - i), f.load(xc, h * x_row + i), zero)
                f.store(pixels, inside, h * pitch + i)
        weights = [f.broadcast(wc, tap) for tap in range(taps)]
        with f.loop(0, tiles) as t:
            here = f.at(frame, t * (vectors * f.lanes))
            sums = [bias] * vectors
            for k in range(kernel):
                line = f.at(here, pitch * k)
                for l in range(kernel):
                    for u in range(vectors):
                        sums[u] = f.fma(f.load(line, l + u * f.lanes), weights[k * kernel + l], sums[u])
            for u in range(vectors):
                f.store(sums[u], raw, t * (vectors * f.lanes) + u * f.lanes)
        with f.loop(0, rows) as p:
            line = f.at(raw, p * stride * pitch)
            with f.loop(0, columns, step=f.lanes) as q:
                value = clamp(f, picked(f, line, q, stride), low, high)
                f.store(f.select(lanes_below(f, columns - q), value, zero), yc, p * y_row + q)
    return f.finish()
