"""SubFlow (Lee and Nirjon, RTAS 2020): the most important neurons of a network, as many as the time allows.

    from npcbnet.compress import subflow
    small = subflow.train(model, dataset, 0.25)                      # a quarter of the neurons, trained as such
    several = subflow.train_nested(model, dataset, [0.1, 0.25, 0.5])  # one set of weights for all of them
    timed = subflow.Dynamic(several)
    labels = timed.predict(images, budget_ms=0.02)                   # by the largest subgraph that is fast enough

importance  -->  the first floor(N utilisation) of each layer  -->  training of what is left
"""
from dataclasses import replace

import numpy as np

from npcbnet.compress.levels import check_classifier, neurons, nested, subgraph, subgraphs, walk
from npcbnet.compress.dynamic import Dynamic
from npcbnet.errors import UsageError
from npcbnet.losses import cross_entropy
from npcbnet.nets.images import as_floats, as_images
from npcbnet.training import ClassifierTask, Plan, fit

__all__ = ["Dynamic", "importance", "nested", "subgraph", "subgraphs", "train", "train_nested"]

MEASURED = 10_000  # training images that the importance is summed over
CHUNK = 64
PLAN = Plan(epochs=12, batch=128, learning_rate=1e-3, decay=12)  # cosine to 0 throughout


def importance(model, images, labels):
    """{layer: its neurons' importance, float64 of its output's shape}: the sum over images of (dL/da)^2 a^2.

    a: a neuron's output, L: the image's cross-entropy (Lee and Nirjon, 2020, section IV-B). model: a Classifier; images
    (N, C, H, W) uint8 or float in 0..1, labels (N,). Layers are named as `levels.neurons` names them. Raises
    UsageError, ShapeError.
    """
    check_classifier(model)
    images, labels = as_images(images, model.input_shape), np.asarray(labels)
    if not len(images) or labels.shape != (len(images),):
        raise UsageError(f"importance needs images, and a label of each; not {labels.shape} labels of {len(images)}")
    layers = {name: layer for name, layer, _ in walk(model.net, "net", model.input_shape)}
    sums = {name: np.zeros(shape) for name, shape in neurons(model)}
    for start in range(0, len(images), CHUNK):
        here = slice(start, start + CHUNK)
        with _adding({name: layers[name] for name in sums}, sums):
            z, backward = model.net.forward(as_floats(images[here]), True, np.random.default_rng(0))
            backward(cross_entropy(z, labels[here], 1)[1], need_dx=False)
    return sums
