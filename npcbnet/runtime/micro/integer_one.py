"""Dense layer of 8-bit integers on one image: `dense_one` with pairs of features in the place of one.

    places        1        4                    pairs of features that are not both zero
    y += (x[2], x[3]) . (w[2, :], w[3, :]) + (x[8], x[9]) . (w[8, :], w[9, :]) ...

A weight is one byte: a quarter of what `dense_one` reads. Sums are whole numbers; each output has a scale of its own.

row: x (pairs of 16-bit integers), w, scale, b, y, pairs, tiles, bounds, places (room for pairs + 8 int64).
fixed: vectors, in a tile. Weights are packed (tile, pairs, vectors x lanes, 2), bytes.
"""
from npcbnet.runtime.assembler import BYTE, NUMBER
from npcbnet.runtime.micro.dense_one import CHAINS
from npcbnet.runtime.micro.products import WORD, Pairs, list_pairs
from npcbnet.runtime.micro.vectors import clamp


def write(f, vectors):
    """The function's text."""
    x, w, scale, b, y = f.pointers(0, 5)
    count, tiles = f.numbers(5, 2)
    bounds, places = f.pointers(7, 2)
    low, high = f.broadcast(bounds, 0), f.broadcast(bounds, 1)
    pairs, wide, unroll = Pairs(f), vectors * f.lanes, max(1, CHAINS // 2 // vectors)
    used = list_pairs(f, x, count, places)
    rounds = used // unroll * unroll
    with f.loop(0, tiles) as t:
        wt = f.at(w, t * count * (2 * wide), BYTE)

        def add(sums, u, place):
            d = f.load(places, place, NUMBER)
            here, row = f.spread(f.load(x, d, WORD)), f.at(wt, d * (2 * wide), BYTE)
            for v in range(vectors):
                at = u * vectors + v
                sums[at] = pairs.add(here, pairs.load_bytes(row, 2 * v * f.lanes), sums[at])

        with f.loop(0, rounds, step=unroll, carried=[pairs.zero] * (unroll * vectors)) as loop:
            for u in range(unroll):
                add(loop.sums, u, loop.number + u)
        with f.loop(rounds, used, carried=loop.results) as rest:
            add(rest.sums, 0, rest.number)
        for v in range(vectors):
            total = rest.results[v]
            for u in range(1, unroll):
                total = total + rest.results[u * vectors + v]
            place = t * wide + v * f.lanes
            value = pairs.finished(pairs.floats(total), f.load(scale, place), f.load(b, place))
            f.store(clamp(f, value, low, high), y, place)
    return f.finish()
