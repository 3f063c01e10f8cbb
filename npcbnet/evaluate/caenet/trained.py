"""What one seed of CAE-Net's evaluation trains on one data set: the run, its rivals, converters with other targets."""
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from npcbnet import clustering, data, modelfile
from npcbnet.caenet.run import train as train_run
from npcbnet.caenet.stages import Stages
from npcbnet.evaluate.caenet import rivals
from npcbnet.evaluate.caenet.conversions import Conversions
from npcbnet.evaluate.caenet.rows import KMEANS
from npcbnet.evaluate.kept import finish
from npcbnet.evaluate.scope import reduced
from npcbnet.run import Run

OWN = ("caenet-random", "caenet-transfer", "caenet", "caenet-scratch")  # of every run
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


def train(name, seed, scope, out, *, quick=False, searching=False, threads=1, quiet=False):
    """Trained of the data set `name` (a name or a path) with `seed` in folder out/NAME-caenet-SEED.

    What is there already is loaded; what was stopped goes on. searching: as rivals.train's. Raises UsageError where the
    folder holds another run, and what data.load and training raise.
    """
    dataset = reduced(data.load(name), scope, seed)
    folder = Path(out) / f"{dataset.name}-caenet-{seed}"
    run = Run(str(name), epochs=scope.epochs, seed=seed, quick=quick, net="caenet")
    finish(run, folder, lambda: train_run(run, dataset, folder, threads=threads, quiet=quiet))
    stages = Stages(run, dataset, folder, threads, quiet)
    keys = (stages.chosen.baseline, *OWN, *(["caenet-fast"] if stages.chosen.thin else []))
    models = {key: modelfile.load(folder / f"{key}.npz") for key in keys}
    rows = rivals.train(stages, models, folder, quick, searching, quiet)
    seen = Seen(stages, models[stages.chosen.baseline])
    return Trained(seed, dataset, folder, stages, models, rows, Conversions(seen, models, scope).rows(), seen)
