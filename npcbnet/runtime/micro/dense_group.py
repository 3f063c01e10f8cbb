"""Dense layer on a group of images: every weight meets all images of the group at once.

             x, feature d   [ image 0..15 | 16..31 | ... ]     `vectors` registers
                                   *            *
    w[o, d]  one float, spread over a register, for `outs` outputs at a time
                                   |            |
             outs x vectors sums stay in registers until all features are done

Sums in most registers hide the latency of the multiply-adds. Weights are packed (tile, D, outs), so they are read in
the order in which they lie. Features that are zero in every image of the group (the border of digits, units that a ReLU
has switched off) can be left out: their places are listed first.

row: x, w, b, y, D, tiles, bounds (least and greatest result), places (room for D + 8 int64).
fixed: vectors, outs, skip (1: leave zero features out).
"""
from npcbnet.runtime.assembler import NUMBER
from npcbnet.runtime.micro.vectors import clamp, outer


def write(f, vectors, outs, skip):
    """The function's text."""
    x, w, b, y = f.pointers(0, 4)
    D, tiles = f.numbers(4, 2)
    bounds, places = f.pointers(6, 2)
    low, high = f.broadcast(bounds, 0), f.broadcast(bounds, 1)
    group = vectors * f.lanes
    count = _list_places(f, x, D, places, vectors) if skip else D
    with f.loop(0, tiles) as t:
        wt, bt, yt = f.at(w, t * D * outs), f.at(b, t * outs), f.at(y, t * (outs * group))
        start = [f.broadcast(bt, o) for o in range(outs) for _ in range(vectors)]
        with f.loop(0, count, carried=start) as loop:
            d = f.load(places, loop.number, NUMBER) if skip else loop.number
            outer(f, loop.sums, f.at(wt, d * outs), f.at(x, d * group), outs, vectors)
        for o in range(outs):
            for u in range(vectors):
                f.store(clamp(f, loop.results[o * vectors + u], low, high), yt, o * group + u * f.lanes)
    return f.finish()


def _list_places(f, x, D, places, vectors):
    """Write the numbers of the features that are not zero everywhere, in order; returns how many (a NaN is not
    zero)."""
    with f.loop(0, D, carried=[f.constant(0, NUMBER)]) as loop:
        f.store(loop.number, places, loop.sums[0])
        there = None
        for u in range(vectors):
            value = f.load(x, loop.number * (vectors * f.lanes) + u * f.lanes)
            some = f.emit(f"fcmp une {f.vector} {value.name}, {f.operand(0.0, f.vector)}", f.truths)
            there = some if there is None else there | some
        there = f.call(f"llvm.vector.reduce.or.v{f.lanes}i1", "i1", there)
        loop.sums[0] = loop.sums[0] + f.cast("zext", there, NUMBER)
    return loop.results[0]
