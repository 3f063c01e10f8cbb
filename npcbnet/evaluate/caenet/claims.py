"""Which claims of the CAE-Net paper hold in a fast runtime? Judged by the report's own rows, nothing else."""
from npcbnet.evaluate.caenet import paper
from npcbnet.evaluate.caenet.ablation_claims import judged as judged_ablations
from npcbnet.evaluate.caenet.rows import LARGE, OTHER, baselines, of_this_machine, tables
from npcbnet.evaluate.cbnet import paper as first_paper
from npcbnet.evaluate.measuring import THIS_MACHINE
from npcbnet.evaluate.reading import name_of, number
from npcbnet.evaluate.verdicts import Titles, all_or_some, claim, noise, span

CONVERTED = ("caenet", "caenet-transfer", "caenet-slo")  # whose encoder learned to convert
SAME = 1.05  # times as fast is still no faster
_TABLES = {"cifar10": "Table I", "mnist": "Table II"}


def judged(report):
    """[{claim, paper, ours, holds: "yes" | "no" | "in part", why}] of a report; no row where it lacks the figures."""
    return [row for row in [*_Tables(report).judged(), *judged_ablations(report)] if row]


class _Tables:
    """What the tables say. rows: {(data set, model): row} of this machine; bases: {data set: baseline}."""

    def __init__(self, report):
        self.all, self.report = tables(report), report
        self.rows = {(row.get("dataset"), row.get("model")): row for row in of_this_machine(self.all)}
        self.bases, self.titles = baselines(self.all), Titles(report)

    def judged(self):
        """All of it."""
        return [self.faster("alexnet"), self.faster("lenet"), self.energy(), self.slo(), self.large(), self.best(),
                self.compressed(), self.no_speed(), self.lightweight(), self.fast()]

    def times(self, dataset, model, other=None, key="latency_ms"):
        """How many times the model's `key` is that of another, the data set's baseline by default; or None.

        Of times the mean over the runs of the ratio in each, where there is one: no two runs are equally fast.
        """
        rows = [self.rows.get((dataset, one), {}) for one in (model, other or self.bases.get(dataset))]
        ratios = [number(row, "speedup") for row in rows if "speedup_spread" in row]
        if key == "latency_ms" and len(ratios) == 2 and all(ratios):
            return ratios[0] / ratios[1]
        pair = [number(self.rows.get((dataset, one), {}), key) for one in (other or self.bases.get(dataset), model)]
        return pair[0] / pair[1] if all(pair) else None

    def points(self, dataset, model, other):
        """How many points the model is more accurate than another, or None."""
        pair = [number(self.rows.get((dataset, one), {}), "accuracy") for one in (model, other)]
        return None if None in pair else 100 * (pair[0] - pair[1])

    def called(self, dataset, model):
        """A model's name."""
        return name_of(self.rows[dataset, model])

    def faster(self, base):
        """Is CAE-Net as many times as fast as the baseline, and as accurate, as the paper says?"""
        found = {name: (self.times(name, "caenet"), self.points(name, "caenet", base))
                 for name, key in self.bases.items() if key == base}
        found = {name: pair for name, pair in found.items() if None not in pair}
        if not found:
            return None
        family = "cifar10" if base == "alexnet" else "mnist"
        cells, whole = paper.cells(family, "caenet"), paper.cells(family, base)
        least = paper.OVER if base == "alexnet" else cells["paper_speedup"]
        by_paper = [name for name in found if number(self.rows[name, "caenet"], "paper_speedup")] or list(found)
        fast = [found[name][0] >= least for name in by_paper]
        right = [found[name][1] > 0 if base == "alexnet" else
                 self.rows[name, "caenet"]["accuracy"] >= cells["paper_accuracy"] for name in by_paper]
        slower = [found[name][0] <= 1 for name in by_paper]
        called = name_of({"model": base})
        macs = [1 / share for share in (self.times(name, "caenet", key="macs") for name in by_paper) if share]
        why = [] if all(fast) else [f"it does {span(macs, '{:.2f}')} of {called}'s multiply-adds" if macs
                                    else "it is not that much faster here"]
        why += [] if all(right) else ["it is less accurate than the claim asks for"]
        text = "and more accurate" if base == "alexnet" else f"with {cells['paper_accuracy']:.1%} right"
        return claim(f"CAE-Net is {'over ' * (base == 'alexnet')}{least:g} times as fast as {called}, {text}",
                     f"{cells['paper_speedup']:.2f} times on a Raspberry Pi 4, {cells['paper_nano_speedup']:.1f} on a "
                     f"Jetson Nano; {cells['paper_accuracy']:.2%} against {whole['paper_accuracy']:.2%}",
                     self.titles.each({name: f"{ratio:.2f} times, {self.rows[name, 'caenet']['accuracy']:.2%}, "
                                       f"{points:+.2f} points" for name, (ratio, points) in found.items()}),
                     "yes" if all(fast + right) else "no" if all(slower) else "in part", " and ".join(why))

    def energy(self):
        """Does CAE-Net save as much energy?"""
        found = {name: self.times(name, "caenet", key="energy_mj") for name in self.bases}
        found = {name: ratio for name, ratio in found.items() if ratio}
        if not found:
            return None
        least = {"alexnet": paper.OVER, "lenet": paper.cells("mnist", "caenet")["paper_energy_ratio"]}
        enough = [ratio >= least[self.bases[name]] for name, ratio in found.items()]
        kinds = sorted({str(self.rows[name, "caenet"].get("energy_kind")) for name in found})
        return claim("CAE-Net takes a fraction of the baseline's energy",
                     "4.1 times less than AlexNet, 1.78 times less than LeNet (Raspberry Pi 4)",
                     self.titles.each({name: f"{ratio:.2f} times less" for name, ratio in found.items()})
                     + f" ({', '.join(kinds)})",
                     "yes" if all(enough) else "no" if max(found.values()) <= 1 else "in part",
                     "energy follows time where power hardly differs")

    def slo(self):
        """Does CAE-Net meet the SLO, here and where it is estimated?"""
        rows = [row for row in self.all if row.get("model") == "caenet" and isinstance(row.get("meets_slo"), bool)
                and number(row, "latency_ms") and number(row, "slo_ms")]
        if not rows:
            return None
        where = [f"{self.titles[row.get('dataset')]}, {row.get('device', THIS_MACHINE)}" for row in rows]
        missed = [place for place, row in zip(where, rows) if not row["meets_slo"]]
        texts = [f"{place}: {_ms(row['latency_ms'])} of {_ms(row['slo_ms'])}" for place, row in zip(where, rows)]
        limits = [f"{_TABLES[family]}: " + ", ".join(
            f"{paper.number(family, 'caenet', device, 'ms'):g} of {limit} ms ({device})"
            for device, limit in devices.items()) for family, devices in paper.SLO_MS.items()]
        return claim("CAE-Net meets the SLO", "; ".join(limits),
                     "; ".join(texts) + " (of this machine the SLO is what the paper's is of its baseline's time)",
                     all_or_some([row["meets_slo"] for row in rows]), f"it misses that of {'; '.join(missed)}")

    def large(self):
        """Do the large networks miss the SLO?"""
        rows = [row for row in self.rows.values() if str(row.get("model")).removesuffix("-pruned") in LARGE
                and isinstance(row.get("meets_slo"), bool) and number(row, "latency_ms") and number(row, "slo_ms")]
        if not rows:
            return None
        meeting = [name_of(row) + _smaller(row) for row in rows if row["meets_slo"]]
        theirs = [float(cells[paper.PI, "ms"]) for model, cells in paper.TABLES["cifar10"].items()
                  if model.removesuffix("-pruned") in LARGE]
        return claim("Large networks miss the SLO, pruned or not", f"{span(theirs, '{:g}')} ms, the SLO is 20 ms",
                     "; ".join(f"{name_of(row)} {_ms(row['latency_ms'])} of {_ms(row['slo_ms'])}" for row in rows),
                     all_or_some([not row["meets_slo"] for row in rows]), f"here these meet it: {', '.join(meeting)}")

    def best(self):
        """Is CAE-Net the most accurate of what meets the SLO?"""
        texts, won = {}, []
        for name in self.bases:
            meeting = [row for (dataset, _), row in self.rows.items() if dataset == name
                       and row.get("meets_slo") is True and number(row, "accuracy") is not None]
            ours, others = ([row for row in meeting if (row["model"] in CONVERTED) is mine] for mine in (True, False))
            if ours and others:
                mine, other = (max(rows, key=lambda row: row["accuracy"]) for rows in (ours, others))
                least = max(noise(self.report, row) for row in (mine, other))
                won.append(mine["accuracy"] - other["accuracy"] > least)
                texts[name] = (f"{name_of(mine)} {mine['accuracy']:.2%}, the best other {name_of(other)} "
                               f"{other['accuracy']:.2%}")
        if not won:
            return None
        return claim("Of what meets the SLO, CAE-Net is the most accurate",
                     "; ".join(_best_printed(family) for family in paper.TABLES), self.titles.each(texts),
                     all_or_some(won), "another model that is fast enough is as accurate, as far as seeds or the "
                     "number of test images tell")

    def compressed(self):
        """Is CAE-Net both faster and more accurate than each smaller variant of the baseline?"""
        won, lost = {}, {}
        for name, model in self.rows:
            pair = self.times(name, "caenet", model), self.points(name, "caenet", model)
            if _is_variant(model) and None not in pair:
                won.setdefault(name, []).append(pair[0] > 1 and pair[1] > 0)
                if not won[name][-1]:
                    lost.setdefault(name, []).append(self.called(name, model))
        if not won:
            return None
        return claim("CAE-Net is faster and more accurate than all compressed variants",
                     "; ".join(_variants_printed(family) for family in paper.TABLES),
                     self.titles.each({name: f"{sum(each)} of {len(each)}" for name, each in won.items()}),
                     all_or_some([one for each in won.values() for one in each]),
                     "at least as fast, or as accurate: "
                     + self.titles.each({name: ", ".join(models) for name, models in lost.items()}))

    def no_speed(self):
        """Do pruned and shared weights leave the time as it is?"""
        found = {pair: self.times(*pair) for pair in self.rows if str(pair[1]).endswith(("-wp", "-wc"))}
        found = {pair: ratio for pair, ratio in found.items() if ratio}
        if not found:
            return None
        theirs = [float(cells[paper.PI, "speedup"]) for table in paper.TABLES.values()
                  for model, cells in table.items() if model.endswith(("-wp", "-wc"))]
        return claim("Pruned and shared weights alone make no network faster",
                     f"{span(theirs, '{:.2f}')} times as fast (Raspberry Pi 4)",
                     "; ".join(f"{self.called(*pair)} ({self.titles[pair[0]]}) {ratio:.2f} times"
                               for pair, ratio in found.items()),
                     all_or_some([ratio <= SAME for ratio in found.values()]),
                     "the runtime leaves zeros out where whole blocks of them lie together")

    def lightweight(self):
        """The control: is CAE-Net better than the lightweight DNN without any converter?"""
        found = {name: (self.times(name, "caenet", "lightweight"), self.points(name, "caenet", "lightweight"))
                 for name in self.bases}
        found = {name: pair for name, pair in found.items() if None not in pair}
        if not found:
            return None
        faster, better = ([pair[i] > least for pair in found.values()] for i, least in ((0, 1), (1, 0)))
        return claim("CAE-Net is worth more than the lightweight DNN without any converter",
                     "not shown: no row without converter",
                     self.titles.each({name: f"{ratio:.2f} times as fast, {points:+.2f} points"
                                       for name, (ratio, points) in found.items()}),
                     all_or_some(faster + better), "BranchyNet up to its early exit is " + " and ".join(
                         ["faster"] * (not all(faster)) + ["as accurate"] * (not all(better))))

    def fast(self):
        """Beyond the paper: the first paper's headline, against a fast baseline."""
        texts, held, best = {}, [], first_paper.TABLE_II["mnist", "cbnet"]["accuracy"]
        for name in self.bases:
            ratio = self.times(name, "caenet-fast", "lenet")
            accuracy = number(self.rows.get((name, "caenet-fast"), {}), "accuracy")
            if ratio is None or accuracy is None:
                continue
            published = first_paper.TABLE_II.get((str(name).split("-")[0], "cbnet"))
            held += [ratio >= _headline(str(name).split("-")[0])]
            held += [accuracy >= round(published["accuracy"], 3)] if published else []
            texts[name] = f"{ratio:.2f} times, {accuracy:.2%}"
        if not texts:
            return None
        return claim("Beyond the paper: dense layers that never had a converter reach the first paper's speed",
                     f"CBNet is {_headline('mnist'):.1f} times as fast as LeNet with {best:.2%} right (MNIST)",
                     self.titles.each(texts), all_or_some(held),
                     "not on every data set as fast, or as accurate, as CBNet in the first paper")


def _headline(family):
    """How many times as fast as LeNet CBNet is on a Raspberry Pi 4, to one digit; as on MNIST for unknown data."""
    cbnet, lenet = (first_paper.TABLE_II.get((family, model)) or first_paper.TABLE_II["mnist", model]
                    for model in ("cbnet", "lenet"))
    return round(lenet[first_paper.PI][0] / cbnet[first_paper.PI][0], 1)


def _ms(time):
    """A time in ms as text."""
    return f"{time:.3g} ms" if time >= 0.1 else f"{1000 * time:.3g} µs"


def _smaller(row):
    """Where a network has fewer parameters than the paper's, that, as text."""
    ours, theirs = number(row, "parameters"), number(row, "paper_parameters")
    return f" ({ours / 1e6:.2g} of the paper's {theirs / 1e6:.2g} million parameters)" if ours and theirs \
        and ours * OTHER < theirs else ""


def _is_variant(model):
    """Is a model a compressed or early-leaving variant of the baseline?"""
    return str(model).endswith(("-kd", "-wp", "-wc")) or str(model).startswith(("branchynet", "adadeep", "subflow"))


def _printed(family, model):
    """(ms on a Raspberry Pi 4, accuracy) that the paper prints."""
    cells = paper.cells(family, model)
    return cells["paper_latency_ms"], cells["paper_accuracy"]


def _variants_printed(family):
    """How many variants CAE-Net beats in both in the paper's own table."""
    mine = _printed(family, "caenet")
    others = [_printed(family, model) for model in paper.TABLES[family] if _is_variant(model)]
    both = sum(mine[0] < time and mine[1] > accuracy for time, accuracy in others)
    return f"{_TABLES[family]}: {both} of {len(others)}"


def _best_printed(family):
    """The most accurate of what meets the SLO in the paper's own table."""
    limit = paper.SLO_MS[family][paper.PI]
    model = max((model for model in paper.TABLES[family] if _printed(family, model)[0] <= limit),
                key=lambda model: _printed(family, model)[1])
    return f"{_TABLES[family]}: {name_of({'model': model})} {_printed(family, model)[1]:.2%}"
