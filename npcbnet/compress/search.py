"""Architecture search under a service-level objective: widths, depths and strides of an encoder and its head.

    conv 3x3 (width, stride), ReLU  x depth  -> [pool] -> Flatten -> Dense hidden, ReLU -> Dense O

CAE-Net leaves that to the future (section III-A.1). Here it is a small one that one can follow:

    draw        architectures of the space, and the latency of a few over their multiply-adds: a line
    discard     those that the line says, then those that measuring shows to miss the SLO
    rungs       train what is left for a moment, keep the better half, train those longer ... (successive halving:
                Jamieson and Talwalkar, 2016); each rung's best third has a changed child in the next (one width,
                stride, depth, hidden size or the pool, as in evolution), which catches up on what it missed
    the best    of those that meet the SLO when they are measured once more is trained fully; where it then misses it
                by the noise of measuring, the next

Validation images judge, test images take no part. All is drawn by the seed; only latencies are measured.
"""
import zlib
from dataclasses import asdict, dataclass

import numpy as np

from npcbnet.compress.adadeep import evenly
from npcbnet.compress.retrain import Retraining, check, check_numbers
from npcbnet.compress.sidecars import Sidecars
from npcbnet.compress.slo import SPARE, TRIES, check_slo, nonzero
from npcbnet.compress.space import Architecture, Space
from npcbnet.compress.stopwatch import Stopwatch
from npcbnet.errors import ShapeError
from npcbnet.layers import Conv2d, Dense, Flatten, MaxPool2d, ReLU, Sequential, initialise
from npcbnet.nets import Classifier
from npcbnet.progress import say
from npcbnet.training import one_blas_thread

LEARNING_RATE = 2e-3
CALIBRATED = 6  # architectures whose latency makes the line
DOUBT = 1.5  # times the SLO that a latency estimated from multiply-adds may be to have a network measured
PASSES = 4  # of measuring, until enough architectures meet the SLO
CHILDREN = 1 / 3  # of a rung's survivors have a child in the next


@dataclass(frozen=True)
class Effort:
    """How much of each stage: architectures drawn and trained at first, [(images, epochs)] of the rungs (images None:
    all), epochs of a finalist."""

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
    """What a search found: the best Architecture that meets the SLO and its trained model; if none does, the fastest.

    over_ms: by how much it misses. row: its own; rows: a dict for each network that was trained, the best one's last,
    "architecture", "stage", "latency_ms", "accuracy" (of validation images), "macs", "parameters". files: what lies
    beside the checkpoint; files.clear() removes it."""

    architecture: Architecture
    model: Classifier
    met: bool
    slo_ms: float
    over_ms: float
    row: dict
    rows: list
    files: Sidecars


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
    input_shape, class_names, rng) -> Classifier. quick, effort, measure: as slo.meet's. checkpoint: as slo.meet's, of
    latencies and what is trained fully; Searched.files.clear() removes it, once the model is saved. Raises UsageError.
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
        self.time, self.sure, self.accuracy, self.trained, self.row = None, None, None, 0, None


class _Search:
    """The state of one search."""

    def __init__(self, dataset, slo_ms, space, teacher, build, seed, threads, quiet, checkpoint, effort, measure):
        self.dataset, self.slo_ms, self.space, self.effort, self.quiet = dataset, slo_ms, space, effort, quiet
        self.build, self.seed, self.clock = build, int(seed), measure
        self.retraining = Retraining(teacher, dataset, effort.images, effort.validation, seed, threads)
        taught = [zlib.crc32(np.ascontiguousarray(array)) for array in teacher.params.values()] if teacher else None
        self.files = Sidecars(checkpoint, seed, slo_ms, space, effort, taught, dataset.name, len(dataset.train))
        self.rng, self.rows, self.seen = np.random.default_rng([self.seed, 6]), [], set()

    @property
    def limit(self):
        """The SLO in the stopwatch's milliseconds, which are those of its first readings."""
        return self.slo_ms / self.watch.drift

    def run(self):
        """All of it."""
        pool = self.fitting(self.drawn())
        if pool[0].time > SPARE * self.limit:  # none meets it: they come as the fastest first
            pool = pool[:1]
        else:
            pool = self.climb(pool)
        winner = self.finish(pool)
        for row in self.rows:
            row["latency_ms"] *= self.watch.drift
        winner.time *= self.watch.drift
        met, rows = winner.time <= self.slo_ms, [row for row in self.rows if row is not winner.row] + [winner.row]
        winner.model.record = {"searched": {"architecture": asdict(winner.architecture), "slo_ms": self.slo_ms,
                                            "met": met, "latency_ms": winner.time, "seed": self.seed,
                                            "validation_accuracy": winner.accuracy, "data": self.dataset.name}}
        return Searched(winner.architecture, winner.model, met, self.slo_ms, max(0.0, winner.time - self.slo_ms),
                        winner.row, rows, self.files)

    def finish(self, pool):
        """Train fully the first of the pool that meets the SLO now and when it is trained; returns it, or where none
        does, the fastest that was tried."""
        self.measure(pool, "again ")
        finalists, done = self.good(pool) or [min(pool, key=lambda one: one.time)], []
        for one in finalists[:1 + TRIES]:
            # Not by its shapes: a finalist with other strides may have the same
            name = f"full {zlib.crc32(str(one.architecture).encode()):08x}"
            self.fit(one, None, self.effort.epochs, "full", self.files.path(name))
            self.measure([one], "trained ")
            one.row["latency_ms"] = one.time
            done.append(one)
            if one.time <= self.limit:
                return one
            self.say(f"trained, it takes {one.time:.4g} ms: over the SLO of {self.limit:.4g} ms")
        return min(done, key=lambda one: one.time)

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
        # Relative errors count: the line must be right for small networks, where the SLO is
        slope, start = np.polyfit(macs, times, 1, w=1 / np.array(times)) if len(known) > 1 else (0.0, times[0])
        hopeful = [one for one in drawn if start + slope * one.model.macs() <= DOUBT * self.limit] or drawn[:1]
        good = self.good(drawn)
        for _ in range(PASSES):
            if len(good) >= self.effort.pool:
                break
            most = self.dearest_worth_measuring(drawn, good) if good else hopeful[-1].model.macs()
            near = [one for one in hopeful if one.time is None and one.model.macs() <= most]
            self.measure(evenly(near, self.effort.pool) if near else [])
            good = self.good(drawn)
            hopeful = hopeful if good else hopeful[:len(hopeful) // 2 + 1]
        measured = sorted((one for one in drawn if one.time is not None), key=lambda one: one.time)
        self.say(f"{len(drawn)} architectures drawn, {len(measured)} measured, {len(good)} of them meet the SLO")
        return evenly(good, self.effort.pool) if good else measured

    def dearest_worth_measuring(self, drawn, good):
        """Multiply-adds: all below those of the cheapest that was too slow may do, and a few above the dearest good."""
        slow = [one.model.macs() for one in drawn if one.time is not None and one not in good]
        return max(DOUBT * good[-1].model.macs(), min(slow, default=np.inf))

    def good(self, candidates):
        """Those that were measured and meet the SLO."""
        return [one for one in candidates if one.time is not None and one.time <= SPARE * self.limit]

    def climb(self, pool):
        """The rungs; returns the networks of the last one, the best first."""
        for number, (images, epochs) in enumerate(self.effort.rungs, 1):
            count = len(self.retraining.train.images[:images])
            self.say(f"rung {number}: {len(pool)} networks, {epochs} epochs on {count:,} images")
            for one in pool:
                for earlier, passes in self.effort.rungs[one.trained:number - 1]:
                    self.fit(one, earlier, passes, "catching up")
                self.fit(one, images, epochs, f"rung {number}")
                one.trained = number
            pool = sorted(pool, key=lambda one: -one.sure)
            if number < len(self.effort.rungs):
                pool = pool[:-(-len(pool) // 2)]
                pool += self.children(pool[:max(1, round(CHILDREN * len(pool)))])
        return pool

    def children(self, parents):
        """Those of the parents' children that are new and meet the SLO."""
        changed = [self.space.child(one.architecture, self.rng, self.dataset.input_shape) for one in parents]
        made = [one for one in (self.candidate(child) for child in changed if child is not None) if one]
        self.measure(made)
        return self.good(made)

    def measure(self, candidates, again=""):
        """Fill in the candidates' latencies; again: as for Stopwatch.times."""
        for one, time in zip(candidates, self.watch.times([one.model for one in candidates], again)):
            one.time = time

    def fit(self, one, images, epochs, stage, checkpoint=None):
        """Train and judge a candidate, and add its row."""
        self.retraining.run(self.retraining.task(one.model.net, images), epochs, images=images, stage=stage,
                            learning_rate=LEARNING_RATE, checkpoint=checkpoint, quiet=self.quiet or stage != "full")
        one.accuracy, one.sure = self.retraining.judged(one.model)
        one.row = {"architecture": str(one.architecture), "stage": stage, "latency_ms": one.time,
                   "accuracy": one.accuracy, "macs": one.model.macs(), "parameters": nonzero(one.model)}
        self.rows.append(one.row)
        self.say(f"{stage}: {one.accuracy:.2%}, {one.time:.4g} ms, {one.model.macs():,} multiply-adds: "
                 f"{one.architecture}")

    def say(self, text):
        """Progress, unless quiet."""
        say(f"search: {text}", self.quiet)
