"""Knowledge distillation: a small network, the student, learns a large one's logits (Hinton et al., 2015).

    loss = hard x cross-entropy + (1 - hard) x T^2 KL(softmax(teacher / T) || softmax(student / T))

`hard` is what Keras's example calls alpha. CAE-Net says neither T nor alpha nor what its students look like; its
LeNet-KD has 12.6 k parameters, its AlexNet-KD 0.55 M (Tables I and II). The students here have as many:

    lenet      conv 5x5 4, pool, conv 5x5 8, pool, FC 29, FC                      12,609 parameters for MNIST
    alexnet    a quarter of each of our AlexNet's convolutions, FC 364, 182, FC   0.55 M for CIFAR-10
"""
import copy
from dataclasses import dataclass

import numpy as np

from npcbnet import recipes
from npcbnet.compress.retrain import Retraining, check
from npcbnet.errors import UsageError
from npcbnet.layers import Conv2d, Dense, Flatten, MaxPool2d, ReLU, Sequential, initialise
from npcbnet.nets import Classifier, alexnet

OURS, KERAS = {"temperature": 3.0, "hard": 0.3}, {"temperature": 10.0, "hard": 0.1}  # the latter: keras.io's example
EPOCHS, QUICK_EPOCHS, QUICK_IMAGES = 15, 15, 2000
LEARNING_RATE = 2e-3


def small_lenet(input_shape, class_names, rng):
    """A fresh student for LeNet: Classifier, weights N(0, 2 / fan in)."""
    layers = [Conv2d(input_shape[0], 4, 5, pad=2), MaxPool2d(2), ReLU(), Conv2d(4, 8, 5, pad=2), MaxPool2d(2), ReLU(),
              Flatten()]
    (features,) = Sequential(layers).output_shape(input_shape)
    net = Sequential([*layers, Dense(features, 29), ReLU(), Dense(29, len(class_names))])
    return Classifier(initialise(net, rng, "he_normal"), input_shape, class_names)


def small_alexnet(input_shape, class_names, rng):
    """A fresh student for AlexNet: Classifier, weights N(0, 2 / fan in); so few units need no dropout."""
    return alexnet(input_shape, class_names, rng, (16, 48, 64, 64, 64), (364, 182), dropout=0.0)


STUDENTS = {"lenet": small_lenet, "alexnet": small_alexnet}


@dataclass(frozen=True, eq=False)
class Distilled:
    """A student that was taught, and what that brought: accuracies of validation images.

    model: the student; taught, teacher: its accuracy and its teacher's; alone: that of the same student, begun with the
    same weights and trained as long, by labels alone (None if it was not asked for).
    """

    model: Classifier
    taught: float
    teacher: float
    alone: float | None


def student(name, input_shape, class_names, rng):
    """A fresh student of STUDENTS. Raises UsageError for another name, ShapeError for images that are too small."""
    if name not in STUDENTS:
        raise UsageError(f"unknown student {name!r:.40}; choose from {', '.join(STUDENTS)}")
    return STUDENTS[name](input_shape, class_names, rng)


def distil(teacher, pupil, dataset, *, temperature=OURS["temperature"], hard=OURS["hard"], epochs=None, control=True,
           seed=0, threads=1, quick=False, quiet=True, checkpoint=None):
    """Train a student, `pupil` (a Classifier, or a name of STUDENTS), by a teacher's logits: Distilled.

    A Classifier is copied and trained from its weights on, a named student from weights drawn by `seed`. teacher: a
    Classifier. temperature, hard: see above; KERAS holds Keras's. epochs: None, EPOCHS of a set of MNIST's size, more
    of a smaller one. control: train it without the teacher, too. quick: QUICK_IMAGES images. checkpoint: as for
    training.fit, of the taught student. Raises UsageError, and what fit raises.
    """
    check(teacher, dataset, seed, threads)
    for name, value, most in (("temperature", temperature, np.inf), ("share of the hard loss", hard, 1)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most or value == np.inf:
            raise UsageError(f"the {name} must be a number of at least 0{' and at most 1' if most == 1 else ''}, "
                             f"not {value!r:.40}")
    if temperature == 0:
        raise UsageError("the temperature must be above 0")
    if isinstance(pupil, str):
        pupil = student(pupil, teacher.input_shape, teacher.class_names, np.random.default_rng([int(seed), 5]))
    check(pupil, dataset, seed, threads)
    epochs = epochs or (QUICK_EPOCHS if quick else recipes.scaled(EPOCHS, dataset))
    lessons = Retraining(teacher, dataset, QUICK_IMAGES if quick else None, None, seed, threads, temperature, hard)
    made, alone = _trained(pupil, lessons, epochs, "distilling", quiet, checkpoint), None
    if control:
        lessons.teacher, taught = None, lessons.teacher
        alone = lessons.judged(_trained(pupil, lessons, epochs, "distilling alone", quiet))[0]
        lessons.teacher = taught
    made.record = {**copy.deepcopy(pupil.record), "distilled": {
        "temperature": temperature, "hard": hard, "epochs": epochs, "seed": int(seed)}}
    return Distilled(made, lessons.judged(made)[0], lessons.judged(teacher)[0], alone)


def _trained(pupil, lessons, epochs, stage, quiet, checkpoint=None):
    """A trained copy; stages that begin alike see the same batches."""
    made = copy.deepcopy(pupil)
    lessons.run(lessons.task(made.net), epochs, stage=stage, learning_rate=LEARNING_RATE, checkpoint=checkpoint,
                quiet=quiet)
    return made
