"""Some pixels of a map, each the largest of `of` pixels of another; all others stay as they are.

    from   [ 7 2 9 9 ]  [ 0 9 9 9 ]  ...        numbers of pixels of x
    to     [ 31 ]       [ 4 ]        ...        y[31] = clamp(max(x[7], x[2], x[9], x[9]))

With `of` 1 it gathers features or puts them back where they belong; with `of` 4 it is the 2x2 maximum behind a
convolution of some places, where a pixel of zeros stands for all places that were left out.

row: x, y, from, to (int64, in floats), how many, bounds. fixed: of.
"""
from npcbnet.runtime.assembler import NUMBER
from npcbnet.runtime.micro.vectors import clamp


def write(f, of):
    """The function's text."""
    x, y, sources, to = f.pointers(0, 4)
    count, bounds = f.number(4), f.pointer(5)
    low, high = f.broadcast(bounds, 0), f.broadcast(bounds, 1)
    with f.loop(0, count) as i:
        values = [f.load(x, f.load(sources, i * of + j, NUMBER)) for j in range(of)]
        while len(values) > 1:
            values = [f.largest(a, b) for a, b in zip(values[::2], values[1::2])]
        f.store(clamp(f, values[0], low, high), y, f.load(to, i, NUMBER))
    return f.finish()
