"""What follows `conv_plane`: pool 2x2 or pick by the stride, add the bias, clamp, and lay the map into its frame.

    two rows     a b c d e f ..    max    pairs    bias, clamp
                 g h i j k l ..   ----->  -----> -------------> one row of half the length

Bias and clamping commute with the maximum, so they are done once for four sums. Lanes behind the end of a row are
written as zeros: they fall into the frame right of it, or where the next row will be written.

row: x, b, y, bounds, F, P, Q (of the convolution), x's pitch, x's channel stride, y's row and channel stride,
rows and columns of y; with pairs, then each channel's scale. fixed: pool (0: none, 1: max), stride (of the
convolution, whose sums are those of stride 1), pairs (1: they are sums of integers).
"""
from npcbnet.runtime.assembler import FLOAT
from npcbnet.runtime.micro.products import products
from npcbnet.runtime.micro.vectors import clamp

FAR = 8  # a stride above which whole vectors would be loaded for nothing


def write(f, pool, stride, pairs=0):
    """The function's text."""
    terms, scales = products(f, pairs), f.pointer(13) if pairs else None
    x, b, y, bounds = f.pointers(0, 4)
    F, P, Q, pitch, x_channel, y_row, y_channel, rows, columns = f.numbers(4, 9)
    low, high = f.broadcast(bounds, 0), f.broadcast(bounds, 1)
    zero = f.constant(0.0)
    with f.loop(0, F) as c:
        xc, yc, bias = f.at(x, c * x_channel), f.at(y, c * y_channel), f.broadcast(b, c)
        scale = f.broadcast(scales, c) if pairs else None
        with f.loop(0, rows) as p:
            upper = p * 2 if pool else p * stride
            lower = f.select(upper + 1 < P, upper + 1, upper) if pool else upper
            first, second = f.at(xc, upper * pitch), f.at(xc, lower * pitch)
            with f.loop(0, columns, step=f.lanes) as q:
                value = _pooled(f, first, second, q, Q) if pool else picked(f, first, q, stride)
                value = clamp(f, terms.finished(value, scale, bias), low, high)
                inside = lanes_below(f, columns - q)
                f.store(f.select(inside, value, zero), yc, p * y_row + q)
    return f.finish()


def _pooled(f, first, second, q, Q):
    """Maxima of 2x2 windows q, q + 1, ...; the last window of an odd row has one column."""
    halves = [f.largest(f.load(first, q * 2 + part * f.lanes), f.load(second, q * 2 + part * f.lanes))
              for part in (0, 1)]
    even = f.shuffle(*halves, range(0, 2 * f.lanes, 2))
    odd = f.shuffle(*halves, range(1, 2 * f.lanes, 2))
    whole_windows = Q // 2 - q
    return f.select(lanes_below(f, whole_windows), f.largest(even, odd), even)


def picked(f, row, q, stride):
    """Every `stride`-th sum of a row: one vector of what `stride` vectors hold; of distant ones one by one."""
    if stride > FAR:
        found = f.constant(0.0)
        for lane in range(f.lanes):
            one = f.load(row, q * stride + lane * stride, FLOAT)
            found = f.emit(f"insertelement {f.vector} {found.name}, float {one.name}, i32 {lane}", f.vector)
        return found
    wide = f.load(row, q * stride, f"<{f.lanes * stride} x float>")
    return wide if stride == 1 else f.shuffle(wide, wide, range(0, f.lanes * stride, stride))


def lanes_below(f, count):
    """True in the lanes whose number is below count."""
    every = f.spread(f.cast("trunc", count, "i32"))
    number = "<" + ", ".join(f"i32 {lane}" for lane in range(f.lanes)) + ">"
    return f.emit(f"icmp slt {f.whole} {number}, {every.name}", f"<{f.lanes} x i1>")
