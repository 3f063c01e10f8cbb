"""Winograd's convolution of a group of images: a vector holds the same pixel of 16 images, a step makes `tiles` tiles.

    n x n pixels  --B^T d B-->  V  --multiply-->  M  --A^T m A-->  4 x 4 outputs  --max, bias, clamp-->  2 x 2

row: x (corner of the frame), U, b, y, bounds, V, M, scratch, dump (a place for outputs beyond the map), C, channel
tiles, tiles in a row, tiles in all, x's row and channel stride, y's row and channel stride, P, Q (of the
convolution), rows and columns of y, F. fixed: kernel, outs, tiles, pool, single (1: there is one input channel, so
that products are made on the way to the outputs and M is not needed).
U is packed (n n, channel tile, C, outs).
"""
from npcbnet.runtime.micro import vectors, winograd


def write(f, kernel, outs, tiles, pool, single):
    """The function's text."""
    n, group = winograd.side(kernel), f.lanes
    x, U, b, y, bounds, V, M, scratch, dump = f.pointers(0, 9)
    C, blocks, across, count, x_row, x_channel, y_row, y_channel, P, Q, rows, columns, F = f.numbers(9, 13)
    low, high = f.broadcast(bounds, 0), f.broadcast(bounds, 1)
    width = tiles * f.lanes
    with f.loop(0, count, step=tiles) as first:
        numbers = [_least(f, first + i, count - 1) for i in range(tiles)]  # the last tile again where none is left
        with f.loop(0, C) as c:
            for u, number in enumerate(numbers):
                corner = f.at(x, c * x_channel + number // across * (x_row * 4) + number % across * (4 * group))
                lines = [f.at(corner, x_row * i) for i in range(n)]
                Vc = f.at(V, c * width + u * f.lanes)
                step = C * width
                at = [f.at(Vc, step * (i * n)) for i in range(n)]
                places = [step * j for j in range(n)]
                winograd.transform_inputs(
                    f, lambda i, j: f.load(lines[i], j * group),
                    lambda i, j, value: f.store(value, at[i], places[j]), kernel)
        if not single:
            winograd.multiply(f, U, V, M, C, blocks, n * n, outs, tiles)
        with f.loop(0, F) as o:
            bias, yo = f.broadcast(b, o), f.at(y, o * y_channel)
            for u, number in enumerate(numbers):
                top, left = number // across * winograd.TILE, number % across * winograd.TILE
                if single:
                    Vu, Uo = f.at(V, u * f.lanes), f.at(U, o)

                    def load(i, j):
                        e = j + i * n
                        return f.load(Vu, e * width) * f.broadcast(Uo, e * outs)
                else:
                    Mo, stride = f.at(M, o * width + u * f.lanes), blocks * (outs * width)

                    def load(i, j):
                        return f.load(Mo, (j + i * n) * stride)

                def use(a, upper, lower):
                    _finish(f, upper, lower, pool, top + a * 2, left, (P, Q, rows, columns), bias, (low, high), yo,
                            y_row, group, dump)

                winograd.transform_outputs(f, load, scratch, kernel, use)
    return f.finish()


def _finish(f, upper, lower, pool, top, left, sides, bias, bounds, y, y_row, group, dump):
    """Maximum, bias and clamp of two rows of a tile; what lies beyond the map goes to `dump`."""
    P, Q, rows, columns = sides
    lines = [upper, lower]
    if pool:
        below = f.spread_truth(top + 1 < P)
        line = []
        for b in (0, 1):
            beside = f.spread_truth(left + (2 * b + 1) < Q)
            left_most, right_most = ([f.select(below, f.largest(upper[k], lower[k]), upper[k])
                                      for k in (2 * b, 2 * b + 1)])
            line.append(f.select(beside, f.largest(left_most, right_most), left_most))
        lines, top, left = [line], top // 2, left // 2
    for a, line in enumerate(lines):
        for b, value in enumerate(line):
            inside = f.emit(f"and i1 {(top + a < rows).name}, {(left + b < columns).name}", "i1")
            place = f.select(inside, f.at(y, (top + a) * y_row + (left + b) * group), dump)
            f.store(vectors.clamp(f, value + bias, *bounds), place)


def _least(f, a, b):
    return f.select(a < b, a, b)
