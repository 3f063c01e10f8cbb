"""Winograd's convolution of one image: a vector holds the same pixel of as many tiles as it has lanes.

Neighbouring tiles begin four pixels apart. So every row of the framed map is dealt out like cards, each fourth pixel
to the same hand; hand (i, j) then holds pixel (i, j) of all tiles, one after the other:

    row of the map  p0 p1 p2 p3 | q0 q1 q2 q3 | r0 ...      pixel j = 0:  p0 q0 r0 ...
                    tile 0      | tile 1      | tile 2      pixel j = 1:  p1 q1 r1 ...

The rest is as for a group of images, a few vectors of tiles (a block) at a time; in the end rows are put together
from the tiles' columns again.

row: x (corner of the frame), U, b, y, bounds, V, M, scratch, hands, apart (columns of the outputs), truths (which
lanes have an output below and beside, as 1 or 0), C, channel tiles, blocks, rows of tiles, x's row and channel
stride, y's row and channel stride, rows and columns of y, F.
fixed: kernel, outs, vectors (in a block), across (tiles in a row), pool, form ("single": one input channel, products
are made on the way to the outputs; "wide": at most four tiles, the outputs are the lanes of the products; else
"blocks"). U is packed (n n, tile, C, outs).
"""
from npcbnet.runtime.micro import vectors as v, winograd
from npcbnet.runtime.micro.finish_plane import lanes_below

TILE = winograd.TILE


def write(f, kernel, outs, vectors, across, pool, form):
    """The function's text."""
    n = winograd.side(kernel)
    x, U, b, y, bounds, V, M, scratch, hands, apart, truths = f.pointers(0, 11)
    C, channels, blocks, down, x_row, x_channel, y_row, y_channel, rows, columns, F = f.numbers(11, 11)
    low, high = f.broadcast(bounds, 0), f.broadcast(bounds, 1)
    width = vectors * f.lanes
    whole = blocks * width  # lanes of all tiles
    hand = whole + f.lanes
    with f.loop(0, C) as c:
        _deal(f, f.at(x, c * x_channel), hands, x_row, down, across, hand, n)
        step = C * width
        with f.loop(0, blocks) as block:
            for u in range(vectors):
                source = f.at(hands, block * width + u * f.lanes)
                Vc = f.at(V, block * (step * (n * n)) + c * width + u * f.lanes)
                winograd.transform_inputs(f, lambda i, j: f.load(source, hand * (i * n + j)),
                                          lambda i, j, value: f.store(value, Vc, step * (i * n + j)), kernel)
    size = C * (width * n * n)
    if form == "wide":
        winograd.multiply_wide(f, U, V, M, C, channels, n * n, outs // f.lanes)
    elif form == "blocks":
        with f.loop(0, blocks) as block:
            winograd.multiply(f, U, f.at(V, block * size), f.at(M, block * channels * (outs * width * n * n)),
                              C, channels, n * n, outs, vectors)
    with f.loop(0, F) as o:
        bias = f.broadcast(b, o)
        with f.loop(0, blocks) as block:
            for u in range(vectors):
                at = block * width + u * f.lanes
                if form == "single":
                    Vo, Uo = f.at(V, block * size + u * f.lanes), f.at(U, o)

                    def load(i, j):
                        e = j + i * n
                        return f.load(Vo, e * width) * f.broadcast(Uo, e * outs)
                else:
                    stride = channels * (outs * width)
                    Mo = f.at(M, block * stride * (n * n) + o * width + u * f.lanes)

                    def load(i, j):
                        return f.load(Mo, (j + i * n) * stride)

                def use(a, upper, lower):
                    lines = [_pooled(f, upper, lower, a, f.at(truths, at), whole)] if pool else [upper, lower]
                    for i, line in enumerate(lines):
                        to = f.at(apart, at + (a * len(lines) + i) * len(line) * hand)
                        for column, value in enumerate(line):
                            f.store(v.clamp(f, value + bias, low, high), to, hand * column)

                winograd.transform_outputs(f, load, scratch, kernel, use)
        _collect(f, apart, f.at(y, o * y_channel), y_row, rows, columns, down, across, hand, 2 if pool else 4)
    return f.finish()


def _deal(f, x, hands, x_row, down, across, hand, n):
    """Deal the rows of one channel out. A row is the i-th of its tiles and, if i + 4 < n, of the tiles above, too.

    Rows of tiles come in order, since each writes a little over its end.
    """
    few = next(size for size in (1, 2, 4, 8, 16) if size >= min(across, f.lanes))
    with f.loop(0, down + 1) as r:
        for i in range(TILE):
            line = f.at(x, (r * TILE + i) * x_row)
            for start in range(0, across, few):
                dealt = []
                for part in range(-(-n // TILE)):
                    pixels = f.load(line, (start + part) * TILE, f"<{few * TILE} x float>")
                    pixels = f.shuffle(pixels, pixels, [b + TILE * k for b in range(TILE) for k in range(few)])
                    dealt += [f.shuffle(pixels, pixels, range(b * few, (b + 1) * few)) for b in range(TILE)]
                for above in (0, 1):
                    if i + TILE * above < n:
                        with f.when(r > 0 if above else r < down):
                            to = f.at(hands, (r - above) * across + (hand * ((i + TILE * above) * n) + start))
                            for j, some in enumerate(dealt[:n]):
                                f.store(some, to, hand * j)


def _pooled(f, upper, lower, a, truths, whole):
    """The two maxima of 2x2 outputs in rows 2 a, 2 a + 1 of each tile; outputs beyond the map do not count.

    truths: four rows of lanes: is there an output below row 0, below row 2, beside column 0, beside column 2?
    """
    line = []
    below = f.load(truths, whole * a) > 0.5
    for b in (0, 1):
        pair = [f.select(below, f.largest(upper[k], lower[k]), upper[k]) for k in (2 * b, 2 * b + 1)]
        beside = f.load(truths, whole * (2 + b)) > 0.5
        line.append(f.select(beside, f.largest(*pair), pair[0]))
    return line


def _collect(f, apart, y, y_row, rows, columns, down, across, hand, ways):
    """Rows of y from `ways` columns of each tile, which lie apart; zeros behind the end of a row."""
    with f.loop(0, down) as r:
        for a in range(ways):
            p = r * ways + a
            with f.when(p < rows):
                line = f.at(apart, hand * (a * ways) + r * across)
                for start in range(0, across, f.lanes):
                    parts = winograd.interleave(f, [f.load(line, hand * b + start) for b in range(ways)])
                    for k, pixels in enumerate(parts):
                        q = start * ways + k * f.lanes
                        if k * f.lanes < min(across - start, f.lanes) * ways:
                            inside = lanes_below(f, columns - q)
                            f.store(f.select(inside, pixels, f.constant(0.0)), y, p * y_row + q)
