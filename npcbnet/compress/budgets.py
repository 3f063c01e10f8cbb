"""What a compressed model may cost and lose: budgets, by how much one is missed, and AdaDeep's score."""
import math
from dataclasses import dataclass, fields

from npcbnet.energy import MODELS
from npcbnet.errors import UsageError

USAGE = 0.5  # of the processors, at which a power model is asked: one of two is busy
POWER_W = MODELS["gci"].power_w(USAGE)  # Eq. 1 of the CBNet paper (section IV-C)
RANGE = 0.01  # of accuracy that the score looks at where no budget for it is given: one point
LEAST_RANGE = 0.001
POINT = 0.1  # a point of accuracy too low weighs as much as a cost by this share too high
UNITS = {"latency_ms": ("latency", "ms", ".4g"), "energy_mj": ("energy", "mJ", ".4g"),
         "storage_bytes": ("storage", "bytes", ",.0f"), "macs": ("multiply-adds", "", ",.0f")}


@dataclass(frozen=True)
class Budgets:
    """Limits, each None where there is none. UsageError for one that is no number or not positive.

    max_drop: points of accuracy on validation images below the original model's (0.5 is half a point); least_accuracy:
    0..1, of the same; latency_ms: of one image in the engine; latency_share: of the original's latency, which takes
    turns with it; energy_mj: of one image; storage_bytes: of all parameters in a model file; macs: multiply-adds of one
    image.
    """

    max_drop: float | None = None
    least_accuracy: float | None = None
    latency_ms: float | None = None
    latency_share: float | None = None
    energy_mj: float | None = None
    storage_bytes: float | None = None
    macs: float | None = None

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            if value is not None and (not number or value < 0 or value == 0 and field.name != "max_drop"):
                raise UsageError(f"the budget {field.name} must be a number above 0, not {value!r:.40}")
        if self.least_accuracy is not None and self.least_accuracy > 1:
            raise UsageError(f"the budget least_accuracy is a share, 0 to 1, not {self.least_accuracy:g}")

    @property
    def needs_latency(self):
        """Does a budget depend on the latency?"""
        return any(value is not None for value in (self.latency_ms, self.latency_share, self.energy_mj))

    def given(self):
        """{name: limit} of those there are."""
        return {field.name: getattr(self, field.name) for field in fields(self)
                if getattr(self, field.name) is not None}

    def floor(self, before):
        """The least accuracy allowed, 0..1, None if any is. before: the original's costs."""
        limits = [] if self.max_drop is None else [before["accuracy"] - self.max_drop / 100]
        limits += [] if self.least_accuracy is None else [self.least_accuracy]
        return max(limits, default=None)

    def limits(self, before):
        """{cost: its limit} for costs of UNITS."""
        found = {name: getattr(self, name) for name in UNITS}
        if self.latency_share is not None and before["latency_ms"] is not None:
            share = self.latency_share * before["latency_ms"]
            found["latency_ms"] = share if self.latency_ms is None else min(share, self.latency_ms)
        return {name: limit for name, limit in found.items() if limit is not None}

    def excess(self, costs, before):
        """{what: by how much it is missed, as a share of its limit} of budgets that `costs` miss.

        costs, before: {"accuracy", "latency_ms", "energy_mj", "storage_bytes", "macs"} of the model and the original;
        None is not judged. One point of accuracy counts as POINT.
        """
        found, floor = {}, self.floor(before)
        if floor is not None and costs["accuracy"] is not None and costs["accuracy"] < floor - 1e-12:
            found["accuracy"] = (floor - costs["accuracy"]) * 100 * POINT
        for name, limit in self.limits(before).items():
            if costs[name] is not None and costs[name] > limit:
                found[name] = costs[name] / limit - 1
        return found

    def missed(self, costs, before):
        """One line for each budget that `costs` miss: what, and by how much."""
        lines, floor, limits = [], self.floor(before), self.limits(before)
        for name, share in self.excess(costs, before).items():
            if name == "accuracy":
                lines.append(f"accuracy on validation images {costs['accuracy']:.2%}, "
                             f"{100 * (floor - costs['accuracy']):.2f} points below the least allowed, {floor:.2%}")
            else:
                what, unit, form = UNITS[name]
                lines.append(" ".join(f"{what} {costs[name]:{form}} {unit}".split())
                             + f", {share:.1%} over the budget of {limits[name]:{form}}")
        return lines


def score(costs, before, budgets):
    """How good a network that meets its budgets is: 1/2 N(A - A_min) + 1/2 N(E_max - E).

    It is the objective of AdaDeep (Liu et al., 2018), from memory, as the paper's text was not at hand: both terms are
    scaled to 0..1. A: accuracy, from the least allowed (without a budget: a point below the original's) to the
    original's; E, energy, is modelled there by computation and memory: here the mean of multiply-adds and bytes, each
    as a share of the original's.
    """
    floor = budgets.floor(before)
    least = before["accuracy"] - RANGE if floor is None else floor
    accuracy = (costs["accuracy"] - least) / max(before["accuracy"] - least, LEAST_RANGE)
    spent = [costs[name] / before[name] for name in ("macs", "storage_bytes")]
    return (accuracy + 1 - sum(spent) / len(spent)) / 2


def watts(power_w):
    """power_w, a number of watts or a function of the use (0..1), as watts. Raises UsageError unless positive."""
    value = power_w(USAGE) if callable(power_w) else power_w
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise UsageError(f"the power must be a positive number of watts, not {value!r:.40}")
    return float(value)
