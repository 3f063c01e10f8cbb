"""What several micro-kernels do with vectors: turn a square of them, sweep along rows, exponential, logarithm."""
from npcbnet.runtime.assembler import FLOAT

SMALLEST = -80.0  # exp(-80) = 2e-35: far below any effect, and still no denormal number


def transpose(f, rows):
    """L vectors of L lanes -> L vectors: lane i of result j is lane j of rows[i]. log2(L) rounds of pair shuffles.

    Fewer vectors, a power of two: each square of as many lanes is turned by itself.
    """
    lanes, step = f.lanes_of(rows[0].type), 1
    rows = list(rows)
    while step < len(rows):
        for i in range(len(rows)):
            if not i & step:
                a, b = rows[i], rows[i + step]
                rows[i] = f.shuffle(a, b, [j if not j & step else lanes + j - step for j in range(lanes)])
                rows[i + step] = f.shuffle(a, b, [j + step if not j & step else lanes + j for j in range(lanes)])
        step *= 2
    return rows


def sweep(f, length, body):
    """body(place, type) for every place of a row of `length` floats: vectors, the last overlapping the one before.

    Rows shorter than a vector go float by float. The body must not read what it wrote: some places come twice.
    """
    with f.when(length < f.lanes):
        with f.loop(0, length) as i:
            body(i, FLOAT)
    with f.when(length >= f.lanes):
        with f.loop(0, length - (f.lanes - 1), step=f.lanes) as i:
            body(i, f.vector)
        body(length - f.lanes, f.vector)


def outer(f, sums, w, x, outs, vectors):
    """sums[o * vectors + u] += w[o] * vector u of x: every weight, spread over a register, meets every vector."""
    here = [f.load(x, u * f.lanes) for u in range(vectors)]
    for o in range(outs):
        weight = f.broadcast(w, o)
        for u in range(vectors):
            sums[o * vectors + u] = f.fma(weight, here[u], sums[o * vectors + u])


def clamp(f, value, low, high):
    """value, no less than low and no more than high (NaN stays NaN)."""
    return f.smaller(high, f.greater(low, value))


def exp(f, x):
    """e to the power x <= 80, relative error below 2e-7; what lies below SMALLEST counts as SMALLEST.

    x = n ln 2 + r with |r| <= ln 2 / 2: a polynomial gives e^r, and n is added to its exponent bits.
    """
    def constant(number):
        return f.constant(number, x.type)

    x = f.greater(constant(SMALLEST), x)
    magic = constant(12582912.0)  # 1.5 * 2^23: adding it leaves the whole number in the low bits
    shifted = f.fma(x, constant(1.4426950408889634), magic)
    n = shifted - magic
    r = f.fma(n, constant(-0.693359375), x)
    r = f.fma(n, constant(2.12194440e-4), r)
    y = constant(1 / 5040)
    for divisor in (720, 120, 24, 6, 2, 1, 1):
        y = f.fma(y, r, constant(1 / divisor))
    whole = whole_type(f, x.type)
    power = f.cast("bitcast", shifted, whole)
    power = f.emit(f"shl {whole} {power.name}, {f.operand(23, whole)}", whole)
    y = f.cast("bitcast", f.emit(f"add {whole} {f.cast('bitcast', y, whole).name}, {power.name}", whole), x.type)
    return y + (x - x)  # of a NaN, whatever became of its bits, NaN


def log(f, x):
    """Natural logarithm of x > 0 (normal, finite), absolute error below 1e-7 times the larger of 1 and the result.

    x = m 2^e with m in sqrt(1/2) .. sqrt(2); ln m from s = (m - 1) / (m + 1): 2 (s + s^3/3 + s^5/5 + ...).
    """
    whole = whole_type(f, x.type)
    bits = f.cast("bitcast", x, whole)
    moved = f.emit(f"sub {whole} {bits.name}, {f.operand(0x3F3504F3, whole)}", whole)  # the bits of sqrt(1/2)
    e = f.emit(f"ashr {whole} {moved.name}, {f.operand(23, whole)}", whole)
    taken = f.emit(f"shl {whole} {e.name}, {f.operand(23, whole)}", whole)
    m = f.cast("bitcast", f.emit(f"sub {whole} {bits.name}, {taken.name}", whole), x.type)
    one = f.constant(1.0, x.type)
    s = (m - one) / (m + one)
    square = s * s
    y = f.constant(2 / 9, x.type)
    for divisor in (7, 5, 3):
        y = f.fma(y, square, f.constant(2 / divisor, x.type))
    y = f.fma(y * square, s, s + s)
    return f.fma(f.cast("sitofp", e, x.type), f.constant(0.6931471805599453, x.type), y)


def whole_type(f, type):
    """The type of whole numbers as wide as this type of floats."""
    return type.replace("float", "i32")
