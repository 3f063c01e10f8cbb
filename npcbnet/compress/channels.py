"""Channel pruning: a convolution without its least influential outputs, and the next layer without those inputs.

    conv 10 -> 20, pool, ReLU, Flatten, Dense 20 x 36 -> 84      becomes      conv 10 -> 15, ..., Dense 15 x 36 -> 84
"""
import numpy as np

from npcbnet.errors import UsageError
from npcbnet.layers import (AvgPool2d, Clip, Conv2d, Dense, Dropout, Flatten, GlobalAvgPool2d, GlobalMaxPool2d,
                            LeakyReLU, MaxPool2d, ReLU, ReLU6, Sigmoid, Tanh, Upsample2d)

# Each channel is worked on by itself, and by no parameter of its own.
CHANNELWISE = (AvgPool2d, Clip, Dropout, Flatten, GlobalAvgPool2d, GlobalMaxPool2d, LeakyReLU, MaxPool2d, ReLU, ReLU6,
               Sigmoid, Tanh, Upsample2d)


def reader(layers, place):
    """The place in a list of layers of the one that mixes the channels of the convolution at `place`.

    None where the channels cannot be followed to a Conv2d without groups or a Dense layer.
    """
    for i in range(place + 1, len(layers)):
        if isinstance(layers[i], Dense) or isinstance(layers[i], Conv2d) and layers[i].groups == 1:
            return i
        if not isinstance(layers[i], CHANNELWISE):
            return None
    return None


def influential(layer, after, count):
    """The `count` output channels of Conv2d `layer` with the most influence, ascending.

    Influence: the L2 norm of the channel's own weights (Li et al., 2017, use L1) times that of the weights by which
    `after`, the layer that mixes the channels, reads it. Raises UsageError unless 1 <= count <= F.
    """
    F = layer.out_channels
    if not 1 <= count <= F:
        raise UsageError(f"{layer!r} has {F} outputs; {count} of them cannot stay")
    weight = after.params["weight"].astype(np.float64)
    read = weight.transpose(1, 0, 2, 3).reshape(F, -1) if isinstance(after, Conv2d) else weight.reshape(F, -1)
    own = layer.params["weight"].astype(np.float64).reshape(F, -1)
    influence = np.linalg.norm(own, axis=1) * np.linalg.norm(read, axis=1)
    return np.sort(np.argsort(-influence, kind="stable")[:count])


def with_outputs(layer, kept):
    """A Conv2d that makes only the channels `kept` of the layer's."""
    made = Conv2d(layer.in_channels, len(kept), layer.kernel, layer.stride, layer.pad, bias=layer.bias)
    made.params = {name: array[kept] for name, array in layer.params.items()}
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
