"""Dense layer of 8-bit integers on a group of images: `dense_group` with pairs of features in the place of one.

row: x (pairs of 16-bit integers, a pair an image), w (pairs, too), scale, b, y, pairs, tiles, bounds.
fixed: vectors, outs. Weights are packed (tile, pairs, outs), a pair each.
"""
from npcbnet.runtime.micro.products import Pairs
from npcbnet.runtime.micro.vectors import clamp


def write(f, vectors, outs):
    """The function's text."""
    x, w, scale, b, y = f.pointers(0, 5)
    count, tiles = f.numbers(5, 2)
    bounds = f.pointer(7)
    low, high = f.broadcast(bounds, 0), f.broadcast(bounds, 1)
    pairs, group = Pairs(f), vectors * f.lanes
    with f.loop(0, tiles) as t:
        wt, yt = f.at(w, t * count * outs), f.at(y, t * (outs * group))
        with f.loop(0, count, carried=[pairs.zero] * (outs * vectors)) as loop:
            xd, wd = f.at(x, loop.number * group), f.at(wt, loop.number * outs)
            here = [pairs.load(xd, u * f.lanes) for u in range(vectors)]
            for o in range(outs):
                weight = pairs.spread(wd, o)
                for u in range(vectors):
                    place = o * vectors + u
                    loop.sums[place] = pairs.add(here[u], weight, loop.sums[place])
        for o in range(outs):
            for u in range(vectors):
                total = pairs.floats(loop.results[o * vectors + u])
                value = pairs.finished(total, f.broadcast(scale, t * outs + o), f.broadcast(b, t * outs + o))
                f.store(clamp(f, value, low, high), yt, o * group + u * f.lanes)
    return f.finish()
