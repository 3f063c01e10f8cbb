"""Convolutions: for a group of images or a single one, by Winograd's way or straight."""
import numpy as np

from npcbnet.runtime.micro import depthwise_one, winograd
from npcbnet.runtime.micro.conv_outputs import widths
from npcbnet.runtime.steps import costs, packing
from npcbnet.runtime.target import tile


def conv(program, operation, x, pad):
    """A convolution with what was fused into it; its map has a frame of `pad`."""
    chosen = form(program, operation, x, pad)
    program.cost += costs.conv_cost(program, operation, x, pad, chosen)
    return FORMS[chosen](program, operation, x, pad)


def form(program, operation, x, pad):
    """Which of FORMS is taken."""
    if program.group > 1:
        return "winograd_group" if costs.winograd_can(operation) else "group"
    if is_depthwise(operation):
        return "depthwise"
    if operation.pool:
        return "winograd" if costs.winograd_can(operation) else "plane"
    return costs.cheapest(program.library.target, operation, x, pad)


def is_depthwise(operation):
    """Has every channel a convolution of its own, not too large a one (and no maximum behind it)?"""
    F, _, K, _ = operation.weight.shape
    return F == operation.before[0] == operation.window[2] and K <= depthwise_one.LARGEST and not operation.pool


def result(program, operation, pad, more=0):
    """The map that a convolution makes. more: channels behind the last that its tiles write, too."""
    F, (P, Q) = len(operation.weight), operation.behind
    rows, columns = operation.after[1:] if operation.pool else (P, Q)
    return program.map((F, rows, columns), pad, more)


def winograd_group(program, operation, x, pad):
    """A group of images: 4x4 outputs of one or four tiles at a time."""
    F, C, K, _ = operation.weight.shape
    P, Q = operation.behind
    down, across = costs.winograd_tiles(operation)
    room = 24 if program.library.target.registers >= 32 else 10
    tiles = 1 if F <= 20 or down * across < 4 else 4 if room >= 24 else 2
    outs = packing.even(F, room // tiles - (tiles > 1))
    U, channels = packing.filters(operation.weight, outs)
    points, width = winograd.side(K) ** 2, tiles * program.lanes
    y = result(program, operation, pad)
    V, M, scratch, dump = program.scratch(points * C * width, points * channels * outs * width,
                                          4 * points * program.lanes, program.lanes)
    program.step("winograd_group", x.corner(operation.window[1]), program.weight(U), program.weight(operation.bias),
                 y.corner(), program.weight(operation.bounds), V, M, scratch, dump, C, channels, across, down * across,
                 x.row, x.channel, y.row, y.channel, P, Q, *y.sides[1:], F, kernel=K, outs=outs, tiles=tiles,
                 pool=int(operation.pool), single=int(C == 1 and channels == 1), sure=operation.sure)
    return y


def winograd_one(program, operation, x, pad):
    """One image: as many tiles at a time as a vector has lanes, one to four vectors of them."""
    lanes = program.lanes
    F, C, K, _ = operation.weight.shape
    P, Q = operation.behind
    down, across = costs.winograd_tiles(operation)
    parts = -(-down * across // lanes)
    vectors = min((4, 3, 2, 1), key=lambda size: (-(-parts // size) * size, -size))
    blocks = -(-parts // vectors)
    outs = packing.even(F, (20 if program.library.target.registers >= 32 else 9) // vectors)
    wide = costs.winograd_is_wide(program.library.target, operation)
    if wide:  # U is read once and dwarfs everything else, so four vectors of it feed four tiles
        outs = lanes * min(4 if program.library.target.registers >= 32 else 2, F // lanes)
    U, channels = packing.filters(operation.weight, outs)
    points, whole = winograd.side(K) ** 2, blocks * vectors * lanes
    tiles = np.minimum(np.arange(whole), down * across - 1)
    row, column = tiles // across * winograd.TILE, tiles % across * winograd.TILE
    truths = [row + 1 < P, row + 3 < P, column + 1 < Q, column + 3 < Q]
    y = result(program, operation, pad)
    scratch = program.scratch(points * C * whole, points * channels * outs * whole, 4 * points * lanes,
                              points * (whole + lanes), 16 * (whole + lanes))
    program.step("winograd_one", x.corner(operation.window[1]), program.weight(U), program.weight(operation.bias),
    y.corner(),
                 program.weight(operation.bounds), *scratch, program.weight(truths), C, channels, blocks, down, x.row,
                 x.channel, y.row, y.channel, *y.sides[1:], F, kernel=K, outs=outs, vectors=vectors, across=across,
                 pool=int(operation.pool), form="wide" if wide else "single" if C == channels == 1 else "blocks",
                 sure=operation.sure)
    return y


def plane(program, operation, x, pad):
    """One image: sums over the flat framed map, then the maximum or the stride, bias and clamp."""
    stride, own_pad, groups = operation.window
    F, C, K, _ = operation.weight.shape
    full, pitch, lanes = all_sums(operation), x.row, program.lanes
    outs, vectors, places = costs.plane_tiles(program.library.target, operation, x)
    weight, channels = packing.grouped_tiles(operation.weight, outs, groups)
    if costs.plane_is_direct(program.library.target, operation, x, pad):
        y = result(program, operation, 0, more=channels * outs - F)
        program.step("conv_plane", x.corner(), program.weight(weight), y.corner(), C, channels, 1, places, pitch,
                     x.channel, y.channel, program.weight(packing.tiles(operation.bias, outs)[0]),
                     program.weight(operation.bounds), kernel=1, outs=outs, vectors=vectors, direct=1)
        return y
    channel = places * lanes * vectors + 4 * lanes
    raw, = program.scratch(groups * channels * outs * channel + stride * lanes)
    program.step("conv_plane", x.corner(own_pad), program.weight(weight), raw, C, channels, groups, places, pitch,
                 x.channel, channel, kernel=K, outs=outs, vectors=vectors, direct=0)
    y = result(program, operation, pad)
    program.step("finish_plane", raw, program.weight(operation.bias), y.corner(), program.weight(operation.bounds),
                 F, *full, pitch, channel, y.row, y.channel, *y.sides[1:], pool=int(operation.pool), stride=stride,
                 sure=operation.sure)
    return y


def outputs(program, operation, x, pad):
    """One image: the lanes are outputs; the last ones, where they fill no whole tile, are a step of their own."""
    stride, own_pad, groups = operation.window
    F, C, K, _ = operation.weight.shape
    y, start = result(program, operation, pad), 0
    rows = program.weight(np.add.outer(np.arange(C) * x.channel, np.arange(K) * x.row), np.int64)
    weights, biases = (np.split(array, groups) for array in (operation.weight, operation.bias))
    for outs, count, down, across in costs.outputs_tiles(program.library.target, operation)[0]:
        wide, end = sum(widths(program.lanes, outs)), start + outs * count
        weight, bias = (np.stack([packing.tiles(part[start:end], wide)[0] for part in parts])
                        for parts in (weights, biases))
        program.step("conv_outputs", x.corner(own_pad), program.weight(weight), program.weight(bias),
                     y.corner() + start * y.channel, program.weight(operation.bounds), rows, C * K, groups, count,
                     C * x.channel, F // groups * y.channel, x.row, y.row, y.channel, *operation.behind, kernel=K,
                     stride=stride, down=down, across=across, outs=outs)
        start = end
    return y


def all_sums(operation):
    """(rows, columns) of a convolution's sums with a stride of 1."""
    _, pad, _ = operation.window
    return tuple(side + 2 * pad - operation.weight.shape[2] + 1 for side in operation.before[1:])


def depthwise(program, operation, x, pad):
    """One image, each channel by itself."""
    stride, own_pad, _ = operation.window
    full = all_sums(operation)
    K, (C, H, W) = operation.weight.shape[2], operation.before
    if (K, stride, own_pad) == (3, 1, 1):
        y = result(program, operation, pad)
        program.step("depthwise_rows", x.corner(), program.weight(operation.weight), program.weight(operation.bias),
                     y.corner(), program.weight(operation.bounds), C, H, W, x.row, x.channel, y.row, y.channel,
                     wide=int(W >= program.lanes))
        return y
    pitch, lanes = W + own_pad, program.lanes
    _, vectors = tile(program.library.target, -(-full[0] * pitch // lanes), 1)
    vectors = min(vectors, max(1, program.library.target.registers - 4 - K * K))
    places = -(-full[0] * pitch // (lanes * vectors))
    frame = program.map((1, H, W), own_pad, more=2)
    raw, = program.scratch(places * lanes * vectors + stride * lanes)
    y = result(program, operation, pad)
    program.step("depthwise_one", x.corner(), program.weight(operation.weight), program.weight(operation.bias),
                 y.corner(), program.weight(operation.bounds), frame.memory, raw, C, H, W, x.row, x.channel, pitch,
                 y.row, y.channel, *y.sides[1:], places, own_pad, kernel=K, stride=stride, vectors=vectors)
    return y


def group(program, operation, x, pad):
    """A group of images: four places and a few channels at a time."""
    stride, own_pad, groups = operation.window
    F, C, K, _ = operation.weight.shape
    outs = group_outputs(program.library.target, F, groups)
    weight, channels = packing.grouped_tiles(operation.weight, outs, groups)
    bias, _ = packing.grouped_tiles(operation.bias, outs, groups)
    y = result(program, operation, pad, more=groups * channels * outs - F)
    program.step("conv_group", x.corner(own_pad), program.weight(weight), program.weight(bias), y.corner(),
                 program.weight(operation.bounds), C, channels, groups, x.row, x.channel, y.row, y.channel,
                 *operation.behind, *y.sides[1:], kernel=K, stride=stride, outs=outs, pool=int(operation.pool),
                 sure=operation.sure)
    return y


def group_outputs(target, outputs, groups):
    """How many outputs `conv_group` sums at once, each of them at four places."""
    most = 5 if target.registers >= 32 else 2
    return packing.even(outputs // groups, most, divides=groups > 1)


FORMS = {"winograd_group": winograd_group, "group": group, "depthwise": depthwise, "winograd": winograd_one,
         "plane": plane, "outputs": outputs}
