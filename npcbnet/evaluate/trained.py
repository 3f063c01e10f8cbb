"""What one seed of an evaluation trains on one data set. Each stage is kept in a folder of its own and trained once."""
import json
from dataclasses import dataclass
from pathlib import Path

from npcbnet import data, modelfile, pipeline, recipes, run as runs
from npcbnet.compress import adadeep, subflow
from npcbnet.errors import UsageError
from npcbnet.evaluate.scope import MODELS, reduced
from npcbnet.files import write_text
from npcbnet.progress import say
from npcbnet.run import Run

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


def finish(run, folder, train_it):
    """Begin the run in the folder, or go on with it, unless it is finished. Raises UsageError where another is."""
    if not (folder / runs.RUN_FILE).exists():
        runs.begin(run, folder)
    elif runs.read_run(folder) != run:
        raise UsageError(f"{folder} holds a run with other options ({runs.read_run(folder).command()}); "
                         "choose another --out")
    if not runs.is_finished(folder):
        train_it()


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


def kept(folder, key, models, make, quiet):
    """Load the model `key` and its row from the folder, or make() both and save them."""
    path, note = folder / f"{key}.npz", folder / f"{key}.json"
    if not note.exists():
        say(f"{key} on {folder.name}", quiet)
        checkpoint_of(folder, key).parent.mkdir(exist_ok=True)
        model, row = make()
        modelfile.save(model, path)
        write_text(note, json.dumps({"model": key, **row}, indent=2) + "\n")
        for checkpoint in checkpoint_of(folder, key).parent.glob(f"{key}*.npz"):
            checkpoint.unlink()
    models[key] = modelfile.load(path)
    return json.loads(note.read_text(encoding="utf-8"))


def found_by_adadeep(model, dataset, folder, options, effort=None):
    """(model, row) that AdaDeep's search finds for a model under its default budgets; effort: as for the search."""
    budgets = adadeep.default_budgets(model)
    found = adadeep.search(model, dataset, budgets, checkpoint=checkpoint_of(folder, "adadeep"), effort=effort,
                           **options)
    chosen = [f"layer {one['place']}, {one['layer']}: {one['compression']} "
              f"{'' if one['amount'] is None else format(one['amount'], 'g')}".rstrip() for one in found.choices]
    return found.model, {"choices": "; ".join(chosen), "met": found.met, "missed": "; ".join(found.missed) or None,
                         "budgets": budgets.given()}


def checkpoint_of(folder, key):
    """A compressor's checkpoint: not beside those of the run, which would then count as unfinished."""
    return folder / "compressors" / f"{key}.npz"
