"""Maximum or mean over 2x2 windows of one image, stride 2: two rows at a time, a vector of windows at a time.

An odd last row or column has windows of half the size (where the layer rounds up). Lanes behind the end of a row are
written as zeros: they fall into the frame right of it, or where the next row will be written.

row: as `pool_group`. fixed: mean.
"""
from npcbnet.runtime.micro.finish_plane import lanes_below
from npcbnet.runtime.micro.vectors import clamp


def write(f, mean):
    """The function's text."""
    x, y, bounds = f.pointers(0, 3)
    C, H, W, x_row, x_channel, y_row, y_channel, rows, columns = f.numbers(3, 9)
    low, high = f.broadcast(bounds, 0), f.broadcast(bounds, 1)

    def joined(a, b):
        return (a + b) * 0.5 if mean else f.largest(a, b)

    with f.loop(0, C) as c:
        with f.loop(0, rows) as p:
            lower = f.select(p * 2 + 1 < H, p * 2 + 1, p * 2)  # a row joined with itself is itself
            lines = [f.at(x, c * x_channel + row * x_row) for row in (p * 2, lower)]
            with f.loop(0, columns, step=f.lanes) as q:
                halves = [joined(*(f.load(line, q * 2 + part * f.lanes) for line in lines)) for part in (0, 1)]
                even = f.shuffle(*halves, range(0, 2 * f.lanes, 2))
                odd = f.shuffle(*halves, range(1, 2 * f.lanes, 2))
                value = f.select(lanes_below(f, W // 2 - q), joined(even, odd), even)
                inside = lanes_below(f, columns - q)
                value = f.select(inside, clamp(f, value, low, high), f.constant(0.0))
                f.store(value, y, c * y_channel + p * y_row + q)
    return f.finish()
