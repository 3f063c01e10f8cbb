"""What was trained stays in a folder: a run, and beside it compressed models with a row each."""
import json

from npcbnet import modelfile, run as runs
from npcbnet.compress import adadeep
from npcbnet.errors import UsageError
from npcbnet.files import read_note, write_text
from npcbnet.progress import say


def finish(run, folder, train_it):
    """Begin the run in the folder, or go on with it, unless it is finished. Raises UsageError where another is."""
    if not (folder / runs.RUN_FILE).exists():
        runs.begin(run, folder)
    elif runs.read_run(folder) != run:
        raise UsageError(f"{folder} holds a run with other options ({runs.read_run(folder).command()}); "
                         "choose another --out")
    if not runs.is_finished(folder):
        train_it()


def kept(folder, key, models, make, quiet):
    """Load the model `key` and its row from the folder, or make() both and save them; only then its checkpoints go."""
    path, note = folder / f"{key}.npz", folder / f"{key}.json"
    if not note.exists():
        say(f"{key} on {folder.name}", quiet)
        checkpoint_of(folder, key).parent.mkdir(exist_ok=True)
        model, row = make()
        modelfile.save(model, path)
        write_text(note, json.dumps({"model": key, **row}, indent=2) + "\n")
        for pattern in (f"{key}.npz", f"{key}-*", f"checkpoint-{key}.npz"):  # its own, sidecars, a stage's of a run
            for checkpoint in checkpoint_of(folder, key).parent.glob(pattern):
                checkpoint.unlink()
    models[key] = modelfile.load(path)
    return read_note(note, "train")


def kept_rows(path):
    """{name: row} of an ablation's converters that a JSON file holds, each with its epochs; {} where there is none."""
    return read_note(path, "train", lambda row: isinstance(row, dict) and "epochs" in row) if path.exists() else {}


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
