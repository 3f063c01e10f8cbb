"""Value by value, along rows of any length: ReLU and its like, sums of two maps, scales a channel.

    clamp     y = min(max(x, low), high)            ReLU, ReLU6, Clip
    leaky     y = x where x > 0, else low * x
    scale     y = scale[c] * x + shift[c], clamped  batch normalisation that no convolution could take
    add       y = x + other, clamped
    sigmoid   y = 1 / (1 + exp(-x))
    tanh      y = 2 sigmoid(2 x) - 1
    ratio     y = x / other[0], where other is one row of a group (or one value) that all rows share

row: x, other (scales and shifts, the second map or the row of divisors), y, bounds, C, H, length of a row, x's row
and channel stride, other's, y's. fixed: what; spread (ratio only: divisors a group row of `spread` floats; 0 else).
"""
from npcbnet.runtime.assembler import FLOAT
from npcbnet.runtime.micro import vectors


def write(f, what, spread=0):
    """The function's text."""
    x, other, y, bounds = f.pointers(0, 4)
    C, H, length, x_row, x_channel, other_row, other_channel, y_row, y_channel = f.numbers(4, 9)
    low, high = f.load(bounds, 0, FLOAT), f.load(bounds, 1, FLOAT)
    with f.loop(0, C) as c:
        scale, shift = (f.load(other, c * 2, FLOAT), f.load(other, c * 2 + 1, FLOAT)) if what == "scale" else (0, 0)
        with f.loop(0, H) as h:
            xr, yr = f.at(x, c * x_channel + h * x_row), f.at(y, c * y_channel + h * y_row)
            second = f.at(other, c * other_channel + h * other_row)

            def body(i, type):
                wide = (lambda value: value) if type == FLOAT else f.spread
                value = f.load(xr, i, type)
                if what == "leaky":
                    value = f.select(value > 0.0, value, value * wide(low))
                elif what == "sigmoid":
                    value = _sigmoid(f, value)
                elif what == "tanh":
                    value = _sigmoid(f, value * 2.0) * 2.0 - 1.0
                elif what == "ratio":
                    value = value / (f.load(second, i % spread, type) if spread > 1 else wide(f.load(other, 0, FLOAT)))
                else:
                    if what == "scale":
                        value = f.fma(value, wide(scale), wide(shift))
                    elif what == "add":
                        value = value + f.load(second, i, type)
                    value = vectors.clamp(f, value, wide(low), wide(high))
                f.store(value, yr, i)

            vectors.sweep(f, length, body)
    return f.finish()


def _sigmoid(f, x):
    """1 / (1 + e^-|x|), or e^-|x| times that where x is negative: no power overflows."""
    zero = f.constant(0.0, x.type)
    small = vectors.exp(f, f.smaller(x, zero - x))  # x last: a NaN comes through
    share = f.constant(1.0, x.type) / (small + 1.0)
    return f.select(x < zero, small * share, share)
