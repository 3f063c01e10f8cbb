"""What the models of one seed of CAE-Net's evaluation are worth on this machine: rows for its tables and figures."""
import copy
from functools import cached_property

import numpy as np

from npcbnet import judge, modelfile, runtime
from npcbnet.caenet import transfer
from npcbnet.compress.slo import nonzero
from npcbnet.evaluate.caenet import rivals
from npcbnet.evaluate.caenet import rows as kinds
from npcbnet.evaluate.caenet.paper import DEAD, LOSS_WITH, LOSS_WITHOUT, TRANSFER, cells
from npcbnet.evaluate.measuring import THIS_MACHINE, power, window
from npcbnet.exits import SCREENED, exit_shares
from npcbnet.layers import Dense, Flatten, GlobalAvgPool2d, Sequential, initialise
from npcbnet.nets import BranchyNet, Classifier
from npcbnet.nets.caenet import parts
from npcbnet.recipes import family

VARIANTS = {kinds.RANDOM: "caenet-random", kinds.TRANSFERRED: "caenet-transfer", kinds.TUNED: "caenet",
            kinds.SCRATCH: "caenet-scratch"}


class Measured:
    """Predictors of all models of one Trained and their latencies, all measured in turns when first asked for."""

    def __init__(self, trained, scope):
        self.trained, self.scope, self.test = trained, scope, trained.dataset.test
        self.family = family(trained.dataset)
        self.models = dict(trained.models)
        self.untrained = {}
        if trained.base == "alexnet":
            self.untrained = rivals.large(trained.dataset.input_shape, trained.dataset.class_names, trained.seed)
        self.predictors = {key: runtime.compile(model).warmup() for key, model in self.models.items()}
        self.sample = self.test.images[np.linspace(0, len(self.test) - 1, min(scope.timed, len(self.test))).astype(int)]

    def _where(self):
        return {"dataset": self.trained.dataset.name, "seed": self.trained.seed}

    @cached_property
    def accuracies(self):
        """{key: accuracy on the test images}."""
        return {key: float((predictor.predict(self.test.images) == self.test.labels).mean())
                for key, predictor in self.predictors.items()}

    @cached_property
    def latencies(self):
        """{key: judge.Latency}; keys ("branchynet", T) are BranchyNet at other thresholds."""
        timed = judge.latencies({**self.models, **self._thresholds()}, self.sample, self.scope.rounds,
                                self.scope.timed_s)
        if self.untrained:  # hundreds of times as slow: fewer images do
            timed |= judge.latencies(self.untrained, self.sample[:8], min(3, self.scope.rounds))
        return timed

    @cached_property
    def exits(self):
        """The shares of the test images that leave BranchyNet at each of its early exits."""
        taken = self.predictors["branchynet"].explain(self.test.images).exit
        return exit_shares(taken, len(self.models["branchynet"].thresholds))

    def _macs(self, key, model):
        """Multiply-adds of an image; of BranchyNet the mean over the test set."""
        return model.macs(self.exits) if key == "branchynet" else model.macs()

    def _thresholds(self):
        """BranchyNet, where there is one, with each threshold of its own screening."""
        nets = {}
        for threshold in SCREENED if isinstance(self.models.get("branchynet"), BranchyNet) else ():
            net = copy.copy(self.models["branchynet"])
            net.thresholds = (float(threshold),)
            nets["branchynet", float(threshold)] = net
        return nets

    def table(self, meter):
        """(rows of the data set's table, windows in which power was looked at)."""
        rows, windows = [], []
        for key, model in {**self.models, **self.untrained}.items():
            predictor = self.predictors.get(key) or runtime.compile(model)
            used = power(predictor, self.sample if key in self.models else self.sample[:8], self.scope, meter)
            windows.append(window(f"{self.trained.folder.name} {key}", used))
            rows.append({
                **self._where(), "model": key, "device": THIS_MACHINE, "latency_ms": self.latencies[key].latency_ms,
                "speedup": self.latencies[self.trained.base].latency_ms / self.latencies[key].latency_ms,
                "latency_p95_ms": self.latencies[key].latency_p95_ms, "power_w": used.power_w,
                "energy_kind": used.kind, "meter": used.meter, "resolution": used.resolution, "invalid": used.invalid,
                "parameters": model.parameter_count(), "nonzero": nonzero(model),
                "file_bytes": modelfile.weight_bytes(model),
                "macs": self._macs(key, model),
                "accuracy": self.accuracies.get(key), "exit_rate": sum(self.exits) if key == "branchynet" else None,
                "accuracy_note": None if key in self.models else "not trained here", **cells(self.family, key)})
        return rows, windows

    def encoder_and_head(self):
        """Rows of Fig. 5: what the encoder takes of the time, and the head with the call itself the rest."""
        rows = []
        for key in ("caenet", "caenet-slo"):
            model = self.models[key]
            encoder, head = parts(model)
            shape, share = encoder.output_shape(model.input_shape), self._encoder_share(model, encoder)
            for part, layers, start, here in (("encoder", encoder, model.input_shape, share),
                                              ("head", head, shape, 1 - share)):
                rows.append({**self._where(), "model": key, "part": part,
                             "latency_ms": here * self.latencies[key].latency_ms, "latency_share": here,
                             "macs": layers.macs(start),
                             "parameters": sum(array.size for array in layers.params.values())})
        return rows

    def _encoder_share(self, model, encoder):
        """The encoder's share of a CAE-Net's time.

        Timed with the least behind it that answers (means of the channels, one dense layer), less the time of that.
        """
        shape, rng = encoder.output_shape(model.input_shape), np.random.default_rng(0)
        least = [GlobalAvgPool2d(), Flatten(), initialise(Dense(shape[0], model.classes), rng)]
        whole = judge.latencies({"model": model, "encoder": Classifier(
            Sequential([*encoder, *least]), model.input_shape, model.class_names)}, self.sample, self.scope.rounds)
        rest = judge.latencies({"least": Classifier(Sequential(least), shape, model.class_names)}, rng.random(
            (len(self.sample), *shape), np.float32), self.scope.rounds)["least"].latency_ms
        return float(np.clip((whole["encoder"].latency_ms - rest) / whole["model"].latency_ms, 0, 1))

    def transfers(self):
        """Rows of the ablation of knowledge transfer."""
        published = dict(zip((kinds.RANDOM, kinds.TRANSFERRED), TRANSFER.get(self.family, (None, None))))
        return [{**self._where(), "variant": variant, "accuracy": self.accuracies[key],
                 "paper_accuracy": published.get(variant)} for variant, key in VARIANTS.items()]

    def dead(self):
        """Rows of the share of zeros behind the last convolution."""
        return [{**self._where(), "model": key, "share": transfer.dead(self.models[key], self.test.images[:2000]),
                 "paper_share": DEAD.get(key) if self.family == "cifar10" else None}
                for key in (self.trained.base, "caenet-transfer", "caenet")]

    def conversions(self):
        """Rows of the ablation of clustering, with the paper's losses beside ours."""
        published = {kinds.RANDOM_TARGET: LOSS_WITHOUT, kinds.KMEANS: LOSS_WITH} if self.family == "cifar10" else {}
        return [{**self._where(), **row, "paper_loss": published.get(row["method"])}
                for row in self.trained.conversions]

    def made(self):
        """Rows of what was done to each rival, and whether it came out as it was asked for."""
        return [{**self._where(), **{key: row.get(key) for key in ("model", "choices", "met", "missed")},
                 "epochs": epochs_of(self.models[row["model"]].record),
                 "notes": "; ".join(row.get("notes") or ()) or None, "accuracy": self.accuracies[row["model"]]}
                for row in self.trained.rivals]

    def frontier(self):
        """Latency and accuracy of every trained model, BranchyNet at every threshold."""
        screened = self._thresholds()
        rows = [{**self._where(), "model": key, "threshold": None, "latency_ms": self.latencies[key].latency_ms,
                 "macs": self._macs(key, self.models[key]), "accuracy": right}
                for key, right in self.accuracies.items() if key != "branchynet" or not screened]
        for key, net in screened.items():
            answer = runtime.compile(net).explain(self.test.images)
            rows.append({**self._where(), "model": "branchynet", "threshold": key[1],
                         "macs": net.macs(float((answer.exit == 1).mean())),
                         "latency_ms": self.latencies[key].latency_ms,
                         "accuracy": float((answer.label == self.test.labels).mean())})
        return rows


def epochs_of(record):
    """How many epochs a model's record says that its last training took; None where it says nothing."""
    found = [step["epochs"] for step in record.values() if isinstance(step, dict) and "epochs" in step]
    return found[-1] if found else None
