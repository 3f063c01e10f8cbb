"""Winograd's convolution F(4x4, KxK): 16 outputs of a tile for far fewer multiplications (Lavin and Gray, 2016).

A product of two polynomials can be found from their values at a few points. In one dimension, with n = K + 3 points,
four outputs y of a filter g over inputs d are

    y = A^T [ (G g) * (B^T d) ]            n multiplications in place of 4 K

and the same on rows and columns makes 4 x 4 outputs from n x n inputs: 64 multiplications instead of 400 for K = 5. G
g is done once, when weights are packed. The points are 0, infinity and pairs +p, -p: of a pair, the even and the odd
half are shared, so B^T d takes 6 instructions a pair and A^T m four sums.

Rounding: about 2e-6 of the largest output for K = 5 (points 1, 2, 1/2), 1e-6 for K = 3 (points 1, 2).
"""
from fractions import Fraction

import numpy as np

from npcbnet.runtime.micro.vectors import outer

PAIRS = {3: (Fraction(1), Fraction(2)), 5: (Fraction(1), Fraction(2), Fraction(1, 2))}
TILE = 4  # outputs along one side of a tile


def side(kernel):
    """n: inputs along one side of a tile, and points of evaluation."""
    return kernel + TILE - 1


def _product(squares):
    """Coefficients of the product of (x - s) over squares s, lowest first."""
    poly = [Fraction(1)]
    for s in squares:
        poly = [(poly[i - 1] if i else 0) - s * (poly[i] if i < len(poly) else 0) for i in range(len(poly) + 1)]
    return poly


def filters(weight):
    """weight (F, C, K, K) -> G g G^T, (F, C, n, n) float64; points in the order 0, +p, -p, ..., infinity."""
    kernel = weight.shape[2]
    pairs = PAIRS[kernel]
    points = [Fraction(0), *(sign * p for p in pairs for sign in (1, -1))]
    G = []
    for p in points:
        scale = Fraction(1)
        for q in points:
            scale *= p - q if q != p else 1
        G.append([p ** k / scale for k in range(kernel)])
    G.append([Fraction(int(k == kernel - 1)) for k in range(kernel)])
    G = np.array([[float(value) for value in row] for row in G])
    return G @ weight.astype(np.float64) @ G.T


def inputs_ends(f, d, kernel):
    """Values at 0 and at infinity of the inputs d (n of them): the even ones and the odd ones, weighed alike."""
    poly = _product([p * p for p in PAIRS[kernel]])
    return [_weighed(f, d[first::2], poly) for first in (0, 1)]


def inputs_pair(f, d, kernel, pair):
    """Values at +p and -p of the inputs d."""
    pairs = PAIRS[kernel]
    poly = _product([p * p for p in pairs if p != pairs[pair]])
    even, odd = _weighed(f, d[2::2], poly), _weighed(f, d[1:-1:2], poly)
    if pairs[pair] == 1:
        return [even + odd, even - odd]
    p = float(pairs[pair])
    return [f.fma(odd, f.constant(p), even), f.fma(odd, f.constant(-p), even)]


def _weighed(f, values, poly):
    """Sum of values times coefficients; the last coefficient is 1."""
    total = values[-1]
    for value, factor in zip(reversed(values[:-1]), reversed(poly[:-1])):
        total = f.fma(value, f.constant(float(factor)), total)
    return total


def inputs(f, d, kernel):
    """B^T d in one dimension: n values in the order of the points."""
    zero, infinity = inputs_ends(f, d, kernel)
    pairs = [value for pair in range(len(PAIRS[kernel])) for value in inputs_pair(f, d, kernel, pair)]
    return [zero, *pairs, infinity]


def outputs_half(f, m, kernel, odd):
    """Outputs 0 and 2, or with `odd` 1 and 3, of A^T m in one dimension."""
    pairs = PAIRS[kernel]
    parts = [m[1 + 2 * k] - m[2 + 2 * k] if odd else m[1 + 2 * k] + m[2 + 2 * k] for k in range(len(pairs))]
    results = []
    for power in ((1, 3) if odd else (0, 2)):
        total = parts[0]  # the pair of 1: its powers are 1
        for p, part in zip(pairs[1:], parts[1:]):
            total = f.fma(part, f.constant(float(p ** power)), total) if power else total + part
        if power == 0:
            total = total + m[0]
        elif power == 3:
            total = total + m[-1]
        results.append(total)
    return results


def outputs(f, m, kernel):
    """A^T m in one dimension: four outputs."""
    (first, third), (second, fourth) = (outputs_half(f, m, kernel, odd) for odd in (False, True))
    return [first, second, third, fourth]


def transform_inputs(f, load, store, kernel):
    """B^T d B: load(i, j) gives input (i, j) of the tile, store(i, j, value) takes the value at points (i, j).

    Two rows of points at a time: their 2 n values stay in registers.
    """
    n = side(kernel)
    for part in range(len(PAIRS[kernel]) + 1):
        columns = []
        for j in range(n):
            if part == 0:
                columns.append(inputs_ends(f, [load(i, j) for i in range(n)], kernel))
            else:
                needed = [load(i, j) if 0 < i < n - 1 else None for i in range(n)]
                columns.append(inputs_pair(f, needed, kernel, part - 1))
        rows = (0, n - 1) if part == 0 else (2 * part - 1, 2 * part)
        for row, which in zip(rows, (0, 1)):
            for j, value in enumerate(inputs(f, [column[which] for column in columns], kernel)):
                store(row, j, value)


def transform_outputs(f, load, scratch, kernel, use):
    """A^T m A: load(i, j) gives the product at points (i, j), j a running number; use(a, upper, lower) takes output
    rows 2 a and 2 a + 1, four values each.

    First the columns, into `scratch` (4 n vectors), then the rows, two by two: few values are alive at a time.
    """
    n = side(kernel)
    with f.loop(0, n) as j:
        for i, value in enumerate(outputs(f, [load(i, j) for i in range(n)], kernel)):
            f.store(value, scratch, (j + i * n) * f.lanes)
    with f.loop(0, TILE // 2) as a:
        line = f.at(scratch, a * (2 * n * f.lanes))
        upper, lower = ([f.load(line, (which * n + j) * f.lanes) for j in range(n)] for which in (0, 1))
        use(a, outputs(f, upper, kernel), outputs(f, lower, kernel))


def multiply(f, U, V, M, C, tiles, points, outs, vectors):
    """M[e] (tiles x outs, vectors) = sum over channels of U[e] (tile, C, outs) times V[e] (C, vectors), for each
    point e.

    The heart of it: at every point, a small matrix product that all tiles in hand share.
    """
    width = vectors * f.lanes
    with f.loop(0, points) as e:
        Ve, Me = f.at(V, e * (C * width)), f.at(M, e * (tiles * (outs * width)))
        with f.loop(0, tiles) as t:
            Ut, Mt = f.at(U, (e * tiles + t) * (C * outs)), f.at(Me, t * (outs * width))
            with f.loop(0, C, carried=[f.constant(0.0)] * (outs * vectors)) as loop:
                outer(f, loop.sums, f.at(Ut, loop.number * outs), f.at(Ve, loop.number * width), outs, vectors)
            for o in range(outs):
                for u in range(vectors):
                    f.store(loop.results[o * vectors + u], Mt, o * width + u * f.lanes)


def multiply_wide(f, U, V, M, C, tiles, points, vectors):
    """The same for an image of at most four tiles: they would leave most lanes empty, so the outputs are the lanes.

    U is packed (points, tile, C, vectors x lanes); V and M as in `multiply`, with one vector of tiles.
    """
    outs = vectors * f.lanes
    with f.loop(0, points) as e:
        Ve, Me = f.at(V, e * (C * f.lanes)), f.at(M, e * (tiles * (outs * f.lanes)))
        with f.loop(0, tiles) as t:
            Ut, Mt = f.at(U, (e * tiles + t) * (C * outs)), f.at(Me, t * (outs * f.lanes))
            with f.loop(0, C, carried=[f.constant(0.0)] * (4 * vectors)) as loop:
                Uc, Vc = f.at(Ut, loop.number * outs), f.at(Ve, loop.number * f.lanes)
                weights = [f.load(Uc, u * f.lanes) for u in range(vectors)]
                for tile in range(4):
                    value = f.broadcast(Vc, tile)
                    for u in range(vectors):
                        place = tile * vectors + u
                        loop.sums[place] = f.fma(weights[u], value, loop.sums[place])
            for u in range(vectors):
                parts = interleave(f, [loop.results[tile * vectors + u] for tile in range(4)])
                for i, part in enumerate(parts):
                    for k in range(f.lanes // 4):
                        four = f.shuffle(part, part, range(4 * k, 4 * k + 4))
                        f.store(four, Mt, (u * f.lanes + i * (f.lanes // 4) + k) * f.lanes)


def interleave(f, parts):
    """Two or four vectors, lane by lane in turn, as as many vectors."""
    if len(parts) == 4:
        even, odd = interleave(f, parts[::2]), interleave(f, parts[1::2])
        return [*interleave(f, [even[0], odd[0]]), *interleave(f, [even[1], odd[1]])]
    order = [lane // 2 + f.lanes * (lane % 2) for lane in range(2 * f.lanes)]
    return [f.shuffle(*parts, order[:f.lanes]), f.shuffle(*parts, order[f.lanes:])]
