"""Structural pruning: layers without their least influential channels, so that every array is smaller and time falls.

    Conv 64 -> 128, BatchNorm, ReLU, Conv 128 -> 64     becomes     Conv 64 -> 77, BatchNorm 77, ReLU, Conv 77 -> 64

A *cut* is a place where that can be done: a layer that makes channels (a Conv2d without groups, or a Dense layer),
those behind it that have parameters for each channel (BatchNorm2d, depthwise Conv2d), and the one that mixes them.
Inside a Residual, cuts lie in its body (and shortcut); the channels that its sum adds stay what they are, as does
whatever leads into a Residual or Concatenate.
"""
import copy
from dataclasses import dataclass

import numpy as np

from npcbnet.compress.channels import (by_output, followed, greatest, influence, is_depthwise, mixes, outputs,
                                       with_inputs, with_outputs)
from npcbnet.compress.magnitude import zeros_held
from npcbnet.compress.retrain import Retraining, check
from npcbnet.errors import UsageError
from npcbnet.layers import BatchNorm2d, Container, Sequential
from npcbnet.losses import cross_entropy
from npcbnet.nets.images import as_floats

IMPORTANCE = ("magnitude", "taylor")
SCOPES = ("layer", "global")
MEASURED, CHUNK = 2048, 64  # images for the Taylor importance, and of them at a time
EPOCHS, QUICK_EPOCHS, QUICK_IMAGES = 10, 10, 2000


@dataclass(frozen=True, eq=False)
class Slot:
    """A layer's place: the Sequential that holds it, where, its name ("0", "3.body.1") and its input's shape."""

    parent: Sequential
    index: int
    name: str
    shape: tuple

    @property
    def layer(self):
        """The layer that is there now."""
        return self.parent.layers[self.index]

    def put(self, layer):
        """Another layer in its place."""
        self.parent.layers[self.index] = layer


@dataclass(frozen=True, eq=False)
class Cut:
    """Slots of the layer that makes channels, of those with parameters for each of them, of the one that mixes them."""

    maker: Slot
    between: list
    reader: Slot

    @property
    def name(self):
        """The maker's."""
        return self.maker.name

    @property
    def channels(self):
        """How many there are."""
        return outputs(self.maker.layer)

    @property
    def least(self):
        """How many channels stay at least: one; two for a depthwise convolution, which of one is a plain one."""
        return min(self.channels, 2 if any(is_depthwise(slot.layer) for slot in self.between) else 1)

    def keep(self, kept):
        """Leave out all channels but `kept`, ascending."""
        channels = self.channels
        for slot in (self.maker, *self.between):
            slot.put(with_outputs(slot.layer, kept))
        self.reader.put(with_inputs(self.reader.layer, kept, channels))

    def macs(self):
        """Multiply-adds that one channel costs."""
        return sum(slot.layer.macs(slot.shape) for slot in (self.maker, *self.between, self.reader)) / self.channels


def cuts(model):
    """All cuts of a Classifier, in the order in which their makers compute."""
    found = []
    for chain in _chains(model.net, "", model.input_shape):
        layers = [slot.layer for slot in chain]
        for i, layer in enumerate(layers):
            reached = followed(layers, i) if mixes(layer) else None
            if reached is not None:
                found.append(Cut(chain[i], [chain[own] for own in reached[0]], chain[reached[1]]))
    return found


def _slots(net, name, shape):
    """The Slots of a Sequential's layers, those of Sequentials in it among them."""
    for i, layer in enumerate(net):
        if isinstance(layer, Sequential):
            yield from _slots(layer, f"{name}{i}.", shape)
        else:
            yield Slot(net, i, f"{name}{i}", tuple(shape))
        shape = layer.output_shape(shape)


def _chains(net, name, shape):
    """Lists of Slots that follow one another: of the net, and of each part of a container in it."""
    chain = list(_slots(net, name, shape))
    yield chain
    for slot in chain:
        for part, inner in slot.layer.parts().items() if isinstance(slot.layer, Container) else ():
            if isinstance(inner, Sequential):  # the parts of Residual and Concatenate read the layer's own input
                yield from _chains(inner, f"{slot.name}.{part}.", slot.shape)


def importance(model, places, kind="magnitude", images=None, labels=None):
    """[(F,) float64 of each Cut]: how much the channels matter.

    kind: "magnitude", the norm of a channel's own weights times that of the weights that read it, times what stands
    between (of a batch normalisation, |weight| / sqrt(variance)); or "taylor", how much the loss of images with labels
    would change without the channel: the sum over chunks of (sum of parameter x gradient)^2, the parameters being the
    batch normalisation's where there is one, else the maker's own (Molchanov et al., 2019, first order).
    """
    if kind == "magnitude":
        return [_magnitude(place) for place in places]
    sums = [np.zeros(place.channels) for place in places]
    for start in range(0, len(images), CHUNK):
        here, rng = slice(start, start + CHUNK), np.random.default_rng(start)
        z, backward = model.net.forward(as_floats(images[here]), True, rng)
        _, grads = backward(cross_entropy(z, labels[here])[1], need_dx=False)
        for place, total in zip(places, sums):
            total += np.square(_change(place, grads))
    return sums


def _magnitude(place):
    own = influence(place.maker.layer, place.reader.layer)
    for slot in place.between:
        if isinstance(slot.layer, BatchNorm2d):
            params = slot.layer.params
            own = own * np.abs(params["weight"]) / np.sqrt(params["running_var"] + slot.layer.eps)
        else:
            own = own * np.linalg.norm(by_output(slot.layer), axis=1)
    return own


def _change(place, grads):
    """(F,): the first-order change of the loss if a channel's parameters were 0."""
    gates = [slot for slot in place.between if isinstance(slot.layer, BatchNorm2d)]
    slot, total = (gates or [place.maker])[0], np.zeros(place.channels)
    for name in ("weight", "bias"):
        if name in slot.layer.params:
            product = slot.layer.params[name].astype(np.float64) * grads[f"{slot.name}.{name}"]
            product = product.T if name == "weight" and product.ndim == 2 else product  # Dense: (D, O)
            total += product.reshape(place.channels, -1).sum(axis=1)
    return total


def counts(places, share, scope="layer", kind="magnitude", values=None):
    """How many channels of each Cut stay where `share` of them goes; its `least` do in any case.

    scope: "layer", of each cut F - round(share F), or "global", of all channels together the least important; values:
    their importance, then, of this kind. Taylor's is divided by the multiply-adds that the channel costs, so that time
    is bought where it costs the least loss; magnitudes, which no loss gives a scale, by their norm in the cut.
    """
    if scope == "layer":
        return [max(place.least, place.channels - round(share * place.channels)) for place in places]
    scales = [max(place.macs(), 1) if kind == "taylor" else max(np.linalg.norm(value), 1e-30)
              for place, value in zip(places, values)]
    worth = [value / scale for value, scale in zip(values, scales)]
    for place, value in zip(places, worth):
        value[greatest(value, place.least)] = np.inf
    flat = np.concatenate(worth)
    stays = np.ones(flat.size, bool)
    stays[np.argsort(flat, kind="stable")[:round(share * flat.size)]] = False
    parts = np.split(stays, np.cumsum([value.size for value in worth])[:-1])
    return [max(place.least, int(np.count_nonzero(part))) for place, part in zip(places, parts)]


def prune(model, share, *, scope="layer", kind="magnitude", images=None, labels=None, values=None):
    """A smaller copy of a Classifier, untrained: without `share` (0..1) of the channels of its cuts.

    share may also be {name of a cut: channels that stay}; other cuts then stay whole. scope: of `counts`; kind,
    images (N, C, H, W) uint8, labels: of `importance`; values: what it gave for the model, if that is known. Raises
    UsageError for what cannot be.
    """
    made = copy.deepcopy(model)
    places = cuts(made)
    _check(places, share, scope, "magnitude" if values else kind, images)
    values = values or importance(made, places, kind, images, labels)
    if isinstance(share, dict):
        left = [share.get(place.name, place.channels) for place in places]
    else:
        left = counts(places, share, scope, kind, values)
    for place, count, value in zip(places, left, values):
        if count < place.channels:
            place.keep(greatest(value, count))
    made.net.params = {name: np.ascontiguousarray(array) for name, array in made.net.params.items()}
    return type(model)(made.net, model.input_shape, model.class_names)


def _check(places, share, scope, kind, images):
    if not places:
        raise UsageError("this model has no convolution or dense layer whose channels can be followed to the next one")
    if scope not in SCOPES or kind not in IMPORTANCE:
        raise UsageError(f"channels are pruned by {' or '.join(SCOPES)} and ranked by {' or '.join(IMPORTANCE)}, "
                         f"not by {scope!r:.40} and {kind!r:.40}")
    if kind == "taylor" and (images is None or not len(images)):
        raise UsageError("the Taylor importance needs images and their labels")
    if isinstance(share, dict):
        known, least = ({place.name: getattr(place, what) for place in places} for what in ("channels", "least"))
        for name, count in share.items():
            if name not in known or isinstance(count, bool) or not isinstance(count, (int, np.integer)) \
                    or not least[name] <= count <= known[name]:
                raise UsageError(f"{name!r:.40}: {count!r:.40} channels cannot stay; there are {known}")
    elif isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
        raise UsageError(f"the share of channels to leave out must lie between 0 and 1, not {share!r:.40}")


def train(model, dataset, share, *, scope="layer", kind="taylor", rounds=2, epochs=None, seed=0, threads=1,
          quick=False, quiet=True, checkpoint=None):
    """A copy of a Classifier without `share` of its channels, trained by distillation from the model's logits.

    What was pruned before stays zero. The channels go in `rounds` steps, with an epoch of training between them and
    `epochs` in the end. seed draws; no result depends on threads. quick: QUICK_IMAGES images. checkpoint: as for
    training.fit, of the last training. Raises UsageError, and what fit raises.
    """
    check(model, dataset, seed, threads)
    if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 1:
        raise UsageError(f"channels are pruned in at least one round, not {rounds!r:.40}")
    _check(cuts(model), share, scope, kind, dataset.train.images)
    retraining = Retraining(model, dataset, QUICK_IMAGES if quick else None, None, seed, threads)
    seen = {"images": retraining.train.images[:MEASURED], "labels": retraining.train.labels[:MEASURED]}
    epochs = epochs or (QUICK_EPOCHS if quick else EPOCHS)
    made, whole = model, {place.name: place.channels for place in cuts(model)}
    for number in range(1, rounds + 1):
        last = number == rounds
        made = prune(made, _leaving(cuts(made), whole, share, scope, number / rounds), scope=scope, kind=kind, **seen)
        retraining.held(made.net, epochs if last else 1, zeros_held(made), stage=f"channels {number}",
                        checkpoint=checkpoint if last else None, quiet=quiet)
    made.record = {**copy.deepcopy(model.record), "pruned": {
        "channels": {place.name: place.channels for place in cuts(made)}, "scope": scope, "by": kind,
        "epochs": epochs, "seed": int(seed)}}
    return made


def _leaving(places, whole, share, scope, way):
    """What `prune` is asked for in a round that ends so much (0..1] of the way from `whole`, {name: channels}, to
    `share` of them left out: each round leaves the same share of what the last one left."""
    if scope == "global" and not isinstance(share, dict):
        total = sum(whole.values())
        left = round(total * ((total - round(share * total)) / total) ** way)
        return 1 - left / sum(place.channels for place in places)
    goal = share if isinstance(share, dict) else {
        place.name: max(place.least, whole[place.name] - round(share * whole[place.name])) for place in places}
    return {name: round(whole[name] * (left / whole[name]) ** way) for name, left in goal.items()}
