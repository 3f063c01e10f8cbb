"""Whole networks as programs: a classifier, a BranchyNet with its exit, a converter, a CBNet."""
import math
from dataclasses import replace

import numpy as np

from npcbnet.layers import Clip, Softmax
from npcbnet.nets import BranchyNet, CBNet, Classifier
from npcbnet.nets.converter import Converter
from npcbnet.runtime import context
from npcbnet.runtime.fuse import NO_BOUNDS, TOO_FAR, Operation, fuse
from npcbnet.runtime.lower import first_pad, framed, lower, unframed
from npcbnet.runtime.plan import CONTEXT, Program
from npcbnet.runtime.steps.others import elementwise, read_images, softmax

GROUP_BYTES = 4 * 2 ** 20  # of a group's largest map: MobileNetV2's 9 MB are slower in groups, AlexNet's 1 MB faster


def program_of(model, library, vectors):
    """The Program of a model. vectors: registers that a group of images fills; 0: one image at a time."""
    program = Program(library, vectors)
    if isinstance(model, Converter):
        x = read_images(program, model.input_shape, first_pad(program, model.encoder, model.input_shape))
        picture(program, model, x, 0)
    elif isinstance(model, CBNet):
        x = read_images(program, model.input_shape, first_pad(program, model.encoder, model.input_shape))
        x = picture(program, model.converter, x, first_pad(program, model.net, model.input_shape))
        answer(program, lower(program, model.net, x), exit=1)
    elif isinstance(model, BranchyNet):
        branchynet(program, model)
    elif isinstance(model, Classifier):
        x = read_images(program, model.input_shape, first_pad(program, model.net, model.input_shape))
        answer(program, lower(program, model.net, x), exit=1)
    program.step("stop")
    return program


def groups_pay(model, library):
    """Are batches worked on in groups? Not where a group's largest map would lie far outside the caches."""
    parts, shape, largest = [], model.input_shape, 0
    if isinstance(model, BranchyNet):
        parts = [[*model.stem, *model.branch], [*model.stem, *model.trunk]]
    elif isinstance(model, Classifier):
        parts = [model.net]
    for part in parts:
        largest = max([largest, *_sizes(fuse(part, shape))])
    return largest * library.target.lanes * 4 <= GROUP_BYTES


def _sizes(operations):
    """Floats of the maps that operations make."""
    for operation in operations:
        yield math.prod(operation.after)
        for part in operation.parts:
            yield from _sizes(part)


def picture(program, converter, x, pad):
    """The steps of a converter: image in, picture in 0..1 out, handed to the caller, too, where it asks for it."""
    form = converter.form
    layers, bright = [*converter.encoder, *converter.decoder], form.output == "softmax"
    if bright and not form.halve_output:  # a softmax divided by its brightest value needs no sum
        place = next(i for i, layer in enumerate(layers) if isinstance(layer, Softmax))
        z = lower(program, layers[:place], x)
        operation = Operation("softmax", layers[place], z.shape, z.shape)
        y, reach = softmax(program, operation, z, 0, picture=True).reshaped(converter.input_shape), z.reach
    elif bright:
        raw = unframed(program, lower(program, layers, x))
        y, reach = divided_by_brightest(program, raw, pad), raw.reach
    elif form.residual:
        change = lower(program, layers, x)
        y, reach = elementwise(program, "add", x, pad, (0, 1), second=change), change.reach
    else:
        y = lower(program, [*layers, Clip()], x, pad)
        reach = y.reach
    y = replace(y, reach=1.0 if reach < TOO_FAR else np.inf)
    program.step("write_picture", CONTEXT, y.corner(), y.row, y.channel, *y.sides, group=program.group)
    return framed(program, y, pad)


def divided_by_brightest(program, x, pad):
    """Every image divided by its largest value. x has no frame."""
    C, H, W = x.sides
    flat, largest = x.reshaped((1, C * H, W)), program.map((1,))
    program.step("pool_group", flat.corner(), largest.corner(), program.weight(NO_BOUNDS), *flat.sides, flat.row,
                 flat.channel, largest.row, largest.channel, 1, 1, max(C * H, W), 1, 0, mean=0, counts_padding=0,
                 vectors=max(1, program.vectors), **program.alone)
    return elementwise(program, "ratio", x, pad, other=largest.memory, spread=program.group)


def branchynet(program, model):
    """stem, branch, exit; the images that stay go through the trunk: at once if alone, else when a group is full."""
    shape = model.stem.output_shape(model.input_shape)
    pad = max(first_pad(program, part, shape) for part in (model.branch, model.trunk))
    x = read_images(program, model.input_shape, first_pad(program, model.stem, model.input_shape))
    shared = lower(program, model.stem, x, pad)
    answer(program, lower(program, model.branch, shared), exit=1, threshold=model.threshold)
    if program.group == 1:
        answer(program, lower(program, model.trunk, shared), exit=2)
        return
    length, C = shared.size // program.group, shared.sides[0]
    head = program.map(shared.shape, shared.pad, more=C + 2)  # the waiting images: two maps, one behind the other
    waiting = replace(shared, memory=head.memory)
    program.drain = len(program.rows)
    program.step("gather", CONTEXT, shared.memory, waiting.memory, length, 0, group=program.group)
    answer(program, lower(program, model.trunk, waiting), exit=2, ids=context.WAITING_IDS, then=1)
    program.step("advance", CONTEXT, waiting.memory, length, program.drain - len(program.rows), group=program.group)


def answer(program, z, exit, threshold=None, ids=context.IDS, then=0):
    """The step behind the logits z. threshold: images of higher entropy go on to the next step, if any does."""
    early = threshold is not None
    z = unframed(program, z)
    scratch, = program.scratch(z.shape[0] * program.group)
    program.step("answer", CONTEXT, z.memory, scratch, z.shape[0], exit, program.weight([threshold if early else 0.0]),
                 0 if early else then, ids, group=program.group, early=int(early), **program.alone)
