"""Floats to 8-bit integers, two channels of them in the place of one: what `products.Pairs` multiplies.

    channel 0   [ x x x x ... ]   round, clip    [ q q' | q q' | q q' | q q' ... ]
    channel 1   [ x'x'x'x'... ]   ----------->
    channel 2   ...                              the next two channels

A last channel without a partner gets zeros. Pairs do not reach from one group of channels into the next.

row: x, y, numbers (scale, least and greatest integer as floats), groups, channels in each, H, length of a row in
floats, x's row and channel stride, y's.
"""
from npcbnet.runtime.assembler import FLOAT
from npcbnet.runtime.micro.products import WORD, quantised
from npcbnet.runtime.micro.vectors import sweep


def write(f):
    """The function's text."""
    x, y, numbers = f.pointers(0, 3)
    groups, C, H, length, x_row, x_channel, y_row, y_channel = f.numbers(3, 8)
    scale, low, high = (f.load(numbers, i, FLOAT) for i in range(3))
    pairs = (C + 1) / 2
    with f.loop(0, groups) as g:
        with f.loop(0, pairs) as c:
            partner = c * 2 + 1 < C
            keep = f.select(partner, f.constant(0xFFFF, WORD), f.constant(0, WORD))
            xc, yc = f.at(x, (g * C + c * 2) * x_channel), f.at(y, (g * pairs + c) * y_channel)
            second = f.select(partner, f.at(xc, x_channel), xc)
            with f.loop(0, H) as h:
                first_row, second_row, to = f.at(xc, h * x_row), f.at(second, h * x_row), f.at(yc, h * y_row)

                def body(i, type):
                    wide = (lambda value: value) if type == FLOAT else f.spread
                    ends = wide(scale), wide(low), wide(high)
                    q, r = (quantised(f, f.load(row, i, type), *ends) for row in (first_row, second_row))
                    high_half = f.emit(f"shl {r.type} {(r & wide(keep)).name}, {f.operand(16, r.type)}", r.type)
                    f.store(q & 0xFFFF | high_half, to, i)

                sweep(f, length, body)
    return f.finish()
