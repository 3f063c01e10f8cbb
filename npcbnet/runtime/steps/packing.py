"""Weights in the order in which a micro-kernel reads them."""
import numpy as np

from npcbnet.runtime.micro import winograd


def tiles(weight, outs):
    """(F, ...) -> (tiles, ..., outs), missing outputs filled with zeros; and how many tiles."""
    F = len(weight)
    count = -(-F // outs)
    full = np.zeros((count * outs, *weight.shape[1:]), weight.dtype)
    full[:F] = weight
    return np.moveaxis(full.reshape(count, outs, *weight.shape[1:]), 1, -1), count


def grouped_tiles(weight, outs, groups):
    """(F, ...) -> (groups, tiles, ..., outs), where tiles of one group do not reach into the next; and how many."""
    packed = [tiles(part, outs) for part in np.split(weight, groups)]
    return np.stack([part for part, _ in packed]), packed[0][1]


def filters(weight, outs):
    """(F, C, K, K) -> Winograd's (n n, tile, C, outs), and how many tiles."""
    transformed = winograd.filters(weight)
    F, C, n, _ = transformed.shape
    packed, count = tiles(transformed.reshape(F, C, n * n).transpose(0, 2, 1), outs)  # (tile, n n, C, outs)
    return packed.transpose(1, 0, 2, 3), count


def even(outputs, most, divides=False):
    """The size of equal tiles of at most `most` outputs; divides: it must be a divisor of their number."""
    most = max(1, most)
    if divides:
        return next(size for size in range(min(most, outputs), 0, -1) if outputs % size == 0)
    return -(-outputs // -(-outputs // most))


def blocks(weight, block):
    """(D, O) -> (D, O / block rounded up, block), missing outputs filled with zeros."""
    D, O = weight.shape
    full = np.zeros((D, -(-O // block) * block), weight.dtype)
    full[:, :O] = weight
    return full.reshape(D, -1, block)


def listed(parts, unroll=1):
    """What is not all zero in (rows, columns, block): its values, its columns, and rows + 1 numbers: each row's end.

    unroll: rows are filled up to a multiple of that with zeros, for columns behind the last.
    """
    rows, columns, block = parts.shape
    values, places, ends = [], [], [0]
    for row in parts:
        mine = np.flatnonzero(row.any(axis=1))
        extra = -len(mine) % unroll
        values += [row[mine], np.zeros((extra, block), parts.dtype)]
        places += [mine, columns + np.arange(extra)]
        ends.append(ends[-1] + len(mine) + extra)
    return np.concatenate(values), np.concatenate(places), np.array(ends, np.int64)


def pairs(weight):
    """(F, C, ...) int8 -> (F, C / 2 rounded up, 2, ...): channels two by two, a zero beside a last one."""
    F, C = weight.shape[:2]
    full = np.zeros((F, -(-C // 2) * 2, *weight.shape[2:]), weight.dtype)
    full[:, :C] = weight
    return full.reshape(F, -1, 2, *weight.shape[2:])


def words(paired):
    """(F, C, 2, ...) int8 -> (F, C, ...) int32: a pair as two numbers of 16 bits, the first in the lower half."""
    wide = paired.astype(np.int32)
    return (wide[:, :, 0] & 0xFFFF) | wide[:, :, 1] << 16
