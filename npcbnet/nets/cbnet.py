"""CBNet: the converting autoencoder, then the lightweight DNN on what it made (CBNet, section III, Fig. 2)."""
import numpy as np

from npcbnet.errors import ShapeError
from npcbnet.exits import probabilities_and_entropy
from npcbnet.layers import from_config
from npcbnet.nets.classifier import Classifier
from npcbnet.nets.convconverter import ConvConverter, ConvConverterConfig
from npcbnet.nets.converter import Converter, ConverterConfig
from npcbnet.nets.model import Model, chunks


class CBNet(Model):
    """Every image, easy or hard, is converted and then classified; nothing exits early at run time."""

    kind = "cbnet"
    parts = ("encoder", "decoder", "net")

    def __init__(self, converter: Converter, classifier: Classifier):
        super().__init__(classifier.input_shape, classifier.class_names)
        if converter.input_shape != classifier.input_shape:
            raise ShapeError(f"the converter makes {converter.input_shape} images, "
                             f"the classifier takes {classifier.input_shape}")
        self.converter, self.classifier = converter, classifier
        self.encoder, self.decoder, self.net = converter.encoder, converter.decoder, classifier.net
        self._peak = max(converter.peak(), self.net.peak(self.input_shape))

    def config(self):
        """JSON values that from_config rebuilds the net from."""
        return {"input_shape": list(self.input_shape), "class_names": list(self.class_names),
                "converter": self.converter.config(), "net": self.net.config()}

    @classmethod
    def from_config(cls, config):
        make, form = (ConvConverter, ConvConverterConfig) if "channels" in config["converter"] else (
            Converter, ConverterConfig)
        try:
            form = form(**config["converter"])
        except TypeError as error:
            raise ShapeError(f"converter configuration: {error}") from None
        shape = tuple(config["input_shape"])
        return cls(make(form, shape), Classifier(from_config(config["net"]), shape, config["class_names"]))

    def input_shapes(self):
        return {**super().input_shapes(), "decoder": self.encoder.output_shape(self.input_shape)}

    def macs(self):
        """Multiply-adds for one image, converter and classifier."""
        return self.converter.macs() + self.classifier.macs()

    def convert(self, images):
        """The images as the classifier sees them, (N, C, H, W) float32 in 0..1."""
        return self.converter.convert(images)

    def _run(self, images):
        p, entropy, exits = self._empty_answer(len(images))
        converted = np.empty((len(images), *self.input_shape), np.float32)
        for here, x in chunks(images, self._peak):
            converted[here] = picture = self.converter.picture(self.converter.forward(x)[0])
            p[here], entropy[here] = probabilities_and_entropy(self.net.forward(picture)[0])
        return p, entropy, exits, converted
