"""Everything that is neither a convolution nor dense."""
import numpy as np

from npcbnet.runtime.fuse import NO_BOUNDS
from npcbnet.runtime.micro import pool_rows
from npcbnet.runtime.plan import CONTEXT


def read_images(program, shape, pad):
    """The step that fetches the caller's images; returns their Map."""
    x = program.map(shape, pad)
    wide = program.group > 1 and shape[2] >= program.lanes
    program.step("read_images", CONTEXT, x.corner(), x.row, x.channel, *shape, vectors=program.vectors, wide=int(wide))
    return x


def pool(program, operation, x, pad):
    """A maximum or mean over windows, or over whole maps."""
    layer = operation.layer
    mean, whole = "avg" in layer.name, layer.name.startswith("global")
    side = max(operation.before[1:])
    window = (side, side, 0) if whole else (layer.kernel, layer.stride, layer.pad)
    y = program.map(layer.output_shape(operation.before), pad)
    operands = (x.corner(), y.corner(), program.weight(operation.bounds), *x.sides, x.row, x.channel, y.row, y.channel,
                *y.sides[1:])
    fixed = {"mean": int(mean), "counts_padding": int(mean and not whole and layer.count_pad), "sure": operation.sure}
    if program.group == 1 and not whole and all(size <= most for size, most in zip(window, pool_rows.MOST)):
        program.step("pool_rows", *operands, **dict(zip(("kernel", "stride", "pad"), window)), **fixed)
    else:
        program.step("pool_group", *operands, *window, vectors=max(1, program.vectors), **fixed, **program.alone)
    return y


def elementwise(program, what, x, pad, bounds=NO_BOUNDS, other=0, second=None, spread=0, into=None):
    """y = f(x), value by value, in a frame of `pad`. other: address of numbers; second: another Map; into: y itself."""
    y = program.map(x.shape, pad) if into is None else into
    strides = (second.row, second.channel) if second else (0, 0)
    C, H, W = x.sides
    if x.pad == y.pad == 0 and what != "scale" and (second is None or second.pad == 0):
        C, H, W = 1, 1, C * H * W  # one long row
    program.step("elementwise", x.corner(), second.corner() if second else other, y.corner(), program.weight(bounds),
                 C, H, W * program.group, x.row, x.channel, *strides, y.row, y.channel, what=what, spread=spread)
    return y


def clamp(program, operation, x, pad):
    """ReLU and its like where nothing before could do it on the way."""
    return elementwise(program, "clamp", x, pad, operation.bounds)


def scale(program, operation, x, pad):
    """Batch normalisation that no convolution could take."""
    pairs = program.weight(np.stack([operation.weight, operation.bias], axis=1))
    return elementwise(program, "scale", x, pad, operation.bounds, other=pairs)


def sigmoid(program, operation, x, pad):
    """The sigmoid."""
    return elementwise(program, "sigmoid", x, pad)


def tanh(program, operation, x, pad):
    """The hyperbolic tangent."""
    return elementwise(program, "tanh", x, pad)


def leaky(program, operation, x, pad):
    """Leaky ReLU: the slope stands where other kernels have their least result."""
    return elementwise(program, "leaky", x, pad, (operation.layer.slope, 0))


def softmax(program, operation, x, pad, picture=False):
    """Softmax times its total; picture: divided by its brightest value instead."""
    y = program.map(x.shape)
    scratch, = program.scratch(program.lanes)
    program.step("softmax", x.memory, y.memory, scratch, x.shape[0], program.weight([operation.layer.total]),
                 picture=int(picture), group=program.group)
    return y


def upsample(program, operation, x, pad):
    """Twice the rows and columns."""
    y = program.map(operation.layer.output_shape(operation.before), pad)
    scratch, = program.scratch(x.sides[2] + 4 * program.lanes)
    program.step("upsample", x.corner(), y.corner(), program.weight(operation.bounds), *x.sides, x.row, x.channel,
                 y.row, y.channel, scratch, group=program.group)
    return y


def spread(program, operation, x, pad):
    """Pixels `stride` apart, zeros between them: the first half of a transposed convolution.

    Nothing writes those zeros, so the map lasts.
    """
    y, stride = program.map(operation.after, pad, lasting=True), operation.layer.stride
    program.step("spread", x.corner(), y.corner(), *x.sides, x.row, x.channel, y.row * stride, y.channel,
                 stride * program.group, group=program.group, **program.alone)
    return y


def local_response(program, operation, x, pad):
    """Local response normalisation across channels."""
    layer = operation.layer
    alpha = layer.alpha if layer.convention == "sum" else layer.alpha / layer.size
    y = program.map(x.shape, pad)
    program.step("local_response", x.corner(), y.corner(), program.weight([layer.k, alpha, -layer.beta]), *x.sides,
                 x.row, x.channel, y.row, y.channel, layer.size // 2, group=program.group)
    return y
