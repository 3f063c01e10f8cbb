"""SubFlow (Lee and Nirjon, RTAS 2020): the most important neurons of a network, as many as the time allows.

    from npcbnet.compress import subflow
    small = subflow.train(model, dataset, 0.25)                      # a quarter of the neurons, trained as such
    several = subflow.train_nested(model, dataset, [0.1, 0.25, 0.5])  # one set of weights for all of them
    timed = subflow.Dynamic(several)
    labels = timed.predict(images, budget_ms=0.02)                   # by the largest subgraph that is fast enough

importance  -->  the first floor(N utilisation) of each layer  -->  training of what is left
"""
import zlib
from contextlib import contextmanager

import numpy as np

from npcbnet import recipes
from npcbnet.compress.dynamic import Dynamic
from npcbnet.compress.levels import check_classifier, checked, neurons, nested, subgraph, subgraphs, walk
from npcbnet.compress.retrain import check
from npcbnet.errors import UsageError
from npcbnet.losses import cross_entropy
from npcbnet.nets.images import as_floats, as_images
from npcbnet.training import ClassifierTask, Plan, fit

__all__ = ["Dynamic", "importance", "nested", "subgraph", "subgraphs", "train", "train_nested"]

MEASURED = 10_000  # training images that the importance is summed over
CHUNK = 64  # of them at a time
EPOCHS, MORE_EPOCHS = 12, 4  # of MNIST's size; for each further subgraph in the same weights
QUICK_IMAGES, QUICK_EPOCHS = 2000, 12


def importance(model, images, labels):
    """{layer: the importance of its neurons, float64 of its output's shape}: the sum over images of (dL/da)^2 a^2.

    a: a neuron's output, L: the image's cross-entropy (Lee and Nirjon, 2020, section IV). model: a Classifier; images
    (N, C, H, W) uint8 or float in 0..1, labels (N,). The layers are those of levels.neurons: without the output layer.
    Raises UsageError, ShapeError.
    """
    check_classifier(model)
    images, labels = as_images(images, model.input_shape), np.asarray(labels)
    if not len(images) or labels.shape != (len(images),) or labels.dtype.kind not in "iu" \
            or not 0 <= labels.min() <= labels.max() < model.classes:
        raise UsageError(f"importance needs images and a label in 0..{model.classes - 1} of each, "
                         f"not {len(images)} images and labels of shape {labels.shape}")
    sums = {name: np.zeros(shape) for name, shape in neurons(model)}
    layers = {name: layer for name, layer, _ in walk(model.net, "net", model.input_shape) if name in sums}
    for start in range(0, len(images), CHUNK):
        here = slice(start, start + CHUNK)
        with _adding(layers, sums):
            z, backward = model.net.forward(as_floats(images[here]), True, np.random.default_rng(start))
        backward(cross_entropy(z, labels[here], 1)[1], need_dx=False)  # divided by 1: each image's own gradient
    return sums


@contextmanager
def _adding(layers, sums):
    """While it lasts, what goes forward through the layers adds its importance to sums when it comes back."""
    for name, layer in layers.items():
        layer.forward = _watched(layer.forward, sums[name])
    try:
        yield
    finally:
        for layer in layers.values():
            del layer.forward


def _watched(forward, total):
    def watched(x, train=False, rng=None):
        y, backward = forward(x, train, rng)

        def watched_backward(dy, need_dx=True):
            total[...] += np.square(np.multiply(dy, y, dtype=np.float64)).sum(axis=0)
            return backward(dy, need_dx)

        return y, watched_backward
    return watched


class NestedTask(ClassifierTask):
    """Cross-entropy of several nets with the same weights: each shard of a batch goes through one of them, drawn."""

    def __init__(self, nets, labels):
        super().__init__(nets[-1], labels)
        self.nets = nets
        self.start = {name: zlib.crc32(np.ascontiguousarray(array)) for name, array in self.net.params.items()}

    def fingerprint(self):
        """As ClassifierTask.fingerprint; nobody teaches, so the model is known by the parameters it begins with."""
        return {**super().fingerprint(), "start": self.start, "nets": len(self.nets)}

    def gradients(self, x, index, count, rng):
        """As ClassifierTask.gradients."""
        net = self.nets[rng.integers(len(self.nets))]
        return ClassifierTask(net, self.labels).gradients(x, index, count, rng)


def train(model, dataset, utilisation, *, seed=0, threads=1, quick=False, quiet=True, checkpoint=None, epochs=None):
    """A Classifier of the most important `utilisation` (above 0, at most 1) of the model's neurons, trained as such.

    The importance is measured on at most MEASURED training images; then all training images train the subgraph: EPOCHS
    of a set of MNIST's size, batch 128, Adam 1e-3 falling to 0 along a cosine; shifts and mirror images as in
    recipes. About a minute for MNIST on one thread. quick: QUICK_EPOCHS of QUICK_IMAGES images. seed draws both, and
    the batches. checkpoint: a path, as for training.fit. epochs: instead of those. Raises UsageError, and what fit
    raises.
    """
    return train_nested(model, dataset, [utilisation], seed=seed, threads=threads, quick=quick, quiet=quiet,
                        checkpoint=checkpoint, epochs=epochs)


def train_nested(model, dataset, utilisations, *, seed=0, threads=1, quick=False, quiet=True, checkpoint=None,
                 epochs=None):
    """The same for several utilisations in one set of weights: `subgraphs` and Dynamic take the result apart.

    Each shard of a batch trains one subgraph, drawn (as slimmable networks do: Yu et al., 2019), MORE_EPOCHS longer
    for each subgraph but the first. One model file holds all: npcbnet.save.
    """
    check_classifier(model)
    utilisations = checked(utilisations)
    check(model, dataset, seed, threads)
    rng = np.random.default_rng([seed, 4])
    images, labels = _drawn(dataset.train, QUICK_IMAGES if quick else len(dataset.train), rng)
    measured = importance(model, *_drawn(dataset.train, QUICK_IMAGES // 2 if quick else MEASURED, rng))
    made = nested(model, measured, utilisations)
    several = subgraphs(made)
    task = NestedTask([small.net for _, small in several], labels)
    usual = recipes.scaled(EPOCHS + MORE_EPOCHS * (len(several) - 1), dataset)
    epochs = epochs or (QUICK_EPOCHS if quick else usual)
    plan = Plan(epochs, decay=epochs, shift=recipes.pixels_of_shift(dataset), flip=recipes.may_be_mirrored(dataset),
                seed=int(seed))
    fit(task, images, plan, stage="subflow", threads=threads, checkpoint=checkpoint, quiet=quiet)
    made.record["subflow"] = {"epochs": epochs, "seed": int(seed)}
    return made


def _drawn(split, count, rng):
    """(images, labels) of at most `count` images of a split, drawn, in their order."""
    if count >= len(split):
        return split.images, split.labels
    part = split.take(np.sort(rng.permutation(len(split))[:count]))
    return part.images, part.labels
