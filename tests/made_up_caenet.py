"""Made-up reports of the CAE-Net paper's evaluation, with every section, for the tests of what shows them."""
from npcbnet.evaluate.caenet import paper as caenet_paper, rows as caenet_rows
from npcbnet.evaluate.measuring import THIS_MACHINE, on_frontier
from tests import made_up_report

ESTIMATE = "Raspberry Pi 4, estimate"
MODELS = {  # latency_ms, accuracy, parameters, bytes, macs
    "alexnet": {
        "alexnet": (2.9, 0.823, 9_200_000, 36_800_000, 141e6), "alexnet-kd": (0.41, 0.781, 550_000, 2_200_000, 9e6),
        "alexnet-wp": (3.05, 0.819, 9_200_000, 23_000_000, 141e6), "alexnet-wc": (2.93, 0.815, 9_200_000, 5.7e6, 141e6),
        "branchynet": (1.1, 0.792, 544_074, 2_176_296, 20e6), "adadeep": (1.2, 0.801, 3_100_000, 1.24e7, 50e6),
        "subflow-0.1": (3.4, 0.704, 920_000, 3.7e6, 14e6), "caenet": (0.68, 0.846, 860_000, 3_440_000, 36.8e6),
        "caenet-transfer": (0.68, 0.781, 860_000, 3_440_000, 36.8e6),
        "caenet-scratch": (0.68, 0.849, 860_000, 3_440_000, 36.8e6),
        "caenet-random": (0.68, 0.612, 860_000, 3_440_000, 36.8e6),
        "caenet-slo": (0.33, 0.838, 300_000, 1_200_000, 16e6), "vgg16": (8.2, None, 33_600_000, 1.34e8, 333e6),
        "vgg16-pruned": (5.3, None, 18_000_000, 7.2e7, 200e6), "resnet50": (31.4, None, 23.5e6, 94e6, 1.3e9),
        "mobilenetv2": (1.93, None, 2.2e6, 8.9e6, 91e6)},
    "lenet": {
        "lenet": (0.0182, 0.9939, 67_824, 271_296, 1_140_070), "lenet-kd": (0.0049, 0.9861, 12_600, 50_000, 150_000),
        "lenet-wp": (0.0185, 0.9931, 67_824, 170_000, 1_140_070),
        "lenet-wc": (0.0182, 0.9936, 67_824, 43_000, 1_140_070),
        "branchynet": (0.0063, 0.9929, 74_694, 298_776, 269_028),
        "lightweight": (0.0055, 0.9903, 7000, 28_000, 220_150),
        "adadeep": (0.0127, 0.9926, 45_000, 180_000, 600_000), "subflow-0.1": (0.0087, 0.983, 6_800, 27_000, 115_000),
        "caenet": (0.0131, 0.9921, 103_038, 412_000, 890_000),
        "caenet-transfer": (0.0131, 0.9868, 103_038, 412_000, 890_000),
        "caenet-scratch": (0.0131, 0.9923, 103_038, 412_000, 890_000),
        "caenet-random": (0.0131, 0.961, 103_038, 412_000, 890_000),
        "caenet-fast": (0.0024, 0.9872, 84_618, 338_472, 84_096),
        "caenet-slo": (0.0065, 0.9902, 40_000, 160_000, 300_000)},
}
SETS = {"cifar10": ("CIFAR-10", "alexnet"), "mnist": ("MNIST", "lenet"), "fmnist": ("Fashion-MNIST", "lenet")}
SLO = {"alexnet": 0.75, "lenet": 0.014}  # ms
VARIANTS = {caenet_rows.RANDOM: "caenet-random", caenet_rows.TRANSFERRED: "caenet-transfer",
            caenet_rows.TUNED: "caenet", caenet_rows.SCRATCH: "caenet-scratch"}


def report(datasets=tuple(SETS), seeds=(0, 1, 2)):
    """A report with plausible figures; one seed leaves the spreads empty."""
    made = {"facts": {**made_up_report.facts(datasets, seeds), "paper": "caenet",
                      "command": "python -m npcbnet.evaluate caenet --quick",
                      "datasets": [{"name": name, "title": SETS[name][0], "train": 45_000, "validation": 5_000,
                                    "test": 10_000} for name in datasets]}}
    for key in ("fig2", "fig5", "elbow", "clustering", "transfer", "dead", "slo", "search", "made",
                "frontier"):
        made[key] = []
    for number, name in enumerate(datasets):
        base = SETS[name][1]
        here = [_model(name, base, model, len(seeds)) for model in MODELS[base]]
        made[f"table{number + 1}"] = here + [_elsewhere(row) for row in here if row["accuracy"] is not None]
        made["fig2"] += caenet_rows.fig2(_pairs(name))
        made["fig5"] += [row for key in ("caenet", "caenet-slo") for row in _parts(name, base, key)]
        made["elbow"] += _elbow(name)
        made["clustering"] += _clustering(name, len(seeds))
        made["transfer"] += [{"dataset": name, "variant": variant, "accuracy": MODELS[base][key][1],
                              "accuracy_spread": 0.0012 if len(seeds) > 1 else None, "seeds": len(seeds),
                              "paper_accuracy": _of_paper(name, variant)} for variant, key in VARIANTS.items()]
        made["dead"] += [{"dataset": name, "model": model, "share": share, "seeds": len(seeds), "paper_share":
                          caenet_paper.DEAD.get(model) if name == "cifar10" else None}
                         for model, share in ((base, 0.83), ("caenet", 0.41))]
        made["slo"] += _loop(name, base)
        made["search"] += _search(name, base)
        made["made"] += [{"dataset": name, "model": "adadeep", "choices": "layer 1, conv2d: low rank 4", "epochs": None,
                          "met": False, "missed": "accuracy 0.9800 < 0.9839", "notes": None, "accuracy": 0.98,
                          "seeds": len(seeds)},
                         {"dataset": name, "model": f"{base}-kd", "choices": "a small student", "epochs": 15,
                          "met": None, "missed": None, "notes": None, "accuracy": 0.985, "seeds": len(seeds)}]
        made["frontier"] += on_frontier([{**row, "threshold": None} for row in here if row["accuracy"] is not None
                                         and (row["model"] != "branchynet" or base == "alexnet")]
                                        + (_thresholds(here) if base == "lenet" else []))  # AlexNet's has three exits
    made["fig1"] = caenet_rows.fig1(made)
    made["arithmetic"] = caenet_paper.contradictions()
    made["windows"] = [{"name": "mnist-0 lenet", "begin": 1.0, "end": 2.5, "images": 1000}]
    made["claims"] = [{"claim": "CAE-Net is faster", "paper": "4.05 times", "ours": "4.26 times", "holds": "yes",
                       "why": None}]
    return made


def _model(name, base, model, seeds):
    """A row of a table."""
    latency, accuracy, parameters, size, macs = MODELS[base][model]
    if name == "fmnist":
        accuracy -= 0.088
    whole = MODELS[base][base][0]
    return {"dataset": name, "model": model, "device": THIS_MACHINE, "latency_ms": latency,
            "latency_ms_spread": 0.02 * latency if seeds > 1 else None, "latency_p95_ms": 1.07 * latency,
            "speedup": whole / latency, "power_w": 10.25, "energy_mj": 10.25 * latency,
            "energy_ratio": whole / latency, "energy_kind": "modelled", "meter": "Eq. 1 with psutil",
            "resolution": None, "invalid": "the processor was throttled" if model == "lenet-wc" else None,
            "parameters": int(parameters), "nonzero": int(parameters * (0.625 if model.endswith("-wp") else 1)),
            "file_bytes": int(size), "macs": int(macs), "accuracy": accuracy,
            "accuracy_spread": 0.0009 if seeds > 1 and accuracy is not None else None,
            "accuracy_note": None if accuracy is not None else "not trained here",
            "exit_rate": 0.91 if model == "branchynet" else None, "slo_ms": SLO[base],
            "meets_slo": latency <= SLO[base], "faster": latency < 0.98 * whole, "seeds": seeds,
            **caenet_paper.cells(name, model)}


def _elsewhere(row):
    """The row of an estimate for a Pi."""
    limit = caenet_paper.SLO_MS.get(row["dataset"], {}).get(caenet_paper.PI)
    return {**row, "device": ESTIMATE, "latency_ms": 12 * row["latency_ms"], "latency_ms_spread": None,
            "energy_kind": "estimate", "slo_ms": limit,
            "meets_slo": None if limit is None else 12 * row["latency_ms"] <= limit, "invalid": None}


def _of_paper(name, variant):
    published = caenet_paper.TRANSFER.get(name, (None, None))
    return {caenet_rows.RANDOM: published[0], caenet_rows.TRANSFERRED: published[1]}.get(variant)


def _pairs(name):
    return [{"dataset": name, "class_name": "airplane", "cluster": cluster, "images": 1500 + 100 * cluster,
             "easy": easy, "index": 7 * cluster + easy, "entropy": 1e-4 if easy else 1.3, "right": easy}
            for cluster in (1, 2, 3) for easy in (True, False)]


def _parts(name, base, model):
    latency = MODELS[base][model][0]
    share = 0.87 if base == "alexnet" else 0.71
    return [{"dataset": name, "model": model, "part": part, "latency_ms": latency * part_share,
             "energy_mj": 10.25 * latency * part_share, "latency_share": part_share,
             "macs": int(1e6 * part_share), "parameters": int(1e5 * part_share)}
            for part, part_share in (("encoder", share), ("head", 1 - share))]


def _elbow(name):
    return [{"dataset": name, "class_name": label, "clusters": count, "elbow": 3 if label is None else 2 + offset % 3,
             "inertia": (100 + 9 * offset) * (0.25 + 0.75 / count ** (1.3 + 0.2 * (offset % 3)))}
            for offset, label in enumerate((None, "airplane", "bird", "cat")) for count in range(1, 9)]


def _clustering(name, seeds):
    rows = ((caenet_rows.RANDOM_TARGET, None, 0.0614, 0.0631, 0.801, 0.121, None),
            (caenet_rows.ONE_TARGET, 1, 0.0152, 0.0223, 0.817, 0.131, None),
            (caenet_rows.KMEANS, 3, 0.0318, 0.0402, 0.822, 0.117, 0.071),
            ("cosine", 2.4, 0.031, 0.041, 0.819, 0.12, 0.06),
            ("dbscan", 1.3, 0.0171, 0.0248, 0.818, 0.13, 0.21), ("hdbscan", 1.9, 0.022, 0.029, 0.816, 0.128, 0.15))
    published = {caenet_rows.RANDOM_TARGET: caenet_paper.LOSS_WITHOUT, caenet_rows.KMEANS: caenet_paper.LOSS_WITH}
    return [{"dataset": name, "method": method, "clusters": clusters, "reconstruction_loss": loss,
             "reconstruction_loss_validation": held, "accuracy": accuracy, "seeds": seeds, "distance": distance,
             "accuracy_spread": 0.002 if seeds > 1 else None, "silhouette": silhouette, "epochs": 12,
             "paper_loss": published.get(method) if name == "cifar10" else None}
            for method, clusters, loss, held, accuracy, distance, silhouette in rows]


def _loop(name, base):
    latency, accuracy, parameters, _, macs = MODELS[base]["caenet"]
    limit = latency / 2
    steps = (("original", None, None, 1, 0), ("connections", "blocks", "35% of the connections", 0.93, 0.001),
             ("channels 1", "even", "conv1: 24, conv2: 48", 0.71, -0.003),
             ("channels 2", "global", "conv1: 20", 0.49, -0.008))
    return [{"dataset": name, "step": step, "way": way, "kept": kept, "latency_ms": latency * share, "slo_ms": limit,
             "meets": share <= 0.5, "accuracy": accuracy + added, "macs": int(macs * share),
             "parameters": int(parameters * share), "nonzero": int(parameters * share)}
            for step, way, kept, share, added in steps]


def _search(name, base):
    latency, accuracy, parameters, _, macs = MODELS[base]["caenet"]
    rows = [{"dataset": name, "architecture": f"conv {4 + i}/2 {8 + 2 * i}/{1 + i % 2}, hidden 32", "round": stage,
             "latency_ms": latency * (0.1 + 0.03 * i + 0.05 * (i % 5)), "slo_ms": latency / 2,
             "accuracy": accuracy - 0.08 / (1 + i + 4 * j) - 0.004 * (i % 3), "macs": int(macs * 0.03 * (i + 1)),
             "parameters": int(parameters * 0.03 * (i + 1)), "chosen": False}
            for j, stage in enumerate(("1", "2", "3")) for i in range(0, 12, 1 + 2 * j)]
    return [*rows, {**rows[-1], "round": "full", "accuracy": accuracy + 0.002, "chosen": True}]


def _thresholds(here):
    branchy = next(row for row in here if row["model"] == "branchynet")
    return [{**branchy, "threshold": threshold, "latency_ms": branchy["latency_ms"] * (1 + 0.12 * i),
             "accuracy": branchy["accuracy"] + 0.0006 * i - 0.0001 * i * i}
            for i, threshold in enumerate((1, 0.5, 0.1, 0.01, 0.001))]
