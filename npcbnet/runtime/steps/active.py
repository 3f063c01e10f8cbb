"""Layers of which some neurons are active: what they compute is packed, the rest of their maps stays zero.

    convolution:   x --conv_some--> one value a neuron --scatter, with the maximum--> y
    dense layer:   x --scatter--> active inputs --any dense kernel, on packed weights--> outputs --scatter--> y
"""
from dataclasses import replace

import numpy as np

from npcbnet.runtime.fuse import NO_BOUNDS
from npcbnet.runtime.micro.conv_some import width
from npcbnet.runtime.steps import dense as whole

TOGETHER = 8, 4  # places of one filter that are summed side by side: eight hide a multiply-add's latency


def conv(program, operation, x, pad):
    """An active convolution with what was fused into it; its map has a frame of `pad`."""
    stride, own_pad, _ = operation.window
    _, C, K, _ = operation.weight.shape
    places = {together: blocks(operation.active, together) for together in TOGETHER}
    count, start = sum(each[..., 0].size for each in places.values()), 0
    values = program.map((count + 1,), lasting=True)  # one a place, then a zero
    weight, bias = program.weight(packed(operation.weight, program.group)), program.weight(operation.bias)
    kind, sure = ("conv_some", {"sure": operation.sure}) if program.group == 1 else ("conv_some_group", {})
    rows = program.weight(np.add.outer(np.arange(C) * x.channel, np.arange(K) * x.row), np.int64)
    for together, each in places.items():
        if len(each):
            offsets = each[..., 1:] @ [stride * x.row, stride * program.group]
            program.step(kind, x.corner(own_pad), weight, bias, program.weight(offsets, np.int64),
                         program.weight(each[:, 0, 0], np.int64), values.memory + start * program.group, len(each),
                         rows, C * K, kernel=K, together=together, **sure)
        start += each[..., 0].size
    number = np.full(operation.active.shape, count)  # which value is whose; of the inactive, the zero
    number[tuple(np.concatenate([each.reshape(-1, 3) for each in places.values()]).T)] = np.arange(count)
    sources = windows(number, operation.after) if operation.pool else number[..., None]
    y, there = program.map(operation.after, pad, lasting=True), np.argwhere((sources < count).any(axis=3))
    scatter(program, values, y, sources[tuple(there.T)], there, operation.bounds, operation.sure)
    return y


def dense(program, operation, x, pad):
    """An active dense layer and its clamp. Features have no frame: pad is 0."""
    inputs, outputs = (np.argwhere(on) for on in (operation.layer.active_inputs(), operation.layer.active()))
    if not len(inputs):  # biases alone, and a feature of no weight
        inputs, operation = np.zeros((1, 1), int), replace(operation, weight=np.zeros((1, len(outputs)), np.float32))
    read, made = x, None
    if len(inputs) < operation.before[0]:
        read = program.map((len(inputs),))
        scatter(program, x, read, inputs, np.arange(len(inputs))[:, None])
    if len(outputs):
        made = whole.dense(program, operation, read, 0)
    if read is not x:
        program.free(read.memory)
    if len(outputs) == operation.after[0]:
        return made
    y = program.map(operation.after, lasting=True)
    if made:
        scatter(program, made, y, np.arange(len(outputs))[:, None], outputs)
        program.free(made.memory)
    return y


def blocks(active, together):
    """active (F, P, Q) -> (blocks, together, 3): f, p, q of active neurons, those of a block of one filter.

    Of each filter's neurons, whole blocks of TOGETHER[0]; the rest is one more of them or one of TOGETHER[1], whichever
    is enough. Where a block has places left its last neuron stands there once more.
    """
    made = []
    for f in range(len(active)):
        there = np.argwhere(active[f:f + 1]) + [f, 0, 0]
        rest = len(there) % TOGETHER[0]
        small = len(there) - rest if 0 < rest <= TOGETHER[1] else len(there)
        mine = there[:small] if together == TOGETHER[0] else there[small:]
        if len(mine):
            size = -(-len(mine) // together) * together
            made.append(mine[np.minimum(np.arange(size), len(mine) - 1)].reshape(-1, together, 3))
    return np.concatenate(made) if made else np.zeros((0, together, 3), int)


def packed(weight, group):
    """Weights (F, C, K, K) as the kernels read them: those for one image with rows filled up with zeros."""
    K = weight.shape[3]
    lanes, vectors = width(K)
    return weight if group > 1 else np.pad(weight, ((0, 0), (0, 0), (0, 0), (0, lanes * vectors - K)))


def windows(number, shape):
    """number (F, P, Q) -> (F, P', Q', 4), shape (F, P', Q'): what lies in each 2x2 window; the image's edge twice."""
    _, rows, columns = shape
    number = np.pad(number, ((0, 0), (0, 1), (0, 1)), mode="edge")[:, :2 * rows, :2 * columns]
    return np.stack([number[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], axis=3)


def scatter(program, x, y, sources, there, bounds=NO_BOUNDS, sure=False):
    """The step y[there[i]] = clamp(the largest of x[sources[i]]). sources (M, 1 or 4); there (M, 1 or 3), in y."""
    if len(there):
        to = there @ [y.channel, y.row, y.group][:there.shape[1]]
        program.step("scatter", x.memory, y.corner(), program.weight(sources * program.group, np.int64),
                     program.weight(to, np.int64), len(there), program.weight(bounds), of=sources.shape[1], sure=sure,
                     **program.alone)
