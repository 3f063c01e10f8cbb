"""Convolutions of one image whose lanes are output channels: how large the tiles are, and what they cost.

Costs are counted in multiply-adds of a whole vector, idle lanes and all, so that they do not depend on the moment.
"""
import math

import numpy as np

from npcbnet.runtime.micro.conv_outputs import columns, widths
from npcbnet.runtime.steps import packing

WAITING = 8  # multiply-adds that can be begun before the first of them is done
MOST = 4  # vectors of outputs in a tile
LOAD = 0.25  # what loading a vector of weights or spreading a pixel costs beside multiply-adds
TURN = 4.0  # ... finishing a vector of outputs of one place
LOOP = 3.0  # ... one turn of a loop


def tile(target, operation, vectors):
    """(down, across, cost): the tile of places with the least cost, and its cost, for `vectors` of outputs in it."""
    stride, _, _ = operation.window
    _, C, K, _ = operation.weight.shape
    P, Q = operation.behind
    best = None
    for across in range(1, min(Q, target.registers) + 1):
        for down in range(1, min(P, target.registers // across) + 1):
            sums = down * across * vectors
            if sums + K * vectors + 1 > target.registers and down * across > 1:
                break
            loads = K * vectors + down * len(columns(K, stride, across))
            row = max(sums * K, WAITING * K) + LOAD * loads + LOOP
            cost = math.ceil(P / down) * math.ceil(Q / across) * (C * K * row + TURN * sums + 4 * LOOP)
            if best is None or cost < best[2]:
                best = down, across, cost
    return best


def tiles(target, operation):
    """([(outputs in a tile, tiles, down, across), ...], cost): how all outputs of a group of channels are done."""
    _, _, groups = operation.window
    F = len(operation.weight) // groups
    best = None
    for vectors in range(1, MOST + 1):
        outs = vectors * target.lanes
        count, rest = divmod(F, outs)
        plan, total = [], 0
        for size, many in ((outs, count), (rest, 1)):
            if size * many:
                down, across, cost = tile(target, operation, len(widths(target.lanes, size)))
                plan.append((size, many, down, across))
                total += cost * many * groups
        if best is None or total < best[1]:
            best = plan, total
    return best


def steps(program, operation, x, y):
    """The steps that compute a convolution from the Map x into the Map y."""
    stride, own_pad, groups = operation.window
    F, C, K, _ = operation.weight.shape
    rows = program.weight(np.add.outer(np.arange(C) * x.channel, np.arange(K) * x.row), np.int64)
    weights, biases = (np.split(array, groups) for array in (operation.weight, operation.bias))
    start = 0
    for outs, count, down, across in tiles(program.library.target, operation)[0]:
        wide, end = sum(widths(program.lanes, outs)), start + outs * count
        weight, bias = (np.stack([packing.tiles(part[start:end], wide)[0] for part in parts])
                        for parts in (weights, biases))
        program.step("conv_outputs", x.corner(own_pad), program.weight(weight), program.weight(bias),
                     y.corner() + start * y.channel, program.weight(operation.bounds), rows, C * K, groups, count,
                     C * x.channel, F // groups * y.channel, x.row, y.row, y.channel, *operation.behind, kernel=K,
                     stride=stride, down=down, across=across, outs=outs)
        start = end
