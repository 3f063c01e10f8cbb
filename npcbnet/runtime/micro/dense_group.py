"""Dense layer on a group of images: every weight meets all images of the group at once.

             x, feature d   [ image 0..15 | 16..31 | ... ]     `vectors` registers
                                   *            *
    w[o, d]  one float, spread over a register, for `outs` outputs at a time
                                   |            |
             outs x vectors sums stay in registers until all features are done

24 sums hide the latency of the multiply-adds and leave room for the inputs. Weights are packed (tile, D, outs), so
they are read in the order in which they lie.

row: x, w, b, y, D, tiles, bounds (least and greatest result). fixed: vectors, outs.
"""
from npcbnet.runtime.micro.vectors import clamp


def write(f, vectors, outs):
    """The function's text."""
    x, w, b, y = f.pointers(0, 4)
    D, tiles = f.numbers(4, 2)
    bounds = f.pointer(6)
    low, high = f.broadcast(bounds, 0), f.broadcast(bounds, 1)
    group = vectors * f.lanes
    with f.loop(0, tiles) as t:
        wt, bt, yt = f.at(w, t * D * outs), f.at(b, t * outs), f.at(y, t * (outs * group))
        start = [f.broadcast(bt, o) for o in range(outs) for _ in range(vectors)]
        with f.loop(0, D, carried=start) as loop:
            xd, wd = f.at(x, loop.number * group), f.at(wt, loop.number * outs)
            here = [f.load(xd, u * f.lanes) for u in range(vectors)]
            for o in range(outs):
                weight = f.broadcast(wd, o)
                for u in range(vectors):
                    place = o * vectors + u
                    loop.sums[place] = f.fma(weight, here[u], loop.sums[place])
        for o in range(outs):
            for u in range(vectors):
                f.store(clamp(f, loop.results[o * vectors + u], low, high), yt, o * group + u * f.lanes)
    return f.finish()
