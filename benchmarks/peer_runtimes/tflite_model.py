"""A Graph as a .tflite model: made of tflite_operators, after two changes that TensorFlow's converter makes, too.

Where a dense layer reads a flattened map, its features come pixel by pixel, all channels of a pixel together; its
weights are brought into that order, not the map. Activations go into the operator before them.
"""
from dataclasses import replace

import numpy as np

from benchmarks.peer_runtimes.errors import PeerError
from benchmarks.peer_runtimes.graph import translation
from benchmarks.peer_runtimes.tflite_file import ModelWriter, channels_last
from benchmarks.peer_runtimes.tflite_operators import ACTIVATIONS, NO_ACTIVATION, OPERATORS

TAKE_ACTIVATIONS = {"add", "avgpool2d", "conv2d", "dense", "maxpool2d"}


def features_turned(graph):
    """The Graph with the weights of dense layers that read a flattened map in the order of (H, W, C)."""
    steps, orders = [], {}  # orders: {value: which feature stands where}
    for number, step in enumerate(graph.steps, 1):
        before, order = graph.shape(step.inputs[0]), orders.get(step.inputs[0])
        if step.op == "flatten" and len(before) == 3 and before[0] > 1 < before[1] * before[2]:
            orders[number] = np.arange(np.prod(before)).reshape(before).transpose(1, 2, 0).reshape(-1)
        elif step.op == "dense" and order is not None:
            step = replace(step, params={**step.params, "weight": step.params["weight"][order]})
        elif order is not None and step.op in ACTIVATIONS:
            orders[number] = order
        elif order is not None:
            raise PeerError(f"LiteRT: no translation of {step.op!r} between flatten and dense")
        steps.append(step)
    return replace(graph, steps=tuple(steps))


def fused(graph):
    """{value: the activation that its operator takes along}, {value of that activation: the operator's value}."""
    taken, instead = {}, {}
    for number, step in enumerate(graph.steps, 1):
        source = step.inputs[0]
        users = sum(source in other.inputs for other in graph.steps) + (source in graph.outputs)
        if step.op in ACTIVATIONS and source and graph.steps[source - 1].op in TAKE_ACTIVATIONS and users == 1:
            taken[source], instead[number] = ACTIVATIONS[step.op], source
    return taken, instead


def model(graph, images):
    """The bytes of a .tflite that takes (images, H, W, C) float32."""
    graph = features_turned(graph)
    writer = ModelWriter(graph, images)
    tensors = [writer.tensor((images, *channels_last(graph.input_shape)))]
    taken, instead = fused(graph)
    for number, step in enumerate(graph.steps, 1):
        if number in instead:
            tensors.append(tensors[instead[number]])
        else:
            translate, inputs = translation(OPERATORS, step, "LiteRT"), (tensors[i] for i in step.inputs)
            tensors.append(translate(writer, step, taken.get(number, NO_ACTIVATION), *inputs))
    return writer.file([tensors[0]], [tensors[i] for i in graph.outputs])
