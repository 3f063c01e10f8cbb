"""Which claims of the CBNet paper hold in a fast runtime? Judged by the report's own rows, nothing else."""
from npcbnet.evaluate.cbnet import paper
from npcbnet.evaluate.measuring import THIS_MACHINE
from npcbnet.evaluate.verdicts import claim, span, verdict
from npcbnet.report import model_name

SIZED = ("cbnet-paper", "cbnet-table1")  # have the paper's sizes
CLOSE = 0.005  # of accuracy: "similar" in the paper covers differences of that much (Table II, MNIST)


def judged(report):
    """[{claim, paper, ours, holds: "yes" | "no" | "in part", why}] of a report's tables and figures."""
    rows = {(row["dataset"], row["model"]): row for row in report["table2"] if row["device"] == THIS_MACHINE}
    names = list(dict.fromkeys(name for name, _ in rows))
    found = [_faster_than(rows, names, "lenet", paper.SPEEDUP_OVER_LENET),
             _faster_than(rows, names, "branchynet", paper.SPEEDUP_OVER_BRANCHYNET), _accuracy(rows, names),
             _saves(rows, names, "lenet", paper.SAVED_OF_LENET),
             _saves(rows, names, "branchynet", paper.SAVED_OF_BRANCHYNET),
             _share(report), _mixes(report, names), _easier(rows, names), _compressors(rows, names),
             _scalability(report), _no_converter(rows, names)]
    return [row for row in found if row]


def _all(rows, names, models):
    return [rows[name, model] for name in names for model in models if (name, model) in rows]


def _ratios(rows, names, model, other):
    """How many times as fast as `other` the model is, for each data set."""
    return [rows[name, other]["latency_ms"] / rows[name, model]["latency_ms"] for name in names]


def _faster_than(rows, names, other, published):
    sized = [ratio for model in SIZED for ratio in _ratios(rows, names, model, other)]
    fast = _ratios(rows, names, "cbnet-fast", other)
    light = _ratios(rows, names, "lightweight", other)
    macs = [row["macs"] / rows[row["dataset"], other]["macs"] for row in _all(rows, names, SIZED)]
    called = model_name({"model": other}).split(" at ")[0]
    return claim(f"CBNet is faster than {called}", f"{span(published, '{:.2f}')} times as fast (cloud instance)",
                 f"with the paper's sizes {span(sized, '{:.2f}')} times, with our small converter "
                 f"{span(fast, '{:.2f}')}, without any converter {span(light, '{:.2f}')}",
                 verdict(sized, published[0], 1),
                 f"CBNet of Table I does {span(macs, '{:.2f}')} times the multiply-adds of {called}; where "
                 "convolutions are fast, that counts, besides what is 0 in an image and can be left out")


def _accuracy(rows, names):
    published, ours, table1 = [], [], []
    for name in names:
        lenet = rows[name, "lenet"]
        ours.append(100 * (rows[name, "cbnet-paper"]["accuracy"] - lenet["accuracy"]))
        table1.append(100 * (rows[name, "cbnet-table1"]["accuracy"] - lenet["accuracy"]))
        cell = paper.table_ii(name.split("-")[0], "cbnet-paper")["paper_accuracy"]
        if cell is not None:
            published.append(100 * (cell - paper.table_ii(name.split("-")[0], "lenet")["paper_accuracy"]))
    return claim("CBNet keeps LeNet's accuracy", f"{span(published, '{:+.2f}')} points" if published else "–",
                 f"{span(ours, '{:+.2f}')} points with the paper's recipe, {span(table1, '{:+.2f}')} with the same "
                 "sizes and our training", verdict(ours, -100 * CLOSE, -100 * CLOSE),
                 "a random easy image as target asks for the mean of a class; the easiest image of the class as "
                 "target, and the classifier's loss, bring most of it back")


def _saves(rows, names, other, published):
    def saved(model):
        return [1 - rows[name, model]["energy_mj"] / rows[name, other]["energy_mj"] for name in names]

    sized = saved("cbnet-paper") + saved("cbnet-table1")
    kinds = sorted({row["energy_kind"] for row in rows.values()})
    why = ("modelled from the use of the processor, power is the same for all models that keep one thread busy, so "
           "energy follows latency" if kinds == ["modelled"] else "energy follows latency where power hardly differs")
    called = model_name({"model": other}).split(" at ")[0]
    return claim(f"CBNet saves energy against {called}", span(published, "{:.0%}"),
                 f"with the paper's sizes {span(sized, '{:.0%}')}, with our small converter "
                 f"{span(saved('cbnet-fast'), '{:.0%}')} ({', '.join(kinds)})", verdict(sized, published[0], 0),
                 why)


def _share(report):
    shares = [row["share"] for row in report["converter_share"] if row["model"] in SIZED]
    small = [row["share"] for row in report["converter_share"] if row["model"] == "cbnet-fast"]
    return claim("The converter takes a small part of CBNet's time", f"up to {paper.CONVERTER_SHARE:.0%}",
                 f"with the paper's sizes {span(shares, '{:.0%}')}, our small one {span(small, '{:.0%}')}",
                 "yes" if max(shares) <= paper.CONVERTER_SHARE else
                 "in part" if min(shares) <= paper.CONVERTER_SHARE else "no",
                 "in the paper's framework dense layers were cheap beside convolutions; in a fast one they are not")


def _mixes(report, names):
    ends = []
    for name in names:
        found = {row["hard_share"]: row["speedup"] for row in report["fig3"]
                 if row["dataset"] == name and row["source"] == "measured"}
        if found:
            ends.append((found[min(found)], found[max(found)]))
    if not ends:
        return None
    points = paper.FIG_3.values()
    return claim("BranchyNet's speed-up over LeNet shrinks with the share of hard images",
                 "; ".join(f"{speed:g} times at {share:.0%} hard" for share, speed in points),
                 f"from {span([a for a, _ in ends], '{:.2f}')} times (no hard image) to "
                 f"{span([b for _, b in ends], '{:.2f}')} times (all hard)",
                 "yes" if all(b < a for a, b in ends) else "no",
                 "a hard image pays for the branch and for the trunk")


def _easier(rows, names):
    made = {model: [rows[name, model]["made_easy"] for name in names if rows[name, model]["made_easy"] is not None]
            for model in ("cbnet-paper", "cbnet-table1", "cbnet-fast")}
    if not all(made.values()):
        return None
    return claim("Conversion turns hard images into easy ones", "implied by reading all with the lightweight DNN",
                 f"once converted, of the hard images {span(made['cbnet-paper'], '{:.0%}')} leave early with the "
                 f"right answer by the paper's recipe, {span(made['cbnet-table1'], '{:.0%}')} with the same sizes "
                 f"and our training, {span(made['cbnet-fast'], '{:.0%}')} with our small converter",
                 verdict(made["cbnet-paper"] + made["cbnet-table1"], 0.5, 0.1),
                 "converters that aim at the easiest image of a class make images that leave early; those that aim "
                 "at a random one make averages, which do not; and what looks like two classes is at times converted "
                 "to the wrong one")


def _compressors(rows, names):
    others = [(name, key) for name, key in rows if key.startswith(("adadeep", "subflow"))]
    if not others:
        return None
    mine = [rows[name, "cbnet-table1"] for name, _ in others]
    ratios = [rows[pair]["latency_ms"] / row["latency_ms"] for pair, row in zip(others, mine)]
    points = [100 * (row["accuracy"] - rows[pair]["accuracy"]) for pair, row in zip(others, mine)]
    both = [ratio > 1 and point > 0 for ratio, point in zip(ratios, points)]
    slow = sorted({model_name(rows[pair]) for pair in others
                   if rows[pair]["latency_ms"] > rows[pair[0], "lenet"]["latency_ms"]})
    why = "a compressed LeNet does fewer multiply-adds than CBNet of Table I, and keeps more of LeNet's accuracy"
    if slow:
        why += f"; {', '.join(slow)} is slower than LeNet itself, as single neurons cost more than whole layers do"
    return claim("CBNet is faster than AdaDeep and SubFlow, and more accurate",
                 f"{span(sorted(paper.SLOWER_THAN_CBNET.values()), '{:.2f}')} times as fast",
                 f"CBNet of Table I is {span(ratios, '{:.2f}')} times as fast as they are, and its accuracy differs "
                 f"by {span(points, '{:+.2f}')} points; both faster and more accurate in {sum(both)} of {len(both)} "
                 "comparisons", "yes" if all(both) else "in part" if any(both) else "no", why)


def _scalability(report):
    grows = []
    for key in sorted(key for key in report if key.startswith("fig") and key[3:].isdigit() and int(key[3:]) >= 6):
        times = {(row["model"], row["ratio"]): row["total_s"] for row in report[key]}
        ratios = sorted({ratio for _, ratio in times})
        if ratios:
            gap = [times["branchynet", ratio] - times["cbnet-table1", ratio] for ratio in (ratios[0], ratios[-1])]
            grows.append((gap, ratios))
    if not grows:
        return None
    last = [gap[1] * 1e3 for gap, _ in grows]
    return claim("CBNet's lead over BranchyNet in total time grows with the number of images", "it grows",
                 f"on all test images BranchyNet takes {span(last, '{:+.1f}')} ms more than CBNet of Table I",
                 verdict([gap[1] - gap[0] for gap, _ in grows], 1e-9, 0),
                 "time is proportional to the number of images, so whoever is faster leads by more")


def _no_converter(rows, names):
    light = {name: rows[name, "lightweight"]["accuracy"] for name in names}
    added = {model: [100 * (rows[name, model]["accuracy"] - light[name]) for name in names]
             for model in ("cbnet-table1", "cbnet-fast", "cbnet-residual")}
    holds = verdict(added["cbnet-fast"], 1, 0.5)
    why = {"no": "trained long enough, the branch alone reads these data sets about as well",
           "in part": "where the branch alone is weak, a converter trained through the classifier's loss helps; where "
                      "it is not, there is little left to gain", "yes": None}[holds]
    return claim("The converter is what makes the lightweight DNN good enough", "not shown: no row without converter",
                 f"against the lightweight DNN alone {span(added['cbnet-table1'], '{:+.2f}')} points with CBNet of "
                 f"Table I, {span(added['cbnet-fast'], '{:+.2f}')} with our small converter, "
                 f"{span(added['cbnet-residual'], '{:+.2f}')} with the residual one", holds, why)
