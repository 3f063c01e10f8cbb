"""Converters that learn other targets than the run's own: what clustering is worth, and which."""
import json
from dataclasses import replace

import numpy as np

from npcbnet import clustering, conversion, modelfile
from npcbnet.caenet.stages import Stages, accuracy, reconstruction_loss
from npcbnet.clustering.quality import quality, target_losses
from npcbnet.errors import UsageError
from npcbnet.evaluate.caenet.rows import KMEANS, ONE_TARGET, PLAIN, RANDOM_TARGET
from npcbnet.evaluate.kept import kept_rows
from npcbnet.files import write_text
from npcbnet.progress import say

METHODS = (KMEANS, "cosine", "dbscan", "hdbscan")
ALWAYS = (RANDOM_TARGET, ONE_TARGET, KMEANS)
MEMORISED = (RANDOM_TARGET + PLAIN, KMEANS + PLAIN)  # a network that sees the same images again learns them by heart
LONGER = 2  # times the epochs, for these


def methods_at_hand():
    """(the METHODS that this machine has, notes on what is missing)."""
    found, notes = [], []
    for method in METHODS:
        try:
            clustering.check_method(method)
            found.append(method)
        except UsageError as error:
            notes = [f"rows are missing: {error}"]
    return found, notes


class Conversions:
    """Rows of the ablation: all converters of a data set train equally long.

    Small images: every method, for the scope's epochs, shorter than a run. Colour images, whose converters take minutes
    an epoch: ALWAYS alone, as long as the run's own converter, which is the one with k-means; of the other methods only
    the clusters are judged. Two more rows, MEMORISED, train LONGER times as long without augmentation, of which the
    paper says nothing.
    """

    def __init__(self, seen, models, scope):
        self.seen, self.stages, self.models = seen, seen.stages, models
        self.few = self.stages.chosen.slow
        self.epochs = self.stages.epochs("converter") if self.few else scope.ablation_epochs
        self.path = seen.stages.out / "conversions.json"
        self.kept = kept_rows(self.path)

    def rows(self):
        """A row for each kind of target; what the folder does not hold yet is trained."""
        return [self._row(method) for method in (RANDOM_TARGET, ONE_TARGET, *methods_at_hand()[0],
                                                 *(MEMORISED if self.few else ()))]

    def _row(self, method):
        epochs = self.epochs * LONGER if method in MEMORISED else self.epochs
        if self.kept.get(method, {}).get("epochs") != epochs:
            say(f"converter of {self.stages.out.name}, {method}", self.stages.quiet)
            self.kept[method] = {"method": method, "epochs": epochs, **self._judged(method, epochs)}
            write_text(self.path, json.dumps(self.kept, indent=2) + "\n")
        return self.kept[method]

    def _judged(self, row, epochs):
        """Train a converter with a row's targets, and judge it and its encoder on validation images."""
        held, method = self.stages.dataset.validation, row.removesuffix(PLAIN)
        targets, values = self._targets(method)
        if self.few and method not in ALWAYS:
            return {**values, "reconstruction_loss": None, "reconstruction_loss_validation": None, "accuracy": None}
        converter, model = self._trained(row, targets, epochs)
        return {**values, "reconstruction_loss": reconstruction_loss(converter, targets, self.stages.threads),
                "reconstruction_loss_validation": self._held_out(converter, targets, method, held),
                "accuracy": accuracy(model, held, self.stages.threads)}

    def _trained(self, row, targets, epochs):
        """(converter, Classifier behind its frozen encoder)."""
        if self.few and row == KMEANS:
            return modelfile.load(self.stages.out / "converter.npz").converter, self.models["caenet-transfer"]
        short = Stages(replace(self.stages.run, epochs=epochs), self.stages.dataset,
                       self.stages.out / "conversions", self.stages.threads, self.stages.quiet or not self.few)
        if row in MEMORISED:
            short.chosen = replace(short.chosen, converter_epochs=epochs, shift=0, flip=False)
        short.out.mkdir(exist_ok=True)
        converter = short.converter(targets)
        model = short.transferred(converter.encoder, "transfer")
        for path in short.out.glob("checkpoint-*.npz"):
            path.unlink()
        return converter, model

    def _targets(self, method):
        """(Targets, {"clusters", "distance", "silhouette"}) of a method."""
        train, classes = self.stages.dataset.train, self.stages.dataset.classes
        rng = np.random.default_rng([self.stages.run.seed, 6])
        if method in (RANDOM_TARGET, ONE_TARGET):
            rule = "random" if method == RANDOM_TARGET else "lowest-entropy"
            targets = conversion.Targets(rule, train.images, train.labels, self.seen.split, classes, rng)
            rows = targets.drawn
            if rows is None:
                rows = np.array([easy[self.seen.split.entropy[easy].argmin()] for easy in targets.easy])[train.labels]
            distance, _ = target_losses(train.images, train.labels, rows)
            return targets, {"clusters": 1.0 if method == ONE_TARGET else None, "distance": distance,
                             "silhouette": None}
        found = self.seen.clusters(method)
        good = quality(found, self.seen.features, train.images)
        return found.targets(train.images, self.seen.split), {
            "clusters": good.clusters / classes, "distance": good.distance, "silhouette": good.silhouette}

    def _held_out(self, converter, targets, method, held):
        """The loss on validation images, whose targets are those of the clusters nearest to them; None where drawn."""
        if method == RANDOM_TARGET:
            return None
        if method == ONE_TARGET:
            wanted = targets.prototypes[held.labels]
        else:
            groups = self.seen.clusters(method).place(self.seen.held_features, held.labels)
            wanted = targets.like(held.images, held.labels, groups)
        return float(np.square(converter.convert(held.images) - wanted, dtype=np.float64).mean())
