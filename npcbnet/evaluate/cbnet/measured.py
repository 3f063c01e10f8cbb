"""What the models of one seed are worth on this machine: accuracy, latency, power, and every threshold's trade."""
import copy
from functools import cached_property

import numpy as np

from npcbnet import judge, modelfile, runtime
from npcbnet.evaluate.cbnet import paper
from npcbnet.evaluate.cbnet.trained import CONVERTED
from npcbnet.evaluate.measuring import THIS_MACHINE, power, window
from npcbnet.exits import SCREENED
from npcbnet.recipes import family
from npcbnet.report import model_name


class Measured:
    """Predictors of all models of one Trained, what they answer on its test images, and their latencies.

    right {key: (N,) bool}; early (N,) bool: which images leave BranchyNet early; latencies are measured when they are
    first asked for, all of them in turns.
    """

    def __init__(self, trained, scope):
        self.trained, self.scope = trained, scope
        self.models, self.test = trained.models, trained.dataset.test
        self.rng = np.random.default_rng([trained.seed, 3])
        self.predictors = {key: runtime.compile(model).warmup() for key, model in self.models.items()}
        self.right = {key: predictor.predict(self.test.images) == self.test.labels
                      for key, predictor in self.predictors.items()}
        self.answer = self.predictors["branchynet"].explain(self.test.images)
        self.early = self.answer.exit == 1

    @cached_property
    def latencies(self):
        """{key: judge.Latency} of all models, and of BranchyNet at other thresholds (keys ("branchynet", T))."""
        return judge.latencies({**self.models, **self._thresholds()}, self.sample(self.scope.timed), self.scope.rounds,
                               self.scope.timed_s)

    def sample(self, count):
        """About `count` test images, evenly spread; the share of hard ones is that of all."""
        easy, hard = np.flatnonzero(self.early), np.flatnonzero(~self.early)
        few = round(count * len(hard) / len(self.early))
        places = [members[np.linspace(0, len(members) - 1, min(number, len(members))).astype(int)]
                  for members, number in ((easy, count - few), (hard, few)) if number and len(members)]
        return self.test.images[np.sort(np.concatenate(places))]

    def _thresholds(self):
        """{("branchynet", T): the net with that threshold} of all T of BranchyNet's own screening."""
        nets = {}
        for threshold in SCREENED:
            net = copy.copy(self.models["branchynet"])
            net.threshold = float(threshold)
            nets["branchynet", net.threshold] = net
        return nets

    def _where(self):
        return {"dataset": self.trained.dataset.name, "seed": self.trained.seed}

    def exit_rate(self, key):
        """Share of the test images that leave early: of BranchyNet, and after conversion of a CBNet; else None."""
        if key == "branchynet":
            return float(self.early.mean())
        return float((self.after[key].exit == 1).mean()) if key in CONVERTED else None

    @cached_property
    def after(self):
        """{CBNet's key: what BranchyNet thinks of the converted test images}."""
        judge_of = self.predictors["branchynet"].explain
        return {key: judge_of(self.predictors[key].convert(self.test.images)) for key in CONVERTED}

    def made_easy(self, key):
        """Share of the hard test images that leave early with the right answer once a CBNet has converted them."""
        if key not in CONVERTED:
            return None
        answer = self.after[key]
        return judge.share(((answer.exit == 1) & (answer.label == self.test.labels))[~self.early])

    def macs(self, key):
        """Multiply-adds of an image, for BranchyNet the mean over the test images."""
        model = self.models[key]
        return model.macs(self.early.mean()) if key == "branchynet" else model.macs()

    def table2(self, meter):
        """A row for each model, and the windows in which its power was looked at."""
        rows, windows = [], []
        chosen = family(self.trained.dataset)
        for key, predictor in self.predictors.items():
            used = power(predictor, self.sample(self.scope.timed), self.scope, meter)
            windows.append(window(f"{self.trained.folder.name} {key}", used))
            rows.append({
                **self._where(), "model": key, "device": THIS_MACHINE, "latency_ms": self.latencies[key].latency_ms,
                "latency_p95_ms": self.latencies[key].latency_p95_ms, "power_w": used.power_w,
                "utilisation": used.utilisation, "energy_kind": used.kind, "meter": used.meter,
                "resolution": used.resolution, "invalid": used.invalid, "accuracy": float(self.right[key].mean()),
                "accuracy_easy": judge.share(self.right[key][self.early]),
                "accuracy_hard": judge.share(self.right[key][~self.early]), "exit_rate": self.exit_rate(key),
                "made_easy": self.made_easy(key),
                "macs": self.macs(key), "bytes": self.models[key].parameter_bytes(), **paper.table_ii(chosen, key)})
        return rows, windows

    def compressors(self):
        """A row for each compressed LeNet: what was chosen, what is left of it, what it is worth."""
        rows, lenet = [], self.models["lenet"].macs()
        for kept in self.trained.compressors:
            key = kept["model"]
            rows.append({**self._where(), "met": None, "missed": None, "utilisation": None, **kept,
                         "macs": self.models[key].macs(), "macs_share": self.models[key].macs() / lenet,
                         "storage_bytes": modelfile.weight_bytes(self.models[key]),
                         "latency_ms": self.latencies[key].latency_ms, "accuracy": float(self.right[key].mean())})
        return rows

    def converter_share(self):
        """What converting adds to the lightweight DNN's time, for each CBNet."""
        light = self.latencies["lightweight"].latency_ms
        rows = []
        for key in CONVERTED:
            total = self.latencies[key].latency_ms
            rows.append({**self._where(), "model": key, "converter_ms": total - light, "total_ms": total,
                         "paper_share": paper.CONVERTER_SHARE})
        return rows

    def frontier(self):
        """Latency and accuracy of every model, BranchyNet at every threshold."""
        answers = {key: (self.right[key], None) for key in self.models if key != "branchynet"}
        both = self.models["branchynet"].both_exits(self.test.images)
        early, late = (z.argmax(axis=1) == self.test.labels for z in both)
        entropy = self.predictors["lightweight"].explain(self.test.images).entropy
        for threshold in SCREENED:
            leaves = entropy < threshold
            answers["branchynet", float(threshold)] = np.where(leaves, early, late), float(leaves.mean())
        rows = []
        for key, (right, exit_rate) in answers.items():
            name, threshold = key if isinstance(key, tuple) else (key, None)
            macs = self.models[name].macs(exit_rate) if threshold is not None else self.models[name].macs()
            rows.append({**self._where(), "model": name, "threshold": threshold, "exit_rate": exit_rate, "macs": macs,
                         "latency_ms": self.latencies[key].latency_ms, "accuracy": float(right.mean())})
        return rows

    def converted_rows(self):
        """The ablation "which images are converted": all, hard or easy ones; the others are classified as they are."""
        light, plain = self.right["lightweight"], self.models["lightweight"].macs()
        rows = [{**self._where(), "study": "all images converted", "variant": model_name({"model": "lightweight"}),
                 **self.shares(light), "exit_rate_converted": None, "macs": plain}]
        for kind, chosen in (("all", np.ones(len(light), bool)), ("hard", ~self.early), ("easy", self.early)):
            rows += [{**self._where(), "study": f"{kind} images converted", "variant": model_name({"model": key}),
                      **self.shares(np.where(chosen, self.right[key], light)),
                      "exit_rate_converted": self.exit_rate(key) if kind == "all" else None,
                      "macs": self._macs_with(key, kind, chosen)} for key in CONVERTED]
        return rows

    def _macs_with(self, key, kind, chosen):
        """Multiply-adds of an image where only the chosen ones are converted: they have been read once to know them."""
        whole = self.models[key].macs()
        return whole if kind == "all" else round(self.models["lightweight"].macs() + chosen.mean() * whole)

    def shares(self, right):
        """Accuracy on all, on easy and on hard test images of `right` (N,) bool."""
        return {"accuracy": float(right.mean()), "accuracy_easy": judge.share(right[self.early]),
                "accuracy_hard": judge.share(right[~self.early])}


def shares_of(rows):
    """Set `share`, the converter's of a CBNet's time."""
    for row in rows:
        row["share"] = row["converter_ms"] / row["total_ms"]
    return rows


def energies(rows):
    """Set energy_mj = power x time (E = P t, section IV-C), saving and speedup against LeNet on the same device."""
    lenet = {(row["dataset"], row["device"]): row for row in rows if row["model"] == "lenet"}
    for row in rows:
        row["energy_mj"] = row["power_w"] * row["latency_ms"]
    for row in rows:
        base = lenet[row["dataset"], row["device"]]
        row["saving"] = 1 - row["energy_mj"] / base["energy_mj"]
        row["speedup"] = base["latency_ms"] / row["latency_ms"]
    return rows
