"""Dense layer of which most weights are zero, on one image: what is left of each feature's row, with its outputs.

    x    0   .7   0   1 ...
    w        [ .3 -.1 ]   [ .9 .2 .5 ]       feature 1: outputs 4 and 17; feature 3: outputs 0, 4 and 80
    output   [  4  17 ]   [  0  4 80 ]
    y[4] += .3 * .7,  y[17] += -.1 * .7,  y[0] += .9 * 1 ...

With `block` 4, four neighbouring outputs stand where one stands here: where weights vanish four by four, that is a
quarter of the work. The sums lie in memory that is near. Rows whose feature is exactly zero are not read, as in
`dense_one`. A row is filled up to a multiple of UNROLL by zeros for outputs behind the last, so that its loop has no
end to treat apart; the outputs of a row differ, so all of a turn's sums may be read before the first is written.

row: x, w, output (uint16; the first of each block), ends (of each row's blocks, D + 1 int64, the first is 0), b, y, D,
outputs rounded up to blocks, bounds, places (room for D + 8 int64). fixed: block.
"""
from npcbnet.runtime.assembler import FLOAT, NUMBER
from npcbnet.runtime.micro.dense_one import list_places
from npcbnet.runtime.micro.vectors import clamp

UNROLL = 2


def write(f, block):
    """The function's text."""
    x, w, output, ends, b, y = f.pointers(0, 6)
    D, O = f.numbers(6, 2)
    bounds, places = f.pointers(8, 2)
    low, high = f.broadcast(bounds, 0), f.broadcast(bounds, 1)
    wide = FLOAT if block == 1 else f"<{block} x float>"
    with f.loop(0, O, step=f.lanes) as o:
        f.store(f.load(b, o), y, o)
    count = list_places(f, x, D, places)
    with f.loop(0, count) as i:
        d = f.load(places, i, NUMBER)
        value = f.spread(f.load(x, d, FLOAT), block)
        with f.loop(f.load(ends, d, NUMBER), f.load(ends, d + 1, NUMBER), step=UNROLL) as k:
            to = [f.cast("zext", f.load(output, k + u, "i16", align=2), NUMBER) for u in range(UNROLL)]
            sums = [f.fma(f.load(w, (k + u) * block, wide), value, f.load(y, to[u], wide)) for u in range(UNROLL)]
            for u in range(UNROLL):
                f.store(sums[u], y, to[u])
    with f.loop(0, O, step=f.lanes) as o:
        f.store(clamp(f, f.load(y, o), low, high), y, o)
    return f.finish()
