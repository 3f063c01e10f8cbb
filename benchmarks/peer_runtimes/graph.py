"""A model as plain steps, from which each peer's form of it is made: what is computed, in which order.

Everything that the model does between image and probabilities is a step: the layers, a converter's clipping or its
division by the brightest pixel, the softmax on the logits.
"""
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.peer_runtimes.errors import PeerError

CONTAINERS = {"sequential", "residual"}


@dataclass(frozen=True)
class Step:
    """One operator: a layer's name, "add" (of two values) or "brightest" (division by the image's largest value).

    inputs: numbers of values; 0 is the graph's input, i the output of its i-th step. shape: of one image's output,
    (C, H, W) or (D,). fields and params: the layer's. A conv2d always has the field groups and a bias.
    """

    op: str
    inputs: tuple
    shape: tuple
    fields: dict
    params: dict


@dataclass(frozen=True)
class Graph:
    """input_shape (C, H, W) or (D,); steps in order; outputs: numbers of the values that are asked for."""

    input_shape: tuple
    steps: tuple
    outputs: tuple

    def shape(self, value):
        """Of one image's value, (C, H, W) or (D,)."""
        return self.steps[value - 1].shape if value else self.input_shape


PROBABILITIES = {"total": 1.0}  # the softmax on logits


class Builder:
    """Collects steps. Each method that adds some returns the number of their last value."""

    def __init__(self, input_shape):
        self.input_shape, self.steps = tuple(input_shape), []

    def graph(self, *outputs):
        """The steps so far as a Graph."""
        return Graph(self.input_shape, tuple(self.steps), outputs)

    def add(self, op, *inputs, shape=None, fields=None, params=None):
        """One step; without a shape it keeps that of its first input."""
        shape = self.graph().shape(inputs[0]) if shape is None else tuple(shape)
        self.steps.append(Step(op, inputs, shape, fields or {}, params or {}))
        return len(self.steps)

    def layer(self, layer, value, before=None):
        """A layer, or what it is made of. before: the layer whose output `value` is, used by nobody else, or None."""
        if layer.name == "dropout":  # does nothing outside of training
            return value
        if layer.name in CONTAINERS:
            return getattr(self, layer.name)(layer, value)
        if layer.name == "batchnorm2d":
            return self.batchnorm2d(layer, value, before)
        fields, params = {field: getattr(layer, field) for field in layer.fields}, layer.params
        if layer.name == "conv2d":
            fields = {"groups": 1, **fields}
            params = {"bias": np.zeros(layer.out_channels, np.float32), **params}
        return self.add(layer.name, value, shape=layer.output_shape(self.graph().shape(value)), fields=fields,
                        params=params)

    def sequential(self, net, value):
        """Layers one after the other."""
        before = None
        for layer in net:
            value, before = self.layer(layer, value, before), layer
        return value

    def residual(self, layer, value):
        """A body and what goes around it."""
        body = self.layer(layer.body, value)
        return self.add("add", value if layer.shortcut is None else self.layer(layer.shortcut, value), body)

    def batchnorm2d(self, layer, value, before):
        """What all runtimes make of it, too: other weights of the convolution before it, else a 1x1 convolution."""
        if before is None or before.name != "conv2d":
            channels = layer.channels
            value = self.add("conv2d", value, params={"weight": np.ones((channels, 1, 1, 1), np.float32), "bias": 0.0},
                             fields={"in_channels": channels, "out_channels": channels, "kernel": 1, "stride": 1,
                                     "pad": 0, "groups": channels})
        step = self.steps[value - 1]
        scale = layer.params["weight"] / np.sqrt(layer.params["running_var"] + np.float32(layer.eps))
        bias = (step.params["bias"] - layer.params["running_mean"]) * scale + layer.params["bias"]
        weight = step.params["weight"] * scale[:, None, None, None]
        self.steps[value - 1] = replace(step, params={"weight": weight, "bias": bias})
        return value

    def converter(self, converter, value):
        """A Converter and what makes a picture of its output."""
        raw = self.layer(converter.decoder, self.layer(converter.encoder, value))
        if converter.form.residual:
            raw = self.add("add", raw, value)
        if converter.form.output == "softmax":
            return self.add("brightest", raw)
        return self.add("clip", raw, fields={"low": 0.0, "high": 1.0})


def kind(model):
    """ "classifier", "cbnet", "branchynet" or "converter"."""
    return getattr(model, "kind", "converter")


def whole(model):
    """The one Graph of a Classifier or CBNet (images -> probabilities) or of a Converter (images -> pictures)."""
    builder = Builder(model.input_shape)
    if kind(model) == "converter":
        return builder.graph(builder.converter(model, 0))
    if kind(model) not in ("classifier", "cbnet"):
        raise PeerError(f"no single graph computes a {kind(model)}")
    pictures = builder.converter(model.converter, 0) if kind(model) == "cbnet" else 0
    return builder.graph(builder.add("softmax", builder.layer(model.net, pictures), fields=PROBABILITIES))


def two_parts(model):
    """The Graphs of a BranchyNet: images -> probabilities at exit 1, stem's output; that -> probabilities at exit 2."""
    first = Builder(model.input_shape)
    shared = first.layer(model.stem, 0)
    early = first.add("softmax", first.layer(model.branch, shared), fields=PROBABILITIES)
    second = Builder(model.stem.output_shape(model.input_shape))
    late = second.add("softmax", second.layer(model.trunk, 0), fields=PROBABILITIES)
    return first.graph(early, shared), second.graph(late)


def mean_alpha(step):
    """The alpha of a local response normalisation as PyTorch and ONNX take it: of the mean, not of the sum."""
    return step.fields["alpha"] * (step.fields["size"] if step.fields["convention"] == "sum" else 1)


def translation(table, step, peer):
    """The entry of a peer's table for a step. Raises PeerError where there is none."""
    if step.op not in table:
        raise PeerError(f"{peer}: no translation of {step.op!r}; the table has {', '.join(sorted(table))}")
    return table[step.op]
