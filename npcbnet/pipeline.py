"""The four stages of a run: LeNet, BranchyNet, the converters, the verdict. `python -m npcbnet.train` calls this.

Everything a run leaves lies in one folder: `run.json` (its options), a checkpoint a stage while it runs, then the
models (`lenet.npz`, `branchynet.npz`, `lightweight.npz`, `cbnet.npz`), `report.json`, `report.md` and the pictures.
"""
from dataclasses import replace
from pathlib import Path

import numpy as np

from npcbnet import __version__, conversion, judge, machine, modelfile, pictures, recipes, report
from npcbnet.data.dataset import check_no_part_empty
from npcbnet.exits import PAPER_THRESHOLDS, choose, outputs_judged
from npcbnet.nets import CBNet, Converter, branchynet_lenet, lenet, lightweight
from npcbnet.progress import say
from npcbnet.training import BranchyNetTask, ClassifierTask, fit, one_blas_thread


class Stages:
    """Trains the stages of `run` on `dataset` in folder `out`, each from its checkpoint where there is one."""

    def __init__(self, run, dataset, out, threads=1, quiet=False):
        self.run, self.dataset, self.out, self.threads, self.quiet = run, dataset, Path(out), threads, quiet
        self.histories, self.notes = {}, []

    def _rng(self, stage):
        return np.random.default_rng([self.run.seed, int.from_bytes(stage.encode(), "little")])

    def _options(self, stage):
        """What every `fit` of this run gets."""
        return {"stage": stage, "threads": self.threads, "quiet": self.quiet,
                "checkpoint": self.out / f"checkpoint-{stage}.npz"}

    def _validate(self, model):
        held = self.dataset.validation
        return lambda: {"accuracy": float((model.predict(held.images) == held.labels).mean())}

    def lenet(self):
        """Stage 1: LeNet on its own, the baseline; same data, same budget as BranchyNet."""
        data = self.dataset
        net = lenet(data.input_shape, data.class_names, self._rng("lenet"))
        plan = recipes.classifier_plan(data, self.run.seed, self.run.epochs)
        self.histories["lenet"] = fit(ClassifierTask(net.net, data.train.labels), data.train.images, plan,
                                      validate=self._validate(net), **self._options("lenet"))
        return net

    def branchynet(self):
        """Stage 2: BranchyNet, both exits at once, then its threshold."""
        data, held = self.dataset, self.dataset.validation
        net = branchynet_lenet(data.input_shape, data.class_names, self._rng("branchynet"))
        plan = recipes.classifier_plan(data, self.run.seed, self.run.epochs)

        def validate():
            early, late = net.both_exits(held.images)
            return {"branch": float((early.argmax(axis=1) == held.labels).mean()),
                    "trunk": float((late.argmax(axis=1) == held.labels).mean())}

        self.histories["branchynet"] = fit(BranchyNetTask(net, data.train.labels), data.train.images, plan,
                                           validate=validate, **self._options("branchynet"))
        net.threshold = self.choose_threshold(net, self.run.threshold)
        return net

    def choose_threshold(self, net, wanted):
        """Nats: "paper" (or 0.05 for a data set that the paper does not have), a number, or "auto".

        auto: the largest threshold at which the validation images are classified as well as by the trunk alone, but
        for one in 2,000: as many as possible leave early, and that costs next to nothing.
        """
        held = self.dataset.validation
        if wanted == "paper":
            return PAPER_THRESHOLDS.get(recipes.family(self.dataset), 0.05)
        if wanted != "auto":
            return float(wanted)
        threshold, = choose(*outputs_judged(net.all_exits(held.images), held.labels), net.macs)
        return threshold

    def targets(self, name, branchynet):
        """The Targets that the converter of recipe `name` learns; the same ones whenever they are asked for."""
        data, train, chosen = self.dataset, self.dataset.train, recipes.recipe(name, self.dataset)
        threshold = self.choose_threshold(branchynet, "paper") if chosen.paper_threshold else branchynet.threshold
        split = conversion.easy_and_hard(branchynet, train.images, train.labels, threshold)
        return conversion.Targets(chosen.target, train.images, train.labels, split, data.classes,
                                  self._rng(f"converter-{name}"), chosen.clusters)

    def converter(self, name, branchynet, light):
        """Stage 3, once a recipe: easy and hard, targets, the converter, fine-tuning. Returns CBNet and its Targets."""
        data, train, stage = self.dataset, self.dataset.train, f"converter-{name}"
        chosen, targets = recipes.recipe(name, data), self.targets(name, branchynet)
        for label in targets.without:
            self._note(f"{name}: no image of class {data.class_names[label]!r} leaves early, "
                       "so its target is the image that came nearest to it")
        for label, share in conversion.misread(light, targets).items():
            self._note(f"{name}: the lightweight DNN misreads {share:.1%} of the targets of class "
                       f"{data.class_names[label]!r}")
        if chosen.form.output == "softmax":
            chosen = replace(chosen, form=replace(chosen.form, total=targets.mean_ink()))
        converter = Converter(chosen.form, data.input_shape).initialise(self._rng(stage))
        model = CBNet(converter, light)
        task = conversion.ConverterTask(converter, targets, light, mse=chosen.mse, l1=chosen.l1, ce=chosen.ce)
        plan = recipes.converter_plan(chosen, data, self.run.seed, self.run.epochs)
        self.histories[stage] = fit(task, train.images, plan, validate=self._validate(model), **self._options(stage))
        if chosen.fine_tune and not self.run.quick:
            model = CBNet(converter, self._fine_tune(chosen, converter, light))
        return model, targets

    def _note(self, text):
        """Something the user should know: said now, and again in the report."""
        self.notes.append(text)
        say(f"note: {text}", self.quiet)

    def _fine_tune(self, chosen, converter, light):
        """The lightweight DNN, fine-tuned on converted images if that helps on validation images."""
        train, held, stage = self.dataset.train, self.dataset.validation, f"fine-tune-{chosen.name}"
        tuned, self.histories[stage], kept = conversion.fine_tune(
            light, converter, train.images, train.labels, (held.images, held.labels),
            recipes.fine_tune_plan(chosen, self.dataset, self.run.seed, self.run.epochs), **self._options(stage))
        self._note(f"{chosen.name}: lightweight DNN fine-tuned on converted images: {'kept' if kept else 'not kept'}")
        return tuned


def check_dataset(dataset, seed):
    """Raise, before any training, what would otherwise stop the run at its end.

    DataError for a part without images; ShapeError and ModelFileError for images or class names that no model can be
    made for or saved with.
    """
    check_no_part_empty(dataset)
    modelfile.check(branchynet_lenet(dataset.input_shape, dataset.class_names, np.random.default_rng(seed)))


def train(run, dataset, out, *, threads=1, quiet=False):
    """All four stages of `run` on `dataset` in folder `out`; continues from the checkpoints there.

    Writes the models, the report and the pictures, then removes the checkpoints. Returns the report as a dict.
    """
    check_dataset(dataset, run.seed)
    stages = Stages(run, dataset, out, threads, quiet)
    say(f"{dataset.title}: {len(dataset.train):,} training, {len(dataset.validation):,} validation, "
        f"{len(dataset.test):,} test images; {threads} thread{'s' * (threads > 1)}; writing to {out}", quiet)
    say("stage 1 of 4: LeNet, the baseline", quiet)
    models = {"lenet": stages.lenet()}
    say("stage 2 of 4: BranchyNet, both exits jointly", quiet)
    models["branchynet"] = branchynet = stages.branchynet()
    say(f"BranchyNet's threshold ({run.threshold}): {branchynet.threshold:.4g} nats", quiet)
    models["lightweight"] = light = lightweight(branchynet)
    say("stage 3 of 4: the converting autoencoder", quiet)
    targets = {}
    for i, name in enumerate(run.recipes):
        key = "cbnet" if i == 0 else f"cbnet-{name}"
        with one_blas_thread():  # k-means and, without numba, conversion: the same bits on any number of cores
            models[key], targets[key] = stages.converter(name, branchynet, light)
    say("stage 4 of 4: the verdict on test images", quiet)
    verdict_report = verdict(stages, models, targets, threads)
    for path in Path(out).glob("checkpoint-*.npz"):
        path.unlink()
    return verdict_report


def verdict(stages, models, targets, threads):
    """Stage 4: test the models, save them, write report and pictures. Only here are test images looked at."""
    run, data, out = stages.run, stages.dataset, stages.out
    test, branchynet = data.test, models["branchynet"]
    sample = test.images[np.linspace(0, len(test) - 1, min(len(test), 50 if run.quick else 200)).astype(int)]
    rows = judge.rows(models, branchynet, test.images, test.labels, judge.latencies(models, sample))
    for row in rows:
        if row["model"] in targets:
            row["recipe"] = recipe_of(run, row["model"])
        model = models[row["model"]]
        model.record = {"command": run.command(), "dataset": data.title, "seed": run.seed,
                        "test_accuracy": row["accuracy"], "validation": len(data.validation),
                        "recipe": row.get("recipe"), "npcbnet": __version__}
        modelfile.save(model, out / f"{row['model']}.npz")
    facts = {"dataset": data.title, "command": run.command(), "seed": run.seed, "recipes": list(run.recipes),
             "threshold": branchynet.threshold, "threads": threads, "machine": machine.describe(),
             "epochs": {stage: len(history) for stage, history in stages.histories.items()}, "notes": stages.notes,
             "histories": stages.histories}
    report.write_report(out, rows, facts, pictures=draw(stages, models, targets))
    return {"rows": rows, **facts}


def recipe_of(run, key):
    """The recipe of model `cbnet` (the first asked for) or `cbnet-NAME`."""
    return run.recipes[0] if key == "cbnet" else key[len("cbnet-"):]


def draw(stages, models, targets):
    """The run's pictures: loss curves, and for each converter strips of hard images and the exit histogram."""
    data, out, branchynet = stages.dataset, stages.out, models["branchynet"]
    paths = [pictures.loss_curves(out / "loss.png", stages.histories)]
    before, early = judge.exit_entropies(branchynet, data.test.images)
    hard = [np.flatnonzero(~early & (data.test.labels == label))[:1] for label in range(data.classes)]
    hard = np.concatenate(hard)[:12]
    for key, chosen in targets.items():
        converted = models[key].convert(data.test.images)
        after, _ = judge.exit_entropies(branchynet, converted)
        paths.append(pictures.exit_histogram(out / f"exits-{key}.png", before, after, branchynet.threshold))
        if len(hard):
            images, labels = data.test.images[hard], data.test.labels[hard]
            titles = [f"{data.class_names[true]}: read as {data.class_names[label]}"
                      for true, label in zip(labels, models[key].predict(images))]
            paths.append(pictures.conversion_strips(out / f"strips-{key}.png", images, converted[hard],
                                                    chosen.like(images, labels), titles))
    return paths
