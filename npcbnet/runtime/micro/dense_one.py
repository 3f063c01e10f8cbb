"""Dense layer on one image: a row of weights is wanted only where the input is not exactly zero.

    x   0  0  .7  0  .2  1  0 ...         most pixels of a digit are background
    places          2      4  5           listed once, without a branch
    y += x[2] * w[2, :] + x[4] * w[4, :] + x[5] * w[5, :] ...

What limits a dense layer at batch 1 is reading its weights, not arithmetic; rows of zeros are not read at all.
Weights are packed (tile, D, vectors x lanes): a tile's rows follow one another in memory, and the processor fetches
them ahead. A few wide sums (at least `chains` of them) run side by side, so that none waits for the one before.

Weights that are float16 numbers are kept as such, half the bytes, and widened to float32 in registers: the results
are those of float32 weights of the same values.

row: x, w, b, y, D, tiles, bounds, places (room for D + 8 int64). fixed: vectors, in a tile; half (1: w is float16).
"""
from npcbnet.runtime.assembler import FLOAT, HALF, NUMBER
from npcbnet.runtime.micro.vectors import clamp

CHAINS = 8  # multiply-adds in flight that it takes to hide their latency


def write(f, vectors, half):
    """The function's text."""
    x, w, b, y = f.pointers(0, 4)
    D, tiles = f.numbers(4, 2)
    bounds, places = f.pointers(6, 2)
    low, high = f.broadcast(bounds, 0), f.broadcast(bounds, 1)
    wide, number = vectors * f.lanes, HALF if half else FLOAT
    unroll = max(1, CHAINS // vectors)
    count = list_places(f, x, D, places)
    rounds = count // unroll * unroll
    with f.loop(0, tiles) as t:
        wt = f.at(w, t * D * wide, number)
        start = [f.load(b, t * wide + v * f.lanes) for v in range(vectors)]
        zeros = [f.constant(0.0)] * (vectors * (unroll - 1))

        def add(sums, u, place):
            d = f.load(places, place, NUMBER)
            value, row = f.spread(f.load(x, d, FLOAT)), f.at(wt, d * wide, number)
            for v in range(vectors):
                weight = f.load_widened(row, v * f.lanes) if half else f.load(row, v * f.lanes)
                sums[u * vectors + v] = f.fma(weight, value, sums[u * vectors + v])

        with f.loop(0, rounds, step=unroll, carried=start + zeros) as loop:
            for u in range(unroll):
                add(loop.sums, u, loop.number + u)
        with f.loop(rounds, count, carried=loop.results) as rest:
            add(rest.sums, 0, rest.number)
        for v in range(vectors):
            total = rest.results[v]
            for u in range(1, unroll):
                total = total + rest.results[u * vectors + v]
            f.store(clamp(f, total, low, high), y, t * wide + v * f.lanes)
    return f.finish()


def list_places(f, x, D, places):
    """Write the places of x that are not zero, in order; returns how many (a NaN is not zero)."""
    zero = f.constant(0, NUMBER)
    with f.loop(0, D, carried=[zero]) as loop:
        f.store(loop.number, places, loop.sums[0])
        value = f.load(x, loop.number, FLOAT)
        there = f.emit(f"fcmp une float {value.name}, {f.operand(0.0, FLOAT)}", "i1")
        loop.sums[0] = loop.sums[0] + f.cast("zext", there, NUMBER)
    return loop.results[0]
