"""Magnitude pruning of connections while a network is trained: the smallest weights become zero, a few more each time.

    share of zeros  s(t) = s_f + (s_i - s_f) (1 - (t - t_0) / (t_1 - t_0))^3        (Zhu and Gupta, 2017, eq. 1)

Many go in the beginning, when most are redundant, few in the end; after t_1 the rest is trained. What is zero stays
zero. The engine leaves out zeros of dense layers where there are enough of them (runtime/steps/dense.py), sooner where
they stand in blocks of neighbouring outputs. Convolutions are computed with their zeros, which makes them no faster.
"""
import copy
import zlib

import numpy as np

from npcbnet.compress.constrained import Constrained
from npcbnet.compress.levels import walk
from npcbnet.compress.prune import BLOCK, all_but, block_sizes, is_large, widened
from npcbnet.compress.retrain import Retraining, check
from npcbnet.errors import UsageError
from npcbnet.layers import Conv2d, Dense

SCOPES = ("layer", "global")
BEGIN, END = 0.0, 0.6  # of the training, between which weights are pruned
TIMES = 40  # so often: in short trainings, too, some steps mend what the last pruning broke
EPOCHS, QUICK_EPOCHS, QUICK_IMAGES = 10, 10, 2000


def cubic(progress, final, initial=0.0):
    """Zhu and Gupta's share of zeros (2017, eq. 1); progress: (t - t_0) / (t_1 - t_0), held in 0..1."""
    return final + (initial - final) * (1 - min(max(progress, 0.0), 1.0)) ** 3


def connections(net, shape, kinds=(Dense, Conv2d)):
    """The names of all weights of layers of these kinds, in a net for inputs of `shape`."""
    return [f"{name.partition('.')[2]}.weight" for name, layer, _ in walk(net, "net", shape)
            if isinstance(layer, kinds)]


def large_dense(net, shape):
    """The names of the weights of dense layers large enough that the engine gains by leaving some out."""
    return [f"{name.partition('.')[2]}.weight" for name, layer, _ in walk(net, "net", shape)
            if isinstance(layer, Dense) and is_large(layer)]


def masks(params, names, kept, scope="layer", blocks=False):
    """{name: bool array, True for the weights that stay}: the largest, round(kept x their number) of them.

    params: {name: array}; scope: "layer", the share is that of each array, or "global", of all together (each array
    then keeps its largest at least). blocks: of dense weights (D, O), blocks of neighbouring outputs (prune.BLOCK) stay
    or go together, by their root mean square; the share is that of blocks.
    """
    sizes = {name: unit_sizes(params[name], blocks) for name in names}
    if scope == "global":
        for size in sizes.values():
            size.flat[size.argmax()] = np.inf
        flat = np.concatenate([size.reshape(-1) for size in sizes.values()])
        stays = np.split(all_but(flat, flat.size - round(kept * flat.size)),
                         np.cumsum([size.size for size in sizes.values()])[:-1])
    else:
        stays = [all_but(size, size.size - round(kept * size.size)) for size in sizes.values()]
    return {name: part if part.size == params[name].size else widened(part, params[name].shape[1])
            for name, part in ((name, part.reshape(sizes[name].shape)) for name, part in zip(names, stays))}


def unit_sizes(weight, blocks):
    """The magnitude of each unit that stays or goes: |w|, or a dense weight's block's root mean square. float64."""
    return np.sqrt(block_sizes(weight) / BLOCK) if blocks and weight.ndim == 2 else np.abs(weight).astype(np.float64)


def cut(model, names, kept, scope="layer", blocks=False):
    """A copy of a Classifier in which the smallest of the named weights of its net are zero, untrained."""
    made = copy.deepcopy(model)
    params = made.net.params
    for name, mask in masks(params, names, kept, scope, blocks).items():
        params[name] *= mask
    return made


class Gradual(Constrained):
    """A task of npcbnet.training whose weights are pruned by schedule: pass `after_step` to training.fit.

    names: of the weights; kept: the share of them that stays in the end; scope, blocks: of `masks`.
    """

    def __init__(self, task, names, kept, scope="layer", blocks=False):
        super().__init__(task, {})
        self.names, self.kept, self.scope, self.blocks, self.masks = list(names), kept, scope, blocks, None

    def fingerprint(self):
        """As the task's, and the schedule's."""
        settings = [self.names, self.kept, self.scope, self.blocks, BEGIN, END, TIMES]
        return {**super().fingerprint(), "gradual": zlib.crc32(repr(settings).encode())}

    def after_step(self, step, steps):
        """Prune, when it is time, and let what is pruned be zero. As training.fit calls it."""
        params = self.params
        if self.masks is None:  # the first call, maybe of a run that goes on: what is zero stays zero
            self.masks = {name: params[name] != 0 for name in self.names}
        first, last = int(BEGIN * steps), max(1, int(END * steps))
        every = max(1, (last - first) // TIMES)
        if first <= step <= last and ((last - step) % every == 0):
            share = cubic((step - first) / max(1, last - first), 1 - self.kept)
            self.masks = {name: mask & self.masks[name] for name, mask in
                          masks(params, self.names, 1 - share, self.scope, self.blocks).items()}
        for name, mask in self.masks.items():
            params[name] *= mask


def train(model, dataset, kept, *, scope="layer", blocks=False, names=None, epochs=None, teach=True, seed=0, threads=1,
          quick=False, quiet=True, checkpoint=None):
    """A copy of a Classifier, trained further while its weights are pruned until the share `kept` (0..1) stays.

    CAE-Net's LeNet-WP and AlexNet-WP keep 0.625 (Table I: 5.81 of 9.3 M). scope, blocks: of `masks`; names: weights of
    its net, None: all of convolutions and dense layers. teach: distillation from the model's logits, else from labels
    alone. seed draws; no result depends on threads. quick: QUICK_IMAGES images. checkpoint: as for training.fit.
    Raises UsageError, and what fit raises.
    """
    check(model, dataset, seed, threads)
    names = checked(model, kept, scope, names)
    made = copy.deepcopy(model)
    retraining = Retraining(model if teach else None, dataset, QUICK_IMAGES if quick else None, None, seed, threads)
    task = Gradual(retraining.task(made.net), names, kept, scope, blocks)
    epochs = epochs or (QUICK_EPOCHS if quick else EPOCHS)
    retraining.run(task, epochs, stage="pruning", after_step=task.after_step, checkpoint=checkpoint, quiet=quiet)
    made.record = {**copy.deepcopy(model.record), "pruned": {"kept": kept, "scope": scope, "blocks": blocks,
                                                             "epochs": epochs, "seed": int(seed)}}
    return made


def checked(model, kept, scope, names=None):
    """The names of the weights to prune. Raises UsageError for a share, scope or name that cannot be."""
    if isinstance(kept, bool) or not isinstance(kept, (int, float)) or not 0 < kept < 1:
        raise UsageError(f"the share of weights to keep must lie between 0 and 1, not {kept!r:.40}")
    if scope not in SCOPES:
        raise UsageError(f"weights are pruned by {' or '.join(SCOPES)}, not {scope!r:.40}")
    known = connections(model.net, model.input_shape)
    strange = [name for name in names or () if name not in known]
    if strange or not known:
        raise UsageError(f"weights of this model are {', '.join(known) or 'none'}"
                         + (f", not {strange[0]!r:.60}" if strange else ""))
    return list(known if names is None else names)


def zeros_held(model):
    """{name: bool array} of the weights that have zeros in a tenth or more of their places: constraints for training
    (see Constrained) under which these stay zero."""
    found = {name: array != 0 for name, array in model.net.params.items() if array.ndim > 1}
    return {name: kept for name, kept in found.items() if kept.mean() <= 0.9}
