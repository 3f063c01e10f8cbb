"""Dense layers: for a group of images, a single one, or one with few outputs. weight is (D, O)."""
import numpy as np

from npcbnet.runtime.micro.sparse_one import UNROLL
from npcbnet.runtime.steps import costs, packing

FEW = 12  # outputs that dense_few sums side by side
BLOCK = 4  # neighbouring outputs that are listed together where weights vanish so
# How many blocks may be left, as a share of all weights, for listing them to be faster. `python -m benchmarks.sparse`
# found the two equal for one image at about 0.1 (90 % zeros at random places, 60 % in blocks of four), against float16
# weights at 0.065; for a group at 0.5 and above 0.2. Layers that stay in the cache, 784 to 128, want half of that.
MOST_LISTED = {"one": {1: 0.08, BLOCK: 0.08}, "half": {1: 0.06, BLOCK: 0.06}, "group": {1: 0.35, BLOCK: 0.15}}


def dense(program, operation, x, pad):
    """A dense layer and its clamp. Features have no frame: pad is 0."""
    outputs = operation.weight.shape[1]
    program.cost += costs.dense_cost(program, operation.weight)
    if is_sparse(operation, "group" if program.group > 1 else "half" if has_halves(program, operation) else "one"):
        return (sparse_group if program.group > 1 else sparse_one)(program, operation, x)
    return (group if program.group > 1 else few if outputs <= FEW else one)(program, operation, x)


def is_sparse(operation, way):
    """Are so many weights zero that it pays to list the others? Only where no NaN can arise that a zero would meet.

    way: how it would be computed otherwise, a key of MOST_LISTED.
    """
    D, O = operation.weight.shape
    if not operation.sure or max(D, O) > 2 ** 16 - 64:
        return False
    block = block_of(operation.weight)
    left = np.count_nonzero(packing.blocks(operation.weight, block).any(axis=2))
    return left <= MOST_LISTED[way][block] * D * O


def block_of(weight):
    """Do weights vanish in blocks of BLOCK neighbouring outputs, so that it saves work to list whole blocks? Else 1."""
    left = np.count_nonzero(packing.blocks(weight, BLOCK).any(axis=2))
    return BLOCK if left <= 0.75 * np.count_nonzero(weight) else 1


def group(program, operation, x):
    """A group of images; features that are zero in all of them are left out where the list of them is worth it."""
    D, O = operation.weight.shape
    most = min(14, program.library.target.registers * 3 // 4 // program.vectors)
    outs = packing.even(O, most)
    weight, tiles = packing.tiles(operation.weight.T, outs)
    y = program.map((O,), more=tiles * outs - O)
    places, = program.scratch(2 * D + 32)
    program.step("dense_group", x.memory, program.weight(weight), program.weight(packing.tiles(operation.bias,
    outs)[0]),
                 y.memory, D, tiles, program.weight(operation.bounds), places, vectors=program.vectors, outs=outs,
                 skip=int(O > 32))
    return y


def one(program, operation, x):
    """One image: up to eight vectors of outputs at a time, rows of weights whose input is zero left out."""
    D, O = operation.weight.shape
    vectors = packing.even(-(-O // program.lanes), 8)
    wide = vectors * program.lanes
    half = has_halves(program, operation)
    weight, tiles = packing.tiles(operation.weight.T, wide)
    y = program.map((O,), more=tiles * wide - O)
    places, = program.scratch(2 * D + 32)
    program.step("dense_one", x.memory, program.weight(weight, np.float16 if half else np.float32),
                 program.weight(packing.tiles(operation.bias, wide)[0]), y.memory, D, tiles,
                 program.weight(operation.bounds), places, vectors=vectors, half=int(half))
    return y


def has_halves(program, operation):
    """Is every weight exactly a float16 number, as in a model saved in float16, and does the processor widen those?"""
    with np.errstate(over="ignore", under="ignore"):
        return program.library.target.halves and bool((operation.weight.astype(np.float16) == operation.weight).all())


def few(program, operation, x):
    """One image, few outputs: the features are the lanes."""
    D, O = operation.weight.shape
    whole = -(-D // program.lanes) * program.lanes
    weight = np.zeros((O, whole), np.float32)
    weight[:, :D] = operation.weight.T
    y = program.map((O,))
    program.step("dense_few", x.memory, program.weight(weight), program.weight(operation.bias), y.memory, D,
                 program.weight(operation.bounds), outs=O)
    return y


def sparse_one(program, operation, x):
    """One image, most weights zero: each feature's weights that are left, with their outputs."""
    D, O = operation.weight.shape
    block = block_of(operation.weight)
    parts = packing.blocks(operation.weight, block)
    whole = parts.shape[1] * block
    y = program.map((O,), more=whole - O + UNROLL * block)
    places, = program.scratch(2 * D + 32)
    values, outputs, ends = packing.listed(parts, UNROLL)
    program.step("sparse_one", x.memory, program.weight(values), program.weight(outputs * block, np.uint16),
                 program.weight(ends, np.int64), program.weight(operation.bias), y.memory, D, whole,
                 program.weight(operation.bounds), places, block=block)
    return y


def sparse_group(program, operation, x):
    """A group of images, most weights zero: each output's weights that are left, with their features."""
    O = operation.weight.shape[1]
    block = block_of(operation.weight)
    parts = packing.blocks(operation.weight, block)
    y = program.map((O,), more=parts.shape[1] * block - O)
    values, features, ends = packing.listed(parts.transpose(1, 0, 2))
    program.step("sparse_group", x.memory, program.weight(values), program.weight(features, np.uint16),
                 program.weight(ends, np.int64), program.weight(operation.bias), y.memory, parts.shape[1],
                 program.weight(operation.bounds), vectors=program.vectors, block=block)
    return y
