"""Operations become steps: one function for each kind, in the form for a group of images and for a single one."""
import numpy as np

from npcbnet.runtime.fuse import NO_BOUNDS, fuse
from npcbnet.runtime.micro import winograd
from npcbnet.runtime.plan import CONTEXT
from npcbnet.runtime.target import tile

ELEMENTWISE = {"clamp": "clamp", "sigmoid": "sigmoid", "tanh": "tanh", "leakyrelu": "leaky"}


def lower(program, layers, x, pad_behind=0, shape=None):
    """Add the steps of `layers` on the Map x; returns the Map that they make, in a frame of pad_behind."""
    operations, _ = fuse(layers, shape or x.shape)
    for i, operation in enumerate(operations):
        pad = wanted_pad(operations[i + 1:i + 2], pad_behind)
        if x.shape != operation.before or operation.kind in ("dense", "softmax"):
            x = unframed(program, x).reshaped(operation.before)
        if operation.kind == "conv" and x.pad < operation.layer.pad:
            x = elementwise(program, "clamp", x, operation.layer.pad)
        x = STEPS[operation.kind](program, operation, x, pad)
    after = operations[-1].after if operations else x.shape
    return x if x.shape == after else unframed(program, x).reshaped(after)


def wanted_pad(operations, pad_behind):
    """The frame that the next operation, or what comes behind them all, wants."""
    if not operations:
        return pad_behind
    return operations[0].layer.pad if operations[0].kind == "conv" else 0


def first_pad(layers, shape):
    """The frame that the first of some layers wants around its input."""
    operations, _ = fuse(layers, shape)
    return wanted_pad(operations[:1], 0)


def bounds(program, operation):
    """The address of (least, greatest)."""
    return program.weight(np.array(operation.bounds))


def packed_tiles(weight, outs):
    """(F, ...) -> (tiles, ..., outs), missing outputs filled with zeros."""
    F = len(weight)
    tiles = -(-F // outs)
    full = np.zeros((tiles * outs, *weight.shape[1:]), np.float32)
    full[:F] = weight
    return np.ascontiguousarray(np.moveaxis(full.reshape(tiles, outs, *weight.shape[1:]), 1, -1)), tiles


def conv(program, operation, x, pad):
    """A convolution with what was fused into it."""
    layer = operation.layer
    if winograd_pays(operation, program):
        return (winograd_one if program.group == 1 else winograd_group)(program, operation, x, pad)
    if program.group == 1 and layer.stride == 1 and getattr(layer, "groups", 1) == 1:
        return conv_plane(program, operation, x, pad)
    return conv_group(program, operation, x, pad)


def winograd_pays(operation, program):
    """Does Winograd's way save work? It does not on maps of less than two tiles or so."""
    layer = operation.layer
    if (layer.kernel not in winograd.PAIRS or layer.stride != 1 or getattr(layer, "groups", 1) != 1
            or min(behind_conv(operation)) < 5 or operation.weight.shape[0] < 4):
        return False
    return True


def winograd_tiles(operation):
    """(rows, columns) of 4x4 tiles that cover the convolution's outputs."""
    return tuple(-(-size // winograd.TILE) for size in behind_conv(operation))


def packed_filters(weight, outs):
    """(F, C, K, K) -> transformed (n n, channel tile, C, outs), and how many channel tiles."""
    transformed = winograd.filters(weight)
    F, C, n, _ = transformed.shape
    packed, tiles = packed_tiles(transformed.reshape(F, C, n * n).transpose(0, 2, 1), outs)  # (tile, n n, C, outs)
    return np.ascontiguousarray(packed.transpose(1, 0, 2, 3)), tiles


def winograd_group(program, operation, x, pad):
    """A group of images: 4x4 outputs at a time."""
    layer = operation.layer
    F, C, K = operation.weight.shape[:3]
    P, Q = behind_conv(operation)
    down, across = winograd_tiles(operation)
    room = 24 if program.library.target.registers >= 32 else 10
    tiles = 1 if F <= 20 else 4 if room >= 24 else 2
    most = room // tiles - (tiles > 1)
    outs = -(-F // -(-F // most))
    U, blocks = packed_filters(operation.weight, outs)
    points, width = winograd.side(K) ** 2, tiles * program.lanes
    y = program.map((F, *pooled(operation, P, Q)), pad)
    program.step("winograd_group", x.corner(layer.pad), program.weight(U), program.weight(operation.bias), y.corner(),
                 bounds(program, operation), program.scratch(points * C * width),
                 program.scratch(points * blocks * outs * width), program.scratch(4 * points * program.lanes),
                 program.scratch(program.lanes), C, blocks, across,
                 down * across, x.row, x.channel, y.row, y.channel, P, Q, *y.sides[1:], F, kernel=K, outs=outs,
                 tiles=tiles, pool=int(operation.pool), single=int(C == 1 and blocks == 1))
    return y


def winograd_one(program, operation, x, pad):
    """One image: as many tiles at a time as a vector has lanes, one to four vectors of them."""
    layer, lanes = operation.layer, program.lanes
    F, C, K = operation.weight.shape[:3]
    P, Q = behind_conv(operation)
    down, across = winograd_tiles(operation)
    parts = -(-down * across // lanes)
    vectors = min((4, 3, 2, 1) if F > 1 else (1,), key=lambda size: (-(-parts // size) * size, -size))
    blocks = -(-parts // vectors)
    room = max(1, (20 if program.library.target.registers >= 32 else 9) // vectors)
    outs = -(-F // -(-F // room))
    U, channels = packed_filters(operation.weight, outs)
    points, whole = winograd.side(K) ** 2, blocks * vectors * lanes
    tiles = np.minimum(np.arange(whole), down * across - 1)
    row, column = tiles // across * winograd.TILE, tiles % across * winograd.TILE
    truths = [row + 1 < P, row + 3 < P, column + 1 < Q, column + 3 < Q]
    y = program.map((F, *pooled(operation, P, Q)), pad)
    program.step("winograd_one", x.corner(layer.pad), program.weight(U), program.weight(operation.bias), y.corner(),
                 bounds(program, operation), program.scratch(points * C * whole),
                 program.scratch(points * channels * outs * whole), program.scratch(4 * points * lanes),
                 program.scratch(points * (whole + lanes)), program.scratch(16 * (whole + lanes)),
                 program.weight(truths), C, channels, blocks, down, x.row, x.channel, y.row, y.channel, *y.sides[1:], F,
                 kernel=K, outs=outs, vectors=vectors, across=across, pool=int(operation.pool),
                 single=int(C == 1 and channels == 1))
    return y


def behind_conv(operation):
    """(P, Q) of the convolution itself, before a fused maximum."""
    return operation.layer.output_shape(operation.before)[1:]


def conv_plane(program, operation, x, pad):
    """One image: sums over the flat framed map, then the maximum and the clamp."""
    layer, lanes = operation.layer, program.lanes
    F, C, K = operation.weight.shape[:3]
    P, Q = behind_conv(operation)
    pitch = x.row
    outs, vectors = tile(program.library.target, F, -(-P * pitch // lanes))
    weight, tiles = packed_tiles(operation.weight, outs)
    places = -(-P * pitch // (lanes * vectors))
    channel = places * lanes * vectors + 4 * lanes
    raw = program.scratch(tiles * outs * channel)
    program.step("conv_plane", x.corner(layer.pad), program.weight(weight), raw, C, tiles, places, pitch, x.channel,
                 channel, kernel=K, outs=outs, vectors=vectors)
    y = program.map(operation.after if len(operation.after) == 3 else (F, *pooled(operation, P, Q)), pad)
    program.step("finish_plane", raw, program.weight(operation.bias), y.corner(), bounds(program, operation), F, P, Q,
                 pitch, channel, y.row, y.channel, *y.sides[1:], pool=int(operation.pool))
    return y


def pooled(operation, P, Q):
    """Rows and columns of the result: of the convolution, or of the maximum behind it (its layer told them)."""
    if not operation.pool:
        return P, Q
    return operation.extra["pooled"]


def conv_group(program, operation, x, pad):
    """A group of images (or any convolution that has no better step)."""
    layer = operation.layer
    groups = getattr(layer, "groups", 1)
    F, C, K = operation.weight.shape[:3]
    P, Q = behind_conv(operation)
    most = 5 if program.library.target.registers >= 32 else 2  # four places x outs sums
    outs = -(-(F // groups) // -(-(F // groups) // most))
    while (F // groups) % outs and groups > 1:
        outs -= 1  # tiles of one group must not reach into the next
    packed = [packed_tiles(part, outs) for part in np.split(operation.weight, groups)]
    bias, tiles = [packed_tiles(part, outs)[0] for part in np.split(operation.bias, groups)], packed[0][1]
    y = program.map((F, *pooled(operation, P, Q)), pad)
    if tiles * outs > F:
        program.scratch((tiles * outs - F) * y.channel)
    fixed = {"lanes": 1} if program.group == 1 else {}
    program.step("conv_group", x.corner(layer.pad), program.weight([w for w, _ in packed]), program.weight(bias),
                 y.corner(), bounds(program, operation), C, tiles, groups, x.row, x.channel, y.row, y.channel, P, Q,
                 *y.sides[1:], kernel=K, stride=layer.stride, outs=outs, pool=int(operation.pool),
                 vectors=max(1, program.vectors), **fixed)
    return y


def dense(program, operation, x, pad):
    """A dense layer: weight (D, O)."""
    D, O = operation.weight.shape
    lanes = program.lanes
    if program.group > 1:
        outs = dense_outs(program, O)
        weight, tiles = packed_tiles(operation.weight.T, outs)
        bias = packed_tiles(operation.bias, outs)[0]
        y = program.map((O,))
        program.scratch((tiles * outs - O) * program.group)
        program.step("dense_group", x.memory, program.weight(weight), program.weight(bias), y.memory, D, tiles,
                     bounds(program, operation), program.scratch(2 * D + 32), vectors=program.vectors, outs=outs,
                     skip=int(O > 32))
        return y
    if O <= 12:
        return dense_few(program, operation, x)
    vectors = min(8, -(-O // lanes))
    weight, tiles = packed_tiles(operation.weight.T, vectors * lanes)
    bias = packed_tiles(operation.bias, vectors * lanes)[0]
    y = program.map((O,))
    program.scratch(tiles * vectors * lanes - O)
    program.step("dense_one", x.memory, program.weight(weight), program.weight(bias), y.memory, D, tiles,
                 bounds(program, operation), program.scratch(2 * D + 32), vectors=vectors)
    return y


def dense_few(program, operation, x):
    """One image, few outputs."""
    D, O = operation.weight.shape
    whole = -(-D // program.lanes) * program.lanes
    weight = np.zeros((O, whole), np.float32)
    weight[:, :D] = operation.weight.T
    y = program.map((O,))
    program.step("dense_few", x.memory, program.weight(weight), program.weight(operation.bias), y.memory, whole,
                 bounds(program, operation), outs=O)
    return y


def dense_outs(program, O):
    """Outputs at a time so that the sums fill most registers and the last tile is nearly full."""
    most = max(1, (program.library.target.registers * 3 // 4) // program.vectors)
    most = min(most, 14)
    tiles = -(-O // most)
    return -(-O // tiles)


def pool(program, operation, x, pad):
    """A maximum or mean over windows."""
    layer = operation.layer
    mean = layer.name == "avgpool2d"
    fixed = {"lanes": 1} if program.group == 1 else {}
    y = program.map(layer.output_shape(operation.before), pad)
    program.step("pool_group", x.corner(), y.corner(), bounds(program, operation), *x.sides, x.row, x.channel, y.row,
                 y.channel, *y.sides[1:], layer.kernel, layer.stride, layer.pad, mean=int(mean),
                 counts_padding=int(mean and layer.count_pad), vectors=max(1, program.vectors), **fixed)
    return y


def elementwise(program, what, x, pad, limits=NO_BOUNDS, other=None, other_map=None, spread=0):
    """y = f(x), value by value; other: address of numbers, other_map: a second Map."""
    y = program.map(x.shape, pad)
    strides = (other_map.row, other_map.channel) if other_map else (0, 0)
    C, H, W = x.sides
    if x.pad == y.pad == 0 and what not in ("scale",) and (other_map is None or other_map.pad == 0):
        C, H, W = 1, 1, C * H * W  # one long row
    fixed = {"spread": spread} if spread else {}
    program.step("elementwise", x.corner(), other_map.corner() if other_map else other if other is not None else 0,
                 y.corner(), program.weight(np.array(limits)), C, H, W * program.group, x.row, x.channel, *strides,
                 y.row, y.channel, what=what, **fixed)
    return y


def clamp(program, operation, x, pad):
    """ReLU and its like where nothing before could do it on the way."""
    return elementwise(program, "clamp", x, pad, operation.bounds)


def sigmoid(program, operation, x, pad):
    """The sigmoid, and a clamp behind it if there is one."""
    y = elementwise(program, "sigmoid", x, 0 if operation.bounds != NO_BOUNDS else pad)
    return y if operation.bounds == NO_BOUNDS else elementwise(program, "clamp", y, pad, operation.bounds)


def softmax(program, operation, x, pad, picture=False):
    """Softmax times its total; picture: divided by its brightest value instead."""
    y = program.map(x.shape, 0)
    program.step("softmax", x.memory, y.memory, program.scratch(program.group + 16), x.shape[0],
                 program.weight(np.array([operation.layer.total])), picture=int(picture), group=program.group)
    return y if operation.bounds == NO_BOUNDS else elementwise(program, "clamp", y, 0, operation.bounds)


def upsample(program, operation, x, pad):
    """Twice the rows and columns."""
    y = program.map(operation.layer.output_shape(operation.before), pad)
    program.step("upsample", x.corner(), y.corner(), bounds(program, operation), *x.sides, x.row, x.channel, y.row,
                 y.channel, program.scratch(x.sides[2] + 4 * program.lanes), group=program.group)
    return y


def unframed(program, x):
    """x without a frame: x itself if it has none, else a copy."""
    return x if x.pad == 0 else elementwise(program, "clamp", x, 0)


def read_images(program, shape, pad):
    """The step that fetches the caller's images; returns their Map."""
    x = program.map(shape, pad)
    wide = program.group > 1 and shape[2] >= program.lanes
    program.step("read_images", CONTEXT, x.corner(), x.row, x.channel, *shape, vectors=program.vectors, wide=int(wide))
    return x


STEPS = {"conv": conv, "dense": dense, "pool": pool, "clamp": clamp, "sigmoid": sigmoid, "softmax": softmax,
         "upsample2d": upsample}
