"""Pruning: of large dense layers only the largest weights stay, in blocks that the engine can leave out.

    weights of one feature    [ .3 .1 .2 .2 | .0 .1 .0 .1 | .9 .0 .4 .2 ]     blocks of four neighbouring outputs
    the smallest blocks go    [ .3 .1 .2 .2 |  0  0  0  0 | .9 .0 .4 .2 ]     by their sum of squares
    what stays is fitted anew to the outputs that the layer had before: least squares, no training
"""
import copy

import numpy as np

from npcbnet.compress.watch import layers_of, run_everything, watching
from npcbnet.errors import UsageError
from npcbnet.layers import Dense

BLOCK = 4  # neighbouring outputs: those that the engine lists together, and a vector register on a Raspberry Pi
LEAST_WEIGHTS, LEAST_OUTPUTS = 4096, 16  # smaller layers gain nothing
PULL = 0.01  # of a weight to its old value, as a share of a feature's mean square


def prune(model, share, images=None):
    """A copy of the model in whose large dense layers `share` (0..1) of the weights are zero: the smallest blocks.

    images: some thousand training images, as for model.predict; given them, the weights that stay are fitted to the
    outputs that each layer had before, on the inputs that it has now (as Frantar and Alistarh, 2023, section 3, but
    solved directly). Raises UsageError for a share outside 0..1 or a model without a large dense layer.
    """
    if not 0 < share < 1:
        raise UsageError(f"the share of weights to prune must lie between 0 and 1, not {share:g}")
    made = copy.deepcopy(model)
    pairs = [(old, new) for old, new in zip(layers_of(model, Dense), layers_of(made, Dense)) if is_large(old)]
    if not pairs:
        raise UsageError(f"this model has no dense layer of {LEAST_WEIGHTS:,} weights and {LEAST_OUTPUTS} outputs "
                         "or more; pruning it would not make it faster")
    wanted = {} if images is None else _outputs(model, [old for old, _ in pairs], images)
    for old, new in pairs:
        keep = largest_blocks(old.params["weight"], share)
        new.params["weight"] = new.params["weight"] * widened(keep, new.out_features)
        if images is not None:
            _fit(new, old, keep, _inputs(made, new, images), wanted[id(old)])
    return made


def is_large(layer):
    """Is a dense layer worth pruning?"""
    return layer.out_features >= LEAST_OUTPUTS and layer.in_features * layer.out_features >= LEAST_WEIGHTS


def largest_blocks(weight, share):
    """weight (D, O) -> which blocks stay, (D, O / BLOCK rounded up) bool: all but `share` of them."""
    sizes = block_sizes(weight)
    return all_but(sizes, round(share * sizes.size))


def block_sizes(weight):
    """weight (D, O) -> the sum of squares of each block, (D, O / BLOCK rounded up), float64."""
    D, O = weight.shape
    squares = np.zeros((D, -(-O // BLOCK) * BLOCK))
    squares[:, :O] = weight.astype(np.float64) ** 2
    return squares.reshape(D, -1, BLOCK).sum(axis=2)


def all_but(sizes, count):
    """bool array of sizes' shape, False for the `count` smallest; of equals the first."""
    keep = np.ones(sizes.size, bool)
    keep[np.argsort(sizes, axis=None, kind="stable")[:count]] = False
    return keep.reshape(sizes.shape)


def widened(keep, outputs):
    """Which blocks stay -> which weights stay, (D, outputs) bool."""
    return np.repeat(keep, BLOCK, axis=1)[:, :outputs]


def _outputs(model, layers, images):
    """{id of a layer: its outputs (N, O)} while the model sees the images."""
    seen = {id(layer): [] for layer in layers}
    with watching(layers, lambda layer, x, y: seen[id(layer)].append(y.astype(np.float32))):
        run_everything(model, images)
    return {key: np.concatenate(each) for key, each in seen.items()}


def _inputs(model, layer, images):
    """The inputs (N, D) of one layer while the model sees the images."""
    seen = []
    with watching([layer], lambda layer, x, y: seen.append(np.array(x))):
        run_everything(model, images)
    return np.concatenate(seen)


def _fit(new, old, keep, x, y):
    """Set weights and bias of `new`: least squares of x W + b to y, pulled towards the old weights, zeros kept.

    The outputs of a block see the same features, so they share one system of normal equations.
    """
    x, y = x.astype(np.float64), y.astype(np.float64)
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    x, y = x - x_mean, y - y_mean
    squares, products = x.T @ x, x.T @ y
    pull = PULL * max(squares.trace() / len(squares), 1e-12)
    weight = np.zeros(new.params["weight"].shape)
    for block in range(keep.shape[1]):
        features, outputs = np.flatnonzero(keep[:, block]), slice(BLOCK * block, BLOCK * (block + 1))
        if len(features):
            system = squares[np.ix_(features, features)] + pull * np.eye(len(features))
            right = products[features, outputs] + pull * old.params["weight"][features, outputs]
            weight[features, outputs] = np.linalg.solve(system, right)
    new.params["weight"] = weight.astype(np.float32)
    new.params["bias"] = (y_mean - x_mean @ weight).astype(np.float32)
