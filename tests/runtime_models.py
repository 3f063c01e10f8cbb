"""What the tests of the engine share: which machines have one, random networks, models of all forms, comparison."""
import dataclasses
from functools import cache

import numpy as np
import pytest

from npcbnet.kernels._jit import COMPILED
from npcbnet.layers import (AvgPool2d, BatchNorm2d, Clip, Concatenate, Conv2d, ConvTranspose2d, Dense, Dropout, Flatten,
                            GlobalAvgPool2d, GlobalMaxPool2d, LeakyReLU, LocalResponseNorm, MaxPool2d, PadChannels,
                            ReLU, ReLU6, Reshape, Residual, Sequential, Sigmoid, Softmax, Tanh, Upsample2d, initialise)
from npcbnet.nets import BranchyNet, Classifier, MultiExit


def why_no_engine():
    """Why this process has no engine; empty if it has one."""
    if not COMPILED:
        return "nothing is compiled in this process (no numba, or NUMBA_DISABLE_JIT)"
    try:
        from npcbnet.runtime.target import host
        host()
    except ImportError as error:
        return str(error)
    return ""


NO_ENGINE = why_no_engine()
needs_engine = pytest.mark.skipif(bool(NO_ENGINE), reason=f"no engine here: {NO_ENGINE}")
TARGETS = {"host": {}, "4 lanes": {"lanes": 4}, "8 lanes, 16 registers": {"lanes": 8, "registers": 16}}


@cache
def kernels(name):
    """The Library of this machine, or of one like it with narrower vectors."""
    from npcbnet.runtime.library import Library
    from npcbnet.runtime.target import host
    return Library(dataclasses.replace(host(), **TARGETS[name]))


def filled(net, rng, scale=1.0):
    """The net with random weights and, unlike before training, random biases and statistics."""
    def drawn(name, array):
        if name.endswith("running_var"):
            return rng.uniform(0.3, 2, array.shape)
        if array.ndim == 1:
            return rng.normal(0, 0.3, array.shape) + name.endswith("weight")
        return scale * array

    initialise(net, rng)
    net.params = {name: drawn(name, array).astype(np.float32) for name, array in net.params.items()}
    return net


def names(count):
    """Class names."""
    return tuple(f"class {i}" for i in range(count))


def some_images(rng, shape, count, kind="dense"):
    """count images (N, C, H, W) uint8: "dense" noise, "ink" on a black ground, or "flat": all black, all white."""
    images = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
    if kind == "ink":
        images[rng.random(images.shape) < 0.8] = 0
    if kind == "flat":
        images[:] = rng.choice([0, 255], (count, 1, 1, 1))
    return images


def on_maps(rng, shape, depth=0):
    """A random layer that takes (C, H, W) images of this shape."""
    channels, side = shape[0], min(shape[1:])
    kind = rng.choice(["conv"] * 5 + ["grouped", "turned", "norm", "norm", "local", "halve", "halve", "max", "average",
                                      "global", "reshape", "upsample", "residual", "residual", "beside", "beside",
                                      "pad", "any", "any", "any"])
    if kind in ("conv", "grouped", "turned"):
        groups = int(rng.choice([g for g in range(1, channels + 1) if channels % g == 0])) if kind != "conv" else 1
        kernel, stride = int(rng.integers(1, 8)), int(rng.choice([1, 1, 1, 2, 3]))
        pad, outs = int(rng.integers(0, kernel)), groups * int(rng.integers(1, max(2, 13 // groups)))
        kernel = min(kernel, side + 2 * pad)
        window = kernel, stride, min(pad, kernel - 1)
        if kind == "turned":
            window = kernel, stride, int(rng.integers(0, (kernel + 1) // 2)), int(rng.integers(0, stride))
            return ConvTranspose2d(channels, outs, *window, groups, bias=bool(rng.integers(2)))
        return Conv2d(channels, outs, *window, groups, bias=bool(rng.integers(3)))
    if kind in ("max", "average"):
        kernel = int(rng.integers(1, min(side, 7) + 1))
        window = kernel, int(rng.integers(1, kernel + 3)), int(rng.integers(0, kernel // 2 + 1)), bool(rng.integers(2))
        return MaxPool2d(*window) if kind == "max" else AvgPool2d(*window, bool(rng.integers(2)))
    if kind == "local":
        size, alpha, beta, k = int(rng.choice([1, 3, 5])), rng.uniform(0, 0.5), rng.uniform(0.1, 1), rng.uniform(0.5, 2)
        return LocalResponseNorm(size, alpha, beta, k, str(rng.choice(["sum", "mean"])))
    if kind in ("residual", "beside") and depth < 2:
        return residual(rng, shape, depth + 1, kind)
    return {"norm": BatchNorm2d(channels), "halve": MaxPool2d(2 if side > 1 else 1, ceil_mode=bool(rng.integers(4))),
            "global": rng.choice([GlobalAvgPool2d(), GlobalMaxPool2d()]) if rng.random() < 0.3 else anywhere(rng),
            "reshape": Reshape([int(size) for size in rng.permutation(shape)]),
            "pad": PadChannels(int(rng.integers(0, 4)), int(rng.integers(0, 3 * channels))),
            "upsample": Upsample2d() if max(shape[1:]) <= 20 else anywhere(rng)}.get(kind) or anywhere(rng)


def residual(rng, shape, depth, kind="residual"):
    """A Residual whose body and, perhaps, shortcut are random layers and one that makes their shapes one.

    kind "beside": two such bodies in a Concatenate.
    """
    channels = int(rng.integers(1, 9))

    def branch(fits):
        layers, (made, height, width) = [], shape
        for _ in range(rng.integers(0, 3)):
            layer = on_maps(rng, (made, height, width), depth)
            if layer.output_shape((made, height, width))[1:] == (height, width):
                layers.append(layer)
                made = layer.output_shape((made, height, width))[0]
        return Sequential(layers + ([] if made == fits else [Conv2d(made, fits, 3, pad=1)]))

    if kind == "beside":
        return Concatenate(branch(int(rng.integers(1, 9))), branch(channels))
    if rng.random() < 0.5:
        return Residual(branch(shape[0]))
    return Residual(branch(channels), branch(channels))


def anywhere(rng):
    """A random layer that takes any shape."""
    low = float(rng.choice([-1.0, -0.3, 0.0, 0.1]))
    return rng.choice([ReLU(), ReLU(), Clip(low, low + float(rng.choice([0.2, 1.0, 6.0]))), Sigmoid(), Dropout(0.3),
                       ReLU6(), LeakyReLU(float(rng.choice([0.01, 0.3, 1.5, -0.2]))), Tanh()])


def on_features(rng, features):
    """A random layer that takes (D,) features."""
    kind = rng.choice(["dense", "dense", "dense", "softmax", "picture", "picture", "residual", "beside", "any", "any",
                       "any"])
    if kind == "dense":
        return Dense(features, int(rng.integers(1, 71)))
    if kind == "residual":
        return Residual(Sequential([Dense(features, 9), anywhere(rng), Dense(9, features)]))
    if kind == "beside":
        return Concatenate(Sequential([Dense(features, 9), anywhere(rng)]), Sequential([anywhere(rng)]))
    if kind == "softmax":
        return Softmax(float(rng.choice([1.0, 12.5])))
    height = next(side for side in (7, 6, 5, 4, 3, 2, 1) if features % side == 0)
    return Reshape((1, height, features // height)) if kind == "picture" and features <= 280 else anywhere(rng)


def random_layers(rng, shape, length):
    """About `length` random layers, in an order in which they fit, and the shape behind them."""
    layers = []
    for _ in range(length):
        if len(shape) == 1:
            layer = on_features(rng, shape[0])
        else:
            layer = on_maps(rng, shape) if rng.random() < 0.9 else Flatten()
        if np.prod(layer.output_shape(shape)) <= 20_000:
            layers.append(layer)
            shape = layer.output_shape(shape)
    return layers, shape


def to_logits(rng, shape, classes):
    """Layers that end a network: a dense one, with or without a clamp, or a convolution and global pooling."""
    if len(shape) == 3 and shape[1] == shape[2] <= 15 and rng.random() < 0.5:
        return [Conv2d(shape[0], classes, 1), AvgPool2d(shape[1]), Flatten()]
    return [Flatten(), Dense(int(np.prod(shape)), classes), *([Clip(-2, 2)] if rng.random() < 0.2 else [])]


def perhaps_lighter(net, rng):
    """The net; in some of its dense layers most weights become zero, at random or four by four, or float16 numbers."""
    for name, array in net.params.items():
        if array.ndim == 2:
            kind = rng.choice(["as it is", "sparse", "blocks", "half"], p=[0.55, 0.15, 0.15, 0.15])
            if kind in ("sparse", "blocks"):
                wide = 4 if kind == "blocks" else 1
                kept = rng.random((array.shape[0], -(-array.shape[1] // wide))) < 0.05
                array *= np.repeat(kept, wide, axis=1)[:, :array.shape[1]]
            if kind == "half":
                array[...] = array.astype(np.float16)
    return net


def random_images_shape(rng):
    """One or three channels, 5 to 40 pixels each way."""
    return int(rng.choice([1, 3])), int(rng.integers(5, 41)), int(rng.integers(5, 41))


def random_classifier(seed, length):
    """A Classifier of about `length` random layers and two more, with random weights."""
    rng = np.random.default_rng(seed)
    shape, classes = random_images_shape(rng), int(rng.integers(2, 13))
    layers, behind = random_layers(rng, shape, length)
    net = filled(Sequential(layers + to_logits(rng, behind, classes)), rng)
    return Classifier(perhaps_lighter(net, rng), shape, names(classes))


def random_branchynet(seed, lengths):
    """A BranchyNet with about as many random layers in stem, branch and trunk as lengths say; threshold 0."""
    rng = np.random.default_rng(seed)
    shape, classes = random_images_shape(rng), int(rng.integers(2, 13))
    stem, shared = random_layers(rng, shape, lengths[0])
    parts = [Sequential(stem), *(random_head(rng, shared, length, classes) for length in lengths[1:])]
    parts = [perhaps_lighter(filled(part, rng), rng) for part in parts]
    return BranchyNet(*parts, 0.0, shape, names(classes))


def random_head(rng, shape, length, classes):
    """About `length` random layers, and what makes them end in logits."""
    layers, behind = random_layers(rng, shape, length)
    return Sequential(layers + to_logits(rng, behind, classes))


def random_multiexit(seed, lengths):
    """A MultiExit with about as many random layers in its stages as lengths say; thresholds 0."""
    rng = np.random.default_rng(seed)
    shape, classes = random_images_shape(rng), int(rng.integers(2, 13))
    stages, branches, before = [], [], shape
    for length in lengths[:-1]:
        layers, before = random_layers(rng, before, length)
        stages.append(Sequential(layers))
        branches.append(random_head(rng, before, int(rng.integers(0, 3)), classes))
    stages.append(random_head(rng, before, lengths[-1], classes))
    for part in (*stages, *branches):
        perhaps_lighter(filled(part, rng), rng)
    return MultiExit(stages, branches, [0.0] * len(branches), shape, names(classes))


def assert_same_logits(p, q, tolerance=1e-5):
    """p (N, O) equals the reference q to `tolerance`, as probabilities and as what the logits say: differences of ln p.

    A softmax that is sure hides wrong logits; their differences, relative to the largest of them, do not.
    """
    np.testing.assert_allclose(p, q, rtol=0, atol=tolerance)
    with np.errstate(divide="ignore"):
        z, right = (np.log(x) - np.log(x.max(axis=1, keepdims=True)) for x in (p, q))
    seen = right > -60  # below that, powers count as 0 or as exp(-80)
    np.testing.assert_allclose(z[seen], right[seen], rtol=0, atol=tolerance * max(1, np.abs(right[seen]).max()))
