"""The models that are compared, the batches and inputs that they are measured with unless others are asked for."""
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import npcbnet
from benchmarks.peer_runtimes.errors import PeerError
from npcbnet import data
from npcbnet.nets import alexnet, mobilenetv2

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


def table1_converter(seed):
    """The converting autoencoder of Table I alone."""
    return npcbnet.load("mnist-cbnet-table1").converter


def untrained(net):
    """make of a net for 3x32x32 images and 10 classes with random weights, the last layer's a tenth of the usual.

    So no probability comes near 1, where a wrong answer would hardly show.
    """
    def make(seed):
        model = net((3, 32, 32), tuple("0123456789"), np.random.default_rng(seed))
        model.net[-1].params["weight"] *= np.float32(0.1)
        return model
    return make


MODELS = {
    "lenet": Entry(pretrained("mnist-lenet"), SMALL, ("random",)),
    "lightweight": Entry(pretrained("mnist-lightweight"), SMALL, ("random",)),
    "branchynet": Entry(pretrained("mnist-branchynet"), SMALL, ("images",)),
    "fast": Entry(pretrained("mnist-cbnet"), SMALL, ("images",)),
    "converter": Entry(table1_converter, SMALL, INPUTS),
    "table1": Entry(pretrained("mnist-cbnet-table1"), SMALL, INPUTS),
    "alexnet": Entry(untrained(alexnet), LARGE, ("random",), images=None),
    "mobilenetv2": Entry(untrained(mobilenetv2), LARGE, ("random",), images=None),
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
