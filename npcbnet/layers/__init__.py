"""The layers, one operator a file, and the closed table of names that a model file may use."""
from npcbnet.errors import ModelFileError
from npcbnet.layers.activeconv2d import ActiveConv2d
from npcbnet.layers.activedense import ActiveDense
from npcbnet.layers.avgpool2d import AvgPool2d
from npcbnet.layers.base import Layer
from npcbnet.layers.batchnorm2d import BatchNorm2d
from npcbnet.layers.clip import Clip
from npcbnet.layers.concatenate import Concatenate
from npcbnet.layers.container import Container
from npcbnet.layers.conv2d import Conv2d
from npcbnet.layers.convtranspose2d import ConvTranspose2d
from npcbnet.layers.dense import Dense
from npcbnet.layers.dropout import Dropout
from npcbnet.layers.flatten import Flatten, Reshape
from npcbnet.layers.globalpool2d import GlobalAvgPool2d, GlobalMaxPool2d
from npcbnet.layers.initialise import initialise
from npcbnet.layers.leakyrelu import LeakyReLU
from npcbnet.layers.localresponsenorm import LocalResponseNorm
from npcbnet.layers.maxpool2d import MaxPool2d
from npcbnet.layers.padchannels import PadChannels
from npcbnet.layers.quantized import Quantized
from npcbnet.layers.quantizedconv2d import QuantizedConv2d
from npcbnet.layers.quantizeddense import QuantizedDense
from npcbnet.layers.relu import ReLU
from npcbnet.layers.relu6 import ReLU6
from npcbnet.layers.residual import Residual
from npcbnet.layers.sequential import Sequential
from npcbnet.layers.sigmoid import Sigmoid
from npcbnet.layers.softmax import Softmax
from npcbnet.layers.tanh import Tanh
from npcbnet.layers.upsample2d import Upsample2d

__all__ = ["ActiveConv2d", "ActiveDense", "AvgPool2d", "BatchNorm2d", "Clip", "Concatenate", "Container", "Conv2d",
           "ConvTranspose2d", "Dense", "Dropout", "Flatten", "GlobalAvgPool2d", "GlobalMaxPool2d", "LAYERS", "Layer",
           "LeakyReLU", "LocalResponseNorm", "MaxPool2d", "PadChannels", "Quantized", "QuantizedConv2d",
           "QuantizedDense", "ReLU", "ReLU6", "Reshape", "Residual", "Sequential", "Sigmoid", "Softmax", "Tanh",
           "Upsample2d", "from_config", "initialise"]

LAYERS = {layer.name: layer for layer in
          (ActiveConv2d, ActiveDense, AvgPool2d, BatchNorm2d, Clip, Concatenate, Conv2d, ConvTranspose2d, Dense,
           Dropout, Flatten, GlobalAvgPool2d, GlobalMaxPool2d, LeakyReLU, LocalResponseNorm, MaxPool2d, PadChannels,
           QuantizedConv2d, QuantizedDense, ReLU, ReLU6, Reshape, Residual, Sigmoid, Softmax, Tanh, Upsample2d)}
MAX_DEPTH = 8  # of lists and layers in each other: three Residuals; a file may not recurse as deep as it likes


def from_config(config, depth=0):
    """The layer, or list of layers as a Sequential, that `config()` described. Allocates no parameters.

    Raises ModelFileError for an unknown layer or field or for more than MAX_DEPTH levels, ShapeError for values that
    cannot work. depth: how many levels lie around this one.
    """
    if depth > MAX_DEPTH:
        raise ModelFileError(f"layers lie in each other more than {MAX_DEPTH} deep")
    if isinstance(config, list):
        return Sequential([from_config(inner, depth + 1) for inner in config])
    name = config.get("layer") if isinstance(config, dict) else config
    if not isinstance(config, dict) or not isinstance(name, str) or name not in LAYERS:
        raise ModelFileError(f"unknown layer {name!r:.60}; this version knows {', '.join(LAYERS)}")
    layer = LAYERS[name]
    fields = {key: value for key, value in config.items() if key != "layer"}
    if not set(layer.fields) - set(layer.defaults) <= set(fields) <= set(layer.fields):
        raise ModelFileError(f"layer {layer.name!r} has the fields {list(layer.fields)}, "
                             f"the file gives {sorted(fields)!r:.200}")
    for field in layer.nested:
        if field in fields:
            fields[field] = from_config(fields[field], depth + 1)
    return layer(**fields)
