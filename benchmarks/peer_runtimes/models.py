"""The models that are compared, the batches and inputs that they are measured with unless others are asked for."""
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import npcbnet
from benchmarks.peer_runtimes.errors import PeerError
from npcbnet import data
from npcbnet.caenet.recipe import COLOUR
from npcbnet.nets import ConvConverter, alexnet, mobilenetv2, resnet18, vgg16
from npcbnet.nets.caenet import caenet

SMALL, LARGE = (1, 256, 10_000), (1, 256)
INPUTS = ("random", "images")
DIFFERENT = 200  # images that take turns at batch 1


@dataclass(frozen=True)
class Entry:
    """make: seed -> model; batches and inputs: the defaults. images: the data set whose test images fit, or None."""

    make: Callable
    batches: tuple
    inputs: tuple
    images: str | None = "mnist"


def pretrained(name):
    """make of a model that npcbnet ships."""
    return lambda seed: npcbnet.load(name)


def table1(seed):
    """CBNet of Table I with float32 weights.

    The shipped file holds float16 numbers, which the engine would read as such, half the bytes. Its weights get back
    what rounding took, drawn at random, so that all runtimes read float32.
    """
    model, rng = npcbnet.load("mnist-cbnet-table1"), np.random.default_rng(seed)
    for array in model.params.values():
        array *= (1 + rng.uniform(-1, 1, array.shape) * 2.0 ** -12).astype(np.float32)
    return model


def untrained(net):
    """make of a net for 3x32x32 images and 10 classes with random weights, the last layer's a tenth of the usual.

    So no probability comes near 1, where a wrong answer would hardly show.
    """
    def make(seed):
        model = net((3, 32, 32), tuple("0123456789"), np.random.default_rng(seed))
        model.net[-1].params["weight"] *= np.float32(0.1)
        return model
    return make


def colour_caenet(shape, class_names, rng):
    """CAE-Net for CIFAR-10, as `npcbnet.train cifar10 --net caenet` makes it."""
    encoder = ConvConverter(COLOUR.form, shape).initialise(rng).encoder
    return caenet(encoder, COLOUR.hidden, shape, class_names, rng, COLOUR.pool)


MODELS = {
    "lenet": Entry(pretrained("mnist-lenet"), SMALL, ("random",)),
    "lightweight": Entry(pretrained("mnist-lightweight"), SMALL, ("random",)),
    "branchynet": Entry(pretrained("mnist-branchynet"), SMALL, ("images",)),
    "fast": Entry(pretrained("mnist-cbnet"), SMALL, ("images",)),
    "converter": Entry(lambda seed: table1(seed).converter, SMALL, INPUTS),
    "table1": Entry(table1, SMALL, INPUTS),
    "converter-float16": Entry(lambda seed: npcbnet.load("mnist-cbnet-table1").converter, (1,), INPUTS),
    "caenet": Entry(pretrained("mnist-caenet"), SMALL, ("random",)),
    "caenet-fast": Entry(pretrained("mnist-caenet-fast"), SMALL, INPUTS),
    "caenet-cifar10": Entry(untrained(colour_caenet), LARGE, ("random",), images=None),
    "alexnet": Entry(untrained(alexnet), LARGE, ("random",), images=None),
    "mobilenetv2": Entry(untrained(mobilenetv2), LARGE, ("random",), images=None),
    "resnet18": Entry(untrained(resnet18), (1,), ("random",), images=None),
    "vgg16": Entry(untrained(vgg16), (1,), ("random",), images=None),
}


def inputs(name, kind, shape, batch, seed):
    """Arrays (batch, *shape) float32 in 0..1: one of "random" values; of "images" one, or at batch 1 DIFFERENT ones.

    Test images are taken at equal distances from the whole data set. Raises PeerError for a model that none fit.
    """
    if kind == "random":
        return [np.random.default_rng(seed).random((batch, *shape), np.float32)]
    if MODELS[name].images is None:
        raise PeerError(f"there are no images for {name}; measure it with --inputs random")
    images = data.load(MODELS[name].images).test.images
    chosen = images[np.linspace(0, len(images) - 1, DIFFERENT if batch == 1 else batch).astype(int)]
    floats = chosen.astype(np.float32) / np.float32(255)
    return np.split(floats, DIFFERENT) if batch == 1 else [floats]
