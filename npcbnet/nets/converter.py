"""The converting autoencoder: a hard image in, an easy image of the same class out (CBNet, section III-A)."""
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np

from npcbnet.errors import ShapeError
from npcbnet.layers import (AvgPool2d, Dense, Flatten, QuantizedDense, ReLU, Reshape, Sequential, Sigmoid, Softmax,
                            Upsample2d, initialise)
from npcbnet.nets.images import as_images
from npcbnet.nets.model import chunks

OUTPUTS = ("linear", "sigmoid", "softmax")


@dataclass(frozen=True)
class ConverterConfig:
    """Sizes and form of a dense converting autoencoder.

    hidden, activations: sizes of the hidden layers and "relu" or "linear" for each; the last of them is the code.
    halve_input: 2x2 means of the image go in. halve_output: a picture of half the sides comes out, enlarged bilinearly.
    output: "softmax" (Table I; its values sum to `total`, and the picture is divided by its brightest pixel),
    "linear" (clipped to 0..1) or "sigmoid". residual: the output is added to the image; a nudge, not the paper's
    conversion. quantised: whether the inputs of each dense layer are signed, if these are QuantizedDense; empty: they
    are not.
    """

    hidden: tuple
    activations: tuple
    halve_input: bool = False
    halve_output: bool = False
    output: str = "linear"
    residual: bool = False
    total: float = 1.0
    quantised: tuple = ()

    def __post_init__(self):
        object.__setattr__(self, "quantised", tuple(self.quantised))
        if self.quantised and len(self.quantised) != len(self.hidden) + 1:
            raise ShapeError(f"a quantised converter of {len(self.hidden) + 1} dense layers says of the inputs of each "
                             f"whether they are signed, not {self.quantised!r:.60}")
        object.__setattr__(self, "hidden", tuple(self.hidden))
        object.__setattr__(self, "activations", tuple(self.activations))
        if not self.hidden or len(self.hidden) != len(self.activations):
            raise ShapeError("a converter needs one activation for each hidden layer, "
                             f"not {self.hidden} and {self.activations}")
        if not set(self.activations) <= {"relu", "linear"}:
            raise ShapeError(f"a converter's activations are 'relu' or 'linear', not {self.activations}")
        if self.output not in OUTPUTS:
            raise ShapeError(f"a converter's output is one of {', '.join(OUTPUTS)}, not {self.output!r}")
        if self.residual and self.output != "linear":
            raise ShapeError("a residual converter adds its output to the image, so the output must be 'linear'")


# CBNet, Table I. FullyConnected4, the 784 outputs, is the picture itself.
TABLE_I = {"mnist": ConverterConfig((784, 384, 32), ("relu", "relu", "linear"), output="softmax"),
           "fmnist": ConverterConfig((512, 256, 128), ("relu", "relu", "linear"), output="softmax"),
           "kmnist": ConverterConfig((512, 384, 32), ("relu", "linear", "linear"), output="softmax")}


class Converter:
    """encoder: image -> code; decoder: code -> raw picture (N, C, H, W); `picture` makes an image of it."""

    parts = ("encoder", "decoder")

    def __init__(self, config: ConverterConfig, input_shape):
        self.form, self.input_shape = config, tuple(input_shape)
        channels, height, width = self.input_shape
        if (config.halve_input or config.halve_output) and (height % 2 or width % 2):
            raise ShapeError(f"a converter that halves its input or output needs even sides, not {height}x{width}")
        encoder = ([AvgPool2d(2)] if config.halve_input else []) + [Flatten()]
        features = Sequential(encoder).output_shape(self.input_shape)[0]
        dense = [partial(QuantizedDense, signed=flag) for flag in config.quantised]
        dense = dense or [Dense] * (len(config.hidden) + 1)
        for make, size, activation in zip(dense, config.hidden, config.activations):
            encoder += [make(features, size)] + ([ReLU()] if activation == "relu" else [])
            features = size
        small = (channels, height // 2, width // 2) if config.halve_output else self.input_shape
        last = {"linear": [], "sigmoid": [Sigmoid()], "softmax": [Softmax(config.total)]}[config.output]
        decoder = [dense[-1](features, int(np.prod(small))), *last, Reshape(small)]
        self.encoder = Sequential(encoder)
        self.decoder = Sequential(decoder + ([Upsample2d()] if config.halve_output else []))

    def initialise(self, rng):
        """Fresh weights, Xavier uniform (the default of Keras, in which the paper's was written). Returns self."""
        for part in self.parts:
            initialise(getattr(self, part), rng, "xavier_uniform")
        return self

    @property
    def params(self):
        """All parameters by name, "part.layer.name"."""
        return {f"{part}.{name}": array for part in self.parts for name, array in getattr(self, part).params.items()}

    @property
    def statistics(self):
        """Names of the parameters that are measured in training, not learned."""
        return tuple(f"{part}.{name}" for part in self.parts for name in getattr(self, part).statistics)

    def config(self):
        """JSON values of the form."""
        values = {**asdict(self.form), "hidden": list(self.form.hidden), "activations": list(self.form.activations),
                  "quantised": list(self.form.quantised)}
        return {field: value for field, value in values.items() if field != "quantised" or value}

    def macs(self):
        """Multiply-adds for one image."""
        return self.encoder.macs(self.input_shape) + self.decoder.macs(self.encoder.output_shape(self.input_shape))

    def peak(self):
        """Values of one image in the largest map that forward makes."""
        return max(self.encoder.peak(self.input_shape), self.decoder.peak(self.encoder.output_shape(self.input_shape)))

    def forward(self, x, train=False, rng=None):
        """x (N, C, H, W) in 0..1 -> raw (N, C, H, W), code (N, D), backward.

        backward(draw, dcode=None) -> {name: gradient}; dcode is the activity penalty's gradient by the code.
        """
        code, encoder_backward = self.encoder.forward(x, train, rng)
        raw, decoder_backward = self.decoder.forward(code, train, rng)
        if self.form.residual:
            raw = x + raw
        if not train:
            return raw, code, None

        def backward(draw, dcode=None):
            dz, decoder_grads = decoder_backward(draw)
            _, encoder_grads = encoder_backward(dz if dcode is None else dz + dcode, need_dx=False)
            return ({f"encoder.{name}": gradient for name, gradient in encoder_grads.items()}
                    | {f"decoder.{name}": gradient for name, gradient in decoder_grads.items()})

        return raw, code, backward

    def picture(self, raw):
        """What the classifier sees: raw (N, C, H, W) clipped to 0..1; of a softmax, divided by its brightest pixel."""
        if self.form.output == "softmax":
            return raw / raw.max(axis=(1, 2, 3), keepdims=True)
        return np.clip(raw, 0, 1)

    def convert(self, images):
        """Images as for `predict` -> converted images (N, C, H, W) float32 in 0..1. Raises ShapeError."""
        images = as_images(images, self.input_shape)
        converted = np.empty((len(images), *self.input_shape), np.float32)
        for here, x in chunks(images, self.peak()):
            converted[here] = self.picture(self.forward(x)[0])
        return converted
