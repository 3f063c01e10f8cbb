"""Sizes of CAE-Net and how long each of its parts trains, by data set."""
from dataclasses import dataclass, replace

from npcbnet import recipes
from npcbnet.nets import ConvConverterConfig, alexnet, lenet
from npcbnet.training import Plan

QUICK_IMAGES = 4000  # images a part, with --quick


@dataclass(frozen=True)
class Recipe:
    """How a CAE-Net is made.

    baseline: "lenet" or "alexnet", of a quarter of its width if `narrow`; form: the converting autoencoder; hidden,
    pool: the head (nets.caenet.head); clusters of each class; epochs and learning rates of the parts: the converter,
    the head behind the frozen encoder, and encoder and head together, which may also learn from the baseline's answers
    (distillation: temperature, and `hard`, the weight of the labels). thin: sizes of the dense network that goes
    without a converter; empty: none.
    """

    baseline: str
    form: ConvConverterConfig
    hidden: int
    pool: bool = False
    clusters: int = 3
    converter_epochs: int = 12
    converter_rate: float = 2e-3
    head_epochs: int = 4
    head_rate: float = 1e-3
    tune_epochs: int = 20
    tune_rate: float = 1e-3
    temperature: float = 3.0
    hard: float = 0.3
    narrow: bool = False
    thin: tuple = ()
    thin_epochs: int = 60
    thin_rate: float = 2e-3
    shift: int = 0
    flip: bool = False

    @property
    def slow(self):
        """Do its parts take minutes an epoch?"""
        return self.baseline == "alexnet" and not self.narrow


# The paper gives no sizes (III-A2: five convolutions). With strides 2, 1, 2, 1, 1 it would do more multiply-adds than
# LeNet.
SMALL = Recipe("lenet", ConvConverterConfig((8, 16, 24, 32, 48), (2, 2, 1, 2, 1)), 64, thin=(192, 96))
# AlexNet's answers would teach it mistakes: on CIFAR-10's validation images it becomes the better of the two.
COLOUR = Recipe("alexnet", ConvConverterConfig((32, 64, 96, 128, 128), (1, 2, 1, 2, 1), batch_norm=True), 256,
                pool=True, converter_epochs=10, head_epochs=5, tune_epochs=20, hard=1.0)
QUICK_COLOUR = replace(COLOUR, form=replace(COLOUR.form, channels=(8, 16, 24, 32, 32)), hidden=64, narrow=True)
NARROW = (16, 48, 64, 64, 64), (384, 192)  # AlexNet's channels and dense layers, a quarter of each
PATIENCE = 5


def recipe(dataset, quick=False):
    """The Recipe for a Dataset: AlexNet's for colour images of at least 24 pixels, else LeNet's.

    quick: networks of a quarter of the width where the whole ones take minutes.
    """
    channels, *sides = dataset.input_shape
    large = channels == 3 and min(sides) >= 24
    chosen = (QUICK_COLOUR if quick else COLOUR) if large else SMALL
    return replace(chosen, shift=recipes.pixels_of_shift(dataset), flip=recipes.may_be_mirrored(dataset))


def baseline(chosen, dataset, rng):
    """The fresh baseline: Classifier."""
    shape, names = dataset.input_shape, dataset.class_names
    if chosen.baseline == "lenet":
        return lenet(shape, names, rng)
    return alexnet(shape, names, rng, *NARROW) if chosen.narrow else alexnet(shape, names, rng)


def baseline_plan(chosen, dataset, seed, epochs=None):
    """Plan of the baseline: LeNet's as ever; AlexNet's learning rate falls throughout.

    A narrow one, which sees few images, trains PATIENCE times as long: of each class it must read one image at least.
    """
    if chosen.baseline == "lenet":
        return recipes.classifier_plan(dataset, seed, epochs)
    epochs = (epochs or recipes.scaled(20, dataset)) * (PATIENCE if chosen.narrow else 1)
    return Plan(epochs, recipes.BATCH, 2e-3 if chosen.narrow else 5e-4, decay=epochs, shift=chosen.shift,
                flip=chosen.flip, seed=seed)


def plan(chosen, dataset, part, seed, most=None):
    """Plan of a part, "converter", "head", "tune" or "thin"; its learning rate falls throughout. most: of epochs."""
    epochs = recipes.scaled(getattr(chosen, f"{part}_epochs"), dataset)
    epochs = min(epochs, most or epochs)
    return Plan(epochs, recipes.BATCH, getattr(chosen, f"{part}_rate"), decay=epochs, shift=chosen.shift,
                flip=chosen.flip, seed=seed)


def longer(plan, epochs):
    """The Plan with so many epochs more."""
    return replace(plan, epochs=plan.epochs + epochs, decay=plan.decay + epochs)
