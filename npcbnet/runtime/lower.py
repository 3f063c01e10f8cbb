"""The walk along the operations: each gets its input in the form that it wants and frees what nobody reads any more."""
from dataclasses import replace

from npcbnet.runtime.fuse import fuse, reaching
from npcbnet.runtime.steps import active, conv, dense, integers, others
from npcbnet.runtime.steps.others import elementwise


def lower(program, layers, x, pad_behind=0):
    """Add the steps of `layers` on the Map x, which stays; returns their Map, in a frame of at least pad_behind."""
    return lower_operations(program, fuse(layers, x.shape), x, pad_behind)


def lower_operations(program, operations, x, pad_behind):
    """The same for operations."""
    first, operations = x, reaching(operations, x.reach)
    for i, operation in enumerate(operations):
        pad = wanted_frame(program, operations[i + 1]) if i + 1 < len(operations) else pad_behind
        wanted = wanted_frame(program, operation)
        prepared = unframed(program, x) if operation.kind in FLAT else framed(program, x, wanted)
        y = STEPS[operation.kind](program, operation, prepared, pad)
        for done in {prepared.memory, x.memory} - {y.memory, first.memory}:
            program.free(done)
        x = replace(y, reach=operation.reach_behind)
    return framed(program, x, pad_behind)


def wanted_frame(program, operation):
    """The frame that an operation wants around its input: a depthwise convolution of one image makes its own."""
    if operation.parts:
        return max((wanted_frame(program, part[0]) for part in operation.parts if part), default=0)
    if operation.kind == "activeconv2d":
        return operation.window[1]
    if operation.kind != "conv" or (program.group == 1 and conv.is_depthwise(operation)):
        return 0
    return operation.window[1]


def first_pad(program, layers, shape):
    """The frame that the first of some layers wants around its input."""
    operations = fuse(layers, shape)
    return wanted_frame(program, operations[0]) if operations else 0


def framed(program, x, pad):
    """x in a frame of `pad` or wider: x itself if it has one, else a copy."""
    return x if x.pad >= pad else replace(elementwise(program, "clamp", x, pad), reach=x.reach)


def unframed(program, x):
    """x without a frame: x itself if it has none, else a copy."""
    return x if x.pad == 0 else replace(elementwise(program, "clamp", x, 0), reach=x.reach)


def reshape(program, operation, x, pad):
    """The same values in another shape: no step at all."""
    return x.reshaped(operation.after)


def residual(program, operation, x, pad):
    """body(x) + shortcut(x), or + x."""
    body, shortcut = operation.parts
    passed = lower_operations(program, shortcut, x, 0) if shortcut else x
    made = lower_operations(program, body, x, 0)
    y = elementwise(program, "add", passed, pad, operation.bounds, second=made)
    for done in {passed.memory, made.memory} - {x.memory}:
        program.free(done)
    return y


def concatenate(program, operation, x, pad):
    """The channels of two ways, copied one behind the other: what a copy writes too far, the next one overwrites."""
    y, channel = program.map(operation.after, pad), 0
    for part in operation.parts:
        made = lower_operations(program, part, x, 0)
        here = replace(y, memory=y.memory + channel * y.channel, shape=made.shape)
        elementwise(program, "clamp", made, pad, operation.bounds, into=here)
        channel += made.shape[0]
        if made.memory != x.memory:
            program.free(made.memory)
    return y


def pad_channels(program, operation, x, pad):
    """A copy of x's channels among channels of zeros. Nothing writes those, so the map lasts."""
    y = program.map(operation.after, pad, lasting=True)
    here = replace(y, memory=y.memory + operation.layer.before * y.channel, shape=x.shape)
    elementwise(program, "clamp", x, pad, into=here)
    return y


FLAT = ("dense", "activedense", "quantizeddense", "softmax", "reshape")  # kinds that want their input without a frame
STEPS = {"conv": conv.conv, "dense": dense.dense, "activeconv2d": active.conv, "activedense": active.dense,
         "pool": others.pool, "clamp": others.clamp, "scale": others.scale,
         "sigmoid": others.sigmoid, "tanh": others.tanh, "leakyrelu": others.leaky, "softmax": others.softmax,
         "upsample2d": others.upsample, "spread": others.spread, "localresponsenorm": others.local_response,
         "quantizeddense": integers.dense, "quantizedconv2d": integers.conv, "reshape": reshape, "residual": residual,
         "concatenate": concatenate, "padchannels": pad_channels}
