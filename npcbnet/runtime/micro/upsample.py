"""Bilinear enlargement by two, half-pixel centres: 3/4 of the near pixel + 1/4 of the far one, first by rows.

row: x, y, bounds, C, H, W, x's row and channel stride, y's row and channel stride, scratch (W + 2 lanes floats; one
image only). fixed: group (1: one image, whose pixels are the lanes).
"""
from npcbnet.runtime.micro.finish_plane import lanes_below
from npcbnet.runtime.micro.vectors import clamp


def write(f, group):
    """The function's text."""
    x, y, bounds = f.pointers(0, 3)
    C, H, W, x_row, x_channel, y_row, y_channel = f.numbers(3, 7)
    scratch = f.pointer(10)
    low, high = f.broadcast(bounds, 0), f.broadcast(bounds, 1)
    with f.loop(0, C) as c:
        with f.loop(0, H) as h:
            xc, near = f.at(x, c * x_channel), None
            near = f.at(xc, h * x_row)
            for below in (0, 1):
                beside = h + 1 if below else h - 1
                beside = f.select(beside < 0, h, f.select(beside < H, beside, h))
                far, to = f.at(xc, beside * x_row), f.at(y, c * y_channel + (h * 2 + below) * y_row)
                (_row_of_one if group == 1 else _row_of_group)(f, near, far, to, W, group, scratch, low, high)
    return f.finish()


def _mix(f, near, far):
    return f.fma(near, f.constant(0.75), far * 0.25)


def _row_of_group(f, near, far, to, W, group, scratch, low, high):
    """Pixel by pixel, a vector of images at a time."""
    for u in range(0, group, f.lanes):
        def mixed(w):
            return _mix(f, f.load(near, w * group + u), f.load(far, w * group + u))
        with f.loop(0, W, carried=[mixed(f.constant(0, "i64"))] * 2) as loop:
            before, here = loop.sums
            w = loop.number
            after = mixed(f.select(w + 1 < W, w + 1, w))
            f.store(clamp(f, _mix(f, here, before), low, high), to, w * (2 * group) + u)
            f.store(clamp(f, _mix(f, here, after), low, high), to, w * (2 * group) + (group + u))
            loop.sums[:] = [here, after]


def _row_of_one(f, near, far, to, W, group, scratch, low, high):
    """The mixed row with its ends repeated goes to scratch; then vectors of pixels with their neighbours,
    interleaved."""
    with f.loop(0, W, step=f.lanes) as w:
        f.store(_mix(f, f.load(near, w), f.load(far, w)), scratch, w + 1)
    f.store(f.load(scratch, 1, "float"), scratch)
    f.store(f.load(scratch, W, "float"), scratch, W + 1)
    with f.loop(0, W, step=f.lanes) as w:
        here = f.load(scratch, w + 1)
        before = clamp(f, _mix(f, here, f.load(scratch, w)), low, high)
        after = clamp(f, _mix(f, here, f.load(scratch, w + 2)), low, high)
        places = [lane // 2 + f.lanes * (lane % 2) for lane in range(2 * f.lanes)]
        for half in (0, 1):  # lanes behind the end of the row become zeros: they may fall into a frame
            pixels = f.shuffle(before, after, places[half * f.lanes:(half + 1) * f.lanes])
            inside = lanes_below(f, (W - w) * 2 - half * f.lanes)
            f.store(f.select(inside, pixels, f.constant(0.0)), to, w * 2 + half * f.lanes)
