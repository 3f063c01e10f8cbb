"""What a kernel multiplies and adds: floats, or pairs of 16-bit integers that lie where a float would.

    floats    x    [  x0  |  x1  | ... ]     pairs    [ x0 x0' |  x1 x1' | ... ]    x: one channel, x': the next
              w    [  w   |  w   | ... ]              [ w  w'  |  w  w'  | ... ]
              sum  [ + x0 w | ... ]                   [ + x0 w + x0' w' | ... ]     32 bits, exact

A pair takes the place of a float, so a kernel walks along either in the same steps; it only meets half as many
channels. Processors do both multiplications of a pair and their sum in one instruction (x86: pmaddwd) or nearly (Arm:
smull, addp).
"""
from npcbnet.runtime.assembler import FLOAT, NUMBER

WORD = "i32"


class Floats:
    """Products of floats."""

    def __init__(self, f):
        self.f, self.zero = f, f.constant(0.0)

    def load(self, pointer, index):
        """A vector of inputs."""
        return self.f.load(pointer, index)

    def spread(self, pointer, index):
        """One weight in every lane."""
        return self.f.broadcast(pointer, index)

    def add(self, x, weight, total):
        """total + x * weight."""
        return self.f.fma(x, weight, total)

    def floats(self, total):
        """A sum as floats."""
        return total

    def finished(self, total, scale, bias):
        """A sum, as floats, as the layer's result."""
        return total + bias


class Pairs:
    """Products of pairs."""

    def __init__(self, f):
        self.f, self.zero = f, f.constant(0, f.whole)

    def load(self, pointer, index):
        """A vector of inputs, a pair a lane."""
        return self.f.load(pointer, index, self.f.whole)

    def spread(self, pointer, index):
        """One pair of weights in every lane."""
        return self.f.spread(self.f.load(pointer, index, WORD))

    def add(self, x, weight, total):
        """total + both products, lane by lane."""
        f = self.f
        x, weight = (f.cast("sext", self._halves(side), f"<{2 * f.lanes} x {WORD}>") for side in (x, weight))
        both = x * weight  # LLVM knows this form: it never makes 32-bit products of it
        return total + (f.shuffle(both, both, range(0, 2 * f.lanes, 2)) + f.shuffle(both, both,
                                                                                      range(1, 2 * f.lanes, 2)))

    def _halves(self, words):
        """Pairs as twice as many 16-bit integers; what has that form already stays."""
        halves = f"<{2 * self.f.lanes} x i16>"
        return words if words.type == halves else self.f.cast("bitcast", words, halves)

    def load_bytes(self, pointer, index):
        """A vector of pairs of weights from pairs of bytes; index in bytes."""
        f = self.f
        return f.cast("sext", f.load(pointer, index, f"<{2 * f.lanes} x i8>", align=1), f"<{2 * f.lanes} x i16>")

    def floats(self, total):
        """A sum as floats, rounded where it has more than 24 bits."""
        return self.f.cast("sitofp", total, self.f.vector)

    def finished(self, total, scale, bias):
        """A sum, as floats, times its scale plus its bias, rounded after each: the reference's very bits."""
        product = self.f.emit(f"fmul {total.type} {total.name}, {scale.name}", total.type)
        return self.f.emit(f"fadd {total.type} {product.name}, {bias.name}", total.type)


def products(f, pairs):
    """Pairs or Floats."""
    return Pairs(f) if pairs else Floats(f)


def list_pairs(f, x, count, places):
    """Write the places of the pairs in x that are not both zero, in order; returns how many."""
    with f.loop(0, count, carried=[f.constant(0, NUMBER)]) as loop:
        f.store(loop.number, places, loop.sums[0])
        zero = f.load(x, loop.number, WORD).same(0)
        loop.sums[0] = loop.sums[0] + 1 - f.cast("zext", zero, NUMBER)
    return loop.results[0]


def quantised(f, value, scale, low, high):
    """value / scale, clipped and rounded to even, as whole numbers in the low bits of 32; NaN becomes the least.

    1.5 * 2^23 has its last bit where 1 is: what is added to it is rounded there, and stands in its low bits.
    """
    ratio = value / scale
    ratio = f.select(ratio > low, ratio, low)
    ratio = f.select(ratio < high, ratio, high)
    whole = WORD if value.type == FLOAT else f.whole
    return f.cast("bitcast", ratio + f.constant(12582912.0, value.type), whole)
