"""The stages of CAE-Net's training: baseline, clusters, converter, classifiers. Each goes on from its checkpoint."""
import copy

import numpy as np

from npcbnet import clustering, conversion, pipeline, run as runs, runtime
from npcbnet.caenet import recipe as recipes
from npcbnet.caenet.transfer import HeadTask
from npcbnet.compress.retrain import logits
from npcbnet.nets import Classifier, ConvConverter, caenet
from npcbnet.nets.caenet import parts, thin
from npcbnet.nets.images import as_floats
from npcbnet.training import ClassifierTask, fit

MEASURED = 500  # images that a random encoder's batch normalisations measure


class Stages(pipeline.Stages):
    """Trains the parts of a CAE-Net; `chosen` is their Recipe."""

    def __init__(self, run, dataset, out, threads=1, quiet=False):
        super().__init__(run, dataset, out, threads, quiet)
        self.chosen = recipes.recipe(dataset, run.quick)
        self._taught = None, None  # the last teacher, and its answers to the training images

    def epochs(self, part):
        """How many epochs a part trains: "converter", "head", "tune" or "thin"."""
        return self._plan(part).epochs

    def _plan(self, part):
        return recipes.plan(self.chosen, self.dataset, part, self.run.seed, self.run.epochs)

    def _fit(self, task, plan, stage, model=None):
        """Train a task; what it is judged by, if anything, is the accuracy of `model`."""
        self.histories[stage] = fit(task, self.dataset.train.images, plan, **self._options(stage),
                                    validate=self._validate(model) if model is not None else None)

    def _validate(self, model):
        """The engine judges: networks for colour images take the layers minutes an epoch."""
        held = self.dataset.validation
        return lambda: {"accuracy": accuracy(model, held, self.threads)}

    def baseline(self):
        """Stage 1: LeNet or AlexNet, which tells easy from hard and like from unlike, and teaches where that helps."""
        name = self.chosen.baseline
        net = recipes.baseline(self.chosen, self.dataset, self._rng(name))
        plan = recipes.baseline_plan(self.chosen, self.dataset, self.run.seed, self.run.epochs)
        self._fit(ClassifierTask(net.net, self.dataset.train.labels), plan, name, net)
        return net

    def easy(self, baseline):
        """Stage 2: the EasyHard of the training images by the baseline's entropy."""
        train = self.dataset.train
        return conversion.easy_by_entropy(runtime.compile(baseline, self.threads), train.images, train.labels)

    def features(self, baseline):
        """Stage 2: (N, D) what the baseline, or the model that the run names instead, sees in the training images."""
        model, images = runs.viewer(self.run, self.dataset), self.dataset.train.images
        if model is None:
            return clustering.penultimate(baseline, images, self.threads)
        return clustering.convolutional(model, images, self.threads)

    def clusters(self, split, features, method="k-means", clusters=None):
        """Stage 2: the Clustering of the training images, whose EasyHard and features (N, D) these are."""
        options = clustering.Options(method, clusters or self.chosen.clusters, seed=self.run.seed)
        return clustering.cluster(features, self.dataset.train.labels, split, self.dataset.classes, options,
                                  self.threads)

    def converter(self, targets, stage="converter"):
        """Stage 3: the converting autoencoder, trained to turn each image into its target."""
        made = ConvConverter(self.chosen.form, self.dataset.input_shape).initialise(self._rng("converter"))
        rows = np.arange(min(len(targets.images), 2000))
        made.begin_with(targets.of(rows, self._rng("means")).mean(axis=(0, 2, 3)))
        self._fit(conversion.ConverterTask(made, targets, None), self._plan("converter"), stage)
        return made

    def transferred(self, encoder, name):
        """Stage 4: a head behind a frozen encoder: Classifier. All heads begin with the same weights."""
        model = self._classifier(copy.deepcopy(encoder))
        task = HeadTask(*parts(model), self.dataset.train.labels)
        self._fit(task, self._plan("head"), name, model)
        return model

    def tuned(self, model, baseline):
        """Stage 5: encoder and head trained on together: (the better on validation images, is it that one?)."""
        made = copy.deepcopy(model)
        self._fit(self._distilled(made, baseline), self._plan("tune"), "tuned", made)
        held = self.dataset.validation
        kept = accuracy(made, held, self.threads) > accuracy(model, held, self.threads)
        self._note(f"encoder and head trained on together: {'kept' if kept else 'not kept'}")
        return (made if kept else model), kept

    def scratch(self, baseline):
        """The control without a converter: the same network, trained as long as head and fine-tuning together."""
        fresh = ConvConverter(self.chosen.form, self.dataset.input_shape).initialise(self._rng("scratch")).encoder
        model, plan = self._classifier(fresh), self._plan("tune")
        more = self._plan("head").epochs
        plan = recipes.longer(plan, more)
        self._fit(self._distilled(model, baseline), plan, "scratch", model)
        return model

    def thin(self, baseline):
        """The smallest of the family, without a converter: Classifier."""
        data = self.dataset
        model = thin(data.input_shape, data.class_names, self._rng("thin"), self.chosen.thin)
        self._fit(self._distilled(model, baseline), self._plan("thin"), "thin", model)
        return model

    def random_encoder(self):
        """The encoder of the control whose encoder has learned nothing; what its layers measure, they have measured."""
        rng, train = self._rng("random"), self.dataset.train
        encoder = ConvConverter(self.chosen.form, self.dataset.input_shape).initialise(rng).encoder
        measure_statistics(encoder, train.images[np.sort(rng.permutation(len(train))[:MEASURED])])
        return encoder

    def _classifier(self, encoder) -> Classifier:
        """A CAE-Net of an encoder and a fresh head."""
        data = self.dataset
        return caenet(encoder, self.chosen.hidden, data.input_shape, data.class_names, self._rng("head"),
                      self.chosen.pool)

    def _distilled(self, model, baseline):
        """The task of a whole network that learns from labels and, if they are not all, the baseline's answers."""
        train, (teacher, lessons) = self.dataset.train, self._taught
        if self.chosen.hard == 1:
            return ClassifierTask(model.net, train.labels)
        if teacher is not baseline:
            lessons = logits(baseline, train.images)
            self._taught = baseline, lessons
        return ClassifierTask(model.net, train.labels, lessons, self.chosen.temperature, self.chosen.hard)


def measure_statistics(layers, images):
    """Set the means and variances of a network's batch normalisations to those of images (N, C, H, W), one by one."""
    x = as_floats(images)
    for layer in layers:
        if layer.statistics:
            axes = (0, 2, 3)
            layer.params["running_mean"][...] = x.mean(axis=axes, dtype=np.float64)
            layer.params["running_var"][...] = x.var(axis=axes, dtype=np.float64, ddof=1)
        x = layer.forward(x)[0]


def accuracy(model, split, threads=1):
    """Share of a Split's images that the model classifies right, by the engine."""
    return float((runtime.compile(model, threads).predict(split.images) == split.labels).mean())


def reconstruction_loss(converter, targets, threads=1):
    """Mean squared difference of converted training images and their targets, pixels in 0..1 (CAE-Net, III-A2)."""
    total, rng, engine = 0.0, np.random.default_rng(0), runtime.compile(converter, threads)
    for start in range(0, len(targets.images), 256):
        rows = np.arange(start, min(start + 256, len(targets.images)))
        change = engine.convert(targets.images[rows]) - targets.of(rows, rng)
        total += float(np.square(change, dtype=np.float64).mean(axis=(1, 2, 3)).sum())
    return total / len(targets.images)
