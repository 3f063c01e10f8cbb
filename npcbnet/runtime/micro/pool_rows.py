"""Maximum or mean over windows of one image, a vector of windows at a time.

    kernel 3, stride 2      three rows of x, combined:    A B C D E F G H ..
                            every second of them, from each of the kernel's columns on:
                            A C E ..   B D F ..   C E G ..     combined: one row of y

Only pixels that exist count: at an edge, lanes whose window has no such column leave it out. Lanes behind the end of a
row are written as zeros: they fall into the frame right of it, or where the next row will be written.

row: as `pool_group`, without the last three. fixed: kernel, stride, pad, mean, counts_padding.
"""
from npcbnet.runtime.assembler import FLOAT, NUMBER
from npcbnet.runtime.micro.finish_plane import lanes_below
from npcbnet.runtime.micro.vectors import clamp

MOST = 7, 4, 3  # kernel, stride and pad, so that the code stays small and reads nothing far before a map


def write(f, kernel, stride, pad, mean, counts_padding):
    """The function's text."""
    x, y, bounds = f.pointers(0, 3)
    C, H, W, x_row, x_channel, y_row, y_channel, rows, columns = f.numbers(3, 9)
    low, high = f.broadcast(bounds, 0), f.broadcast(bounds, 1)
    zero, none = f.constant(0.0), f.constant(0.0 if mean else float("-inf"))
    with f.loop(0, C) as c, f.loop(0, rows) as p:
        first, behind = p * stride - pad, p * stride + (kernel - pad)
        top = f.select(first > 0, first, f.constant(0, NUMBER))
        bottom = f.select(behind < H, behind, H)
        tall = f.select(behind < H + pad, behind, H + pad) - first if counts_padding else bottom - top
        with f.loop(0, columns, step=f.lanes) as q:
            value, width = none, zero
            for column, pixels in _columns(f, x, c * x_channel, x_row, q, top, bottom, kernel, stride, pad, mean):
                there, counted = _inside(f, q, column - pad, stride, W), _inside(f, q, column - pad, stride, W + pad)
                if column < pad:  # windows q < (pad - column) / stride begin before the image
                    outside = lanes_below(f, -((column - pad) // stride) - q)
                    there = f.select(outside, f.constant(0, there.type), there)
                value = _joined(f, value, f.select(there, pixels, none), mean)
                if mean:
                    width = width + f.select(counted if counts_padding else there, f.constant(1.0), zero)
            if mean:
                value = value / (width * f.spread(f.cast("sitofp", tall, FLOAT)))
            value = f.select(lanes_below(f, columns - q), clamp(f, value, low, high), zero)
            f.store(value, y, c * y_channel + p * y_row + q)
    return f.finish()


def _columns(f, x, channel, x_row, q, top, bottom, kernel, stride, pad, mean):
    """(column of the kernel, a vector of what windows q, q + 1, ... have there in rows top to bottom), one by one."""
    wide, starts = f"<{f.lanes * stride} x float>", range(0, kernel, stride)
    with f.loop(top, bottom, carried=[f.constant(0.0 if mean else float("-inf"), wide) for _ in starts]) as row:
        line = f.at(x, channel + row.number * x_row)
        for i, start in enumerate(starts):
            row.sums[i] = _joined(f, row.sums[i], f.load(line, q * stride + (start - pad), wide), mean)
    for column in range(kernel):
        pixels = row.results[column // stride]
        yield column, f.shuffle(pixels, pixels, range(column % stride, f.lanes * stride, stride))


def _joined(f, a, b, mean):
    return a + b if mean else f.largest(a, b)


def _inside(f, q, shift, stride, side):
    """True in the lanes, windows q, q + 1, ..., whose pixel at window * stride + shift lies before `side`."""
    return lanes_below(f, (side + (stride - 1 - shift)) // stride - q)
