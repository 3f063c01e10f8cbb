"""AdaDeep's menu: what each layer of a network may become, and the networks that such choices make.

    layer                choices
    Conv2d               keep, pruned (fewer channels), separable, fire, shared
    Dense                keep, low rank, sparse, shared

A choice that lowers neither a layer's multiply-adds nor its bytes in a file is not on the menu.
"""
import copy
import math
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product

import numpy as np

from npcbnet import modelfile
from npcbnet.compress import channels
from npcbnet.compress.fire import can_burn, fire
from npcbnet.compress.lowrank import factorise
from npcbnet.compress.prune import is_large, largest_blocks, widened
from npcbnet.compress.retrain import check_floats
from npcbnet.compress.separable import separate
from npcbnet.compress.share import is_weight, shared
from npcbnet.errors import UsageError
from npcbnet.layers import Conv2d, Dense, Sequential
from npcbnet.nets import Classifier

CHANNELS = (3 / 4, 1 / 2)  # shares of a convolution's outputs that stay
RANKS = (1 / 2, 1 / 4, 1 / 8)  # of a dense layer, as shares of its full rank
LEAST_RANK = 4
ZEROS = (0.6, 0.8)  # shares of a dense layer's weights
CENTROIDS = (32, 16)
MOST_PLANS = 25_000


@dataclass(frozen=True)
class Choice:
    """One compression of one layer. amount: channels that stay, the rank, the share of zeros, or the centroids."""

    compression: str
    amount: float | None = None

    def __str__(self):
        return self.compression + (f" {self.amount:g}" if self.amount is not None else "")


KEEP = Choice("keep")


@dataclass(frozen=True, eq=False)
class Replacement:
    """What stands in a layer's place: layers, with constraints {"place.parameter": array} for their training (see
    Constrained), the output channels that stay (None: all), and the cost of it."""

    layers: list
    constraints: dict
    kept: tuple | None
    macs: int
    weight_bytes: int


@dataclass(frozen=True, eq=False)
class Site:
    """A layer that may be compressed: its place in the net, its input's shape, the place of the layer that mixes its
    channels (None: they cannot be pruned), its choices."""

    place: int
    layer: object
    shape: tuple
    reader: int | None
    choices: list = field(default_factory=list)


class Menu:
    """The choices for a Classifier, and the networks they make.

    Networks with more than MOST_PLANS combinations keep their cheapest layers as they are. Raises UsageError for a
    model that has nothing to choose for.
    """

    def __init__(self, model):
        check_floats(model, "AdaDeep compresses")
        self.model, self._made = model, {}
        shapes = model.net.shapes(model.input_shape)
        self.sites = [self._site(place, layer, shapes[place]) for place, layer in enumerate(model.net)
                      if isinstance(layer, Dense) or isinstance(layer, Conv2d) and layer.groups == 1]
        for site in self.sites:
            site.choices.extend(self._worthwhile(site))
        if all(len(site.choices) == 1 for site in self.sites):
            raise UsageError("this model has no convolution or dense layer that a compression would make smaller")
        by_cost = sorted(self.sites, key=lambda site: self.replacement(site, KEEP).weight_bytes)
        for site in by_cost:
            if self.count() > MOST_PLANS:
                del site.choices[1:]

    def _site(self, place, layer, shape):
        after = channels.reader(self.model.net.layers, place) if isinstance(layer, Conv2d) else None
        return Site(place, layer, shape, after)

    def count(self):
        """How many networks the menu makes."""
        return int(np.prod([len(site.choices) for site in self.sites], dtype=float))

    def plans(self):
        """All combinations: tuples of one Choice for each site."""
        return product(*(site.choices for site in self.sites))

    def _worthwhile(self, site):
        """The site's choices: to keep it, and whatever lowers its multiply-adds or bytes."""
        whole, found = self.replacement(site, KEEP), [KEEP]
        for choice in choices(site):
            made = self.replacement(site, choice)
            if made.macs < whole.macs or made.weight_bytes < whole.weight_bytes:
                found.append(choice)
        return found

    def replacement(self, site, choice, kept=None):
        """The Replacement of a site's layer; kept: the channels that the convolution before it still makes."""
        key = site.place, choice, kept
        if key not in self._made:
            layer = site.layer
            if kept is not None:
                before = next(other.layer for other in self.sites if other.reader == site.place)
                layer = channels.with_inputs(layer, list(kept), before.out_channels)
            after = self.model.net[site.reader] if site.reader is not None else None
            layers, constraints, outputs = compressed(layer, choice, after)
            shape = site.shape if kept is None or len(site.shape) < 3 else (len(kept), *site.shape[1:])
            shape = (layer.in_features,) if isinstance(layer, Dense) else shape
            net = Sequential(layers)
            self._made[key] = Replacement(layers, constraints, outputs, net.macs(shape), modelfile.weight_bytes(net))
        return self._made[key]

    def replacements(self, plan):
        """The Replacements of a plan, one for each site, in order."""
        found, kept = [], {}
        for site, choice in zip(self.sites, plan):
            made = self.replacement(site, choice, kept.get(site.place))
            if made.kept is not None:
                kept[site.reader] = made.kept
            found.append(made)
        return found

    @cached_property
    def _others(self):
        """(multiply-adds, bytes) of all layers that are no sites."""
        net, sites = self.model.net, {site.place for site in self.sites}
        shapes = net.shapes(self.model.input_shape)
        others = [place for place in range(len(net)) if place not in sites]
        return (sum(net[place].macs(shapes[place]) for place in others),
                modelfile.weight_bytes(Sequential([net[place] for place in others])))

    def costs(self, plan):
        """(multiply-adds, bytes in a file) of a plan's network before it is trained; pruned zeros count as adds."""
        found = self.replacements(plan)
        return (self._others[0] + sum(made.macs for made in found),
                self._others[1] + sum(made.weight_bytes for made in found))

    def build(self, plan):
        """(Classifier with weights of its own, constraints {parameter of its net: array}) of a plan."""
        made = {site.place: found for site, found in zip(self.sites, self.replacements(plan))}
        layers, constraints = [], {}
        for place, layer in enumerate(self.model.net):
            if place not in made:
                layers.append(copy.deepcopy(layer))
                continue
            for name, array in made[place].constraints.items():
                inner, parameter = name.split(".", 1)
                constraints[f"{len(layers) + int(inner)}.{parameter}"] = array
            layers += copy.deepcopy(made[place].layers)
        model = Classifier(Sequential(layers), self.model.input_shape, self.model.class_names)
        model.net.params = {name: np.ascontiguousarray(array) for name, array in model.net.params.items()}
        return model, constraints


def choices(site):
    """All that a site's layer might become, whether that pays or not."""
    layer, found = site.layer, []
    if isinstance(layer, Conv2d):
        F = layer.out_channels
        counts = {math.ceil(share * F) for share in CHANNELS} if site.reader is not None else ()
        found += [Choice("pruned", count) for count in sorted(counts, reverse=True) if count < F]
        found += [Choice("separable")] if layer.in_channels > 1 and layer.kernel > 1 else []
        found += [Choice("fire")] if can_burn(layer) else []
    else:
        full = min(layer.in_features, layer.out_features)
        found += [Choice("low rank", round(share * full)) for share in RANKS if share * full >= LEAST_RANK]
        found += [Choice("sparse", share) for share in ZEROS] if is_large(layer) else []
    return found + ([Choice("shared", count) for count in CENTROIDS] if is_weight(layer.params["weight"]) else [])


def compressed(layer, choice, after):
    """(layers in the place of `layer`, their constraints, the output channels that stay or None).

    after: the layer that mixes its channels. Everything is made from the trained weights.
    """
    kind, amount, weight = choice.compression, choice.amount, layer.params["weight"]
    if kind == "pruned":
        kept = channels.influential(layer, after, amount)
        return [channels.with_outputs(layer, kept)], {}, tuple(int(channel) for channel in kept)
    if kind == "separable":
        return separate(layer), {}, None
    if kind == "fire":
        return fire(layer), {}, None
    if kind == "low rank":
        return factorise(layer, amount), {}, None
    made, constraints = copy.copy(layer), {}
    if kind == "sparse":
        kept = widened(largest_blocks(weight, amount), weight.shape[1])
        made.params, constraints = {**layer.params, "weight": weight * kept}, {"0.weight": kept}
    if kind == "shared":
        values, codes = shared(weight, amount)
        made.params, constraints = {**layer.params, "weight": values}, {"0.weight": codes}
    return [made], constraints, None
