"""Looking at what the layers of a model read and write while it sees images."""
from contextlib import contextmanager

from npcbnet.layers import Container
from npcbnet.nets import MultiExit
from npcbnet.nets.images import as_floats, as_images

CHUNK = 64


def layers_of(model, kinds):
    """All layers of these kinds, however deep, in the order in which they compute."""
    return [found for part in model.parts for found in _inside(getattr(model, part), kinds)]


def _inside(layer, kinds):
    if isinstance(layer, kinds):
        return [layer]
    return [found for inner in layer.parts().values() for found in _inside(inner, kinds)] \
        if isinstance(layer, Container) else []


@contextmanager
def watching(layers, see):
    """While it lasts, see(layer, x, y) is called with the input and output of each of the layers at each forward."""
    for layer in layers:
        layer.forward = _watched(layer, layer.forward, see)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _watched(layer, forward, see):
    def watched(x, train=False, rng=None):
        y, backward = forward(x, train, rng)
        see(layer, x, y)
        return y, backward
    return watched


def run_everything(model, images):
    """Let images (N, C, H, W) through every part of a net, also through those that they would not reach."""
    images = as_images(images, model.input_shape)
    if isinstance(model, MultiExit):
        model.all_exits(images)
        return
    for start in range(0, len(images), CHUNK):
        x = as_floats(images[start:start + CHUNK])
        if hasattr(model, "converter"):
            x = model.converter.picture(model.converter.forward(x)[0])
        model.net.forward(x)
