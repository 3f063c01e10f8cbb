"""Quantised layers: a step that makes integers of the input, then the layer on pairs of them.

All sums are exact, and what is rounded is rounded as the layer does it, so the results are the layer's bits.
"""
from dataclasses import replace

import numpy as np

from npcbnet.errors import UsageError
from npcbnet.runtime.steps import packing
from npcbnet.runtime.steps.conv import group_outputs, result
from npcbnet.runtime.target import tile


def dense(program, operation, x, pad):
    """A QuantizedDense and its clamp."""
    check(operation)
    return (dense_one if program.group == 1 else dense_group)(program, operation, x)


def conv(program, operation, x, pad):
    """A QuantizedConv2d with what was fused into it; its map has a frame of `pad`."""
    check(operation)
    return (plane if program.group == 1 else conv_group)(program, operation, x, pad)


def check(operation):
    """Raise UsageError where NaN might reach integers, which cannot hold it: it would become an answer."""
    if not operation.sure:
        raise UsageError(f"values before {operation.layer!r:.60} might overflow; its model cannot be compiled")


def numbers(program, layer):
    """The address of what the quantise kernels want to know of a layer."""
    return program.weight([layer.params["input_scale"][0], *layer.limits])


def dense_one(program, operation, x):
    """One image: up to eight vectors of outputs at a time, pairs of features that are zero left out."""
    D, O = operation.weight.shape
    vectors = packing.even(-(-O // program.lanes), 8)
    wide, count = vectors * program.lanes, -(-D // 2)
    weight, tiles = packing.tiles(packing.pairs(operation.weight.T), wide)  # (tile, pair, 2, wide)
    y = program.map((O,), more=tiles * wide - O)
    words, places = program.scratch(count + 16, 2 * count + 32)
    program.step("quantise_row", x.memory, words, numbers(program, operation.layer), D)
    program.step("integer_one", words, program.weight(weight.swapaxes(2, 3), np.int8),
                 program.weight(packing.tiles(operation.layer.scale(), wide)[0]),
                 program.weight(packing.tiles(operation.bias, wide)[0]), y.memory, count, tiles,
                 program.weight(operation.bounds), places, vectors=vectors)
    return y


def dense_group(program, operation, x):
    """A group of images."""
    D, O = operation.weight.shape
    count = -(-D // 2)
    outs = packing.even(O, min(14, program.library.target.registers * 3 // 4 // program.vectors))
    weight, tiles = packing.tiles(packing.words(packing.pairs(operation.weight.T)), outs)
    words, y = program.map((count,)), program.map((O,), more=tiles * outs - O)
    program.step("quantise", x.memory, words.memory, numbers(program, operation.layer), 1, D, 1, program.group, x.row,
                 x.channel, words.row, words.channel)
    program.step("integer_group", words.memory, program.weight(weight, np.int32),
                 program.weight(packing.tiles(operation.layer.scale(), outs)[0]),
                 program.weight(packing.tiles(operation.bias, outs)[0]), y.memory, count, tiles,
                 program.weight(operation.bounds), vectors=program.vectors, outs=outs)
    program.free(words.memory)
    return y


def roomy(target):
    """The target as a convolution of pairs sees it: on Arm, products of pairs need registers of their own."""
    return replace(target, registers=target.registers // 2) if target.family == "arm" else target


def quantised_map(program, operation, x):
    """The step that makes integers of a map; their Map, in the frame that the convolution wants."""
    (C, H, W), (_, own_pad, groups) = operation.before, operation.window
    words = program.map((groups * -(-C // groups // 2), H, W), own_pad)
    program.step("quantise", x.corner(), words.corner(), numbers(program, operation.layer), groups, C // groups, H,
                 W * program.group, x.row, x.channel, words.row, words.channel)
    return words


def plane(program, operation, x, pad):
    """One image: sums over the flat framed map, then the maximum or the stride, scale, bias and clamp."""
    stride, own_pad, groups = operation.window
    F, _, K, _ = operation.weight.shape
    full = operation.before[1] + 2 * own_pad - K + 1, operation.before[2] + 2 * own_pad - K + 1  # with a stride of 1
    words, lanes = quantised_map(program, operation, x), program.lanes
    weight = packing.words(packing.pairs(operation.weight))
    outs, vectors = tile(roomy(program.library.target), -(-full[0] * words.row // lanes), F // groups)
    outs = packing.even(F // groups, outs, divides=groups > 1)
    weight, channels = packing.grouped_tiles(weight, outs, groups)
    places = -(-full[0] * words.row // (lanes * vectors))
    channel = places * lanes * vectors + 4 * lanes
    raw, = program.scratch(groups * channels * outs * channel + stride * lanes)
    program.step("conv_plane", words.corner(own_pad), program.weight(weight, np.int32), raw, weight.shape[2], channels,
                 groups, places, words.row, words.channel, channel, kernel=K, outs=outs, vectors=vectors, direct=0,
                 pairs=1)
    y = result(program, operation, pad)
    program.step("finish_plane", raw, program.weight(operation.bias), y.corner(), program.weight(operation.bounds),
                 F, *full, words.row, channel, y.row, y.channel, *y.sides[1:], program.weight(operation.layer.scale()),
                 pool=int(operation.pool), stride=stride, sure=True, pairs=1)
    program.free(words.memory)
    return y


def conv_group(program, operation, x, pad):
    """A group of images: four places and a few channels at a time."""
    stride, own_pad, groups = operation.window
    F, _, K, _ = operation.weight.shape
    outs = group_outputs(roomy(program.library.target), F, groups)
    words = quantised_map(program, operation, x)
    weight, channels = packing.grouped_tiles(packing.words(packing.pairs(operation.weight)), outs, groups)
    bias, scale = (packing.grouped_tiles(each, outs, groups)[0] for each in (operation.bias, operation.layer.scale()))
    y = result(program, operation, pad, more=groups * channels * outs - F)
    program.step("conv_group", words.corner(own_pad), program.weight(weight, np.int32), program.weight(bias),
                 y.corner(), program.weight(operation.bounds), weight.shape[2], channels, groups, words.row,
                 words.channel, y.row, y.channel, *operation.behind, *y.sides[1:], program.weight(scale), kernel=K,
                 stride=stride, outs=outs, pool=int(operation.pool), sure=True, pairs=1)
    program.free(words.memory)
    return y
