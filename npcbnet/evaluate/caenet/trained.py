"""What one seed of CAE-Net's evaluation trains on one data set: the run, its rivals, converters with other targets."""
import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from npcbnet import clustering, conversion, data, modelfile
from npcbnet.caenet.run import train as train_run
from npcbnet.caenet.stages import Stages, accuracy, reconstruction_loss
from npcbnet.clustering.quality import quality, target_losses
from npcbnet.evaluate.caenet import rivals
from npcbnet.evaluate.caenet.rows import KMEANS, ONE_TARGET, RANDOM_TARGET
from npcbnet.evaluate.kept import finish
from npcbnet.evaluate.scope import reduced
from npcbnet.files import write_text
from npcbnet.progress import say
from npcbnet.run import Run

OWN = ("caenet-random", "caenet-transfer", "caenet", "caenet-scratch")  # of every run
METHODS = (KMEANS, "cosine", "dbscan", "hdbscan")
MOST_CLUSTERS = 8  # that the elbow looks at


class Seen:
    """What a run's baseline sees in its images: each part is computed when it is first asked for, and kept."""

    def __init__(self, stages, baseline):
        self.stages, self.baseline, self._found = stages, baseline, {}

    @cached_property
    def split(self):
        """The EasyHard of the training images."""
        return self.stages.easy(self.baseline)

    @cached_property
    def features(self):
        """Those of the training images, (N, D)."""
        return self.stages.features(self.baseline)

    @cached_property
    def held_features(self):
        """Those of the validation images, (N, D)."""
        return clustering.penultimate(self.baseline, self.stages.dataset.validation.images, self.stages.threads)

    def clusters(self, method=KMEANS):
        """The Clustering of the training images by a method, the run's own by default."""
        if method not in self._found:
            self._found[method] = self.stages.clusters(self.split, self.features, method)
        return self._found[method]

    def elbow(self):
        """The clustering.Elbow of the training images' features."""
        dataset = self.stages.dataset
        return clustering.elbow(self.features, dataset.train.labels, dataset.classes, MOST_CLUSTERS,
                                seed=self.stages.run.seed, threads=self.stages.threads)


@dataclass(frozen=True, eq=False)
class Trained:
    """One seed's data set, folder, Stages and models {key: Model}; rivals, conversions: rows; seen: a Seen."""

    seed: int
    dataset: data.Dataset
    folder: Path
    stages: Stages
    models: dict
    rivals: list
    conversions: list
    seen: Seen

    @property
    def base(self):
        """The baseline's key."""
        return self.stages.chosen.baseline


def train(name, seed, scope, out, *, quick=False, threads=1, quiet=False):
    """Trained of the data set `name` (a name or a path) with `seed` in folder out/NAME-caenet-SEED.

    What is there already is loaded; what was stopped goes on. Raises UsageError where the folder holds another run,
    and what data.load and training raise.
    """
    dataset = reduced(data.load(name), scope, seed)
    folder = Path(out) / f"{dataset.name}-caenet-{seed}"
    run = Run(str(name), epochs=scope.epochs, seed=seed, quick=quick, net="caenet")
    finish(run, folder, lambda: train_run(run, dataset, folder, threads=threads, quiet=quiet))
    stages = Stages(run, dataset, folder, threads, quiet)
    keys = (stages.chosen.baseline, *OWN, *(["caenet-fast"] if stages.chosen.thin else []))
    models = {key: modelfile.load(folder / f"{key}.npz") for key in keys}
    rows = rivals.train(stages, models, folder, quick, quiet)
    seen = Seen(stages, models[stages.chosen.baseline])
    return Trained(seed, dataset, folder, stages, models, rows, _Conversions(seen, scope).rows(), seen)


class _Conversions:
    """Converters with other targets than the run's: all train equally long, shorter than a run's own."""

    def __init__(self, seen, scope):
        self.seen, self.stages = seen, seen.stages
        self.epochs = scope.ablation_epochs
        self.path = seen.stages.out / "conversions.json"
        self.kept = json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}

    def rows(self):
        """A row for each kind of target; what the folder does not hold yet is trained."""
        return [self._row(method) for method in (RANDOM_TARGET, ONE_TARGET, *METHODS)]

    def _row(self, method):
        if self.kept.get(method, {}).get("epochs") != self.epochs:
            say(f"converter of {self.stages.out.name}, {method}", self.stages.quiet)
            self.kept[method] = {"method": method, "epochs": self.epochs, **self._judged(method)}
            write_text(self.path, json.dumps(self.kept, indent=2) + "\n")
        return self.kept[method]

    def _judged(self, method):
        """Train a converter with the method's targets, and judge it and its encoder on validation images."""
        held = self.stages.dataset.validation
        targets, values = self._targets(method)
        short = Stages(replace(self.stages.run, epochs=self.epochs), self.stages.dataset,
                       self.stages.out / "conversions", self.stages.threads, quiet=True)
        short.out.mkdir(exist_ok=True)
        converter = short.converter(targets)
        model = short.transferred(converter.encoder, "transfer")
        for path in short.out.glob("checkpoint-*.npz"):
            path.unlink()
        return {**values, "reconstruction_loss": reconstruction_loss(converter, targets, short.threads),
                "reconstruction_loss_validation": self._held_out(converter, targets, method, held),
                "accuracy": accuracy(model, held, short.threads)}

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
