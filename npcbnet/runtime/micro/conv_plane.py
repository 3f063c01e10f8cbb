"""Convolution of one image, stride 1, few channels: one long row of pixels, every tap a shift of it.

    framed map, rows W + pad long:  0 0 0 0 0 0 0 0 0 0       the zeros right of a row
                                    0 0 a b c 0 0 d e f       are those left of the next
                                    0 0 ...

    output (row 0, column 0..)  =  sum over taps of  w[k, l] * map[k * pitch + l ...]

Vectors run over the whole map, not over its short rows, so only the two or three columns between rows are wasted.
`outs` output channels x `vectors` registers are summed at once: one load feeds `outs` multiply-adds, one weight
`vectors`. All taps of a kernel of up to WRITTEN_OUT rows follow each other in the code; of larger ones those of a row
do. Bias, pooling and clamping are the next step's (`finish_plane`), unless the sums are the result but for bias and
clamp, as those of a 1x1 convolution without frames are (`direct`). Of a map of integer pairs (`products`) they are
handed on as floats.

row: x, w, y, C and channel tiles of one group of channels, groups of channels, position tiles, pitch, x's channel
stride, y's channel stride. If direct, then also b and bounds. fixed: kernel, outs, vectors, direct, pairs
(1: x and w are pairs). Weights are packed (groups, tile, C, K, K, outs).
"""
from npcbnet.runtime.micro.products import products
from npcbnet.runtime.micro.vectors import clamp

WRITTEN_OUT = 11  # more rows are a loop: compiling takes longer than in proportion to the code, for 63 x 63 minutes


def write(f, kernel, outs, vectors, direct, pairs=0):
    """The function's text."""
    terms = products(f, pairs)
    x, w, y = f.pointers(0, 3)
    C, tiles, groups, places, pitch, x_channel, y_channel = f.numbers(3, 7)
    taps, wide = kernel * kernel * outs, vectors * f.lanes
    b, bounds = f.pointers(10, 2) if direct else (None, None)
    low, high = (f.broadcast(bounds, 0), f.broadcast(bounds, 1)) if direct else (None, None)
    with f.loop(0, groups * tiles) as t:
        wt, yt = f.at(w, t * C * taps), f.at(y, t * y_channel * outs)
        xg = f.at(x, t / tiles * C * x_channel)
        with f.loop(0, places) as place:
            xp = f.at(xg, place * wide)
            with f.loop(0, C, carried=[terms.zero] * (outs * vectors)) as loop:
                xc, wc = f.at(xp, loop.number * x_channel), f.at(wt, loop.number * taps)
                if kernel <= WRITTEN_OUT:
                    for k in range(kernel):
                        _add_row(f, terms, loop.sums, f.at(xc, pitch * k), wc, k * kernel * outs, kernel, outs, vectors)
                else:
                    with f.loop(0, kernel, carried=loop.sums) as row:
                        wk = f.at(wc, row.number * (kernel * outs))
                        _add_row(f, terms, row.sums, f.at(xc, row.number * pitch), wk, 0, kernel, outs, vectors)
                    loop.sums[:] = row.results
            for o in range(outs):
                bias = f.broadcast(b, t * outs + o) if direct else None
                for u in range(vectors):
                    value = terms.floats(loop.results[o * vectors + u])
                    value = clamp(f, value + bias, low, high) if direct else value
                    f.store(value, yt, y_channel * o + place * wide + u * f.lanes)
    return f.finish()


def _add_row(f, terms, sums, line, weights, first, kernel, outs, vectors):
    """sums[o * vectors + u] += the products of one row of taps, whose weights begin at `first`, with their shifts."""
    for l in range(kernel):
        here = [terms.load(line, l + u * f.lanes) for u in range(vectors)]
        for o in range(outs):
            weight = terms.spread(weights, first + l * outs + o)
            for u in range(vectors):
                sums[o * vectors + u] = terms.add(here[u], weight, sums[o * vectors + u])
