"""Hard images into easy ones: what is easy, what to convert to, and how the converting autoencoder learns it.

The steps of CBNet, section III-A: a trained BranchyNet tells easy from hard; every image, easy or hard, is an input;
the target is an easy image of the same class; the loss is the mean squared error plus an L1 penalty on the code.
"""
import zlib
from dataclasses import dataclass

import numpy as np

from npcbnet.errors import ShapeError, TrainingError, UsageError
from npcbnet.exits import leaves
from npcbnet.losses import cross_entropy, l1_activity, mean_squared_error
from npcbnet.nets import BranchyNet, Classifier, Converter, lightweight
from npcbnet.nets.images import as_floats
from npcbnet.training import ClassifierTask, fit

RULES = ("lowest-entropy", "random", "random-redrawn", "mean", "medoid")


@dataclass(frozen=True)
class EasyHard:
    """entropy (N,) in nats at the early exit; early, right (N,) bool: leaves there, is classified right there."""

    entropy: np.ndarray
    early: np.ndarray
    right: np.ndarray

    @property
    def easy(self):
        """(N,) bool: leaves early and is right."""
        return self.early & self.right


def easy_and_hard(net: BranchyNet, images, labels, threshold=None):
    """Which images are easy? Those that leave early (below `threshold` nats, default net's own) with the right answer.

    The paper (III-A2) calls every image that leaves early easy. Some leave with a wrong answer (2 % of FMNIST), and
    such an image would be a target that looks like another class.
    """
    answer = lightweight(net).explain(images)
    early = leaves(answer.entropy, net.threshold if threshold is None else threshold)
    return EasyHard(answer.entropy, early, answer.label == labels)


def easy_by_entropy(classifier: Classifier, images, labels, threshold=np.inf):
    """Easy and hard without an early exit: by the entropy of a whole classifier's answer (CAE-Net, section III-A).

    An image is easy if it is classified right with an entropy below `threshold` nats. By default every right image is:
    as a target the paper takes the one of lowest entropy, which needs no threshold.
    """
    answer = classifier.explain(images)
    return EasyHard(answer.entropy, leaves(answer.entropy, threshold), answer.label == labels)


def easy_rows(split: EasyHard, labels, classes):
    """Rows of each class's easy images, [(n,)], and the classes that have none.

    Such a class gets the one of lowest entropy among those classified right. Raises TrainingError where none is right.
    """
    rows, without = [], []
    for label in range(classes):
        members = np.flatnonzero(split.easy & (labels == label))
        if not len(members):
            without.append(label)
            right = np.flatnonzero(split.right & (labels == label))
            if not len(right):
                raise TrainingError(f"no image of class {label} is classified right, so there is nothing to convert "
                                    "that class to; train longer (--epochs), or look whether its labels are right")
            members = right[[split.entropy[right].argmin()]]
        rows.append(members)
    return rows, without


class Targets:
    """For each training image the easy image it shall become. `of` gives a shard's, float32 in 0..1.

    rule "lowest-entropy" (CAE-Net's): one image a class, the easiest; "mean", "medoid": the mean of the class's easy
    images, or the easy image nearest to it; "random": an easy image of the class, drawn once for each input (our
    reading of the paper); "random-redrawn": drawn anew every time.
    clusters: with the rule "lowest-entropy", each class is divided by k-means into so many groups of like images, and
    each image's target is the easiest of its own group: a boot need not become a sandal (CAE-Net's intraclass
    clustering, on pixels).
    groups (N,) int: such groups, numbered within each class, found otherwise (npcbnet.clustering).
    """

    def __init__(self, rule, images, labels, split: EasyHard, classes, rng, clusters=1, groups=None):
        if rule not in RULES:
            raise UsageError(f"unknown target rule {rule!r}; choose one of {', '.join(RULES)}")
        if groups is not None and (rule != "lowest-entropy" or clusters > 1):
            raise UsageError(f"groups go with the rule lowest-entropy alone, not with {rule} and clusters={clusters}")
        if groups is not None and np.shape(groups) != np.shape(labels):
            raise ShapeError(f"groups {np.shape(groups)} but labels {np.shape(labels)}; each image has one of each")
        self.rule, self.images, self.labels, self.groups = rule, images, labels, groups
        self.easy, self.without = easy_rows(split, labels, classes)
        self.prototypes = np.stack([self._prototype(members, split.entropy) for members in self.easy])
        self.drawn = None  # rows of the images' own targets (N,), where they are not the prototypes
        if rule == "random":
            self.drawn = self._draw(labels, rng)
        if rule == "lowest-entropy" and clusters > 1:
            self.groups = self._by_pixels(clusters, rng)
        if self.groups is not None:
            self.drawn = self._easiest_of_groups(split.entropy)

    def _prototype(self, members, entropy):
        """The one image (C, H, W) float32 that stands for a class; members: rows of its easy images."""
        lowest = as_floats(self.images[members[[entropy[members].argmin()]]])[0]
        if self.rule not in ("mean", "medoid"):
            return lowest
        pixels = np.array(as_floats(self.images[members]))
        mean = pixels.mean(axis=0, dtype=np.float64)
        if self.rule == "mean":
            return mean.astype(np.float32)
        return pixels[np.square(pixels - mean).sum((1, 2, 3)).argmin()]

    def _draw(self, labels, rng):
        """A random easy image's row for each of the labels."""
        rows = np.empty(len(labels), np.int64)
        for label, members in enumerate(self.easy):
            mine = np.flatnonzero(labels == label)
            rows[mine] = members[rng.integers(0, len(members), len(mine))]
        return rows

    def _by_pixels(self, clusters, rng):
        """Each training image's group (N,) within its class: k-means of the class's easy images."""
        from scipy.cluster.vq import kmeans2, vq
        groups = np.empty(len(self.labels), np.int64)
        for label, members in enumerate(self.easy):
            mine = np.flatnonzero(self.labels == label)
            pixels = as_floats(self.images[mine]).reshape(len(mine), -1)
            easy = pixels[np.searchsorted(mine, members)]
            centres, _ = kmeans2(easy, min(clusters, len(easy)), minit="++", seed=rng)
            groups[mine] = vq(pixels, centres)[0]
        return groups

    def _easiest_of_groups(self, entropy):
        """For each training image the row of its group's easiest easy image, or of its class's where that has none."""
        rows = np.empty(len(self.labels), np.int64)
        for label, members in enumerate(self.easy):
            mine = np.flatnonzero(self.labels == label)
            for number in np.unique(self.groups[mine]):
                here = members[self.groups[members] == number]
                here = here if len(here) else members
                rows[mine[self.groups[mine] == number]] = here[entropy[here].argmin()]
        return rows

    def of(self, index, rng):
        """Targets (n, C, H, W) of the training images index (n,)."""
        if self.drawn is not None:
            return as_floats(self.images[self.drawn[index]])
        if self.rule == "random-redrawn":
            return as_floats(self.images[self._draw(self.labels[index], rng)])
        return self.prototypes[self.labels[index]]

    def like(self, images, labels, groups=None):
        """For other images uint8 (M, C, H, W) of these labels (M,): the target (M, C, H, W) nearest to each.

        groups (M,): the images' groups, where they are known (Clustering.place): then each gets its group's target.
        """
        if self.rule != "lowest-entropy" or self.drawn is None:
            return self.prototypes[labels]
        if groups is not None:
            known = {(label, group): row for label, group, row in zip(self.labels, self.groups, self.drawn)}
            try:
                return as_floats(self.images[[known[pair] for pair in zip(labels, groups)]])
            except KeyError as pair:
                raise UsageError(f"no training image has class and group {pair}") from None
        nearest = []
        for image, label in zip(as_floats(images), labels):
            choice = as_floats(self.images[np.unique(self.drawn[self.labels == label])])
            nearest.append(choice[np.square(choice - image).sum(axis=(1, 2, 3)).argmin()])
        return np.stack(nearest)

    def mean_ink(self):
        """Mean sum of an easy image's pixels (in 0..1): what a softmax output has to sum to."""
        return float(np.mean([self.images[members].sum(axis=(1, 2, 3)).mean() / 255 for members in self.easy]))


def misread(classifier, targets: Targets):
    """The prototype check: {class: share of its targets that the classifier takes for another}, where there are any.

    A perfect conversion to such a target would be read wrong.
    """
    if targets.drawn is None:
        labels, pictures = np.arange(len(targets.prototypes)), targets.prototypes
    else:
        rows = np.unique(targets.drawn)
        labels, pictures = targets.labels[rows], targets.images[rows]
    wrong = classifier.predict(pictures) != labels
    return {int(label): float(wrong[labels == label].mean()) for label in np.unique(labels[wrong])}


class ConverterTask:
    """What the converting autoencoder minimises, on the softmax output scaled as the target is:

    mse * mean (raw - target)^2 + l1 * mean sum |code| + ce * cross-entropy of the frozen classifier on the picture.
    """

    def __init__(self, converter: Converter, targets: Targets, classifier: Classifier, *, mse=1.0, l1=0.0, ce=0.0):
        self.converter, self.targets, self.classifier = converter, targets, classifier
        self.mse, self.l1, self.ce = mse, l1, ce

    @property
    def params(self):
        return self.converter.params

    @property
    def statistics(self):
        """As ClassifierTask.statistics."""
        return self.converter.statistics

    def fingerprint(self):
        """As ClassifierTask.fingerprint."""
        targets = self.targets
        return {"labels": zlib.crc32(targets.labels), "rule": targets.rule,
                "prototypes": zlib.crc32(targets.prototypes),
                "drawn": None if targets.drawn is None else zlib.crc32(targets.drawn), "form": self.converter.config(),
                "mse": self.mse, "l1": self.l1, "ce": self.ce}

    def gradients(self, x, index, count, rng):
        """As ClassifierTask.gradients."""
        form = self.converter.form
        raw, code, backward = self.converter.forward(x, True, rng)
        target = self.targets.of(index, rng)
        if form.output == "softmax":  # a picture and its target must have the same sum for the error to reach 0
            ink = np.maximum(target.sum(axis=(1, 2, 3), keepdims=True), 1e-6)  # an all-black target stays black
            target = target * (form.total / ink)
        loss, draw = mean_squared_error(raw, target, count)
        loss, draw, dcode = self.mse * loss, self.mse * draw, None
        if self.l1:
            penalty, dcode = l1_activity(code, self.l1, count)
            loss += penalty
        if self.ce:
            more, dpicture = self._through_classifier(raw, self.targets.labels[index], count)
            loss, draw = loss + self.ce * more, draw + self.ce * dpicture
        return loss, backward(draw, dcode)

    def _through_classifier(self, raw, labels, count):
        """Cross-entropy of the frozen classifier on the picture, and its gradient by raw."""
        if self.converter.form.output == "softmax":
            top = raw.max(axis=(1, 2, 3), keepdims=True)  # taken as a constant
            picture, inside = raw / top, 1 / top
        else:
            picture, inside = np.clip(raw, 0, 1), (raw >= 0) & (raw <= 1)
        z, backward = self.classifier.net.forward(picture, True)
        loss, dz = cross_entropy(z, labels, count)
        return loss, backward(dz)[0] * inside


def fine_tune(classifier: Classifier, converter, images, labels, validation, plan, **options):
    """Train a copy of the classifier on converted images; returns (the better of the two, history, was it kept).

    validation: (images, labels); the copy is kept only if it is better there. options: as for training.fit.
    """
    converted = np.rint(converter.convert(images) * 255).astype(np.uint8)
    held_out, right = converter.convert(validation[0]), validation[1]
    tuned = Classifier.from_config(classifier.config())
    tuned.net.params = {name: array.copy() for name, array in classifier.net.params.items()}
    history = fit(ClassifierTask(tuned.net, labels), converted, plan,
                  validate=lambda: {"accuracy": float((tuned.predict(held_out) == right).mean())}, **options)
    before = float((classifier.predict(held_out) == right).mean())
    kept = bool(history) and history[-1]["accuracy"] > before
    return (tuned if kept else classifier), history, kept
