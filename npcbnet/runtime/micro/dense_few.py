"""Dense layer with few outputs on one image: the features are the lanes, every output has a sum of its own.

    x    [ x0  x1  x2  x3 ] [ x4 ...        w[0]  [ w w w w ] [ w ...     sum 0  [ s s s s ]  --added up-->  y[0]
                                            w[1]  [ w w w w ] [ w ...     sum 1  [ s s s s ]  --added up-->  y[1]

`dense_one` would have one vector of outputs, that is one sum that waits for itself at every feature.

row: x, w, b, y, D, bounds. Behind the last feature weights are zero, and inputs count as zero whatever lies there.
fixed: outs, the number of outputs, at most 24. Weights are packed (outs, D).
"""
from npcbnet.runtime.assembler import FLOAT
from npcbnet.runtime.micro.finish_plane import lanes_below
from npcbnet.runtime.micro.vectors import clamp


def write(f, outs):
    """The function's text."""
    x, w, b, y = f.pointers(0, 4)
    D, bounds = f.number(4), f.pointer(5)
    whole = (D + (f.lanes - 1)) / f.lanes * f.lanes
    low, high = f.load(bounds, 0, FLOAT), f.load(bounds, 1, FLOAT)
    rows = [f.at(w, whole * o) for o in range(outs)]
    with f.loop(0, D, step=f.lanes, carried=[f.constant(0.0)] * outs) as loop:
        here = f.select(lanes_below(f, D - loop.number), f.load(x, loop.number), f.constant(0.0))
        for o in range(outs):
            loop.sums[o] = f.fma(f.load(rows[o], loop.number), here, loop.sums[o])
    for o, value in enumerate(loop.results):
        total = _added_up(f, value) + f.load(b, o, FLOAT)
        f.store(clamp(f, total, low, high), y, o)
    return f.finish()


def _added_up(f, value):
    """The sum of a vector's lanes, halves first."""
    lanes = f.lanes
    while lanes > 1:
        lanes //= 2
        value = f.shuffle(value, value, range(lanes)) + f.shuffle(value, value, range(lanes, 2 * lanes))
    return f.emit(f"extractelement {value.type} {value.name}, i64 0", FLOAT)
