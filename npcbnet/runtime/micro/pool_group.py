"""Maximum or mean over windows of any side, stride and padding; only the pixels that exist count.

row: x, y, bounds, C, H, W, x's row and channel stride, y's row and channel stride, rows and columns of y, kernel,
stride, pad. fixed: mean; counts_padding (a mean divides by the window that padding fills, too); vectors.
"""
from npcbnet.runtime.assembler import FLOAT
from npcbnet.runtime.micro.vectors import clamp


def write(f, mean, counts_padding, vectors):
    """The function's text."""
    x, y, bounds = f.pointers(0, 3)
    C, H, W, x_row, x_channel, y_row, y_channel, rows, columns, kernel, stride, pad = f.numbers(3, 12)
    low, high = f.broadcast(bounds, 0), f.broadcast(bounds, 1)
    group = vectors * f.lanes

    def cut(start, side):
        """First and behind-last pixel of a window that begins at `start`, and its length with the padding."""
        stop = start + kernel
        reach = f.select(stop < side + pad, stop, side + pad)
        return f.select(start > 0, start, f.constant(0, "i64")), f.select(stop < side, stop, side), reach - start

    with f.loop(0, C) as c:
        with f.loop(0, rows) as p:
            top, bottom, tall = cut(p * stride - pad, H)
            with f.loop(0, columns) as q:
                left, right, wide = cut(q * stride - pad, W)
                start = [f.constant(0.0 if mean else float("-inf"))] * vectors
                with f.loop(top, bottom, carried=start) as row:
                    with f.loop(left, right, carried=row.sums) as column:
                        here = f.at(x, c * x_channel + row.number * x_row + column.number * group)
                        for u in range(vectors):
                            value, so_far = f.load(here, u * f.lanes), column.sums[u]
                            column.sums[u] = so_far + value if mean else f.largest(so_far, value)
                    row.sums[:] = column.results
                area = tall * wide if counts_padding else (bottom - top) * (right - left)
                share = f.spread(f.constant(1.0, FLOAT) / f.cast("sitofp", area, FLOAT)) if mean else None
                for u, value in enumerate(row.results):
                    value = clamp(f, value * share if mean else value, low, high)
                    f.store(value, y, c * y_channel + p * y_row + q * group + u * f.lanes)
    return f.finish()
