"""Convolution of one image at some places alone: the lanes are a kernel row's taps.

    x at a place      [ x x x x x . . . ]   row k of the window, whatever lies behind its end
    filter            [ w w w w w 0 0 0 ]   row k, filled up with zeros

`together` places of one filter go side by side: each row of weights is loaded once for all of them, each place has a
sum of its own. At the end the lanes of all sums are added up, two sums at a time in one vector.

row: x (corner of the frame), w, b, offsets (of each place's window, int64), filters (of each block's, int64), y (a
float a place), blocks, rows (offsets of the C K rows of a window, int64), C K. fixed: kernel, together (a power of 2).
Weights are packed (F, C, K, row filled up), biases (F,).
"""
from npcbnet.runtime.assembler import FLOAT, NUMBER


def width(kernel):
    """(lanes of a vector, vectors of a kernel row)."""
    lanes = 4 if kernel <= 4 else 8
    return lanes, -(-kernel // lanes)


def write(f, kernel, together):
    """The function's text."""
    x, w, b, offsets, filters, y = f.pointers(0, 6)
    blocks, rows, count = f.number(6), f.pointer(7), f.number(8)
    lanes, vectors = width(kernel)
    type, wide = f"<{lanes} x float>", lanes * vectors
    with f.loop(0, blocks) as block:
        which = f.load(filters, block, NUMBER)
        windows = [f.at(x, f.load(offsets, block * together + j, NUMBER)) for j in range(together)]
        wf = f.at(w, which * count * wide)
        with f.loop(0, count, carried=[f.constant(0.0, type)] * together) as row:
            offset = f.load(rows, row.number, NUMBER)
            for v in range(vectors):
                weight = f.load(wf, row.number * wide + v * lanes, type)
                for j in range(together):
                    here = _known(f, f.load(f.at(windows[j], offset), v * lanes, type), kernel - v * lanes)
                    row.sums[j] = f.fma(here, weight, row.sums[j])
        f.store(_sums(f, row.results, lanes) + f.spread(f.load(b, which, FLOAT), together), y, block * together)
    return f.finish()


def _known(f, value, count):
    """The vector with zeros behind its first `count` lanes, where what lies there might be NaN."""
    lanes = f.lanes_of(value.type)
    if f.sure or count >= lanes:
        return value
    return f.shuffle(value, f.constant(0.0, value.type), [lane if lane < count else lanes for lane in range(lanes)])


def _sums(f, values, lanes):
    """Vectors of `lanes` lanes -> one vector of each one's sum.

    A round makes one of two neighbours: [a a a a] [b b b b] -> [a a | b b]. Then parts of a single vector are halved.
    """
    while len(values) > 1:
        joined = []
        for a, b in zip(values[::2], values[1::2]):
            if lanes == 1:
                joined.append(f.shuffle(a, b, range(2 * f.lanes_of(a.type))))
            else:
                joined.append(_halves_added(f, a, b, lanes))
        values, lanes = joined, max(1, lanes // 2)
    value = values[0]
    while lanes > 1:
        value, lanes = _halves_added(f, value, None, lanes), lanes // 2
    return value


def _halves_added(f, a, b, lanes):
    """The parts (of `lanes` lanes each) of a and, if there is one, of b: each one's lower half plus its upper half."""
    size = f.lanes_of(a.type) * (1 if b is None else 2)
    starts = range(0, size, lanes)
    lower, upper = ([start + side * (lanes // 2) + lane for start in starts for lane in range(lanes // 2)]
                    for side in (0, 1))
    b = a if b is None else b
    return f.shuffle(a, b, lower) + f.shuffle(a, b, upper)
