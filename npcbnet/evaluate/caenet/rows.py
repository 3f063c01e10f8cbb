"""Rows of the CAE-Net evaluation that are made of other rows, or of what clustering, pruning and searching found."""
from npcbnet.evaluate.measuring import THIS_MACHINE
from npcbnet.evaluate.reading import grouped

# What the rows of `clustering` and `transfer` are called where claims and charts look for them.
RANDOM_TARGET, ONE_TARGET, KMEANS = "no clustering: random easy target", "one target a class", "k-means"
PLAIN = ", no augmentation"  # behind one of these
RANDOM, TRANSFERRED, TUNED, SCRATCH = ("frozen random encoder", "frozen converting encoder", "fine-tuned",
                                       "from scratch")

OTHER = 1.5  # times as many parameters, or as few, are another network's
LARGE = ("vgg16", "resnet50", "resnet32", "resnet18", "mobilenetv2")  # of Table I's lower half


def table_keys(report):
    """The keys of a report's tables, table1, table2, ..., in order."""
    return sorted((key for key in report if key[:5] == "table" and key[5:].isdecimal()), key=lambda key: int(key[5:]))


def tables(report):
    """The rows of all of a report's tables."""
    return [row for key in table_keys(report) for row in report[key] or () if isinstance(row, dict)]


def of_this_machine(rows):
    """Those measured here."""
    return [row for row in rows if row.get("device", THIS_MACHINE) == THIS_MACHINE]


def baselines(rows):
    """{data set: the key of the model that the others are compared with}: AlexNet where it is, else LeNet."""
    found = {name: {row.get("model") for row in group} for name, group in grouped(rows, "dataset").items()}
    return {name: next((key for key in ("alexnet", "lenet") if key in models), None) for name, models in found.items()}


def fig1(report):
    """Rows for `fig1`: of the tables, what was measured here."""
    keys = ("dataset", "model", "latency_ms", "latency_ms_spread", "slo_ms", "meets_slo", "accuracy", "accuracy_spread",
            "accuracy_note", "paper_latency_ms", "paper_slo_ms", "paper_accuracy")
    return [{key: row.get(key) for key in keys} for row in of_this_machine(tables(report))]


def fig2(pairs):
    """Rows for `fig2`, one a cluster, of clusters.pair_rows' two: the easy image and the hard one."""
    made = []
    for (dataset, name, cluster), rows in grouped(pairs, "dataset", "class_name", "cluster").items():
        row = {"dataset": dataset, "class_name": name, "cluster": cluster, "images": rows[0]["images"]}
        for one in rows:
            kind = "easy" if one["easy"] else "hard"
            row |= {f"{kind}_index": one["index"], f"{kind}_entropy": one["entropy"]}
        made.append(row)
    return made


def slo_rows(history, slo_ms, dataset):
    """Rows for `slo` of those of a compress.slo.Met."""
    return [{"dataset": dataset, "step": row["step"], "way": row["way"], "kept": _kept(row["kept"]),
             "latency_ms": row["latency_ms"], "slo_ms": slo_ms, "meets": row["met"], "accuracy": row["accuracy"],
             "macs": row["macs"], "parameters": row["parameters"], "chosen": bool(row.get("chosen"))}
            for row in history]


def search_rows(history, slo_ms, dataset):
    """Rows for `search` of those of a compress.search.Searched, whose last one was chosen."""
    return [{"dataset": dataset, **{key: row[key] for key in ("architecture", "latency_ms", "accuracy", "macs",
                                                              "parameters")},
             "round": row["stage"], "slo_ms": slo_ms, "chosen": row is history[-1]} for row in history]


def _kept(kept):
    """A share of connections, or channels by layer, as text."""
    if isinstance(kept, dict):
        return ", ".join(f"{name}: {count}" for name, count in kept.items())
    return None if kept is None else f"{kept:.0%} of the connections"
