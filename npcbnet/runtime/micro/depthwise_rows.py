"""Depthwise 3x3 convolution of one image, stride 1, pad 1: down each column of vectors, every row read once.

    row r      left  here  right        three vectors: the row shifted by a pixel to either side
                 |     |     |
    done     row r - 1:  gets its last three products, clamp, store
    current  row r    :  gets its middle three
    next     row r + 1:  begins with the bias and its first three

Nine weights, the bias and three unfinished rows stay in registers. Pixels beside the map count as zero: the lanes
that would read them are blanked.

row: x, w, b, y, bounds, C, H, W, x's row and channel stride, y's row and channel stride. w is (C, 3, 3). fixed: wide,
is W >= lanes? (Else one vector holds a row, and lanes behind its end are written as zeros.)
"""
from npcbnet.runtime.micro.finish_plane import lanes_below
from npcbnet.runtime.micro.vectors import clamp


def write(f, wide):
    """The function's text."""
    x, w, b, y, bounds = f.pointers(0, 5)
    C, H, W, x_row, x_channel, y_row, y_channel = f.numbers(5, 7)
    low, high = f.broadcast(bounds, 0), f.broadcast(bounds, 1)
    zero = f.constant(0.0)
    first = f.constant([lane > 0 for lane in range(f.lanes)], f.truths)
    with f.loop(0, C) as c:
        bias = f.broadcast(b, c)
        weights = [f.broadcast(w, c * 9 + tap) for tap in range(9)]
        with f.loop(0, W, step=f.lanes) as start:
            q = f.select(start < W - f.lanes, start, W - f.lanes) if wide else start  # the last vector may overlap
            from_left = f.emit(f"or {f.truths} {first.name}, {f.spread_truth(q > 0).name}", f.truths)
            inside, to_right = lanes_below(f, W - q), lanes_below(f, W - 1 - q)
            xq, yq = f.at(x, c * x_channel + q), f.at(y, c * y_channel + q)

            def row(r):
                line = f.at(xq, r * x_row)
                return [f.select(from_left, f.load(line, -1), zero), f.load(line),
                        f.select(to_right, f.load(line, 1), zero)]

            def plus(total, pixels, k):
                for l in range(3):
                    total = f.fma(pixels[l], weights[3 * k + l], total)
                return total

            def store(total, r):
                value = clamp(f, total, low, high)
                f.store(value if wide else f.select(inside, value, zero), yq, r * y_row)

            top = row(0)
            with f.loop(1, H, carried=[plus(bias, top, 1), plus(bias, top, 0)]) as loop:
                current, following = loop.sums
                here = row(loop.number)
                store(plus(current, here, 2), loop.number - 1)
                loop.sums[:] = [plus(following, here, 1), plus(bias, here, 0)]
            store(loop.results[0], H - 1)
    return f.finish()
