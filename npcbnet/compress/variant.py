"""A model's smaller variant from beginning to end: made, judged beside the model, saved.

Calibration and the choice of a percentile see validation images, fitting after pruning sees training images; the test
images are seen once, by what was chosen.
"""
import copy
import os
from pathlib import Path

import numpy as np

from npcbnet import data, judge, modelfile, runtime
from npcbnet.compress import subflow
from npcbnet.compress.prune import prune
from npcbnet.compress.quantise import quantise
from npcbnet.compress.sidecars import Sidecars
from npcbnet.data.dataset import check_no_part_empty
from npcbnet.data.trial import check_classes, trained_on
from npcbnet.errors import UsageError
from npcbnet.files import check_file
from npcbnet.training import default_threads

PERCENTILES = (100.0, 99.99, 99.9)  # of a layer's inputs: what the greatest integer stands for
CALIBRATION, FITTED, TIMED = 512, 5000, 200  # validation, training and test images for each purpose
KINDS = ("float16", "int8", "prune", "subflow", "adadeep", "connections", "channels", "shared", "distil", "slo")
TRAINED, AGAIN = KINDS[3:], KINDS[5:]  # AGAIN: those made by again.py
SETTINGS = {"connections": {"scope"}, "channels": {"scope"}, "shared": {"first"}, "distil": {"temperature", "hard"}}
COSTS = (("multiply-adds", "macs", "{:,}"), ("parameters, bytes", "storage_bytes", "{:,}"),
         ("one image, mJ", "energy_mj", "{:.4f}"))  # rows of a result of AdaDeep


def dataset_of(model, name=None):
    """The data set called `name`, else that of the model's own record, in the model's shape.

    Raises UsageError where none is named, or its classes are not the model's, and DataError where nothing is left to
    judge by.
    """
    name = name or trained_on(model)
    if not name:
        raise UsageError("the model's file does not say what it was trained on; name the data set with --data")
    dataset = data.load(name, shape=model.input_shape)
    check_classes(model, dataset)
    check_no_part_empty(dataset)
    return dataset


def make(model, dataset, kind, share=None, convolutions=True, seed=0, threads=1, quick=False, checkpoint=None):
    """(the variant, how it was made as a dict). kind: "float16", "int8", "prune" or "subflow".

    share: of weights to prune, 0..1, or of neurons to keep (a list of utilisations); convolutions: whether they become
    integers, too; quick, checkpoint: of subflow.train_nested. seed: draws the images that calibrate, fit or train.
    Raises UsageError for another kind, and where the model has nothing to make smaller.
    """
    rng = np.random.default_rng(seed)
    if kind == "float16":
        return halved(model), {"kind": kind}
    if kind == "prune":
        return prune(model, share, some(dataset.train, FITTED, rng)), {"kind": kind, "share": share, "seed": seed}
    if kind == "subflow":
        made = subflow.train_nested(model, dataset, share, seed=seed, threads=threads, quick=quick,
                                    checkpoint=checkpoint)
        return made, {"kind": kind, "utilisations": made.record["utilisations"], **made.record["subflow"]}
    if kind != "int8":
        raise UsageError(f"make knows float16, int8, prune and subflow, not {kind!r:.40}; for others see compress")
    images = some(dataset.validation, CALIBRATION, rng)
    made = {percentile: quantise(model, images, percentile, convolutions) for percentile in PERCENTILES}
    right = {percentile: accuracy(variant, dataset.validation, threads) for percentile, variant in made.items()}
    best = max(PERCENTILES, key=lambda percentile: right[percentile])  # the first of equals: nothing clipped
    return made[best], {"kind": kind, "convolutions": convolutions, "percentile": best, "seed": seed}


def halved(model):
    """A copy of the model with its parameters rounded to float16; integers and scales stay. Raises UsageError."""
    made, kept = copy.deepcopy(model), {*model.integers, *model.scales}
    with np.errstate(over="ignore", under="ignore"):
        rounded = {name: array.astype(np.float16).astype(np.float32) for name, array in model.params.items()
                   if name not in kept}
    if not all(np.isfinite(array).all() for array in rounded.values()):
        raise UsageError("the model has parameters beyond 65504, the largest float16 number")
    made.set_params(rounded)
    return made


def some(split, count, rng):
    """At most `count` of a split's images, drawn."""
    return split.images[np.sort(rng.permutation(len(split.images))[:count])]


def accuracy(model, split, threads=1):
    """Share of a split's images that the compiled model labels rightly."""
    return float((runtime.compile(model, threads).predict(split.images) == split.labels).mean())


def compare(before, after, dataset, threads=1):
    """What the variant costs and saves: a dict of {"before", "after"} for each measure, and the drops in points.

    Latency is that of `predict` on one test image through the engine, in ms; the two take turns.
    """
    models, test = {"before": before, "after": after}, dataset.test
    places = np.linspace(0, len(test.images) - 1, min(TIMED, len(test.images))).astype(int)
    timed = judge.latencies(models, test.images[places])
    result = {"validation_accuracy": {key: accuracy(model, dataset.validation, threads)
                                      for key, model in models.items()},
              "test_accuracy": {key: accuracy(model, test, threads) for key, model in models.items()},
              "latency_ms": {key: timed[key].latency_ms for key in models}}
    for split in ("validation", "test"):
        right = result[f"{split}_accuracy"]
        result[f"{split}_drop_points"] = 100 * (right["before"] - right["after"])
    return result


def select(model, dataset, budgets, seed=0, threads=1, quick=False, checkpoint=None):
    """(the variant that AdaDeep finds for budgets, {name: limit}; {} for its own; how it was made as a dict).

    checkpoint: of adadeep.search; how["files"] are its Sidecars.
    """
    from npcbnet.compress import adadeep
    given = {name: limit for name, limit in budgets.items() if limit is not None}
    chosen = adadeep.Budgets(**given) if given else adadeep.default_budgets(model)
    found = adadeep.search(model, dataset, chosen, seed=seed, threads=threads, quick=quick, quiet=False,
                           checkpoint=checkpoint)
    return found.model, {"kind": "adadeep", "seed": seed, "budgets": chosen.given(), "met": found.met,
                         "missed": found.missed, "choices": found.choices,
                         "costs": {"before": found.before, "after": found.costs}, "files": found.files}


def compress(name, kind, share=None, convolutions=True, dataset=None, out=None, seed=0, threads=None, budgets=None,
             quick=False, anyway=False, settings=None):
    """Load a model, make the variant, judge and save it; the figures as a dict that json can write.

    name: pretrained, or a model file's path; kind: one of KINDS, with share, convolutions and quick as `make`, budgets
    and quick as `select`, share, quick and settings as again.make. A variant that misses a budget or SLO is saved only
    with `anyway`; dataset: a name or path, default: the model's own; out: the file, default: NAME-KIND.npz in this
    folder; beside it lies, until it is saved, what has been trained (NAME-KIND.checkpoint...), and the same call goes
    on from there: after a stop, and with `anyway` after a miss ("kept" then tells where). threads: None,
    default_threads() to train, else 1. Raises UsageError, and what load and save raise.
    """
    if seed < 0:
        raise UsageError(f"the seed must be at least 0, not {seed}")
    threads = (default_threads() if kind in TRAINED else 1) if threads is None else threads
    model, before_bytes = modelfile.load(name), os.path.getsize(modelfile.find(name))
    chosen = dataset_of(model, dataset)
    path = Path(out) if out else Path(f"{Path(name).stem}-{kind}.npz")
    check_file(path)
    checkpoint = path.with_suffix(".checkpoint.npz")
    if kind == "adadeep":
        after, how = select(model, chosen, budgets or {}, seed, threads, quick, checkpoint)
    elif kind in AGAIN:
        from npcbnet.compress import again
        after, how = again.make(model, chosen, kind, share, seed, threads, quick, checkpoint, **settings or {})
    else:
        after, how = make(model, chosen, kind, share, convolutions, seed, threads, quick, checkpoint)
    figures = compare(model, after, chosen, threads)
    said, files = how.pop("said", []), how.pop("files", Sidecars(None))
    result = {"model": str(name), "data": chosen.name, **how, **figures, "said": said}
    if not (how.get("met", True) or anyway):
        return {**result, "out": None, "kept": str(files)}
    if kind == "subflow":
        result["subgraphs"] = subgraph_rows(after, chosen, threads)
    if kind in ("subflow", *AGAIN):
        result["macs"] = {"before": model.macs(), "after": after.macs()}
    after.record = {**model.record, **after.record, "compressed": how,
                    "test_accuracy": figures["test_accuracy"]["after"]}
    modelfile.save(after, path, "float16" if kind == "float16" else "float32")
    if kind in TRAINED:
        checkpoint.unlink(missing_ok=True)
        files.clear()
    return {**result, "out": str(path), "file_bytes": {"before": before_bytes, "after": os.path.getsize(path)}}


def subgraph_rows(model, dataset, threads=1):
    """A dict of each subgraph's utilisation, executed multiply-adds, test accuracy and ms of one image, ascending."""
    several = subflow.subgraphs(model)
    places = np.linspace(0, len(dataset.test) - 1, min(TIMED, len(dataset.test))).astype(int)
    timed = judge.latencies(dict(several), dataset.test.images[places])
    return [{"utilisation": utilisation, "macs": small.macs(), "test_accuracy": accuracy(small, dataset.test, threads),
             "latency_ms": timed[utilisation].latency_ms} for utilisation, small in several]


def unsaved(kept):
    """Lines for what was not saved; kept: where what was trained lies, a pattern of paths."""
    return ["not saved; --save-anyway keeps it all the same, and goes on from what is trained",
            f"that stays in {kept}; without it the command measures and trains anew"]


def text(result):
    """The figures as a few lines to read."""
    def row(what, values, form, more=""):
        return f"{what:<22}{form.format(values['before']):>12} -> {form.format(values['after']):>10}  {more}".rstrip()

    lines = [f"{result['model']} with {result['kind']}, judged on {result['data']}"]
    lines += [f"layer {one['place']}, {one['layer']}: {one['compression']} "
              f"{'' if one['amount'] is None else format(one['amount'], 'g')}".rstrip()
              for one in result.get("choices", [])]
    for split in ("validation", "test"):
        lines.append(row(f"{split} accuracy", result[f"{split}_accuracy"], "{:.2%}",
                         f"drop {result[f'{split}_drop_points']:.2f} points"))
    time = result["latency_ms"]
    lines.append(row("one image, ms", time, "{:.4f}", f"{time['before'] / time['after']:.2f} times as fast"))
    if "choices" in result:
        costs = result["costs"]
        lines += [row(what, {key: costs[key][name] for key in costs}, form) for what, name, form in COSTS]
    lines += [f"budget missed: {line}" for line in result.get("missed", ())] + result.get("said", [])
    if result["out"] is None:
        return "\n".join([*lines, *unsaved(result["kept"])])
    size = result["file_bytes"]
    lines.append(row("file, bytes", size, "{:,}", f"{size['before'] / size['after']:.2f} times as small"))
    if "macs" in result:
        lines.append(row("multiply-adds", result["macs"], "{:,}"))
    for each in result.get("subgraphs", ()):
        lines.append(f"utilisation {each['utilisation']:<10g}{each['macs']:>12,} multiply-adds, "
                     f"{each['test_accuracy']:.2%} of the test images, {each['latency_ms']:.4f} ms")
    return "\n".join([*lines, f"saved as {result['out']}"])
