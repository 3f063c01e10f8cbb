"""Whole networks as programs: a classifier, a net with early exits, a converter, a CBNet."""
import math
from dataclasses import replace

import numpy as np

from npcbnet.layers import Clip, Softmax
from npcbnet.nets import CBNet, Classifier, MultiExit
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
    elif isinstance(model, MultiExit):
        multi_exit(program, model)
    elif isinstance(model, Classifier):
        x = read_images(program, model.input_shape, first_pad(program, model.net, model.input_shape))
        answer(program, lower(program, model.net, x), exit=1)
    program.step("stop")
    return program


def groups_pay(model, library):
    """Are batches worked on in groups? Not where a group's largest map would lie far outside the caches."""
    shapes = model.input_shapes() if isinstance(model, (Classifier, MultiExit)) else {}
    largest = max((size for part, shape in shapes.items() for size in _sizes(fuse(getattr(model, part), shape))),
                  default=0)
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


def multi_exit(program, model):
    """Stage, branch, exit, and so on; images that stay go on to the next stage: at once if alone, else in lines."""
    x = read_images(program, model.input_shape, first_pad(program, model.stages[0], model.input_shape))
    begins = []  # rows of the steps that take a group from a line
    for number, (branch, threshold) in enumerate(zip(model.branches, model.thresholds)):
        stage, behind = model.stages[number:number + 2]
        shape = stage.output_shape(x.shape)
        shared = lower(program, stage, x, max(first_pad(program, part, shape) for part in (branch, behind)))
        answer(program, lower(program, branch, shared), number + 1, threshold)
        x = line_up(program, shared, x, begins) if program.group > 1 else shared
    answer(program, lower(program, model.stages[-1], x), len(model.stages))
    if program.group > 1:
        advance(program, x, len(begins) - 1)
        program.drain = begins[0]
        again = len(program.rows)
        program.step("again", CONTEXT, begins[0] - again, program.lines)
        for row, following in zip(begins, [*begins[1:], again]):
            program.rows[row] = (*program.rows[row][:-1], following - row)


def line_up(program, shared, x, begins):
    """Behind an exit: who stays joins a line, and a full group of it goes on; returns the Map of that group.

    shared: what the next stage reads; x: what the stage before has read, the line before this one if there is one.
    """
    number, C = len(begins), shared.sides[0]
    head = program.map(shared.shape, shared.pad, more=C + 2)  # the waiting images: two maps, one behind the other
    program.lines += 1
    program.step("gather", CONTEXT, shared.memory, head.memory, shared.size // program.group, context.line(number),
                 group=program.group)
    if number:
        advance(program, x, number - 1)
    begins.append(len(program.rows))
    program.step("begin", CONTEXT, context.line(number), 0, group=program.group)
    return replace(shared, memory=head.memory)


def advance(program, x, number):
    """The step that ends the work on a group of line `number`, whose Map is x."""
    program.step("advance", CONTEXT, x.memory, x.size // program.group, context.line(number), group=program.group)


def answer(program, z, exit, threshold=None):
    """The step behind the logits z. threshold: images of higher entropy go on to the next step.

    Where none does, the program of one image ends; a group's other steps see to what waits.
    """
    early = threshold is not None
    z = unframed(program, z)
    scratch, = program.scratch(z.shape[0] * program.group)
    program.step("answer", CONTEXT, z.memory, scratch, z.shape[0], exit, program.weight([threshold if early else 0.0]),
                 int(program.group > 1), group=program.group, early=int(early), **program.alone)
