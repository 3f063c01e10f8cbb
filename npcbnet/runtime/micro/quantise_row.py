"""The features of one image as 8-bit integers: neighbours become the pairs that `products.Pairs` multiplies.

row: x, y (D 16-bit integers, and a zero where D is odd), numbers (scale, least and greatest integer as floats), D.
"""
from npcbnet.runtime.assembler import FLOAT
from npcbnet.runtime.micro.products import quantised
from npcbnet.runtime.micro.vectors import sweep


def write(f):
    """The function's text."""
    x, y, numbers = f.pointers(0, 3)
    D = f.number(3)
    scale, low, high = (f.load(numbers, i, FLOAT) for i in range(3))

    def body(i, type):
        wide = (lambda value: value) if type == FLOAT else f.spread
        q = quantised(f, f.load(x, i, type), wide(scale), wide(low), wide(high))
        f.store(f.cast("trunc", q, q.type.replace("i32", "i16")), y, i, align=2)

    sweep(f, D, body)
    f.store(f.constant(0, "i16"), y, D, align=2)
    return f.finish()
