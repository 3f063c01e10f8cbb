"""Pruning to a service-level objective (SLO): one image in so many milliseconds, measured in the engine, here.

    measure --> too slow? --> prune connections, train --> too slow? --> prune channels, train --> measure --> ...

That is the loop of CAE-Net (section III-A.1, last paragraph), whose structural part its authors did by hand. Here:

    connections    the dense layers' smallest blocks of weights, the fewest with which the SLO holds; trained only where
                   measuring shows that the engine gets faster by it
    channels       in rounds from the original's latency to the SLO; in each, two ways to take the fewest channels are
                   tried for a moment (even: of each layer the same share; global: the least important of all for the
                   multiply-adds they cost), and the one that validation images prefer goes on

Latency depends on the shapes alone (of dense layers also on how many zeros), so it is known before anything is trained.
Training is distillation from the original's logits. Validation images judge, test images take no part.
"""
import copy
import zlib
from dataclasses import dataclass

import numpy as np

from npcbnet import modelfile
from npcbnet.compress import magnitude, structure
from npcbnet.compress.retrain import Retraining, check
from npcbnet.compress.sidecars import Sidecars
from npcbnet.compress.stopwatch import Stopwatch
from npcbnet.errors import UsageError
from npcbnet.nets import Classifier
from npcbnet.progress import say
from npcbnet.training import one_blas_thread

KEPT = (0.5, 0.35, 0.25, 0.15, 0.08)  # shares of a dense layer's blocks
FASTER = 0.95  # of the original's latency, twice measured: sparse layers that gain less are not worth a training
SPARE = 0.97  # of the SLO is what pruning aims at, so that another measurement still meets it
WAYS, KIND = {"even": "layer", "global": "global"}, "taylor"  # scopes and the importance, of structure.prune
ASKED = 3  # shares of channels that are measured at a time, ASKED + 1 times finer in each of FINER turns
FINER = 3
TRIES = 2  # rounds more, where the last one's network misses the SLO by the noise of measuring


@dataclass(frozen=True)
class Effort:
    """How many images and epochs each stage takes."""

    images: int | None  # of the training set; None: all
    validation: int | None
    rounds: int  # of channel pruning on the way to the SLO
    trial: tuple  # (images, epochs) that choose between two ways
    between: int  # epochs after a round but the last
    epochs: int  # after the last, and of connection pruning


FULL, QUICK = Effort(None, None, 3, (12_000, 1), 2, 12), Effort(2000, 1000, 2, (1000, 1), 2, 6)


@dataclass(frozen=True, eq=False)
class Met:
    """What the loop found.

    model: the best by validation accuracy of those that meet the SLO, trained; where none does, the fastest. met:
    whether it meets the SLO; over_ms: by how much it does not, 0 if it does; rows: a dict for the original and for each
    network that was trained: "step", "way", "kept" (share of connections or {cut: channels}), "latency_ms", "accuracy"
    (of validation images), "macs", "parameters" (that are not zero), "storage_bytes", "met", "frontier" (no other is
    both faster and as accurate). notes: lines that say what was not worth while. files: what lies beside the
    checkpoint; files.clear() removes it.
    """

    model: Classifier
    met: bool
    slo_ms: float
    over_ms: float
    rows: list
    notes: list
    files: Sidecars

    @property
    def row(self):
        """The row of `model`."""
        return next(row for row in self.rows if row.get("chosen"))


def meet(model, dataset, slo_ms=None, *, share=None, seed=0, threads=1, quick=False, quiet=True, checkpoint=None,
         effort=None, measure=None):
    """Prune a Classifier until one image takes at most slo_ms milliseconds at batch 1, and train it: Met.

    share: in place of slo_ms; the SLO is this share of the model's own latency, as the loop itself measures it. seed
    decides all that is drawn, and no result depends on threads; but latencies are measured: where one lies near the
    SLO, two runs may decide differently. quick: 2,000 images; effort: an Effort instead of FULL or QUICK. measure: a
    function {name: model} -> {name: ms} in place of the engine's clock. checkpoint: a path; beside it lie the measured
    latencies and what has been trained, and a loop that was stopped goes on from there with the same arguments. There
    they stay when it is done, too: once the model is saved, the caller removes them by Met.files.clear(). Raises
    UsageError for a model or an argument that cannot work.
    """
    check(model, dataset, seed, threads)
    if share is None:
        check_slo(slo_ms)
    elif slo_ms is not None:
        raise UsageError("an SLO is given by slo_ms, milliseconds, or share, of the model's own latency: not by both")
    elif isinstance(share, bool) or not isinstance(share, (int, float, np.floating)) or not 0 < share <= 1:
        raise UsageError(f"the SLO's share of the model's latency must be above 0 and at most 1, not {share!r:.40}")
    effort = effort or (QUICK if quick else FULL)
    with one_blas_thread():
        slo_ms = None if slo_ms is None else float(slo_ms)
        return _Loop(model, dataset, slo_ms, share, effort, seed, threads, quiet, checkpoint, measure).run()


def check_slo(slo_ms):
    """Raise UsageError unless the SLO is a number of milliseconds above 0."""
    if isinstance(slo_ms, bool) or not isinstance(slo_ms, (int, float, np.floating)) or not 0 < slo_ms < float("inf"):
        raise UsageError(f"the SLO must be a number of milliseconds above 0, not {slo_ms!r:.40}")


class _Loop:
    """The state of one loop."""

    def __init__(self, model, dataset, slo_ms, share, effort, seed, threads, quiet, checkpoint, measure):
        self.model, self.slo_ms, self.share, self.effort, self.quiet = model, slo_ms, share, effort, quiet
        self.retraining = Retraining(model, dataset, effort.images, effort.validation, seed, threads)
        weights = [zlib.crc32(np.ascontiguousarray(array)) for array in model.params.values()]
        self.files = Sidecars(checkpoint, seed, slo_ms or f"{share} of its own", effort, dataset.name,
                              len(dataset.train), *weights)
        self.watch = Stopwatch(model, self.retraining.validation.images, measure, self.files.path("latencies", ".json"))
        self.seen = {"images": self.retraining.train.images[:structure.MEASURED],
                     "labels": self.retraining.train.labels[:structure.MEASURED]}
        self.rows, self.models, self.notes = [], [], []

    @property
    def limit(self):
        """The SLO in the stopwatch's milliseconds, which are those of its first readings."""
        return self.share * self.watch.times([self.model])[0] if self.share else self.slo_ms / self.watch.drift

    def run(self):
        """All of it."""
        self.watch.times([])
        self.add(self.model, "original", None, None)
        self.say(f"original: {self.rows[0]['latency_ms']:.4g} ms, {self.rows[0]['accuracy']:.2%}; "
                 f"the SLO is {self.limit:.4g} ms")
        if not self.rows[0]["met"]:
            self.channels(self.connections())
        return self.found()

    def connections(self):
        """Prune the dense layers' connections; returns the network that channels are pruned of next."""
        names = magnitude.large_dense(self.model.net, self.model.input_shape)
        if not names:
            self.note("connections: no dense layer is large enough for its zeros to be left out")
            return self.model
        tried = {kept: magnitude.cut(self.model, names, kept, blocks=True) for kept in KEPT}
        times = dict(zip(tried, self.watch.times(tried.values())))
        enough = [kept for kept in KEPT if times[kept] <= SPARE * self.limit]
        kept = enough[0] if enough else min(times, key=times.get)
        whole = self.rows[0]["latency_ms"]
        self.say("connections kept, ms: " + ", ".join(f"{share:g} {time:.4g}" for share, time in times.items()))
        time = max(times[kept], self.watch.times([tried[kept]], "again ")[0])
        if time > FASTER * whole:
            self.note(f"connections: with {kept:.0%} of the dense layers' weights an image takes {time:.4g} ms, "
                      f"{time / whole:.0%} of the original's time: not faster, so they stay")
            return self.model
        made = copy.deepcopy(self.model)
        task = magnitude.Gradual(self.retraining.task(made.net), names, kept, blocks=True)
        self.train(task, made, self.effort.epochs, "connections")
        row = self.add(made, "connections", "blocks", kept)
        return made if row["latency_ms"] <= FASTER * whole else self.model

    def channels(self, start):
        """Prune channels of a network in rounds, until the SLO is met or nothing is left to prune."""
        if not structure.cuts(start):
            self.note("channels: none can be followed to the layer that mixes them, so they stay")
            return
        rounds, goal, made = self.effort.rounds, SPARE * self.limit, start
        begin = self.watch.times([start])[0]
        begin = self.rows[0]["latency_ms"] if begin <= goal else begin  # connections alone do: channels alone, too
        made = self.model if begin == self.rows[0]["latency_ms"] else start
        for number in range(1, rounds + TRIES + 1):
            target = begin * (goal / begin) ** (min(number, rounds) / rounds)
            values = structure.importance(made, structure.cuts(made), KIND, **self.seen)
            found = {way: self.weakest(made, way, target, values) for way in WAYS}
            reached = any(time <= target for _, time in found.values())
            last = number >= rounds or not reached
            if not reached:
                self.note(f"channels: with the fewest channels tried an image takes "
                          f"{min(time for _, time in found.values()):.4g} ms; {target:.4g} ms cannot be reached")
            way, made = self.better({way: (small, time) for way, (small, time) in found.items()
                                     if time <= target or not reached}, number)
            self.held(made, self.effort.epochs if last else self.effort.between, f"channels {number}")
            row = self.add(made, f"channels {number}", way, {cut.name: cut.channels for cut in structure.cuts(made)})
            if not reached or last and row["met"]:
                return
            if last:  # by as much as it misses the SLO, now that it was measured again
                goal = self.watch.times([made])[0] * SPARE * self.limit / row["latency_ms"]

    def weakest(self, model, way, target, values):
        """(model, ms) that loses the fewest channels, pruned `way`, among those within target ms; else the fastest.

        values: the importance of the model's channels."""
        low, high, known = 0.0, 1.0, {}
        for turn in range(FINER):
            shares = [low + (high - low) * (i + 1) / (ASKED + 1) for i in range(ASKED)] + [1.0] * (turn == 0)
            made = [structure.prune(model, share, scope=WAYS[way], kind=KIND, values=values) for share in shares]
            known.update(zip(shares, zip(made, self.watch.times(made))))
            high = min([share for share in known if known[share][1] <= target], default=None)
            if high is None:
                return min(known.values(), key=lambda one: one[1])
            low = max([share for share in known if share < high], default=0.0)
        return known[high]

    def better(self, found, number):
        """(way, model) of {way: (model, ms)}: the one that validation images prefer after a moment of training."""
        sure = {}
        for way, (model, time) in found.items():
            images, epochs = self.effort.trial
            if len(found) > 1:
                self.held(model, epochs, f"{way} {number}", images)
            sure[way] = self.retraining.judged(model)[1]
            self.say(f"channels {number}, {way}: {time:.4g} ms, {model.macs():,} multiply-adds, "
                     f"mean probability of the right class {sure[way]:.4f}")
        way = max(sure, key=sure.get)
        return way, found[way][0]

    def held(self, model, epochs, stage, images=None):
        """Train a model further; what was pruned before stays zero."""
        constraints = magnitude.zeros_held(model)
        self.retraining.held(model.net, epochs, constraints, images=images, stage=stage,
                             checkpoint=self.files.path(stage, model=model), quiet=self.quiet or images is not None)

    def train(self, task, model, epochs, stage):
        """Train a task that prunes on its way."""
        self.retraining.run(task, epochs, stage=stage, after_step=task.after_step,
                            checkpoint=self.files.path(f"{stage} {task.kept:g}", model=model), quiet=self.quiet)

    def add(self, model, step, way, kept):
        """A row for a trained model; returns it."""
        time = self.watch.times([model], f"{step} " if self.rows else "")[0]  # once more, as it is trained now
        accuracy = self.retraining.judged(model)[0]
        row = {"step": step, "way": way, "kept": kept, "latency_ms": time, "accuracy": accuracy, "macs": model.macs(),
               "parameters": nonzero(model), "storage_bytes": modelfile.weight_bytes(model), "met": time <= self.limit}
        self.rows.append(row)
        self.models.append(model)
        if len(self.rows) > 1:
            self.say(f"{step}: {time:.4g} ms, {accuracy:.2%}, {row['parameters']:,} parameters")
        return row

    def found(self):
        """The best as Met; its times are as in a quiet moment."""
        slo_ms, drift = self.slo_ms or self.limit * self.watch.drift, self.watch.drift
        for row in self.rows:
            row["latency_ms"] *= drift
            row["met"] = row["latency_ms"] <= slo_ms
        meeting = [i for i, row in enumerate(self.rows) if row["met"]]
        best = max(meeting, key=lambda i: self.rows[i]["accuracy"]) if meeting else \
            min(range(len(self.rows)), key=lambda i: self.rows[i]["latency_ms"])
        for i, row in enumerate(self.rows):
            beaten = any(other["latency_ms"] < row["latency_ms"] and other["accuracy"] >= row["accuracy"]
                         for other in self.rows)
            row.update(chosen=i == best, frontier=not beaten)
        model, row = self.models[best], self.rows[best]
        if best:
            model.record = {**copy.deepcopy(self.model.record), "compressed": {
                "kind": "slo", "slo_ms": slo_ms, "met": row["met"], "latency_ms": row["latency_ms"],
                "validation_accuracy": row["accuracy"], "seed": self.retraining.seed}}
        return Met(model, row["met"], slo_ms, max(0.0, row["latency_ms"] - slo_ms), self.rows, self.notes,
                   self.files)

    def note(self, text):
        """What the result should say, too."""
        self.notes.append(text)
        self.say(text)

    def say(self, text):
        """Progress, unless quiet."""
        say(f"SLO: {text}", self.quiet)


def nonzero(model):
    """How many learned parameters of a model are not zero: CAE-Net's tables count these."""
    measured = model.statistics
    return sum(int(np.count_nonzero(array)) for name, array in model.params.items() if name not in measured)
