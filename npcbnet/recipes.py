"""What is trained by default: budgets by size of the data set, and the four recipes for the converter."""
from dataclasses import dataclass, replace

from npcbnet.errors import UsageError
from npcbnet.nets import TABLE_I, ConverterConfig
from npcbnet.training import Plan

BATCH = 128
# 18,000 of BranchyNet's own script (50 + 100 epochs at batch 512), on which the exit rate depends, and a tail
STEPS = 20_000
MOST_EPOCHS, MOST_CONVERTER_EPOCHS = 60, 150


@dataclass(frozen=True)
class Recipe:
    """How a converter is made and trained.

    form: its layers; target: a rule of conversion.RULES; mse, l1, ce: weights of the loss (conversion.ConverterTask);
    fine_tune: epochs of the lightweight DNN on converted images afterwards, kept only if validation improves.
    """

    name: str
    form: ConverterConfig
    target: str
    epochs: int
    learning_rate: float
    shift: bool = True  # random shifts, where the data set's own training has them
    mse: float = 1.0
    l1: float = 0.0
    ce: float = 0.0
    clusters: int = 1  # targets a class (conversion.Targets)
    fine_tune: int = 0
    paper_threshold: bool = False


SMALL = ConverterConfig((256, 128, 32), ("relu", "relu", "linear"), halve_input=True, halve_output=True)
NUDGE = ConverterConfig((128, 32), ("relu", "linear"), halve_input=True, halve_output=True, residual=True)

# The paper's L1 coefficient is written 10e-8 (CBNet, III-A3), which is 1e-7.
PAPER = Recipe("paper", TABLE_I["mnist"], "random", 14, 1e-3, shift=False, l1=10e-8, paper_threshold=True)
TABLE1 = Recipe("table1", replace(TABLE_I["mnist"], output="linear"), "lowest-entropy", 14, 1e-3, l1=10e-8, ce=0.1)
FAST = Recipe("fast", SMALL, "lowest-entropy", 25, 2e-3, ce=1.0, fine_tune=2)
RESIDUAL = Recipe("residual", NUDGE, "lowest-entropy", 10, 2e-3, mse=0.05, ce=1.0)
RECIPES = {recipe.name: recipe for recipe in (FAST, TABLE1, RESIDUAL, PAPER)}

# What validation images preferred, by recipe and data set. Clothes of one class look too different for one target.
CHANGES = {("fast", "mnist"): {"ce": 0.3, "epochs": 50}, ("fast", "digits"): {"ce": 0.1},
           ("fast", "fmnist"): {"clusters": 4}, ("table1", "fmnist"): {"fine_tune": 2},
           ("residual", "fmnist"): {"fine_tune": 2}}


def recipe(name, dataset):
    """The recipe called `name` for a Dataset: sizes of Table I where the paper has them, halves only of even sides.

    Raises UsageError for an unknown name.
    """
    if name not in RECIPES:
        raise UsageError(f"unknown recipe {name!r}; choose from {', '.join(RECIPES)} or all")
    chosen = replace(RECIPES[name], **CHANGES.get((name, family(dataset)), {}))
    form = chosen.form
    if name in ("paper", "table1"):
        form = replace(TABLE_I.get(family(dataset), TABLE_I["mnist"]), output=form.output)
    _, height, width = dataset.input_shape
    if height % 2 or width % 2:
        form = replace(form, halve_input=False, halve_output=False)
    return replace(chosen, form=form, shift=chosen.shift and pixels_of_shift(dataset) > 0)


def family(dataset):
    """The published set that a data set is a part of, by its name: kmnist for kmnist-8000-2000.npz."""
    return dataset.name.split("-")[0]


def may_be_mirrored(dataset):
    """Clothes, animals and vehicles may be mirrored, writing may not."""
    return family(dataset) in ("fmnist", "cifar10")


def scaled(epochs, dataset):
    """More epochs for a set smaller than MNIST, so that there are as many steps."""
    return max(epochs, min(MOST_CONVERTER_EPOCHS, round(epochs * 40_000 / len(dataset.train))))


def pixels_of_shift(dataset):
    """Random shifts help on handwriting and cost accuracy on clothes, which fill the frame.

    CIFAR-10's are those of K. He et al., "Deep residual learning for image recognition", 2015, section 4.2.
    """
    return {"fmnist": 0, "cifar10": 4}.get(family(dataset), 1)


def classifier_plan(dataset, seed, epochs=None):
    """Plan for LeNet and for BranchyNet: about STEPS steps, the last fifth with a falling learning rate."""
    epochs = epochs or max(1, min(MOST_EPOCHS, round(STEPS * BATCH / len(dataset.train))))
    return Plan(epochs, BATCH, 1e-3, decay=-(-epochs // 5), shift=pixels_of_shift(dataset),
                flip=may_be_mirrored(dataset), seed=seed)


def converter_plan(chosen: Recipe, dataset, seed, epochs=None):
    """Plan for the converter: the learning rate falls throughout. Small sets get more epochs for the same steps."""
    epochs = epochs or scaled(chosen.epochs, dataset)
    return Plan(epochs, BATCH, chosen.learning_rate, decay=epochs,
                shift=pixels_of_shift(dataset) if chosen.shift else 0, seed=seed)


def fine_tune_plan(chosen: Recipe, dataset, seed, most=None):
    """Plan for the lightweight DNN on converted images; `most`: no more epochs than that."""
    epochs = min(scaled(chosen.fine_tune, dataset), most or MOST_CONVERTER_EPOCHS)
    return Plan(epochs, 256, 1e-3, decay=epochs, seed=seed)
