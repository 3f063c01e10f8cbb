"""Starting weights, by the names the field knows them by. Biases start at 0; a layer's `starts` names exceptions."""
import numpy as np

from npcbnet.errors import UsageError
from npcbnet.layers.base import Layer
from npcbnet.layers.container import Container


def lecun_normal(shape, fan_in, fan_out, rng):
    """N(0, 1 / fan_in) (LeCun et al., 1998; the default of Chainer, in which BranchyNet was written)."""
    return rng.normal(0, 1 / np.sqrt(fan_in), shape)


def xavier_uniform(shape, fan_in, fan_out, rng):
    """U(-a, a), a = sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010, eq. 16; the default of Keras)."""
    return rng.uniform(-1, 1, shape) * np.sqrt(6 / (fan_in + fan_out))


def he_normal(shape, fan_in, fan_out, rng):
    """N(0, 2 / fan_in) (He et al., 2015, eq. 10)."""
    return rng.normal(0, np.sqrt(2 / fan_in), shape)


SCHEMES = {"lecun_normal": lecun_normal, "xavier_uniform": xavier_uniform, "he_normal": he_normal}


def initialise(layer: Layer, rng: "np.random.Generator", scheme="lecun_normal", dtype=np.float32):
    """Give a layer, or each in a container, fresh parameters; weights by `scheme`, biases 0. Returns the layer."""
    if scheme not in SCHEMES:
        raise UsageError(f"unknown initialiser {scheme!r}; choose one of {', '.join(SCHEMES)}")
    if isinstance(layer, Container):
        for inner in layer.parts().values():
            initialise(inner, rng, scheme, dtype)
        return layer
    if layer.integers:
        raise UsageError(f"{type(layer).__name__} is made from a trained layer by npcbnet.compress, not initialised")
    for name, shape in layer.param_shapes().items():
        drawn = name == "weight" and name not in layer.starts
        array = SCHEMES[scheme](shape, *layer.fans(), rng) if drawn else np.full(shape, layer.starts.get(name, 0))
        layer.params[name] = array.astype(dtype)
    return layer
