"""AdaDeep: one compression for each layer, chosen so that the network meets budgets (Liu et al., 2018).

AdaDeep searches with reinforcement learning; its code was never published. Here the same kind of menu (menu.py) is
searched in a way that one can follow:

    every choice of every layer, alone  --trained briefly-->  the accuracy that it costs
    plans (a choice for each layer)  --bytes and multiply-adds known, losses added up-->  may they meet the budgets?
    those that lose the least for what they cost, from dear to cheap  --latency measured-->  a pool
    pool  --trained briefly-->  the better  --trained longer-->  the best  --trained fully-->  judged by the budgets

Training is distillation from the original model's logits. Validation images judge, test images take no part.
"""
import zlib
from dataclasses import dataclass

import numpy as np

from npcbnet import modelfile
from npcbnet.compress.budgets import POWER_W, Budgets, score, watts
from npcbnet.compress.menu import KEEP, Menu
from npcbnet.compress.retrain import check_numbers
from npcbnet.compress.sidecars import Sidecars
from npcbnet.compress.trial import Candidate, Trials
from npcbnet.nets import Classifier
from npcbnet.progress import say
from npcbnet.training import one_blas_thread

# Of LeNet's parameters AdaDeep keeps two thirds on MNIST (CAE-Net's table). How much faster it is there depends on the
# device; here a fifth is asked for.
STORAGE_SHARE, LATENCY_SHARE, DROP = 2 / 3, 0.8, 0.5
FIXED = 0.5  # of a latency that fewer multiply-adds do not make shorter: seen on LeNet, for choosing what to measure


@dataclass(frozen=True)
class Effort:
    """How many images and epochs each stage of the search takes, and how many networks it trains."""

    images: int | None  # of the training set; None: all
    validation: int | None
    alone: tuple  # (images, epochs) of each choice alone
    pool: int
    short: tuple
    finalists: int
    longer: tuple
    epochs: int  # of the winner, on all images
    tries: int  # finalists trained fully before the search gives up
    left: dict  # how much of a loss of accuracy after a stage should be left after full training


# `left` as seen on LeNet and MNIST, networks of 226,000 to 537,000 multiply-adds; of "alone" the least that was seen.
FULL = Effort(None, None, (6000, 1), 24, (12_000, 1), 8, (24_000, 2), 16, 2,
              {"alone": 0.02, "short": 0.15, "longer": 0.35, "full": 1.0})
QUICK = Effort(2000, 1000, (500, 1), 6, (1000, 1), 2, (2000, 2), 10, 2,
               {"alone": 0.2, "short": 0.6, "longer": 0.8, "full": 1.0})


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found.

    model: the network, trained; choices: [{"layer", "place", "compression", "amount"}] in order; met: whether it meets
    all budgets; missed: a line for each one it does not meet (the model is then the nearest); costs, before:
    {"accuracy" (of validation images), "latency_ms", "energy_mj", "storage_bytes", "macs"} of the model and of the
    original; candidates: a dict for each network that was trained, and first the original: "choices" as a text,
    "stage", "score" and its costs. files: what lies beside the checkpoint; files.clear() removes it.
    """

    model: Classifier
    choices: list
    met: bool
    missed: list
    costs: dict
    before: dict
    candidates: list
    files: Sidecars


def default_budgets(model):
    """What is asked for where nobody says: at most half a point less accuracy, two thirds of the bytes and four fifths
    of the time."""
    return Budgets(max_drop=DROP, latency_share=LATENCY_SHARE,
                   storage_bytes=int(STORAGE_SHARE * modelfile.weight_bytes(model)))


def search(model, dataset, budgets=None, *, seed=0, threads=1, quick=False, quiet=True, checkpoint=None,
           power_w=POWER_W, effort=None):
    """The compressed variant of a Classifier that meets the budgets (None: default_budgets) with the best score: Found.

    seed decides all that is drawn, and no result depends on threads; but latencies are measured, and where one lies
    near the limit of its budget, two runs may decide differently. Without such a budget they do not. quick: 2,000
    images. checkpoint: a path; beside it lies what was trained of a winner, and a search that was stopped does all
    before that again and goes on from there. There it stays when the search is done, too: once the model is saved, the
    caller removes it by Found.files.clear(). power_w: watts, or a function of the processor's use that gives them;
    energy is watts times latency. effort: an Effort instead of FULL or QUICK. Raises UsageError for a model or an
    argument that cannot work, ShapeError for a data set that does not fit.
    """
    check_numbers(seed, threads)
    effort, menu = effort or (QUICK if quick else FULL), Menu(model)
    budgets = default_budgets(model) if budgets is None else budgets
    with one_blas_thread():
        trials = Trials(menu, dataset, budgets, effort.images, effort.validation, watts(power_w), seed, threads)
        # Not by the budgets: a plan's training is the same under all, and after a miss goes on under others
        weights = [zlib.crc32(np.ascontiguousarray(array)) for array in model.params.values()]
        files = Sidecars(checkpoint, int(seed), effort, dataset.name, len(dataset.train), *weights)
        return _Search(trials, effort, quiet, files).run()


class _Search:
    """The stages of one search."""

    def __init__(self, trials, effort, quiet, files):
        self.trials, self.effort, self.quiet, self.files = trials, effort, quiet, files
        self.menu, self.budgets, self.before = trials.menu, trials.budgets, trials.before
        self.candidates = []

    def run(self):
        """All of them."""
        self.say(f"{self.menu.count():,} networks from {len(self.menu.sites)} layers")
        pool = self.rung([Candidate(plan, self.menu) for plan in self.pool()], "short", *self.effort.short)
        finalists = self.rung(pool[:self.effort.finalists], "longer", *self.effort.longer)
        self.trials.measure([candidate.plan for candidate in finalists])
        done = []
        while len(done) < min(self.effort.tries, len(finalists)):
            # After one that promised most and failed, the one that has the most accuracy to spare
            waiting = [candidate for candidate in finalists if candidate not in done]
            candidate = waiting[0] if not done else max(waiting, key=lambda one: (-self.excess(one), one.sure))
            self.fit(candidate, "full", None, self.effort.epochs, self.files.path(number(candidate.plan)))
            done.append(candidate)
            if not self.excess(candidate):
                break
        return self.found(self.ordered(done)[0])

    def alone(self):
        """{(site's place, choice): accuracy that it costs alone, beside the original trained as long}.

        The mean probability of the right class is used; it has less noise than counting what is right.
        """
        keep, lost = tuple(KEEP for _ in self.menu.sites), {}
        whole = self.sureness(keep)
        for i, site in enumerate(self.menu.sites):
            lost[site.place, KEEP] = 0.0
            for choice in site.choices[1:]:
                lost[site.place, choice] = max(0.0, whole - self.sureness(keep[:i] + (choice,) + keep[i + 1:]))
            self.say(f"{site.layer.name} {site.place} alone, points lost: " + ", ".join(
                f"{choice} {100 * lost[site.place, choice]:.2f}" for choice in site.choices[1:]))
        return lost

    def sureness(self, plan):
        """The mean probability of the right class of a plan's network after training as long as `alone` says."""
        candidate = Candidate(plan, self.menu)
        self.trials.fit(candidate, *self.effort.alone, "alone")
        return candidate.sure

    def pool(self):
        """The plans to train: of those that may meet the budgets the ones that lose least, from dear to cheap.

        Where none may, the nearest.
        """
        lost, rows, left = self.alone(), [], self.effort.left["alone"]
        self.trials.measure([tuple(KEEP for _ in self.menu.sites)] if self.budgets.needs_latency else [])
        for plan in self.menu.plans():
            macs, size = self.menu.costs(plan)
            loss = sum(lost[site.place, choice] for site, choice in zip(self.menu.sites, plan))
            shares = macs / self.before["macs"], size / self.before["storage_bytes"]
            costs = {"accuracy": self.before["accuracy"] - left * loss, "macs": macs, "storage_bytes": size,
                     **self.trials.times(plan, FIXED + (1 - FIXED) * shares[0])}
            rows.append((sum(self.budgets.excess(costs, self.before).values()), sum(shares), loss, plan))
        good = [row[1:] for row in rows if row[0] == 0]
        self.say(f"{len(good):,} of them may meet the budgets")
        near = [row[3] for row in sorted(rows, key=lambda row: row[:3])[:2 * self.effort.pool]]
        if not self.budgets.needs_latency:
            return spread(good, self.effort.pool) if good else near[:self.effort.pool]
        plans = spread(good, 2 * self.effort.pool) if good else near
        self.trials.measure(plans)
        pairs = [plans[i:i + 2] for i in range(0, len(plans), 2)]
        fast = [next((plan for plan in pair if not self.too_slow(plan)), None) for pair in pairs]
        return [plan for plan in fast if plan] or sorted(plans, key=self.too_slow)[:self.effort.pool]

    def too_slow(self, plan):
        """By how much a measured plan misses the budgets for latency and energy."""
        nothing = {"accuracy": None, "macs": None, "storage_bytes": None}
        return sum(self.budgets.excess({**nothing, **self.trials.times(plan)}, self.before).values())

    def rung(self, candidates, stage, images, epochs):
        """Train the candidates further, on some images; returns them in order."""
        count = len(self.trials.train.images[:images])
        self.say(f"{len(candidates)} networks, {epochs} epochs on {count:,} images")
        for candidate in candidates:
            self.fit(candidate, stage, images, epochs)
        return self.ordered(candidates)

    def fit(self, candidate, stage, images, epochs, checkpoint=None):
        """Train one candidate, and say what became of it."""
        self.trials.fit(candidate, images, epochs, stage, checkpoint, self.quiet or stage != "full")
        if candidate not in self.candidates:
            self.candidates.append(candidate)
        self.say(f"{candidate.costs['accuracy']:.2%}, {candidate.costs['storage_bytes']:,} bytes, "
                 f"{candidate.costs['macs']:,} multiply-adds: {', '.join(map(str, candidate.plan))}")

    def expected(self, candidate):
        """The candidate's costs as they should be after full training."""
        loss = self.before["accuracy"] - candidate.costs["accuracy"]
        return {**candidate.costs, "accuracy": self.before["accuracy"] - self.effort.left[candidate.stage] * loss}

    def excess(self, candidate):
        """By how much a candidate should miss its budgets, all in all."""
        return sum(self.budgets.excess(self.expected(candidate), self.before).values())

    def ordered(self, candidates):
        """The candidates: those that should meet the budgets by score, then the others, the nearest first."""
        return sorted(candidates, key=lambda candidate: (
            self.excess(candidate), -score(self.expected(candidate), self.before, self.budgets)))

    def found(self, winner):
        """The winner as Found, its latency measured once more."""
        self.trials.timed.clear()
        self.before["latency_ms"] = None
        self.trials.measure([winner.plan])
        self.trials.judge(winner)
        missed = self.budgets.missed(winner.costs, self.before)
        choices = [{"layer": site.layer.name, "place": site.place, "compression": choice.compression,
                    "amount": choice.amount} for site, choice in zip(self.menu.sites, winner.plan)]
        rows = [{"choices": "original", "stage": "original", "score": None, **self.before}]
        winner.model.record = {**self.trials.model.record, "compressed": {
            "kind": "adadeep", "choices": choices, "budgets": self.budgets.given(), "met": not missed,
            "seed": self.trials.seed, "validation_accuracy": winner.costs["accuracy"]}}
        return Found(winner.model, choices, not missed, missed, winner.costs, dict(self.before),
                     rows + [candidate.row() for candidate in self.candidates], self.files)

    def say(self, text):
        """Progress, unless quiet."""
        say(f"AdaDeep: {text}", self.quiet)


def spread(rows, count):
    """At most `count` plans of rows (cost, loss, plan), cheap to dear: each loses less than all that cost less.

    Where there are too few of those, the next best in the same sense are taken, too; where too many, evenly some.
    """
    rest, kept = sorted(rows, key=lambda row: row[:2]), []
    while rest and len(kept) < count:
        least, front, behind = np.inf, [], []
        for row in rest:
            (front if row[1] < least else behind).append(row)
            least = min(least, row[1])
        kept += evenly(front, count - len(kept))
        rest = behind
    return [row[2] for row in sorted(kept, key=lambda row: row[:2])]


def evenly(items, count):
    """At most `count` of a list's items, evenly from the first to the last."""
    return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, min(count, len(items))).astype(int))]


def number(plan):
    """A plan as 8 hexadecimal digits: where another one wins after a stop, it does not find the first one's files."""
    return f"{zlib.crc32(', '.join(map(str, plan)).encode()):08x}"
