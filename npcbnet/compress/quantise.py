"""A trained model with integers in its dense layers and convolutions: scales measured on images, nothing trained.

    float model --calibration images--> inputs of every layer --> one scale a layer
                --weights-------------> one scale an output
"""
import copy
from dataclasses import replace

import numpy as np

from npcbnet.compress.watch import layers_of, run_everything, watching
from npcbnet.errors import UsageError
from npcbnet.layers import (BatchNorm2d, Concatenate, Container, Conv2d, Dense, Quantized, QuantizedConv2d,
                            QuantizedDense, Residual, Sequential)
from npcbnet.nets import Converter
from npcbnet.nets.images import as_images

LEAST_SCALE = 1e-6  # of a layer or output whose calibration values are all zero; far from what a model file refuses
SAMPLE = 1 << 16  # values of a layer's input that are kept of each chunk of images, to find percentiles in


def quantise(model, images, percentile=100.0, convolutions=True):
    """A copy of the model whose Dense and Conv2d layers are QuantizedDense and QuantizedConv2d.

    convolutions: False leaves Conv2d layers in floats; see `python -m npcbnet.compress --help` for why.

    images: as for model.predict, some hundred of them, not of the test set; what each layer reads while the float model
    sees them sets its `input_scale`: the greatest magnitude, or with percentile < 100 that percentile of the
    magnitudes, so that rare large values are clipped and the others get finer steps. A layer that never read a number
    below zero gets unsigned inputs. A BatchNorm2d right behind a convolution goes into its weights first. Raises
    UsageError for no images or a model that has integers already, ShapeError for images that do not fit.
    """
    if model.levels:
        raise UsageError("this model is a subgraph of another; active layers do not compute with integers")
    if model.integers:
        raise UsageError("this model computes with integers already; quantise the float model it was made from")
    if not 50 <= percentile <= 100:
        raise UsageError(f"the percentile must be in 50..100, not {percentile:g}")
    images = as_images(images, model.input_shape)
    if not len(images):
        raise UsageError("quantise needs images to measure the layers' inputs on; give it some hundred")
    made = copy.deepcopy(model)
    for part in made.parts if convolutions else ():
        _fold(getattr(made, part))
    layers = layers_of(made, (Dense, Conv2d) if convolutions else Dense)
    seen = {id(layer): _Seen() for layer in layers}
    with watching(layers, lambda layer, x, y: seen[id(layer)].add(x)):
        run_everything(made, images)
    for part in made.parts:
        _replace(getattr(made, part), seen, percentile)
    if hasattr(made, "converter"):
        signed = [layer.signed for part in Converter.parts for layer in getattr(made, part)
                  if isinstance(layer, QuantizedDense)]
        made.converter.form = replace(made.converter.form, quantised=signed)
    return made


def scales_of(weight, axis):
    """(O,) float32: the scale of each output, whose index is `axis` of weight: its greatest magnitude becomes 127."""
    others = tuple(i for i in range(weight.ndim) if i != axis)
    return np.maximum(np.abs(weight).max(axis=others) / np.float32(127), np.float32(LEAST_SCALE))


class _Seen:
    """Of one layer's inputs: the least value, the greatest magnitude, and a sample of the magnitudes."""

    def __init__(self):
        self.least, self.most, self.sample = 0.0, 0.0, []

    def add(self, x):
        self.least, self.most = min(self.least, float(x.min())), max(self.most, float(np.abs(x).max()))
        flat = np.abs(x).ravel()
        self.sample.append(flat[::max(1, flat.size // SAMPLE)].copy())

    def range(self, percentile):
        """The magnitude that the scale's last step stands for."""
        return self.most if percentile == 100 else float(np.percentile(np.concatenate(self.sample), percentile))


def _fold(layer):
    """Batch normalisations right behind a convolution of a Sequential become a part of its weights and bias."""
    if isinstance(layer, Sequential):
        layers = []
        for inner in layer:
            last = layers[-1] if layers else None
            if isinstance(inner, BatchNorm2d) and isinstance(last, Conv2d):
                layers[-1] = _normalised(last, inner)
            else:
                layers.append(inner)
        layer.layers = layers
    if isinstance(layer, Container):
        for inner in layer.parts().values():
            _fold(inner)


def _normalised(conv, norm):
    """The convolution that gives what `norm` makes of conv's result."""
    weight, bias, mean, variance = (norm.params[name].astype(np.float64)
                                    for name in ("weight", "bias", "running_mean", "running_var"))
    scale = weight / np.sqrt(variance + norm.eps)
    made = Conv2d(conv.in_channels, conv.out_channels, conv.kernel, conv.stride, conv.pad, conv.groups)
    own = conv.params["bias"] if conv.bias else 0
    made.params = {"weight": (conv.params["weight"] * scale[:, None, None, None]).astype(np.float32),
                   "bias": ((own - mean) * scale + bias).astype(np.float32)}
    return made


def _replace(layer, seen, percentile):
    """Put quantised layers in the place of those inside a container."""
    if isinstance(layer, Sequential):
        layer.layers = [_quantised(inner, seen[id(inner)], percentile) if id(inner) in seen else inner
                        for inner in layer]
    elif isinstance(layer, (Residual, Concatenate)):
        for field in layer.nested:
            inner = getattr(layer, field)
            if id(inner) in seen:
                setattr(layer, field, _quantised(inner, seen[id(inner)], percentile))
    if isinstance(layer, Container):
        for inner in layer.parts().values():
            if not isinstance(inner, Quantized):
                _replace(inner, seen, percentile)


def _quantised(layer, seen, percentile):
    """The layer with integers."""
    weight, signed = layer.params["weight"].astype(np.float32), seen.least < 0
    steps = 127 if signed else 255
    if isinstance(layer, Dense):
        made, axis = QuantizedDense(layer.in_features, layer.out_features, signed), 1
    else:
        made, axis = QuantizedConv2d(layer.in_channels, layer.out_channels, layer.kernel, layer.stride, layer.pad,
                                     layer.groups, signed), 0
    scales = scales_of(weight, axis)
    along = scales.reshape([-1 if i == axis else 1 for i in range(weight.ndim)])
    bias = layer.params.get("bias", np.zeros(len(scales), np.float32))
    made.params = {"weight": np.rint(weight / along).astype(np.int8), "weight_scale": scales,
                   "input_scale": np.array([max(seen.range(percentile) / steps, LEAST_SCALE)], np.float32),
                   "bias": bias.astype(np.float32)}
    return made
