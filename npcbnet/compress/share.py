"""Weight sharing: the weights of a layer take few values, and a model file stores short codes for them.

    weights  .52 -.11 .49 .47 -.08 ...   ->   centroids [-.10 .50]   weights  .50 -.10 .50 .50 -.10 ...

Centroids are found by k-means from a linear start (Han et al., 2016, Deep Compression, section 3; TensorFlow's model
optimisation toolkit does the same), and may then be trained further, all weights of a centroid together (section 3.3).
npcbnet.codebook is what becomes of them in a file.
"""
import copy

import numpy as np

from npcbnet.codebook import LEAST_WEIGHTS, MOST
from npcbnet.compress.retrain import Retraining, check as check_model
from npcbnet.errors import UsageError

EPOCHS, QUICK_EPOCHS, QUICK_IMAGES = 3, 10, 2000
LEARNING_RATE = 1e-4  # centroids have many gradients each: ten times less than for single weights
ROUNDS = 100  # of k-means, at most; it has come to rest long before


def share(model, centroids, first=True):
    """A copy of the model whose weights have at most `centroids` values in each layer, chosen layer by layer.

    first: the first layer's weights, too. They are few, and all that follows sees the image through them. Biases,
    statistics, integers and layers of fewer than LEAST_WEIGHTS weights stay as they are. Raises UsageError for another
    number than 2..MOST.
    """
    check(centroids)
    made, kept = copy.deepcopy(model), {*model.integers, *model.scales, *model.statistics}
    for array in _to_share({name: array for name, array in made.params.items() if name not in kept}, first).values():
        array[...] = shared(array, centroids)[0]
    return made


def train(model, dataset, centroids, *, first=True, epochs=None, seed=0, threads=1, quick=False, quiet=True,
          checkpoint=None):
    """As `share`, of a Classifier, whose centroids then learn from its answers; kept if validation images say so.

    CAE-Net's LeNet-WC and AlexNet-WC. The gradient by a centroid is the sum over its weights (see Constrained). seed
    draws; no result depends on threads. quick: QUICK_IMAGES images. checkpoint: as for training.fit. Raises UsageError,
    and what fit raises.
    """
    check_model(model, dataset, seed, threads)
    check(centroids)
    before, codes = copy.deepcopy(model), {}
    for name, array in _to_share(before.net.params, first).items():
        array[...], codes[name] = shared(array, centroids)
        if is_pruned(array):
            codes[name] = np.where(array == 0, np.int16(-1), codes[name])
    made = copy.deepcopy(before)
    retraining = Retraining(model, dataset, QUICK_IMAGES if quick else None, None, seed, threads)
    epochs = epochs or (QUICK_EPOCHS if quick else EPOCHS)
    retraining.held(made.net, epochs, codes, stage="shared", learning_rate=LEARNING_RATE, checkpoint=checkpoint,
                    quiet=quiet)
    better = retraining.judged(made)[0] > retraining.judged(before)[0]
    made = made if better else before
    made.record = {**copy.deepcopy(model.record), "shared": {
        "centroids": int(centroids), "first": bool(first), "epochs": epochs, "trained_is_kept": better,
        "seed": int(seed)}}
    return made


def _to_share(params, first):
    """{name: array} of the weights among parameters that share values; first: the first layer's, too."""
    weights = [name for name, array in params.items() if array.ndim > 1]
    return {name: params[name] for name in (weights if first else weights[1:]) if is_weight(params[name])}


def check(centroids):
    """Raise UsageError unless a codebook can have so many centroids."""
    if isinstance(centroids, bool) or not isinstance(centroids, (int, np.integer)) or not 2 <= centroids <= MOST:
        raise UsageError(f"a codebook has 2 to {MOST} centroids, not {centroids!r:.40}")


def is_weight(array):
    """Does a parameter have enough weights, and is it no bias?"""
    return array.ndim > 1 and array.size >= LEAST_WEIGHTS


def shared(weight, centroids):
    """weight of any shape -> (the same with at most so many values, codes: which of them, uint8 of the same shape).

    Of pruned weights one value is 0, so that zeros stay zeros.
    """
    flat = weight.astype(np.float64).reshape(-1)
    if is_pruned(flat):
        values = np.sort(np.append(k_means(flat[flat != 0], centroids - 1), 0.0))
    else:
        values = k_means(flat, centroids)
    codes = nearest(flat, values)
    return values.astype(weight.dtype)[codes].reshape(weight.shape), codes.astype(np.uint8).reshape(weight.shape)


def is_pruned(weight):
    """Are a tenth or more of the weights zeros, and not all?"""
    return 0.1 <= float((weight == 0).mean()) < 1


def k_means(values, count):
    """values (N,) -> ascending centroids (count,), float64: where k-means comes to rest, begun evenly from the least to
    the greatest value (linear initialisation: rare large weights matter). A centroid that is nearest to none stays."""
    values = np.sort(values)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    centroids = np.linspace(values[0], values[-1], count)
    for _ in range(ROUNDS):
        ends = np.concatenate([[0], np.searchsorted(values, (centroids[1:] + centroids[:-1]) / 2), [len(values)]])
        sizes = np.diff(ends)
        moved = np.where(sizes > 0, np.diff(sums[ends]) / np.maximum(sizes, 1), centroids)
        if np.array_equal(moved, centroids):
            break
        centroids = np.sort(moved)
    return centroids


def nearest(values, centroids):
    """values (N,), ascending centroids (K,) -> the number of the nearest one for each, (N,)."""
    return np.searchsorted((centroids[1:] + centroids[:-1]) / 2, values)
