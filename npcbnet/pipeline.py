"""The four stages of a run: LeNet, BranchyNet, the converters, the verdict. `python -m npcbnet.train` calls this.

Everything a run leaves lies in one folder: `run.json` (its options), a checkpoint a stage while it runs, then the models
(`lenet.npz`, `branchynet.npz`, `lightweight.npz`, `cbnet.npz`), `report.json`, `report.md` and the pictures.
"""
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from npcbnet import conversion, evaluate, modelfile, recipes
from npcbnet.errors import UsageError
from npcbnet.exits import PAPER_THRESHOLDS, calibrate, probabilities_and_entropy
from npcbnet.files import write_text
from npcbnet.nets import CBNet, Converter, branchynet_lenet, lenet, lightweight
from npcbnet.progress import say
from npcbnet.training import BranchyNetTask, ClassifierTask, fit

RUN_FILE = "run.json"


@dataclass(frozen=True)
class Run:
    """The options that decide a run's result; stored as run.json, so that --resume needs no others.

    threshold: "auto" (validation decides), "paper", or nats as a number. epochs None: the recipes' own.
    """

    dataset: str
    recipes: tuple = ("fast",)
    epochs: int | None = None
    seed: int = 0
    threshold: str = "auto"
    shape: tuple | None = None
    quick: bool = False

    def command(self):
        """The command line that repeats the run."""
        words = ["python -m npcbnet.train", self.dataset]
        words += ["--recipe", *self.recipes] if self.recipes != ("fast",) else []
        words += ["--epochs", str(self.epochs)] if self.epochs else []
        words += ["--seed", str(self.seed)] if self.seed else []
        words += ["--threshold", self.threshold] if self.threshold != "auto" else []
        words += ["--shape", *map(str, self.shape)] if self.shape else []
        return " ".join(words + (["--quick"] if self.quick else []))


def read_run(out):
    """The Run of folder `out`. Raises UsageError where there is none to resume."""
    path = Path(out) / RUN_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        values["recipes"] = tuple(values["recipes"])
        values["shape"] = tuple(values["shape"]) if values["shape"] else None
        return Run(**values)
    except FileNotFoundError:
        raise UsageError(f"there is no run to resume in {out}: {path} is missing; start one without --resume") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{path} cannot be read ({error}); start the run anew in another --out") from None


def begin(run, out):
    """Make `out` ready for a new run. Raises UsageError if it holds an unfinished one."""
    out = Path(out)
    if list(out.glob("checkpoint-*.npz")):
        raise UsageError(f"{out} holds an unfinished run: continue it with --resume, or choose another --out")
    write_text(out / RUN_FILE, json.dumps(asdict(run), indent=2) + "\n")


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

        auto: the largest threshold at which the validation images are classified as well as by the trunk alone, so that as many
        as possible leave early and none of it costs accuracy.
        """
        held = self.dataset.validation
        if wanted == "paper":
            return PAPER_THRESHOLDS.get(self.dataset.name, 0.05)
        if wanted != "auto":
            return float(wanted)
        early, late = net.both_exits(held.images)
        right_early, right_late = early.argmax(axis=1) == held.labels, late.argmax(axis=1) == held.labels
        entropy = probabilities_and_entropy(early)[1]
        return calibrate(entropy, right_early, right_late, target_accuracy=right_late.mean())

    def converter(self, name, branchynet, light):
        """Stage 3, once for each recipe: easy and hard, targets, the converter, fine-tuning. Returns CBNet and its Targets."""
        data, train = self.dataset, self.dataset.train
        chosen, stage = recipes.recipe(name, data), f"converter-{name}"
        threshold = self.choose_threshold(branchynet, "paper") if chosen.paper_threshold else branchynet.threshold
        split = conversion.easy_and_hard(branchynet, train.images, train.labels, threshold)
        targets = conversion.Targets(chosen.target, train.images, train.labels, split, data.classes, self._rng(stage))
        for label in conversion.misread(light, targets.prototypes):
            self.notes.append(f"{name}: the lightweight DNN misreads the prototype of class {data.class_names[label]!r}")
            say(f"note: {self.notes[-1]}", self.quiet)
        if chosen.form.output == "softmax":
            chosen = replace(chosen, form=replace(chosen.form, total=targets.mean_ink()))
        converter = Converter(chosen.form, data.input_shape).initialise(self._rng(stage))
        model = CBNet(converter, light)
        task = conversion.ConverterTask(converter, targets, light, mse=chosen.mse, l1=chosen.l1, ce=chosen.ce)
        plan = recipes.converter_plan(chosen, data, self.run.seed, self._converter_epochs())
        self.histories[stage] = fit(task, train.images, plan, validate=self._validate(model), **self._options(stage))
        if chosen.fine_tune and not self.run.quick:
            model = CBNet(converter, self._fine_tune(chosen, converter, light))
        return model, targets

    def _converter_epochs(self):
        """None for the recipe's own number of epochs; few where the user asked for few."""
        return self.run.epochs or None

    def _fine_tune(self, chosen, converter, light):
        """The lightweight DNN, fine-tuned on converted images if that helps on validation images."""
        train, held, stage = self.dataset.train, self.dataset.validation, f"fine-tune-{chosen.name}"
        tuned, self.histories[stage], kept = conversion.fine_tune(
            light, converter, train.images, train.labels, (held.images, held.labels),
            recipes.fine_tune_plan(chosen, self.run.seed), **self._options(stage))
        self.notes.append(f"{chosen.name}: lightweight DNN fine-tuned on converted images: {'kept' if kept else 'not kept'}")
        return tuned
