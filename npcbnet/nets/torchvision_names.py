"""Our names of parameters and those that torchvision's state_dict gives them, for the architectures of both."""
import numpy as np

from npcbnet.errors import UsageError
from npcbnet.layers import BatchNorm2d, Container, Dense, Flatten, Residual
from npcbnet.nets.mobilenetv2 import STAGES

BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet32": (5, 5, 5), "resnet50": (3, 4, 6, 3)}
ARCHITECTURES = ("mobilenetv2", *BLOCKS, "vgg16")


def check_architecture(architecture):
    """Raise UsageError unless it is one of ARCHITECTURES."""
    if architecture not in ARCHITECTURES:
        raise UsageError(f"weights are read for {', '.join(ARCHITECTURES)}, not for {architecture!r:.60}")


def state_dict(architecture, model):
    """{torchvision's name: array} of a model's parameters, as torchvision shapes them: what the loader reads.

    A first layer that normalises images is left out; torchvision has none. Raises UsageError where the model is not of
    this architecture.
    """
    check_architecture(architecture)
    net = model.net[1:] if isinstance(model.net[0], BatchNorm2d) else model.net
    params = net.params
    return {name: np.ascontiguousarray(params[own].T) if isinstance(layer, Dense) else params[own]
            for name, (own, layer) in names(architecture, net).items()}


def names(architecture, net):
    """{torchvision's name: (our name in the net, the layer)} of all parameters of an architecture's layers.

    Raises UsageError where the layers are not this architecture's.
    """
    prefixes = {"mobilenetv2": _mobilenetv2_prefixes, "vgg16": _vgg16_prefixes}.get(architecture, _resnet_prefixes)
    try:
        pairs = list(zip(prefixes(net, architecture), _weighted(net, ""), strict=True))
    except ValueError:
        raise UsageError(f"these are not the layers of {architecture}; name the model's own architecture") from None
    return {f"{prefix}.{parameter}": (f"{own}{parameter}", layer)
            for prefix, (own, layer) in pairs for parameter in layer.param_shapes()}


def _weighted(layer, name):
    """(what its parameters' names begin with, layer) of the layers with parameters, in the order of computing."""
    if isinstance(layer, Container):
        for part, inner in layer.parts().items():
            yield from _weighted(inner, f"{name}{part}.")
    elif layer.param_shapes():
        yield name, layer


def _vgg16_prefixes(net, _):
    """Our layers lie in torchvision's order: `features` are counted from the first, `classifier` behind Flatten."""
    end = next((i for i, layer in enumerate(net) if isinstance(layer, Flatten)), len(net))
    for i, layer in enumerate(net):
        if layer.param_shapes():
            yield f"features.{i}" if i < end else f"classifier.{i - end - 1}"


def _resnet_prefixes(net, architecture):
    """Stem, convolutions and normalisations of each block from 1, the shortcut's, the dense layer."""
    yield from ("conv1", "bn1")
    residuals = [layer for layer in net if isinstance(layer, Residual)]
    places = [f"layer{stage}.{i}" for stage, count in enumerate(BLOCKS[architecture], 1) for i in range(count)]
    for place, block in zip(places, residuals, strict=True):
        for number in range(1, 1 + sum(isinstance(layer, BatchNorm2d) for layer in block.body)):
            yield from (f"{place}.conv{number}", f"{place}.bn{number}")
        if block.shortcut is not None and block.shortcut.param_shapes():
            yield from (f"{place}.downsample.0", f"{place}.downsample.1")
    yield "fc"


def _mobilenetv2_prefixes(*_):
    """An activated convolution and its normalisation are one entry of a block; the last two lie in it by themselves."""
    yield from ("features.0.0", "features.0.1")
    number = 0
    for expansion, _, blocks, _ in STAGES:
        for _ in range(blocks):
            number += 1
            activated = 2 if expansion > 1 else 1
            for i in range(activated):
                yield from (f"features.{number}.conv.{i}.0", f"features.{number}.conv.{i}.1")
            yield from (f"features.{number}.conv.{activated}", f"features.{number}.conv.{activated + 1}")
    yield from (f"features.{number + 1}.0", f"features.{number + 1}.1", "classifier.1")
