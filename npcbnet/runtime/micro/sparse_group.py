"""Dense layer of which most weights are zero, on a group of images: each output's weights with their features.

    output 0:   .3, feature 1     .9, feature 3     ...      y[0] += .3 * [ x[1] of image 0..15 ]
                                                             y[0] += .9 * [ x[3] of image 0..15 ]

A weight is spread over a register and meets its feature in all images of the group; with `block` 4, one load of a
feature serves four outputs. CHAINS sums or more run side by side, so that none waits for the one before; those of an
output are added up at its end.

row: x, w, feature (uint16, one a block), ends (of each block of outputs, the first is 0; int64), b, y, blocks of
outputs, bounds. fixed: vectors, block.
"""
from npcbnet.runtime.assembler import NUMBER
from npcbnet.runtime.micro.vectors import clamp

CHAINS = 8


def write(f, vectors, block):
    """The function's text."""
    x, w, feature, ends, b, y = f.pointers(0, 6)
    blocks, bounds = f.number(6), f.pointer(7)
    low, high = f.broadcast(bounds, 0), f.broadcast(bounds, 1)
    group, sums_of_one = vectors * f.lanes, vectors * block
    unroll = max(1, CHAINS // sums_of_one)
    with f.loop(0, blocks) as t:
        first, end = f.load(ends, t, NUMBER), f.load(ends, t + 1, NUMBER)
        whole = first + (end - first) // unroll * unroll
        bt, yt = f.at(b, t * block), f.at(y, t * (block * group))

        def add(sums, u, k):
            xd = f.at(x, f.cast("zext", f.load(feature, k, "i16", align=2), NUMBER) * group)
            here = [f.load(xd, v * f.lanes) for v in range(vectors)]
            wk = f.at(w, k * block)
            for o in range(block):
                weight = f.broadcast(wk, o)
                for v in range(vectors):
                    place = u * sums_of_one + o * vectors + v
                    sums[place] = f.fma(here[v], weight, sums[place])

        start = [f.broadcast(bt, o) for o in range(block) for _ in range(vectors)]
        start += [f.constant(0.0)] * (sums_of_one * (unroll - 1))
        with f.loop(first, whole, step=unroll, carried=start) as loop:
            for u in range(unroll):
                add(loop.sums, u, loop.number + u)
        with f.loop(whole, end, carried=loop.results) as rest:
            add(rest.sums, 0, rest.number)
        for place in range(sums_of_one):
            total = rest.results[place]
            for u in range(1, unroll):
                total = total + rest.results[u * sums_of_one + place]
            f.store(clamp(f, total, low, high), yt, place * f.lanes)
    return f.finish()
