"""A whole run of CAE-Net: its stages in order, then the verdict on test images. `python -m npcbnet.train` calls this.

What a run leaves in its folder: `run.json`, a checkpoint a stage while it runs, then the models (`alexnet.npz` or
`lenet.npz`, `caenet.npz`, its controls, `converter.npz` with the baseline behind the converter), `report.json`,
`report.md` and the pictures.
"""
from dataclasses import replace
from pathlib import Path

import numpy as np

from npcbnet import __version__, judge, machine, modelfile, pictures, report
from npcbnet.caenet import recipe, transfer
from npcbnet.caenet.stages import Stages, accuracy, reconstruction_loss
from npcbnet.clustering import check_method
from npcbnet.nets import CBNet, ConvConverter
from npcbnet.pipeline import check_dataset
from npcbnet.progress import say

TIMED = 200  # test images that the models are timed on


def train(run, dataset, out, *, threads=1, quiet=False):
    """All stages of `run` on `dataset` in folder `out`; continues from the checkpoints there.

    Writes the models, the report and the pictures, then removes the checkpoints. Returns the report as a dict.
    """
    check_dataset(dataset, run.seed)
    check_method(run.clustering)  # a run that is resumed, maybe elsewhere
    ConvConverter(recipe.recipe(dataset, run.quick).form, dataset.input_shape)  # before the baseline has trained long
    if run.quick:
        dataset = replace(dataset, **{part: first(getattr(dataset, part), recipe.QUICK_IMAGES)
                                      for part in ("train", "validation", "test")})
    stages = Stages(run, dataset, out, threads, quiet)
    name = report.NAMES[stages.chosen.baseline]
    say(f"{dataset.title}: {len(dataset.train):,} training, {len(dataset.validation):,} validation, "
        f"{len(dataset.test):,} test images; {threads} thread{'s' * (threads > 1)}; writing to {out}", quiet)
    say(f"stage 1 of 6: {name}, the baseline", quiet)
    baseline = stages.baseline()
    say("stage 2 of 6: easy images and clusters", quiet)
    split = stages.easy(baseline)
    found = stages.clusters(split, stages.features(baseline), run.clustering, run.clusters)
    targets = found.targets(dataset.train.images, split)
    say(f"{int(found.counts.sum())} clusters in {dataset.classes} classes; {split.right.mean():.2%} of the training "
        "images are classified right", quiet)
    say("stage 3 of 6: the converting autoencoder", quiet)
    converter = stages.converter(targets)
    say("stage 4 of 6: heads behind frozen encoders, the converter's and a random one", quiet)
    models = {stages.chosen.baseline: baseline, "caenet-random": stages.transferred(stages.random_encoder(), "random"),
              "caenet-transfer": stages.transferred(converter.encoder, "transfer")}
    say("stage 5 of 6: encoder and head together; from scratch; without a converter", quiet)
    models["caenet"], _ = stages.tuned(models["caenet-transfer"], baseline)
    models["caenet-scratch"] = stages.scratch(baseline)
    if stages.chosen.thin:
        models["caenet-fast"] = stages.thin(baseline)
    say("stage 6 of 6: the verdict on test images", quiet)
    result = verdict(stages, models, converter, targets, found)
    for path in Path(out).glob("checkpoint-*.npz"):
        path.unlink()
    return result


def first(split, count):
    """At most `count` images of a Split, in equal steps through it."""
    return split.take(np.linspace(0, len(split) - 1, min(count, len(split))).astype(int))


def verdict(stages, models, converter, targets, found):
    """Test the models, save them, write report and pictures. Only here are test images looked at."""
    run, data, out = stages.run, stages.dataset, stages.out
    sample = first(data.test, 50 if run.quick else TIMED).images
    measured, rows = judge.latencies(models, sample), []
    for key, model in models.items():
        rows.append({"model": key, "accuracy": accuracy(model, data.test, stages.threads), "macs": model.macs(),
                     "parameters": model.parameter_count(), "bytes": model.parameter_bytes(), **vars(measured[key]),
                     "dead_activations": transfer.dead(model, sample)})
        model.record = {"command": run.command(), "dataset": data.title, "seed": run.seed,
                        "test_accuracy": rows[-1]["accuracy"], "validation": len(data.validation),
                        "npcbnet": __version__}
        modelfile.save(model, out / f"{key}.npz")
    whole = CBNet(converter, models[stages.chosen.baseline])
    whole.record = {**models["caenet"].record, "test_accuracy": accuracy(whole, data.test, stages.threads)}
    modelfile.save(whole, out / "converter.npz")
    facts = {"dataset": data.title, "command": run.command(), "seed": run.seed, "net": run.net,
             "threads": stages.threads, "machine": machine.describe(), "notes": stages.notes,
             "epochs": {stage: len(history) for stage, history in stages.histories.items()},
             "clustering": {"method": run.clustering, "clusters": found.counts.tolist()},
             "reconstruction_loss": reconstruction_loss(converter, targets, stages.threads),
             "converted_accuracy": whole.record["test_accuracy"], "histories": stages.histories}
    report.write_report(out, rows, facts, pictures=draw(stages, models, converter, targets))
    return {"rows": rows, **facts}


def draw(stages, models, converter, targets):
    """The run's pictures: loss curves, and strips of test images that the baseline finds hard."""
    data, out = stages.dataset, stages.out
    answer = models[stages.chosen.baseline].explain(data.test.images[:2000])
    labels = data.test.labels[:2000]
    hard = [np.flatnonzero(labels == label) for label in range(data.classes)]
    hard = np.array([rows[answer.entropy[rows].argmax()] for rows in hard if len(rows)][:pictures.MOST_COLUMNS])
    images, labels = data.test.images[hard], labels[hard]
    titles = [f"{data.class_names[true]}: read as {data.class_names[label]}"
              for true, label in zip(labels, models["caenet"].predict(images))]
    return [pictures.loss_curves(out / "loss.png", stages.histories),
            pictures.conversion_strips(out / "strips-converter.png", images, converter.convert(images),
                                       targets.like(images, labels), titles)]
