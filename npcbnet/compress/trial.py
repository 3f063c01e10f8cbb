"""Networks on trial: trained for a while by distillation, judged on validation images, timed beside the original."""
from npcbnet import judge, modelfile
from npcbnet.compress.budgets import score
from npcbnet.compress.menu import KEEP
from npcbnet.compress.retrain import Retraining

TIMED = 100  # images
TOGETHER = 12  # networks that take turns with the original


class Candidate:
    """A plan on its way: its network, trained so far, and what is known of it."""

    def __init__(self, plan, menu):
        self.plan = plan
        self.model, self.constraints = menu.build(plan)
        self.costs, self.score, self.stage = {}, None, None

    def row(self):
        """The candidate as plain values."""
        return {"choices": ", ".join(map(str, self.plan)), "stage": self.stage, "score": self.score, **self.costs}


class Trials(Retraining):
    """What judges candidates: images, the original's logits and costs (`before`), latencies measured so far.

    images, validation: how many images to use, None: all; watts: what energy is computed with.
    """

    def __init__(self, menu, dataset, budgets, images, validation, watts, seed, threads):
        super().__init__(menu.model, dataset, images, validation, seed, threads)
        self.menu, self.budgets, self.watts = menu, budgets, watts
        self.timed = {}  # latency as a share of the original's, by architecture
        self.before = {"accuracy": self.judged(self.model)[0], "latency_ms": None, "energy_mj": None,
                       "storage_bytes": modelfile.weight_bytes(self.model), "macs": self.model.macs()}

    def fit(self, candidate, images, epochs, stage, checkpoint=None, quiet=True):
        """Train a candidate on the first `images` (None: all) by distillation, under its constraints, and judge it."""
        self.held(candidate.model.net, epochs, candidate.constraints, images=images, stage=f"{stage} adadeep",
                  checkpoint=checkpoint, quiet=quiet)
        candidate.stage = stage
        self.judge(candidate)

    def judge(self, candidate):
        """Fill in the candidate's costs and score."""
        accuracy, candidate.sure = self.judged(candidate.model)
        candidate.costs = {"accuracy": accuracy, **self.times(candidate.plan),
                           "storage_bytes": modelfile.weight_bytes(candidate.model), "macs": candidate.model.macs()}
        candidate.score = score(candidate.costs, self.before, self.budgets)

    def measure(self, plans):
        """Measure the latency of the plans' networks that have not been measured yet; the original takes turns."""
        new = {architecture(plan): plan for plan in plans if architecture(plan) not in self.timed}
        for start in range(0, len(new), TOGETHER):
            here = list(new)[start:start + TOGETHER]
            models = {"before": self.model, **{key: self.menu.build(new[key])[0] for key in here}}
            timed = judge.latencies(models, self.validation.images[:TIMED])
            whole = timed["before"].latency_ms
            if self.before["latency_ms"] is None:
                self.before.update(latency_ms=whole, energy_mj=whole * self.watts)
            self.timed.update((key, timed[key].latency_ms / whole) for key in here)

    def times(self, plan, share=None):
        """{"latency_ms", "energy_mj"} of a measured plan, or of so much of the original's time; None if not known.

        E = P t (CBNet, section IV-C).
        """
        share = self.timed.get(architecture(plan)) if share is None else share
        if share is None or self.before["latency_ms"] is None:
            return {"latency_ms": None, "energy_mj": None}
        time = share * self.before["latency_ms"]
        return {"latency_ms": time, "energy_mj": time * self.watts}


def architecture(plan):
    """What decides a plan's latency: sharing a layer's weights does not change how it is computed."""
    return tuple(KEEP if choice.compression == "shared" else choice for choice in plan)
