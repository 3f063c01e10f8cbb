"""Pixels laid apart from each other: what a transposed convolution convolves. What lies between stays zero.

row: x, y, C, H, W, x's row and channel stride, y's stride from one row that is written to the next, y's channel
stride, y's stride from one pixel that is written to the next. fixed: group.
"""


def write(f, group):
    """The function's text."""
    x, y = f.pointers(0, 2)
    C, H, W, x_row, x_channel, y_row, y_channel, apart = f.numbers(2, 8)
    with f.loop(0, C) as c:
        with f.loop(0, H) as h:
            xr, yr = f.at(x, c * x_channel + h * x_row), f.at(y, c * y_channel + h * y_row)
            with f.loop(0, W) as w:
                for u in range(0, group, f.lanes):
                    f.store(f.load(xr, w * group + u), yr, w * apart + u)
    return f.finish()
