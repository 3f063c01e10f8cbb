"""Starting weights, by the names the field knows them by. Biases start at 0."""
import numpy as np

from npcbnet.errors import UsageError
from npcbnet.layers.base import Layer
from npcbnet.layers.sequential import Sequential


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


def initialise(layer: Layer, rng: np.random.Generator, scheme="lecun_normal", dtype=np.float32):
    """Give a layer, or each in a Sequential, fresh parameters; weights by `scheme`, biases 0. Returns the layer."""
    if scheme not in SCHEMES:
        raise UsageError(f"unknown initialiser {scheme!r}; choose one of {', '.join(SCHEMES)}")
    if isinstance(layer, Sequential):
        for inner in layer:
            initialise(inner, rng, scheme, dtype)
        return layer
    for name, shape in layer.param_shapes().items():
        drawn = SCHEMES[scheme](shape, *layer.fans(), rng) if name == "weight" else np.zeros(shape)
        layer.params[name] = drawn.astype(dtype)
    return layer
