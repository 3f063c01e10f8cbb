"""Architecture search under a service-level objective: widths, depths and strides of an encoder and its head.

    conv 3x3 (width, stride), ReLU  x depth  -> [pool] -> Flatten -> Dense hidden, ReLU -> Dense O

CAE-Net leaves that to the future (section III-A.1). Here it is a small one that one can follow:

    draw        architectures of the space, and the latency of a few over their multiply-adds: a line
    discard     those that the line says, then those that measuring shows to miss the SLO
    rungs       train what is left for a moment, keep the better half, train those longer ... (successive halving:
                Jamieson and Talwalkar, 2016); each rung's best third has a changed child in the next (one width, stride,
                depth, hidden size or the pool, as in evolution), which catches up on the images it missed
    the best    is trained fully

Validation images judge, test images take no part. All is drawn by the seed; only latencies are measured.
"""
import zlib
from dataclasses import asdict, dataclass, replace

import numpy as np

from npcbnet.compress.adadeep import evenly
from npcbnet.compress.retrain import Retraining, check, check_numbers
from npcbnet.compress.sidecars import Sidecars
from npcbnet.compress.slo import SPARE, check_slo, nonzero
from npcbnet.compress.stopwatch import Stopwatch
from npcbnet.errors import ShapeError, UsageError
from npcbnet.layers import Conv2d, Dense, Flatten, MaxPool2d, ReLU, Sequential, initialise
from npcbnet.nets import Classifier
from npcbnet.progress import say
from npcbnet.training import one_blas_thread

LEARNING_RATE = 2e-3
CALIBRATED = 6  # architectures whose latency makes the line
DOUBT = 1.5  # times the SLO that a latency estimated from multiply-adds may have to be measured
CHILDREN = 1 / 3  # of a rung's survivors have a child in the next
ATTEMPTS = 50  # to draw a change that leaves an architecture in the space


@dataclass(frozen=True)
class Architecture:
    """Of an encoder: output channels and stride of each 3x3 convolution, whether a 2x2 pool follows; hidden: features
    of the head's dense layer."""

    widths: tuple
    strides: tuple
    hidden: int
    pool: bool = False

    def __str__(self):
        convolutions = " ".join(f"{width}/{stride}" for width, stride in zip(self.widths, self.strides))
        return f"conv {convolutions}, {'pool, ' if self.pool else ''}hidden {self.hidden}"


@dataclass(frozen=True)
class Space:
    """What may be drawn. least_side: rows or columns that the encoder's last map has at least."""

    depths: tuple = (1, 2, 3, 4, 5)
    widths: tuple = (4, 8, 12, 16, 24, 32, 48, 64, 96, 128)
    strides: tuple = (1, 2)
    hidden: tuple = (16, 32, 64, 128, 256)
    least_side: int = 2

    def draw(self, rng, input_shape):
        """A random Architecture whose widths do not fall from layer to layer. Raises UsageError if none fits."""
        for _ in range(ATTEMPTS):
            depth = int(rng.choice(self.depths))
            made = Architecture(tuple(sorted(int(width) for width in rng.choice(self.widths, depth))),
                                tuple(int(stride) for stride in rng.choice(self.strides, depth)),
                                int(rng.choice(self.hidden)), bool(rng.integers(2)))
            if self.holds(made, input_shape):
                return made
        raise UsageError(f"no architecture of the space leaves a map of {self.least_side} x {self.least_side} of "
                         f"images of {input_shape}")

    def child(self, parent, rng, input_shape):
        """An Architecture of the space that differs from the parent in one thing; None if none was found."""
        for _ in range(ATTEMPTS):
            made = self._changed(parent, rng)
            if made != parent and self.holds(made, input_shape):
                return made
        return None

    def _changed(self, parent, rng):
        what, i = rng.choice(["width", "stride", "depth", "hidden", "pool"]), int(rng.integers(len(parent.widths)))
        if what == "width":
            return replace(parent, widths=_put(parent.widths, i, _near(self.widths, parent.widths[i], rng)))
        if what == "stride":
            return replace(parent, strides=_put(parent.strides, i, int(rng.choice(self.strides))))
        if what == "depth":
            shorter = rng.integers(2)
            widths = parent.widths[:i] + (() if shorter else 2 * parent.widths[i:i + 1]) + parent.widths[i + 1:]
            strides = parent.strides[:i] + (() if shorter else (parent.strides[i], 1)) + parent.strides[i + 1:]
            return replace(parent, widths=widths, strides=strides)
        if what == "hidden":
            return replace(parent, hidden=_near(self.hidden, parent.hidden, rng))
        return replace(parent, pool=not parent.pool)

    def holds(self, one, input_shape):
        """Is an Architecture of this space, and is its last map large enough?"""
        sides = [_last(side, one) for side in input_shape[1:]]
        return len(one.widths) in self.depths and set(one.widths) <= set(self.widths) \
            and list(one.widths) == sorted(one.widths) and min(sides) >= self.least_side


def _last(side, one):
    """The side of the last map: a convolution 3x3, pad 1 and stride s makes ceil(side / s) of it, a pool the half."""
    for stride in one.strides:
        side = -(-side // stride)
    return side // 2 if one.pool else side


def _near(values, value, rng):
    """One of a tuple's neighbours of a value in it."""
    place = values.index(value) + int(rng.choice([-1, 1]))
    return values[min(max(place, 0), len(values) - 1)]


def _put(values, place, value):
    return values[:place] + (value,) + values[place + 1:]


@dataclass(frozen=True)
class Effort:
    """How much of each stage: architectures drawn and trained at first, [(images, epochs)] of the rungs (images None:
    all), epochs of the winner."""

    images: int | None
    validation: int | None
    drawn: int
    pool: int
    rungs: tuple
    epochs: int


FULL = Effort(None, None, 300, 24, ((6000, 2), (12_000, 3), (24_000, 4)), 20)
QUICK = Effort(2000, 1000, 60, 6, ((1000, 2), (2000, 3)), 8)


@dataclass(frozen=True, eq=False)
class Searched:
    """What a search found: the best Architecture that meets the SLO and its trained model, else (met False) the fastest;
    over_ms: by how much it misses. row: its own; rows: a dict for each network that was trained, "architecture",
    "stage", "latency_ms", "accuracy" (of validation images), "macs", "parameters"."""

    architecture: Architecture
    model: Classifier
    met: bool
    slo_ms: float
    over_ms: float
    row: dict
    rows: list


def network(one, input_shape, class_names, rng):
    """A fresh Classifier of an Architecture, weights N(0, 2 / fan in). Raises ShapeError where images are too small."""
    layers, previous = [], input_shape[0]
    for width, stride in zip(one.widths, one.strides):
        layers += [Conv2d(previous, width, 3, stride, 1), ReLU()]
        previous = width
    layers += [MaxPool2d(2, 2, ceil_mode=False)] * one.pool + [Flatten()]
    (features,) = Sequential(layers).output_shape(input_shape)
    net = Sequential([*layers, Dense(features, one.hidden), ReLU(), Dense(one.hidden, len(class_names))])
    return Classifier(initialise(net, rng, "he_normal"), input_shape, class_names)


def search_architecture(dataset, slo_ms, *, space=None, teacher=None, build=network, seed=0, threads=1, quick=False,
                        quiet=True, checkpoint=None, effort=None, measure=None):
    """The best network of a Space for a data set that answers one image within slo_ms milliseconds: Searched.

    teacher: a Classifier whose logits are learned, None: labels alone. build: as `network`, a function (Architecture,
    input_shape, class_names, rng) -> Classifier. quick, effort, measure, checkpoint: as slo.meet's. Raises UsageError.
    """
    check_numbers(seed, threads)
    check_slo(slo_ms)
    if teacher is not None:
        check(teacher, dataset, seed, threads)
    search = _Search(dataset, float(slo_ms), space or Space(), teacher, build, seed, threads, quiet, checkpoint,
                     effort or (QUICK if quick else FULL), measure)
    with one_blas_thread():
        return search.run()


class _Candidate:
    """An Architecture on its way: its model, and what is known of it."""

    def __init__(self, architecture, model):
        self.architecture, self.model = architecture, model
        self.time, self.sure, self.accuracy, self.trained = None, None, None, 0


class _Search:
    """The state of one search."""

    def __init__(self, dataset, slo_ms, space, teacher, build, seed, threads, quiet, checkpoint, effort, measure):
        self.dataset, self.slo_ms, self.space, self.effort, self.quiet = dataset, slo_ms, space, effort, quiet
        self.build, self.seed, self.clock = build, int(seed), measure
        self.retraining = Retraining(teacher, dataset, effort.images, effort.validation, seed, threads)
        taught = [zlib.crc32(np.ascontiguousarray(array)) for array in teacher.params.values()] if teacher else None
        self.files = Sidecars(checkpoint, seed, slo_ms, space, effort, taught, dataset.name, len(dataset.train))
        self.rng, self.rows, self.seen = np.random.default_rng([self.seed, 6]), [], set()

    def run(self):
        """All of it."""
        pool = self.fitting(self.drawn())
        if pool[0].time > SPARE * self.slo_ms:  # none meets it: they come as the fastest first
            pool = pool[:1]
        else:
            pool = self.climb(pool)
        winner = pool[0]
        self.fit(winner, None, self.effort.epochs, "full", self.files.path("full", model=winner.model))
        self.files.clear()
        met = winner.time <= self.slo_ms
        winner.model.record = {"searched": {"architecture": asdict(winner.architecture), "slo_ms": self.slo_ms,
                                            "met": met, "latency_ms": winner.time, "seed": self.seed,
                                            "validation_accuracy": winner.accuracy, "data": self.dataset.name}}
        return Searched(winner.architecture, winner.model, met, self.slo_ms, max(0.0, winner.time - self.slo_ms),
                        self.rows[-1], self.rows)

    def candidate(self, architecture):
        """A _Candidate with fresh weights, the same in every search; None if there was one before, or it cannot be."""
        if architecture in self.seen:
            return None
        self.seen.add(architecture)
        rng = np.random.default_rng([self.seed, 7, zlib.crc32(str(architecture).encode())])
        try:
            return _Candidate(architecture, self.build(architecture, self.dataset.input_shape,
                                                       self.dataset.class_names, rng))
        except ShapeError:
            return None

    def drawn(self):
        """Candidates of the space, ascending by multiply-adds."""
        made = [self.candidate(self.space.draw(self.rng, self.dataset.input_shape)) for _ in range(self.effort.drawn)]
        return sorted(filter(None, made), key=lambda one: one.model.macs())

    def fitting(self, drawn):
        """At most `pool` candidates that meet the SLO, evenly from cheap to dear, the dearest among them; if none does,
        those that were measured, the fastest first."""
        self.watch = Stopwatch(drawn[0].model, self.retraining.validation.images, self.clock,
                               self.files.path("latencies", ".json"))
        known = evenly(drawn, CALIBRATED)
        self.measure(known)
        macs, times = [one.model.macs() for one in known], [one.time for one in known]
        slope, start = np.polyfit(macs, times, 1) if len(known) > 1 else (0.0, times[0])
        hopeful = [one for one in drawn if start + slope * one.model.macs() <= DOUBT * self.slo_ms]
        chosen = evenly(hopeful, 2 * self.effort.pool)
        self.measure(chosen)
        good = [one for one in drawn if one.time is not None and one.time <= SPARE * self.slo_ms]
        self.say(f"{len(drawn)} architectures drawn, {len(hopeful)} may meet the SLO, {len(good)} of those measured do")
        measured = sorted((one for one in drawn if one.time is not None), key=lambda one: one.time)
        return evenly(good, self.effort.pool) if good else measured

    def climb(self, pool):
        """The rungs; returns the survivors, the best first."""
        for number, (images, epochs) in enumerate(self.effort.rungs, 1):
            self.say(f"rung {number}: {len(pool)} networks, {epochs} epochs on {images:,} images")
            for one in pool:
                for earlier, passes in self.effort.rungs[one.trained:number - 1]:
                    self.fit(one, earlier, passes, "catching up")
                self.fit(one, images, epochs, f"rung {number}")
                one.trained = number
            pool = sorted(pool, key=lambda one: -one.sure)[:-(-len(pool) // 2)]
            if number < len(self.effort.rungs):
                pool += self.children(pool[:max(1, round(CHILDREN * len(pool)))])
        return pool

    def children(self, parents):
        """Those of the parents' children that are new and meet the SLO."""
        changed = [self.space.child(one.architecture, self.rng, self.dataset.input_shape) for one in parents]
        made = [one for one in (self.candidate(child) for child in changed if child is not None) if one]
        self.measure(made)
        return [one for one in made if one.time <= SPARE * self.slo_ms]

    def measure(self, candidates):
        """Fill in the candidates' latencies."""
        for one, time in zip(candidates, self.watch.times([one.model for one in candidates])):
            one.time = time

    def fit(self, one, images, epochs, stage, checkpoint=None):
        """Train and judge a candidate, and add its row."""
        self.retraining.run(self.retraining.task(one.model.net, images), epochs, images=images, stage=stage,
                            learning_rate=LEARNING_RATE, checkpoint=checkpoint, quiet=self.quiet or stage != "full")
        one.accuracy, one.sure = self.retraining.judged(one.model)
        self.rows.append({"architecture": str(one.architecture), "stage": stage, "latency_ms": one.time,
                          "accuracy": one.accuracy, "macs": one.model.macs(), "parameters": nonzero(one.model)})
        self.say(f"{stage}: {one.accuracy:.2%}, {one.time:.4g} ms, {one.model.macs():,} multiply-adds: "
                 f"{one.architecture}")

    def say(self, text):
        """Progress, unless quiet."""
        say(f"search: {text}", self.quiet)
