"""Channel pruning: a convolution without its least influential outputs, and the next layer without those inputs.

    conv 10 -> 20, pool, ReLU, Flatten, Dense 20 x 36 -> 84      becomes      conv 10 -> 15, ..., Dense 15 x 36 -> 84
"""
import numpy as np

from npcbnet.errors import UsageError
from npcbnet.layers import (AvgPool2d, BatchNorm2d, Clip, Conv2d, Dense, Dropout, Flatten, GlobalAvgPool2d,
                            GlobalMaxPool2d, LeakyReLU, MaxPool2d, ReLU, ReLU6, Sigmoid, Tanh, Upsample2d)

# Each channel is worked on by itself, and by no parameter of its own.
CHANNELWISE = (AvgPool2d, Clip, Dropout, Flatten, GlobalAvgPool2d, GlobalMaxPool2d, LeakyReLU, MaxPool2d, ReLU, ReLU6,
               Sigmoid, Tanh, Upsample2d)


def followed(layers, place):
    """(places of layers that have parameters for each channel, the place of the layer that mixes the channels).

    The channels are those that the layer at `place` of a list makes. None where they cannot be followed to a Conv2d
    without groups or a Dense layer.
    """
    own = []
    for i in range(place + 1, len(layers)):
        if mixes(layers[i]):
            return own, i
        if isinstance(layers[i], BatchNorm2d) or is_depthwise(layers[i]):
            own.append(i)
        elif not isinstance(layers[i], CHANNELWISE):
            return None
    return None


def reader(layers, place):
    """The place of the layer that mixes the channels of the convolution at `place`; None where there is none, or where
    a layer with parameters for each channel stands between."""
    own, i = followed(layers, place) or ([], None)
    return None if own else i


def mixes(layer):
    """Does each output of a layer read all channels?"""
    return isinstance(layer, Dense) or isinstance(layer, Conv2d) and layer.groups == 1


def is_depthwise(layer):
    """Is it a convolution that works on each channel by itself?"""
    return isinstance(layer, Conv2d) and layer.groups == layer.in_channels == layer.out_channels > 1


def outputs(layer):
    """How many channels a Conv2d makes, or features a Dense layer."""
    return layer.out_features if isinstance(layer, Dense) else layer.out_channels


def by_output(layer):
    """The weight of a Conv2d or Dense layer as (F, what makes each output), float64."""
    weight = layer.params["weight"].astype(np.float64)
    return weight.T if isinstance(layer, Dense) else weight.reshape(len(weight), -1)


def influence(layer, after):
    """(F,): the L2 norm of each output's own weights (Li et al., 2017, use L1) times that of the weights by which
    `after`, the layer that mixes the channels, reads it."""
    weight, F = after.params["weight"].astype(np.float64), outputs(layer)
    read = weight.transpose(1, 0, 2, 3).reshape(F, -1) if isinstance(after, Conv2d) else weight.reshape(F, -1)
    return np.linalg.norm(by_output(layer), axis=1) * np.linalg.norm(read, axis=1)


def influential(layer, after, count):
    """The `count` outputs of `layer` with the most influence, ascending. Raises UsageError unless 1 <= count <= F."""
    F = outputs(layer)
    if not 1 <= count <= F:
        raise UsageError(f"{layer!r} has {F} outputs; {count} of them cannot stay")
    return greatest(influence(layer, after), count)


def greatest(values, count):
    """The places of the `count` greatest of values (F,), ascending; of equals the first."""
    return np.sort(np.argsort(-values, kind="stable")[:count])


def with_outputs(layer, kept):
    """A layer that makes only the channels `kept` of a Conv2d (plain or depthwise), BatchNorm2d or Dense layer."""
    count, axis = len(kept), -1 if isinstance(layer, Dense) else 0
    if isinstance(layer, Dense):
        made = Dense(layer.in_features, count)
    elif isinstance(layer, BatchNorm2d):
        made = BatchNorm2d(count, layer.eps, layer.momentum)
    else:
        inputs, groups = (count, count) if is_depthwise(layer) else (layer.in_channels, 1)
        made = Conv2d(inputs, count, layer.kernel, layer.stride, layer.pad, groups, layer.bias)
    made.params = {name: np.ascontiguousarray(array.take(kept, axis)) for name, array in layer.params.items()}
    return made


def with_inputs(layer, kept, channels):
    """A Conv2d or Dense layer that reads only `kept` of so many channels; of Flatten's features, all of a channel."""
    weight = layer.params["weight"]
    if isinstance(layer, Conv2d):
        made = Conv2d(len(kept), layer.out_channels, layer.kernel, layer.stride, layer.pad, bias=layer.bias)
        made.params = {**layer.params, "weight": np.ascontiguousarray(weight[:, kept])}
    else:
        size = layer.in_features // channels
        made = Dense(len(kept) * size, layer.out_features)
        features = (np.asarray(kept)[:, None] * size + np.arange(size)).reshape(-1)
        made.params = {**layer.params, "weight": weight[features]}
    return made
