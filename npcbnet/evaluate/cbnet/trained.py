"""What one seed of CBNet's evaluation trains on one data set. Each stage is kept in the run's folder."""
from dataclasses import dataclass
from pathlib import Path

from npcbnet import data, modelfile, pipeline, recipes
from npcbnet.compress import subflow
from npcbnet.evaluate.kept import checkpoint_of, finish, found_by_adadeep, kept
from npcbnet.evaluate.scope import reduced
from npcbnet.run import Run

CONVERTED = ("cbnet-paper", "cbnet-table1", "cbnet-fast", "cbnet-residual")  # in the order of the tables
MODELS = ("lenet", "branchynet", "lightweight", *CONVERTED)
FILES = {"cbnet-fast": "cbnet"}  # the run's first converter has no recipe in its file's name


@dataclass(frozen=True)
class Trained:
    """One seed's data set, folder and models {key: Model}; stages: as they were trained; compressors: rows."""

    seed: int
    dataset: data.Dataset
    folder: Path
    stages: pipeline.Stages
    models: dict
    compressors: list

    def converter_rule(self, key):
        """The Targets of the model `cbnet-RECIPE`."""
        return self.stages.targets(key.removeprefix("cbnet-"), self.models["branchynet"])


def train(name, seed, scope, out, *, quick=False, threads=1, quiet=False):
    """Trained of the data set `name` (a name or a path) with `seed` in folder out/NAME-SEED.

    What is there already is loaded; a run that was stopped goes on. Raises UsageError where the folder holds another
    run, and what data.load and training raise.
    """
    dataset = reduced(data.load(name), scope, seed)
    folder = Path(out) / f"{dataset.name}-{seed}"
    run = Run(str(name), tuple(recipes.RECIPES), scope.epochs, seed, quick=quick)
    finish(run, folder, lambda: pipeline.train(run, dataset, folder, threads=threads, quiet=quiet))
    models = {key: modelfile.load(folder / f"{FILES.get(key, key)}.npz") for key in MODELS}
    rows = _compressors(models, dataset, seed, scope, folder, quick, threads, quiet)
    return Trained(seed, dataset, folder, pipeline.Stages(run, dataset, folder, threads, quiet), models, rows)


def _compressors(models, dataset, seed, scope, folder, quick, threads, quiet):
    """AdaDeep's choice for LeNet, and SubFlow's subgraphs of it: put into `models`; a row for each."""
    options = {"seed": seed, "threads": threads, "quick": quick, "quiet": quiet}
    rows = [kept(folder, "adadeep", models, lambda: found_by_adadeep(models["lenet"], dataset, folder, options), quiet)]
    for share in scope.utilisations:
        key = f"subflow-{share:g}"
        rows.append(kept(folder, key, models, lambda share=share, key=key: (subflow.train(
            models["lenet"], dataset, share, checkpoint=checkpoint_of(folder, key), **options),
            {"utilisation": share, "choices": f"{share:.0%} of the neurons of each inner layer"}), quiet))
    return rows
