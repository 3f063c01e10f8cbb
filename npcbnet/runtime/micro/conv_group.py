"""Convolution of a group of images, of any stride, with or without the 2x2 maximum behind it.

Four neighbouring outputs (of a 2x2 window, or of a row) x `outs` output channels are summed at once; the images lie
side by side, so no lane is lost to a border, a stride or a small channel count. The window's maximum, bias and
clamping happen in registers: the sums before pooling are never stored.

    q0  q1           each tap:  4 loads (one a place), `outs` weights, 4 x outs multiply-adds
    q2  q3

The map lies in a frame of zeros as wide as the padding. All channels of a place are done before the next place, so
that its inputs stay near.

row: x (corner of the frame), w, b, y, bounds, C and channel tiles of one group of channels, groups of channels,
x's row and channel stride, y's row and channel stride, P, Q (of the convolution), rows and columns of y; with pairs,
then each output's scale. fixed: kernel, stride, outs, pool, pairs (1: x and w are pairs of integers, as `products`
says). Weights are packed (groups, tile, C, K, K, outs), biases and scales (groups, tile, outs).
"""
from npcbnet.runtime.micro.products import products
from npcbnet.runtime.micro.vectors import clamp

PLACES = 4


def write(f, kernel, stride, outs, pool, pairs=0):
    """The function's text."""
    terms, scales = products(f, pairs), f.pointer(16) if pairs else None
    x, w, b, y, bounds = f.pointers(0, 5)
    C, tiles, groups, x_row, x_channel, y_row, y_channel, P, Q, rows, columns = f.numbers(5, 11)
    low, high = f.broadcast(bounds, 0), f.broadcast(bounds, 1)
    group, taps = f.lanes, kernel * kernel * outs
    with f.loop(0, rows) as p:
        with f.loop(0, columns, step=1 if pool else PLACES) as q:
            p0 = p * 2 if pool else p
            p1 = _least(f, p0 + 1, P - 1) if pool else p0
            q0 = q * 2 if pool else q
            across = [_least(f, q0 + i, Q - 1) for i in range(2 if pool else PLACES)]
            offsets = [place * (x_row * stride) + column * (stride * group)
                       for place in ([p0, p1] if pool else [p0]) for column in across]
            with f.loop(0, groups * tiles) as t:
                wt, bt, yt = f.at(w, t * C * taps), f.at(b, t * outs), f.at(y, t * y_channel * outs)
                xg = f.at(x, t / tiles * C * x_channel)
                at = [f.at(xg, offset) for offset in offsets]
                sums = _sums(f, terms, at, wt, C, x_row, x_channel, kernel, outs, group)
                for o in range(outs):
                    four, bias, to = sums[o * PLACES:o * PLACES + PLACES], f.broadcast(bt, o), across
                    four = [terms.floats(each) for each in four]
                    scale = f.broadcast(scales, t * outs + o) if pairs else None
                    if pool:
                        four = [f.largest(f.largest(four[0], four[1]), f.largest(four[2], four[3]))]
                        to = [q]
                    for column, value in zip(to, four):
                        value = clamp(f, terms.finished(value, scale, bias), low, high)
                        f.store(value, yt, y_channel * o + p * y_row + column * group)
    return f.finish()


def _sums(f, terms, at, w, C, x_row, x_channel, kernel, outs, group):
    """Sums of all taps for `outs` channels x PLACES places, whose windows begin at the addresses `at`."""
    start = [terms.zero] * (outs * PLACES)
    with f.loop(0, C, carried=start) as channel:
        wc = f.at(w, channel.number * (kernel * kernel * outs))
        with f.loop(0, kernel, carried=channel.sums) as row:
            offset, wk = channel.number * x_channel + row.number * x_row, f.at(wc, row.number * (kernel * outs))
            rows = [f.at(place, offset) for place in at]
            for l in range(kernel):
                here = [terms.load(place, l * group) for place in rows]
                for o in range(outs):
                    weight = terms.spread(wk, l * outs + o)
                    for i in range(PLACES):
                        row.sums[o * PLACES + i] = terms.add(here[i], weight, row.sums[o * PLACES + i])
        channel.sums[:] = row.results
    return channel.results


def _least(f, a, b):
    return f.select(a < b, a, b)
