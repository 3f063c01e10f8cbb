"""AdaDeep: one compression for each layer, chosen so that the network meets budgets (Liu et al., 2018).

AdaDeep searches with reinforcement learning; its code was never published. Here the same kind of menu (menu.py) is
searched in a way that one can follow:

    every choice of every layer  --alone, trained briefly-->  what it costs in accuracy
    all plans (one choice a layer)  --multiply-adds and bytes exact, losses of accuracy added up-->  meet the budgets?
    the best of those, no two alike  --latency measured, where it has a budget-->  a pool
    pool  --trained briefly-->  the better ones  --trained longer-->  the best  --trained fully-->  judged by all budgets

Training is distillation from the original model's logits. Validation images judge, test images take no part.
"""
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from npcbnet import judge, modelfile, recipes, runtime
from npcbnet.compress.budgets import POWER_W, Budgets, score, watts
from npcbnet.compress.constrained import Constrained
from npcbnet.compress.menu import KEEP, Menu
from npcbnet.data import Split
from npcbnet.errors import UsageError
from npcbnet.nets import Classifier
from npcbnet.nets.images import as_floats
from npcbnet.progress import say
from npcbnet.training import ClassifierTask, Plan, check_threads, fit, one_blas_thread

PUBLISHED_SHARE = 2 / 3  # of LeNet's parameters that AdaDeep keeps on MNIST (CAE-Net's table)
MEASURED_AT_ONCE, MOST_MEASURED = 12, 96  # plans whose latency is measured
TIMED = 100  # images


@dataclass(frozen=True)
class Effort:
    """How many images and epochs each step of the search takes, and how many plans it keeps."""

    images: int | None  # of the training set; None: all
    validation: int | None
    alone: tuple  # (images, epochs) of each choice alone
    pool: int
    short: tuple
    finalists: int
    longer: tuple
    epochs: int  # of the winner
    tries: int  # finalists trained fully before the search gives up


FULL = Effort(None, None, (6000, 1), 24, (12_000, 1), 6, (24_000, 2), 12, 2)
QUICK = Effort(2000, 1000, (500, 1), 6, (1000, 1), 2, (2000, 1), 3, 1)


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found.

    model: the network, trained; choices: [{"layer", "place", "compression", "amount"}] in order; met: whether it meets
    all budgets; missed: a line for each one it does not meet (the model is then the nearest); costs, before: {"accuracy"
    (validation images), "latency_ms", "energy_mj", "storage_bytes", "macs"} of the model and of the original;
    candidates: a dict for each network that was judged, the original among them: "choices" as a text, "stage", "score"
    and its costs.
    """

    model: Classifier
    choices: list
    met: bool
    missed: list
    costs: dict
    before: dict
    candidates: list


def default_budgets(model):
    """What is asked for where nobody says: at most two thirds of the bytes, which is what the published AdaDeep keeps of
    LeNet's parameters, no more time than the original, and half a point of accuracy."""
    return Budgets(max_drop=0.5, latency_share=1.0, storage_bytes=int(PUBLISHED_SHARE * modelfile.weight_bytes(model)))


def search(model, dataset, budgets=None, *, seed=0, threads=1, quick=False, quiet=True, checkpoint=None,
           power_w=POWER_W):
    """The compressed variant of a Classifier that meets the budgets (None: default_budgets) with the best score: Found.

    seed decides all that is drawn, and no result depends on threads; only where a measured latency lies at the limit of
    its budget, two runs may decide differently. quick: 2,000 images. checkpoint: a path; the training of the winner
    continues from there (beside it, of another one); removed at the end. power_w: watts, or a function of the
    processor's use that gives them; energy is watts times latency. Raises UsageError for a model or an argument that
    cannot work, ShapeError for a data set that does not fit.
    """
    check_threads(threads)
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise UsageError(f"the seed must be a whole number of at least 0, not {seed!r:.40}")
    with one_blas_thread():
        budgets = default_budgets(model) if budgets is None else budgets
        return _Search(model, dataset, budgets, seed, threads, QUICK if quick else FULL, quiet, power_w).run(checkpoint)


class _Candidate:
    """A plan on its way: its network, trained so far, and what is known of it."""

    def __init__(self, plan, menu):
        self.plan = plan
        self.model, self.constraints = menu.build(plan)
        self.costs, self.score, self.stage = {}, None, "untrained"

    def row(self):
        """The candidate as plain values."""
        return {"choices": ", ".join(map(str, self.plan)), "stage": self.stage, "score": self.score, **self.costs}


class _Search:
    """One search: its data, its menu and the steps."""

    def __init__(self, model, dataset, budgets, seed, threads, effort, quiet, power_w):
        self.model, self.budgets, self.seed, self.threads = model, budgets, seed, threads
        self.effort, self.quiet, self.watts = effort, quiet, watts(power_w)
        self.menu = Menu(model, seed)
        rng = np.random.default_rng(seed)
        self.train, self.validation = some(dataset.train, effort.images, rng), some(dataset.validation,
                                                                                    effort.validation, rng)
        if not len(self.validation):
            raise UsageError("the search needs validation images to judge by; load the data set with some")
        self.shift, self.flip = recipes.pixels_of_shift(dataset), recipes.is_clothes(dataset)
        self.teacher = logits(model, self.train.images)
        self.timed = {}  # latency as a share of the original's, by architecture
        self.before = {"accuracy": None, "latency_ms": None, "energy_mj": None,
                       "storage_bytes": modelfile.weight_bytes(model), "macs": model.macs()}
        self.before["accuracy"], self.sure = self.judged(model)
        self.candidates = []

    def run(self, checkpoint):
        """All steps."""
        say(f"AdaDeep: {self.menu.count():,} networks from {len(self.menu.sites)} layers", self.quiet)
        self.measure([tuple(KEEP for _ in self.menu.sites)])
        pool = [_Candidate(plan, self.menu) for plan in self.pool(self.losses())]
        self.rung(pool, "short", *self.effort.short)
        finalists = self.best(pool)[:self.effort.finalists]
        self.rung(finalists, "longer", *self.effort.longer)
        self.measure([candidate.plan for candidate in finalists])
        for candidate in finalists:
            self.judge(candidate)
        done, paths = [], []
        for number, candidate in enumerate(self.best(finalists)[:self.effort.tries], 1):
            paths.append(numbered(checkpoint, number))
            self.fit(candidate, "full", self.train, self.effort.epochs, paths[-1])
            done.append(candidate)
            if not self.excess(candidate):
                break
        for path in paths:
            if path is not None:
                path.unlink(missing_ok=True)
        return self.found(self.best(done)[0])

    def losses(self):
        """{(site's place, choice): accuracy that it costs alone, 0..1, after training as brief as the original's}.

        The mean probability of the right class is used: it has less noise than counting what is right.
        """
        split = Split(self.train.images[:self.effort.alone[0]], self.train.labels[:self.effort.alone[0]])
        keep, found = tuple(KEEP for _ in self.menu.sites), {}
        whole = self.sureness(keep, split)
        for i, site in enumerate(self.menu.sites):
            for choice in site.choices[1:]:
                plan = keep[:i] + (choice,) + keep[i + 1:]
                found[site.place, choice] = max(0.0, whole - self.sureness(plan, split))
            found[site.place, KEEP] = 0.0
            say(f"AdaDeep: {type(site.layer).__name__} in place {site.place} of the network: " + ", ".join(
                f"{choice} {-100 * found[site.place, choice]:+.2f}" for choice in site.choices[1:]), self.quiet)
        return found

    def sureness(self, plan, split):
        """The mean probability of the right class of a plan's network after training as long as `alone` says."""
        candidate = _Candidate(plan, self.menu)
        self.train_on(candidate, split, self.effort.alone[1], None, "alone")
        return self.judged(candidate.model)[1]

    def pool(self, losses):
        """The plans to train: the best that should meet the budgets, no two of them alike in all layers but one.

        Where none does, the nearest.
        """
        rows = []
        for plan in self.menu.plans():
            macs, size = self.menu.costs(plan)
            lost = sum(losses[site.place, choice] for site, choice in zip(self.menu.sites, plan))
            costs = {"accuracy": self.before["accuracy"] - lost, "macs": macs, "storage_bytes": size,
                     "latency_ms": None, "energy_mj": None}
            excess = self.budgets.excess(costs, self.before)
            unsure = excess.pop("accuracy", 0)  # an estimate: it ranks, it does not exclude
            rows.append((sum(excess.values()), unsure > 0, -score(costs, self.before, self.budgets), len(rows), plan))
        rows.sort()
        feasible = [row for row in rows if row[0] == 0] or rows[:MOST_MEASURED]
        say(f"AdaDeep: {sum(row[0] == 0 for row in rows):,} networks meet the budgets for storage and multiply-adds",
            self.quiet)
        pool = self.fast_enough(unlike([row[-1] for row in feasible]))
        return pool[:self.effort.pool]

    def fast_enough(self, plans):
        """Of plans in order those whose latency and energy meet the budgets; if none of them does, the nearest."""
        if not self.budgets.needs_latency:
            return plans
        good, seen = [], plans[:MOST_MEASURED]
        for start in range(0, len(seen), MEASURED_AT_ONCE):
            some_plans = seen[start:start + MEASURED_AT_ONCE]
            self.measure(some_plans)
            good += [plan for plan in some_plans if not self.too_slow(plan)]
            if len(good) >= self.effort.pool:
                break
        return good or sorted(seen, key=self.too_slow)

    def too_slow(self, plan):
        """By how much a measured plan misses the budgets for latency and energy."""
        nothing = {"accuracy": None, "macs": None, "storage_bytes": None}
        return sum(self.budgets.excess({**nothing, **self.times(plan)}, self.before).values())

    def measure(self, plans):
        """Measure the latency of the plans' networks that have not been measured yet; the original takes turns."""
        new = {architecture(plan): plan for plan in plans if architecture(plan) not in self.timed}
        if not new:
            return
        models = {"before": self.model, **{key: self.menu.build(plan)[0] for key, plan in new.items()}}
        timed = judge.latencies(models, self.validation.images[:TIMED])
        whole = timed["before"].latency_ms
        if self.before["latency_ms"] is None:
            self.before.update(latency_ms=whole, energy_mj=whole * self.watts)
        for key in new:
            self.timed[key] = timed[key].latency_ms / whole

    def times(self, plan):
        """{"latency_ms", "energy_mj"} of a measured plan, None of another. E = P t (CBNet, section IV-C)."""
        share = self.timed.get(architecture(plan))
        time = None if share is None else share * self.before["latency_ms"]
        return {"latency_ms": time, "energy_mj": None if time is None else time * self.watts}

    def rung(self, candidates, stage, images, epochs):
        """Train the candidates further, on some images, and judge them."""
        say(f"AdaDeep: {len(candidates)} networks, {epochs} epochs on {min(images, len(self.train)):,} images",
            self.quiet)
        split = Split(self.train.images[:images], self.train.labels[:images])
        for candidate in candidates:
            self.fit(candidate, stage, split, epochs)

    def fit(self, candidate, stage, split, epochs, checkpoint=None):
        """Train one candidate and judge it."""
        self.train_on(candidate, split, epochs, checkpoint, stage)
        candidate.stage = stage
        if candidate not in self.candidates:
            self.candidates.append(candidate)
        self.judge(candidate)
        say(f"AdaDeep: {candidate.costs['accuracy']:.2%}, {candidate.costs['storage_bytes']:,} bytes, "
            f"{candidate.costs['macs']:,} multiply-adds: {', '.join(map(str, candidate.plan))}", self.quiet)

    def train_on(self, candidate, split, epochs, checkpoint, stage):
        """Distillation from the original's logits, under the candidate's constraints."""
        task = ClassifierTask(candidate.model.net, split.labels, self.teacher[:len(split)])
        plan = Plan(epochs, 128, 1e-3, decay=epochs, shift=self.shift, flip=self.flip, seed=self.seed)
        quiet = self.quiet or stage != "full"
        fit(Constrained(task, candidate.constraints), split.images, plan, stage=f"{stage} adadeep",
            threads=self.threads, checkpoint=checkpoint, quiet=quiet)

    def judge(self, candidate):
        """Fill in the candidate's costs and score."""
        accuracy, _ = self.judged(candidate.model)
        candidate.costs = {"accuracy": accuracy, **self.times(candidate.plan),
                           "storage_bytes": modelfile.weight_bytes(candidate.model), "macs": candidate.model.macs()}
        candidate.score = score(candidate.costs, self.before, self.budgets)

    def judged(self, model):
        """(accuracy, mean probability of the right class) of a model on the validation images."""
        p, labels = runtime.compile(model, self.threads).predict_proba(self.validation.images), self.validation.labels
        return float((p.argmax(axis=1) == labels).mean()), float(p[np.arange(len(p)), labels].mean(dtype=np.float64))

    def excess(self, candidate):
        """By how much a candidate misses its budgets, all in all."""
        return sum(self.budgets.excess(candidate.costs, self.before).values())

    def best(self, candidates):
        """The candidates in order: those that meet the budgets by score, then the others, the nearest first."""
        return sorted(candidates, key=lambda candidate: (self.excess(candidate), -candidate.score))

    def found(self, winner):
        """The winner as Found, its latency measured once more."""
        self.timed, self.before["latency_ms"] = {}, None
        self.measure([winner.plan])
        self.judge(winner)
        missed = self.budgets.missed(winner.costs, self.before)
        choices = [{"layer": site.layer.name, "place": site.place, "compression": choice.compression,
                    "amount": choice.amount} for site, choice in zip(self.menu.sites, winner.plan)]
        rows = [{"choices": "original", "stage": "original", "score": None, **self.before}]
        winner.model.record = {**self.model.record, "compressed": {
            "kind": "adadeep", "choices": choices, "budgets": self.budgets.given(), "met": not missed,
            "seed": self.seed, "validation_accuracy": winner.costs["accuracy"]}}
        return Found(winner.model, choices, not missed, missed, winner.costs, dict(self.before),
                     rows + [candidate.row() for candidate in self.candidates])


def architecture(plan):
    """What decides a plan's latency: sharing a layer's weights does not change how it is computed."""
    return tuple(KEEP if choice.compression == "shared" else choice for choice in plan)


def unlike(plans, most=4 * MOST_MEASURED):
    """Of plans in order those that differ from each one before in two layers at least; at most so many."""
    kept = []
    for plan in plans:
        if all(sum(a != b for a, b in zip(plan, other)) > 1 for other in kept):
            kept.append(plan)
        if len(kept) == most:
            break
    return kept


def some(split, count, rng):
    """At most `count` images of a split (None: all), drawn, in an order that is drawn, too."""
    return split.take(rng.permutation(len(split))[:count])


def logits(model, images):
    """The original's logits (N, O) for images (N, C, H, W) uint8."""
    return np.concatenate([model.net.forward(as_floats(images[start:start + 256]))[0]
                           for start in range(0, len(images), 256)]).astype(np.float32)


def numbered(checkpoint, number):
    """The checkpoint's path for the first network that is trained fully, another beside it for the second."""
    path = None if checkpoint is None else Path(checkpoint)
    return path if path is None or number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
