"""Whole networks as programs: a classifier, a BranchyNet with its exit, a converter, a CBNet."""
import numpy as np

from npcbnet.layers import Clip, Softmax
from npcbnet.nets import BranchyNet, CBNet, Classifier
from npcbnet.nets.converter import Converter
from npcbnet.runtime import context
from npcbnet.runtime.lower import elementwise, first_pad, lower, read_images, softmax
from npcbnet.runtime.plan import CONTEXT, Program


def program_of(model, library, vectors):
    """The Program of a model. vectors: registers that a group of images fills; 0: one image at a time."""
    program = Program(library, vectors)
    if isinstance(model, Converter):
        x = read_images(program, model.input_shape, first_pad(model.encoder, model.input_shape))
        picture(program, model, x, 0)
    elif isinstance(model, CBNet):
        x = read_images(program, model.input_shape, first_pad(model.encoder, model.input_shape))
        x = picture(program, model.converter, x, first_pad(model.net, model.input_shape))
        answer(program, lower(program, model.net, x), exit=1)
    elif isinstance(model, BranchyNet):
        branchynet(program, model)
    elif isinstance(model, Classifier):
        x = read_images(program, model.input_shape, first_pad(model.net, model.input_shape))
        answer(program, lower(program, model.net, x), exit=1)
    program.step("stop")
    return program


def picture(program, converter, x, pad):
    """The steps of a converter: image in, picture in 0..1 out, handed to the caller, too, where it asks for it."""
    form = converter.form
    bright = form.output == "softmax"
    layers = [*converter.encoder, *converter.decoder]
    sharp = bright and not form.halve_output
    if bright and sharp:  # a softmax divided by its brightest value needs no sum
        last = next(i for i, layer in enumerate(layers) if isinstance(layer, Softmax))
        z = lower(program, layers[:last], x)
        operation = type("Last", (), {"layer": layers[last], "bounds": (-np.inf, np.inf)})
        y = softmax(program, operation, z, 0, picture=True).reshaped(converter.input_shape)
    elif form.residual:
        y = elementwise(program, "add", x, pad, (0, 1), other_map=lower(program, layers, x))
    else:
        y = lower(program, layers + ([Clip()] if form.output == "linear" else []), x, pad)
        if bright:
            y = divided_by_brightest(program, y, pad)
    program.step("write_picture", CONTEXT, y.corner(), y.row, y.channel, *y.sides, group=program.group)
    return y if y.pad == pad else elementwise(program, "clamp", y, pad)


def divided_by_brightest(program, x, pad):
    """Every image divided by its largest value."""
    C, H, W = x.sides
    flat, largest = x.reshaped((1, C * H, W)), program.map((1,))
    fixed = {"lanes": 1} if program.group == 1 else {}
    program.step("pool_group", flat.corner(), largest.corner(), program.weight(np.array([-np.inf, np.inf])),
    *flat.sides,
                 flat.row, flat.channel, largest.row, largest.channel, 1, 1, max(C * H, W), 1, 0, mean=0,
                 counts_padding=0, vectors=max(1, program.vectors), **fixed)
    return elementwise(program, "ratio", x, pad, other=largest.memory, spread=program.group)


def branchynet(program, model):
    """stem, branch, exit; the images that stay go through the trunk: at once if alone, else when a group is full."""
    shape = model.stem.output_shape(model.input_shape)
    pad = max(first_pad(part, shape) for part in (model.branch, model.trunk))
    x = read_images(program, model.input_shape, first_pad(model.stem, model.input_shape))
    shared = lower(program, model.stem, x, pad)
    answer(program, lower(program, model.branch, shared), exit=1, threshold=model.threshold)
    if program.group == 1:
        answer(program, lower(program, model.trunk, shared), exit=2)
        return
    length = shared.size // program.group
    waiting = type(shared)(program.scratch(2 * shared.size), shared.shape, shared.pad, shared.group)
    program.drain = len(program.rows)
    program.step("gather", CONTEXT, shared.memory, waiting.memory, length, 0, group=program.group)
    answer(program, lower(program, model.trunk, waiting), exit=2, ids=context.WAITING_IDS, then=1)
    program.step("advance", CONTEXT, waiting.memory, length, program.drain - len(program.rows), group=program.group)


def answer(program, z, exit, threshold=None, ids=context.IDS, then=0):
    """The step behind the logits z. threshold: images of higher entropy go on to the next step, if any does."""
    fixed = {"lanes": 1} if program.group == 1 else {}
    early = threshold is not None
    program.step("answer", CONTEXT, z.memory, program.scratch(z.shape[0] * program.group), z.shape[0], exit,
                 program.weight(np.array([threshold if early else 0.0])), 0 if early else then, ids,
                 group=program.group, early=int(early), **fixed)
