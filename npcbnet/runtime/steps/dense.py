"""Dense layers: for a group of images, a single one, or one with few outputs. weight is (D, O)."""
import numpy as np

from npcbnet.runtime.steps import packing

FEW = 12  # outputs that dense_few sums side by side


def dense(program, operation, x, pad):
    """A dense layer and its clamp. Features have no frame: pad is 0."""
    outputs = operation.weight.shape[1]
    return (group if program.group > 1 else few if outputs <= FEW else one)(program, operation, x)


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
    half = program.library.target.halves and are_halves(operation.weight)
    weight, tiles = packing.tiles(operation.weight.T, wide)
    y = program.map((O,), more=tiles * wide - O)
    places, = program.scratch(2 * D + 32)
    program.step("dense_one", x.memory, program.weight(weight, np.float16 if half else np.float32),
                 program.weight(packing.tiles(operation.bias, wide)[0]), y.memory, D, tiles,
                 program.weight(operation.bounds), places, vectors=vectors, half=int(half))
    return y


def are_halves(weight):
    """Is every weight exactly a float16 number, as in a model that was saved in float16?"""
    with np.errstate(over="ignore", under="ignore"):
        return bool((weight.astype(np.float16) == weight).all())


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
