"""Training variants of a Classifier: on images drawn once, taught by the original's logits, judged on validation."""
import numpy as np

from npcbnet import recipes, runtime
from npcbnet.compress.constrained import Constrained
from npcbnet.data.trial import check_classes
from npcbnet.errors import UsageError
from npcbnet.nets import Classifier
from npcbnet.nets.images import as_floats
from npcbnet.training import ClassifierTask, Plan, check_threads, fit

BATCH, LEARNING_RATE = 128, 1e-3


class Retraining:
    """The images that train and judge variants of a model, and the model's logits for them.

    images, validation: how many to draw, None: all. model None: nobody teaches, and labels alone are learned from.
    temperature, hard: of ClassifierTask. Raises UsageError for a data set without validation images, and ShapeError.
    """

    def __init__(self, model, dataset, images=None, validation=None, seed=0, threads=1, temperature=3.0, hard=0.3):
        rng = np.random.default_rng(seed)
        self.model, self.seed, self.threads = model, int(seed), threads
        self.temperature, self.hard = temperature, hard
        self.train, self.validation = some(dataset.train, images, rng), some(dataset.validation, validation, rng)
        if not len(self.validation):
            raise UsageError("the search needs validation images to judge by; load the data set with some")
        self.shift, self.flip = recipes.pixels_of_shift(dataset), recipes.may_be_mirrored(dataset)
        self.teacher = None if model is None else logits(model, self.train.images)

    def task(self, net, images=None):
        """The task of a net on the first `images` (None: all)."""
        teacher = None if self.teacher is None else self.teacher[:images]
        return ClassifierTask(net, self.train.labels[:images], teacher, self.temperature, self.hard)

    def run(self, task, epochs, *, stage, images=None, after_step=None, checkpoint=None, quiet=True,
            learning_rate=LEARNING_RATE):
        """Train a task on the first `images`, the learning rate falling to 0 along a cosine; returns the history."""
        plan = Plan(epochs, BATCH, learning_rate, decay=epochs, shift=self.shift, flip=self.flip, seed=self.seed)
        return fit(task, self.train.images[:images], plan, stage=stage, threads=self.threads, after_step=after_step,
                   checkpoint=checkpoint, quiet=quiet)

    def held(self, net, epochs, constraints, *, images=None, **more):
        """Train a net under constraints (see Constrained)."""
        return self.run(Constrained(self.task(net, images), constraints), epochs, images=images, **more)

    def judged(self, model):
        """(accuracy, mean probability of the right class) of a model on the validation images."""
        p, labels = runtime.compile(model, self.threads).predict_proba(self.validation.images), self.validation.labels
        return float((p.argmax(axis=1) == labels).mean()), float(p[np.arange(len(p)), labels].mean(dtype=np.float64))


def check(model, dataset, seed, threads):
    """Raise UsageError unless the model is a Classifier in floats that fits the data set, the seed and threads whole
    numbers of at least 0 and 1."""
    check_floats(model)
    check_numbers(seed, threads)
    if dataset.input_shape != model.input_shape:
        raise UsageError(f"{dataset.name} has images of {dataset.input_shape}; the model takes {model.input_shape}")
    check_classes(model, dataset)


def check_floats(model, what="this takes"):
    """Raise UsageError unless the model is a Classifier in floats, and whole; what: how the sentence begins."""
    if isinstance(model, Classifier) and not model.integers:
        return
    found = f"a {type(model).__name__}" + (" in integers" if model.integers else "")
    if model.levels:  # which are integers, too
        found = "a subgraph; give the model it was made from"
    raise UsageError(f"{what} a Classifier in floats, such as mnist-lenet, not {found}")


def check_numbers(seed, threads):
    """Raise UsageError unless seed is a whole number of at least 0 and threads one of at least 1."""
    check_threads(threads)
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise UsageError(f"the seed must be a whole number of at least 0, not {seed!r:.60}")


def some(split, count, rng):
    """At most `count` images of a split (None: all), drawn, in an order that is drawn, too."""
    return split.take(rng.permutation(len(split))[:count])


def logits(model, images):
    """A Classifier's logits (N, O) for images (N, C, H, W) uint8."""
    return np.concatenate([model.net.forward(as_floats(images[start:start + 256]))[0]
                           for start in range(0, len(images), 256)]).astype(np.float32, order="C")
