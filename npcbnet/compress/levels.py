"""Subgraphs of a trained model, nested in one set of weights: which neurons are active at which utilisation.

    utilisations  .1  .25  .5             of each layer's neurons the most important tenth has level 0,
    levels         0    1   2   127       what comes to a quarter level 1, to a half level 2; the rest is never active

Subgraph i computes the neurons of level i or less (Lee and Nirjon, 2020, section IV): a greater one contains a smaller.
"""
import copy
import math

import numpy as np

from npcbnet.errors import UsageError
from npcbnet.layers import (ActiveConv2d, ActiveDense, AvgPool2d, Concatenate, Container, Conv2d, Dense, Dropout,
                            Flatten, GlobalAvgPool2d, GlobalMaxPool2d, LeakyReLU, MaxPool2d, ReLU, ReLU6, Reshape,
                            Residual, Sequential, Tanh, Upsample2d)
from npcbnet.layers.activeconv2d import LAST_LEVEL
from npcbnet.nets import Classifier

NEVER = LAST_LEVEL + 1  # the level of neurons that no subgraph has
ACTIVE = (ActiveConv2d, ActiveDense)
# Layers of which an output can be anything but 0 where, and only where, one of the inputs that it sees can
KEEP_ZERO = (AvgPool2d, Dropout, Flatten, GlobalAvgPool2d, GlobalMaxPool2d, LeakyReLU, MaxPool2d, ReLU, ReLU6, Reshape,
             Tanh, Upsample2d)


def subgraph(model, importance, utilisation):
    """A Classifier of the most important floor(N utilisation) of each layer's N neurons, but at least one.

    model: a Classifier; importance: {layer: array of its output's shape}, as subflow.importance measures it. A layer
    that importance does not name stays whole, as the output layer does. utilisation: above 0, at most 1. The weights
    are copies. Raises UsageError for what does not fit.
    """
    return nested(model, importance, [utilisation])


def nested(model, importance, utilisations):
    """The same for several utilisations: the Classifier of the greatest, whose weights and levels hold all of them.

    Its record's "utilisations" lists them, ascending; `subgraphs` takes it apart.
    """
    utilisations = checked(utilisations)
    check_classifier(model)
    shapes = dict(neurons(model))
    strange = sorted(set(importance) - set(shapes))
    if strange:
        raise UsageError(f"importance names {strange[0]!r:.60}; layers of neurons in this model are "
                         f"{', '.join(shapes) or 'none'}")
    levels = {name: ranked(name, array, shapes[name], utilisations) for name, array in importance.items()}
    net, _ = _converted(model.net, "net", np.zeros(model.input_shape, np.int8), levels, len(utilisations) - 1)
    made = Classifier(net, model.input_shape, model.class_names)
    made.record = {**copy.deepcopy(model.record), "utilisations": utilisations}
    return made


def subgraphs(model):
    """[(utilisation, Classifier)], ascending, of a model that `nested` made; all share its weights.

    Raises UsageError for any other model.
    """
    check_classifier(model)
    levels = {layer.upto for _, layer, _ in walk(model.net, "net", model.input_shape) if isinstance(layer, ACTIVE)}
    try:
        utilisations = checked(model.record.get("utilisations"))
    except UsageError:
        utilisations = []
    if levels != {len(utilisations) - 1}:
        raise UsageError("this model has no subgraphs of known utilisation; make them with npcbnet.compress.subflow")
    made = []
    for level, utilisation in enumerate(utilisations):
        config = model.config()
        _set_level(config["net"], level)
        small = Classifier.from_config(config)
        small.set_params(model.params)
        small.record = {**model.record, "utilisations": utilisations[:level + 1]}
        made.append((utilisation, small))
    return made


def neurons(model):
    """(name, shape of its output) of each layer whose neurons a subgraph may leave out, in their order.

    Those are the convolutions without groups and the dense layers, named as their parameters begin ("net.0"), but for
    the last layer with weights: the output layer is always on (Lee and Nirjon, 2020, section IV).
    """
    weighted = [(name, layer, shape) for name, layer, shape in walk(model.net, "net", model.input_shape)
                if "weight" in layer.param_shapes()]
    return [(name, layer.output_shape(shape)) for name, layer, shape in weighted[:-1]
            if isinstance(layer, (Dense, *ACTIVE)) or (isinstance(layer, Conv2d) and layer.groups == 1)]


def walk(layer, name, shape):
    """(name, layer, shape of its input) of all layers inside one, however deep, in the order in which they compute."""
    if not isinstance(layer, Container):
        yield name, layer, tuple(shape)
        return
    beside = isinstance(layer, (Residual, Concatenate))  # its parts all read the layer's own input
    for part, inner in layer.parts().items():
        yield from walk(inner, f"{name}.{part}", shape)
        shape = shape if beside else inner.output_shape(shape)


def ranked(name, importance, shape, utilisations):
    """The level of each neuron, int8 of `shape`, by importance; of equals the first goes before. Raises UsageError."""
    importance = np.asarray(importance, np.float64)
    if importance.shape != shape or not np.isfinite(importance).all():
        raise UsageError(f"the importance of {name} must be finite numbers of shape {shape}, "
                         f"not of shape {importance.shape}")
    order, level = np.argsort(-importance, axis=None, kind="stable"), np.full(shape, NEVER, np.int8)
    for i in reversed(range(len(utilisations))):
        level.ravel()[order[:kept(importance.size, utilisations[i])]] = i
    return level


def kept(count, utilisation):
    """How many of `count` neurons are active: floor(count utilisation), and one at least."""
    return max(1, math.floor(count * utilisation + 1e-9))  # 0.29 * 100 is a little less than 29


def checked(utilisations):
    """The utilisations as an ascending list of floats. Raises UsageError unless they are numbers in 0..1, not 0."""
    several = list(utilisations) if isinstance(utilisations, (list, tuple)) else [utilisations]
    for value in several:
        number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
        if not number or not 0 < value <= 1:
            raise UsageError(f"a utilisation must be above 0 and at most 1, not {value!r:.60}")
    if not 1 <= len(set(several)) <= NEVER:
        raise UsageError(f"give 1 to {NEVER} utilisations, not {len(several)}")
    return sorted({float(value) for value in several})


def check_classifier(model):
    """Raise UsageError unless the model is a Classifier."""
    if not isinstance(model, Classifier):
        raise UsageError(f"SubFlow takes a Classifier such as LeNet, not a {type(model).__name__}")


def _converted(layer, name, before, levels, upto):
    """(the layer or an active one in its place, the levels from which on its outputs can be anything but 0).

    before: such levels of its input.
    """
    if isinstance(layer, Sequential):
        made = []
        for part, inner in layer.parts().items():
            inner, before = _converted(inner, f"{name}.{part}", before, levels, upto)
            made.append(inner)
        return Sequential(made), before
    if isinstance(layer, Residual):
        found = {part: _converted(inner, f"{name}.{part}", before, levels, upto)
                 for part, inner in layer.parts().items()}
        passed = found["shortcut"][1] if "shortcut" in found else before
        return Residual(**{part: inner for part, (inner, _) in found.items()}), np.minimum(found["body"][1], passed)
    if isinstance(layer, Concatenate):
        ways = [_converted(inner, f"{name}.{part}", before, levels, upto) for part, inner in layer.parts().items()]
        return Concatenate(*(inner for inner, _ in ways)), np.concatenate([after for _, after in ways])
    shape = layer.output_shape(before.shape)
    level = levels.get(name, np.zeros(shape, np.int8))
    if name in levels or isinstance(layer, ACTIVE) or (isinstance(layer, Dense) and before.any()):
        return _active(layer, before, level, upto), level
    if not isinstance(layer, KEEP_ZERO):
        return copy.deepcopy(layer), np.zeros(shape, np.int8)
    after = np.full(shape, NEVER, np.int8)
    for i in reversed(range(upto + 1)):
        after[layer.forward((before <= i)[None].astype(np.float32))[0][0] > 0] = i
    return copy.deepcopy(layer), after


def _active(layer, before, level, upto):
    """An active layer of these levels with copies of the layer's weights."""
    if isinstance(layer, (Dense, ActiveDense)):
        made, more = ActiveDense(layer.in_features, layer.out_features, upto), {"input_level": before.copy()}
    else:
        window = layer.in_channels, layer.out_channels, layer.kernel, layer.stride, layer.pad
        made, more = ActiveConv2d(*window, *level.shape[1:], upto), {}
    bias = layer.params.get("bias", np.zeros(level.shape[0], np.float32))
    made.params = {"weight": layer.params["weight"].copy(), "bias": bias.copy(), "level": level, **more}
    return made


def _set_level(config, level):
    """Let the active layers in a net's configuration compute the neurons up to this level."""
    for inner in config.values() if isinstance(config, dict) else config:
        if isinstance(inner, (dict, list)):
            _set_level(inner, level)
    if isinstance(config, dict) and config.get("layer") in {layer.name for layer in ACTIVE}:
        config["upto"] = level
