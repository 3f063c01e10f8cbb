"""Local response normalisation: y = x * (k + alpha * sum of squares over neighbouring channels)^-beta.

(Krizhevsky et al., 2012, section 3.3.) The power is exp(-beta ln s). Lanes behind the end of a row are written as
zeros: they fall into the frame right of it, or where the next row will be written.

row: x, y, numbers (k, alpha, -beta), C, H, W, x's row and channel stride, y's row and channel stride, channels to each
side. fixed: group.
"""
from npcbnet.runtime.assembler import NUMBER
from npcbnet.runtime.micro import vectors
from npcbnet.runtime.micro.finish_plane import lanes_below

TOO_LARGE, INFINITY = 88.0, float("inf")  # what e to the power of more is, nearly, and what vectors.exp cannot tell


def write(f, group):
    """The function's text."""
    x, y, numbers = f.pointers(0, 3)
    C, H, W, x_row, x_channel, y_row, y_channel, around = f.numbers(3, 8)
    k, alpha, power = (f.broadcast(numbers, i) for i in range(3))
    with f.loop(0, C) as c:
        start = f.select(c < around, f.constant(0, NUMBER), c - around)
        stop = c + around + 1
        stop = f.select(stop < C, stop, C)
        with f.loop(0, H) as h:
            here, to = f.at(x, h * x_row), f.at(y, c * y_channel + h * y_row)
            with f.loop(0, W * group, step=f.lanes) as i:
                with f.loop(start, stop, carried=[f.constant(0.0)]) as loop:
                    value = f.load(here, loop.number * x_channel + i)
                    loop.sums[0] = f.fma(value, value, loop.sums[0])
                s = f.fma(loop.results[0], alpha, k)
                exponent = vectors.log(f, s) * power
                factor = f.select(exponent > f.constant(TOO_LARGE), f.constant(INFINITY), vectors.exp(f, exponent))
                value = f.load(here, c * x_channel + i) * factor
                f.store(f.select(lanes_below(f, W * group - i), value, f.constant(0.0)) if group == 1 else value, to, i)
    return f.finish()
