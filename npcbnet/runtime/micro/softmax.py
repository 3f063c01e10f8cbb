"""Softmax over all features of an image, times `total`; or the picture that a converter's softmax stands for.

    softmax   y = total * exp(x - max x) / sum of exp(x - max x)
    picture   y = exp(x - max x), which is the softmax divided by its brightest value

row: x, y, scratch (one row of a group), D, bounds (total first). fixed: picture, group (images side by side; 1: one
image).
"""
from npcbnet.runtime.assembler import FLOAT
from npcbnet.runtime.micro import vectors


def write(f, picture, group):
    """The function's text."""
    x, y, scratch = f.pointers(0, 3)
    D, bounds = f.number(3), f.pointer(4)
    total = f.load(bounds, 0, FLOAT)
    if group == 1:
        _one(f, x, y, scratch, D, total, picture)
    else:
        for u in range(0, group, f.lanes):
            _group(f, f.at(x, u), f.at(y, u), D, f.spread(total), picture, group)
    return f.finish()


def _group(f, x, y, D, total, picture, group):
    """Features one after the other, a vector of images at a time."""
    with f.loop(0, D, carried=[f.constant(float("-inf"))]) as loop:
        loop.sums[0] = f.largest(loop.sums[0], f.load(x, loop.number * group))
    largest = loop.results[0] + (loop.results[0] - loop.results[0])  # of infinity NaN: there is no answer
    with f.loop(0, D, carried=[f.constant(0.0)]) as loop:
        share = vectors.exp(f, f.load(x, loop.number * group) - largest)
        f.store(share, y, loop.number * group)
        loop.sums[0] = loop.sums[0] + share
    if not picture:
        scale = total / loop.results[0]
        with f.loop(0, D) as d:
            f.store(f.load(y, d * group) * scale, y, d * group)


def _one(f, x, y, scratch, D, total, picture):
    """One image: the features are the lanes. Whole vectors, then the rest float by float."""
    whole = D // f.lanes * f.lanes
    with f.loop(0, whole, step=f.lanes, carried=[f.constant(float("-inf"))]) as loop:
        loop.sums[0] = f.largest(loop.sums[0], f.load(x, loop.number))
    f.store(loop.results[0], scratch)
    with f.loop(0, f.lanes, carried=[f.constant(float("-inf"), FLOAT)]) as lanes:
        lanes.sums[0] = f.largest(lanes.sums[0], f.load(scratch, lanes.number, FLOAT))
    with f.loop(whole, D, carried=lanes.results) as rest:
        rest.sums[0] = f.largest(rest.sums[0], f.load(x, rest.number, FLOAT))
    largest = rest.results[0] + (rest.results[0] - rest.results[0])
    with f.loop(0, whole, step=f.lanes, carried=[f.constant(0.0)]) as loop:
        share = vectors.exp(f, f.load(x, loop.number) - f.spread(largest))
        f.store(share, y, loop.number)
        loop.sums[0] = loop.sums[0] + share
    f.store(loop.results[0], scratch)
    with f.loop(0, f.lanes, carried=[f.constant(0.0, FLOAT)]) as lanes:
        lanes.sums[0] = lanes.sums[0] + f.load(scratch, lanes.number, FLOAT)
    with f.loop(whole, D, carried=lanes.results) as rest:
        share = vectors.exp(f, f.load(x, rest.number, FLOAT) - largest)
        f.store(share, y, rest.number)
        rest.sums[0] = rest.sums[0] + share
    if not picture:
        scale = total / rest.results[0]

        def body(i, type):
            f.store(f.load(y, i, type) * (scale if type == FLOAT else f.spread(scale)), y, i)
        with f.loop(0, whole, step=f.lanes) as i:
            body(i, f.vector)
        with f.loop(whole, D) as i:
            body(i, FLOAT)
