"""The enhanced converting autoencoder: convolutions in the place of dense layers (CAE-Net, section III-A)."""
from dataclasses import dataclass

import numpy as np

from npcbnet.errors import ShapeError
from npcbnet.layers import BatchNorm2d, Conv2d, ConvTranspose2d, ReLU, Sequential, Sigmoid, initialise
from npcbnet.nets.converter import Converter

KERNEL, PAD = 3, 1


@dataclass(frozen=True)
class ConvConverterConfig:
    """Sizes of a convolutional converting autoencoder.

    channels, strides: output channels and stride (1 or 2) of each convolution 3 x 3 of the encoder; the decoder is
    their mirror image. batch_norm: each but the last layer of the decoder is normalised; in the engine that costs
    nothing.
    """

    channels: tuple
    strides: tuple
    batch_norm: bool = False

    output = "sigmoid"  # of every one; as ConverterConfig has them
    residual = False

    def __post_init__(self):
        for field in ("channels", "strides"):
            values = getattr(self, field)
            if not isinstance(values, (list, tuple)) or not all(type(value) is int for value in values):
                raise ShapeError(f"an encoder's {field} are whole numbers, not {values!r:.60}")
            object.__setattr__(self, field, tuple(values))
        if not self.channels or len(self.channels) != len(self.strides):
            raise ShapeError(f"an encoder needs a stride for each convolution, not channels {self.channels} and "
                             f"strides {self.strides}")
        if min(self.channels) < 1 or not set(self.strides) <= {1, 2}:
            raise ShapeError(f"an encoder's channels are at least 1 and its strides 1 or 2, not {self.channels} and "
                             f"{self.strides}")
        if not isinstance(self.batch_norm, bool):
            raise ShapeError(f"an encoder's batch_norm is true or false, not {self.batch_norm!r:.40}")


class ConvConverter(Converter):
    """encoder: image -> code (N, F, P, Q); decoder: code -> picture, by a sigmoid in 0..1.

    Derived from U-Net's two halves as the paper says, but without its skip connections: they would let the decoder
    copy the image, and do not exist once the encoder has a classifier behind it.
    """

    def __init__(self, config: ConvConverterConfig, input_shape):
        self.form, self.input_shape = config, tuple(input_shape)
        self.encoder = encoder(config, self.input_shape[0])
        self.decoder = decoder(config, self.input_shape)

    def initialise(self, rng):
        """Fresh weights N(0, 2 / fan in): with smaller ones ten layers hardly begin to learn. Returns self."""
        for part in self.parts:
            initialise(getattr(self, part), rng, "he_normal")
        return self

    def begin_with(self, means):
        """Let the first pictures have these mean pixels (C,), in 0..1. Returns self.

        Where most pixels are black, the first steps otherwise darken every picture until the sigmoid has no slope left,
        and training ends there.
        """
        p = np.clip(means, 0.01, 0.99)
        self.decoder[-2].params["bias"] = np.log(p / (1 - p)).astype(np.float32)
        return self

    def config(self):
        """JSON values of the form."""
        return {"channels": list(self.form.channels), "strides": list(self.form.strides),
                "batch_norm": self.form.batch_norm}


def encoder(form: ConvConverterConfig, channels):
    """The encoder, (N, channels, H, W) -> (N, F, P, Q): Sequential, not initialised."""
    layers = []
    for size, stride in zip(form.channels, form.strides):
        layers += [Conv2d(channels, size, KERNEL, stride, PAD), *_behind(size, form)]
        channels = size
    return Sequential(layers)


def decoder(form: ConvConverterConfig, input_shape):
    """The encoder's mirror image, (N, F, P, Q) -> (N, C, H, W) in 0..1."""
    sizes, sides = [input_shape[0], *form.channels], [np.array(input_shape[1:])]
    for stride in form.strides:
        sides.append(-(-sides[-1] // stride))
    layers = []
    for i in range(len(form.strides), 0, -1):
        stride = form.strides[i - 1]
        more = sides[i - 1] - ((sides[i] - 1) * stride - 2 * PAD + KERNEL)  # what rounding took
        if more[0] != more[1]:
            raise ShapeError(f"a converting autoencoder with strides {form.strides} cannot restore images of "
                             f"{input_shape[1]}x{input_shape[2]} pixels; choose sides that are both even or both odd "
                             "wherever they are halved")
        layers.append(ConvTranspose2d(sizes[i], sizes[i - 1], KERNEL, stride, PAD, int(more[0])))
        layers += _behind(sizes[i - 1], form) if i > 1 else [Sigmoid()]
    return Sequential(layers)


def _behind(size, form):
    """What follows a convolution."""
    return [BatchNorm2d(size), ReLU()] if form.batch_norm else [ReLU()]
