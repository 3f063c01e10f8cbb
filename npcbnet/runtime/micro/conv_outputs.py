"""Convolution of one image, any stride: the lanes are output channels, so neither strides nor small maps empty them.

    tap (c, k, l)     weights of 16 outputs  [ w0 w1 w2 ... ]      loaded as they lie
    a place           its pixel              [ x  x  x  ... ]      spread over a vector

A tile of `down` x `across` neighbouring places x `outs` outputs is summed at once. A pixel that several taps of the
kernel's row want, for different places, is spread once. In the end the tile is turned, from a vector of outputs for
each place to a run of places for each output, and laid into the maps. Where the tiles do not come out even the last
ones overlap those before: they write the same values again.

row: x (corner of the frame), w, b, y, bounds, rows (offsets of the C K rows of a window, int64), C K, groups of
channels, output tiles in one, x's stride from group to group, y's, x's row stride, y's row and channel stride, P, Q.
fixed: kernel, stride, down, across, outs. Weights are packed (groups, tile, C, K, K, wide), biases (groups, tile,
wide), where `wide` is the sum of `widths`.
"""
from npcbnet.runtime.assembler import FLOAT, NUMBER
from npcbnet.runtime.micro.vectors import clamp, transpose


def widths(lanes, outs):
    """The lanes of the vectors that hold `outs` outputs: the last one is half or a quarter where that is enough."""
    last = next(width for width in (4, 8, 16) if width >= min((outs - 1) % lanes + 1, lanes))
    return [lanes] * ((outs - 1) // lanes) + [last]


def columns(kernel, stride, across):
    """[(column, [(place, tap), ...])]: which pixels of a row a tile wants, and for what."""
    wanted = {}
    for place in range(across):
        for tap in range(kernel):
            wanted.setdefault(place * stride + tap, []).append((place, tap))
    return sorted(wanted.items())


def run_lengths(lanes, places):
    """(runs, places in each): how neighbouring places are turned, a power of two at a time."""
    size = next(size for size in (16, 8, 4, 2, 1) if size <= min(places, lanes))
    return -(-places // size), size


def write(f, kernel, stride, down, across, outs):
    """The function's text."""
    x, w, b, y, bounds, rows = f.pointers(0, 6)
    count, groups, tiles, x_group, y_group, x_row, y_row, y_channel, P, Q = f.numbers(6, 10)
    parts = widths(f.lanes, outs)
    wide = sum(parts)
    with f.loop(0, groups) as g:
        with f.loop(0, tiles) as t:
            number = g * tiles + t
            wt, bt = f.at(w, number * count * (kernel * wide)), f.at(b, number * wide)
            xg, yt = f.at(x, g * x_group), f.at(y, g * y_group + t * y_channel * outs)
            bias = _vectors(f, bt, parts)
            with f.loop(0, P, step=down) as top:
                p = _least(f, top, P - down)
                with f.loop(0, Q, step=across) as left:
                    q = _least(f, left, Q - across)
                    at = f.at(xg, p * stride * x_row + q * stride)
                    with f.loop(0, count, carried=bias * (down * across)) as row:
                        here = f.at(at, f.load(rows, row.number, NUMBER))
                        weights = [_vectors(f, f.at(wt, row.number * (kernel * wide) + l * wide), parts)
                                   for l in range(kernel)]
                        for i in range(down):
                            first = i * across * len(parts)
                            _add_row(f, row.sums, first, f.at(here, x_row * (i * stride)), weights, stride, across)
                    low, high = (f.load(bounds, end, FLOAT) for end in (0, 1))
                    for i in range(down):
                        to = f.at(yt, (p + i) * y_row + q)
                        for v, width in enumerate(parts):
                            first = i * across * len(parts) + v
                            values = row.results[first:first + across * len(parts):len(parts)]
                            values = [clamp(f, value, f.spread(low, width), f.spread(high, width)) for value in values]
                            to = _store_turned(f, values, to, y_channel, min(width, outs - v * f.lanes))
    return f.finish()


def _vectors(f, pointer, parts):
    """Vectors of these widths, one behind the other."""
    return [f.load(pointer, v * f.lanes, f"<{width} x float>") for v, width in enumerate(parts)]


def _add_row(f, sums, first, line, weights, stride, across):
    """sums[first:] += the products of one row of pixels and one row of taps, weights[tap][vector]."""
    parts = len(weights[0])
    for column, uses in columns(len(weights), stride, across):
        pixel = f.load(line, column, FLOAT)
        for v in range(parts):
            value = f.spread(pixel, f.lanes_of(weights[0][v].type))
            for place, tap in uses:
                here = first + place * parts + v
                sums[here] = f.fma(weights[tap][v], value, sums[here])


def _store_turned(f, values, y, y_channel, outs):
    """Write one vector of outputs for each of some neighbouring places; returns where the next output's map begins.

    The last run may overlap the one before.
    """
    lanes = f.lanes_of(values[0].type)
    runs, size = run_lengths(lanes, len(values))
    starts = [min(run * size, len(values) - size) for run in range(runs)]
    turned = [transpose(f, values[start:start + size]) for start in starts]
    for o in range(outs):
        for start, some in zip(starts, turned):
            block = o // size * size
            run = some[o % size]
            f.store(run if size == lanes else f.shuffle(run, run, range(block, block + size)), y, start)
        y = f.at(y, y_channel)
    return y


def _least(f, a, b):
    return f.select(a < b, a, b)
