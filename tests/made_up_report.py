"""Made-up reports of the evaluation, with every section, for the tests of what shows them."""
import numpy as np

MODELS = {  # latency_ms, accuracy, macs, the paper's latency_ms and accuracy
    "lenet": (0.0183, 0.9936, 1_140_070, 12.735, 0.9911), "branchynet": (0.0066, 0.9928, 260_054, 2.3, 0.9911),
    "lightweight": (0.0055, 0.9904, 220_150, None, None), "cbnet-paper": (0.0166, 0.9545, 1_173_238, 1.877, 0.9861),
    "cbnet-table1": (0.0168, 0.9900, 1_173_238, 1.877, 0.9861), "cbnet-fast": (0.0088, 0.9889, 313_462, 1.877, 0.9861),
    "cbnet-residual": (0.0071, 0.9902, 255_606, None, None), "adadeep": (0.0091, 0.9899, 300_000, 7.1, 0.982),
    "subflow-0.1": (0.0112, 0.931, 120_000, 9.1, 0.975), "subflow-0.5": (0.0143, 0.978, 600_000, None, None),
}
LAYERS = [("Conv2D", "5x30x30", 112_500), ("MaxPool2D", "5x15x15", 0), ("ReLU", "5x15x15", 0),
          ("Conv2D", "10x15x15", 101_250), ("MaxPool2D", "10x8x8", 0), ("ReLU", "10x8x8", 0), ("Flatten", "640", 0),
          ("Dense", "10", 6_400)]
CONVERTER = [("AveragePool2D", "1x14x14", 0), ("Dense", "256", 50_176), ("Dense", "128", 32_768),
             ("Dense", "32", 4_096), ("Dense", "196", 6_272), ("Upsample2D", "1x28x28", 0)]


def report(datasets=("MNIST", "Fashion-MNIST", "KMNIST (8,000/2,000)"), seeds=(0, 1, 2), models=tuple(MODELS)):
    """A report with plausible figures; one seed leaves the spreads empty."""
    rng = np.random.default_rng(0)
    made = {"facts": facts(datasets, seeds)}
    for key in ("table1", "table2", "fig1", "fig2", "fig3", "fig4", "fig5", "converter_share", "frontier", "ablations",
                "compressors", "windows"):
        made[key] = []
    for number, dataset in enumerate(datasets):
        scale = 1 - 0.09 * number % 0.2
        rows = [_model(rng, dataset, model, scale, len(seeds) > 1) for model in models]
        made["table1"] += _table1(dataset)
        made["table2"] += [{**row, **_energy(row, rows[0], device)} for device in
                           ("this machine", "Raspberry Pi 4, estimate") for row in rows]
        made["fig1"] += [{"dataset": dataset, "seed": 0, "index": i, "label": i % 5, "predicted": i % 5,
                          "class_name": str(i % 5), "entropy": 1e-4 if i < 5 else 0.9, "easy": i < 5}
                         for i in range(10)]
        made["fig2"] += _layers(dataset)
        made["fig3"] += _mixes(dataset, scale)
        made["fig4"] += [{"dataset": dataset, "model": "cbnet-fast", "index": i, "label": 3, "predicted_before": 5,
                          "predicted_after": 3, "entropy_before": 0.8, "entropy_after": 1e-5} for i in range(4)]
        made["fig5"] += rows
        made[f"fig{6 + number}"] = [entry for row in rows for entry in _ratios(rng, row)]
        made["converter_share"] += [{"dataset": dataset, "model": row["model"],
                                     "converter_ms": row["latency_ms"] - .0045, "total_ms": row["latency_ms"],
                                     "share": 1 - .0045 / row["latency_ms"],
                                     "paper_share": 0.25} for row in rows if row["model"].startswith("cbnet")]
        made["frontier"] += _frontier(rows)
        made["ablations"] += _ablations(dataset, scale)
        made["compressors"] += [{"dataset": dataset, "model": "adadeep",
                                 "choices": "fc1: low rank 16; conv3: depthwise",
                                 "met": False, "missed": "storage: 80 kB over", "macs": 300_000, "macs_share": 0.263,
                                 "storage_bytes": 80_000, "latency_ms": 0.0091, "accuracy": 0.98, "seeds": 2},
                                {"dataset": dataset, "model": "subflow-0.1", "utilisation": 0.1, "macs": 120_000,
                                 "macs_share": 0.105, "latency_ms": 0.0112, "accuracy": 0.93, "met": None, "seeds": 3}]
        made["windows"] += [{"name": f"{dataset} lenet", "begin": 1.0, "end": 2.5, "images": 1000}]
    made["claims"] = [{"claim": "CBNet is faster than BranchyNet", "paper": "up to 3.82×", "ours": "0.75×",
                       "holds": "no", "why": "the converter costs more than the hard images it saves"},
                      {"claim": "Converted images leave early", "paper": "implied", "ours": "98.6 %", "holds": "yes",
                       "why": None}]
    return made


def facts(datasets, seeds):
    """The head of a report."""
    return {"paper": "cbnet", "command": "python -m npcbnet.evaluate cbnet --quick", "seeds": list(seeds), "threads": 1,
            "machine": {"cpu": "AMD EPYC", "cores": 2, "memory_gib": 23.5, "os": "Debian GNU/Linux 12",
                        "date": "2026-11-21T12:00:00+00:00", "versions": {"npcbnet": "1.0", "numpy": "2.0"}},
            "quick": True, "date": "2026-11-21", "notes": ["KMNIST: only 10,000 of its images were at hand."],
            "datasets": [{"name": name, "title": name, "train": 55_000, "validation": 5_000, "test": 10_000}
                         for name in datasets]}


def images(count, shape=(1, 28, 28)):
    """Blurred blobs, uint8 (N, C, H, W)."""
    rows, columns = np.mgrid[:shape[1], :shape[2]]
    return np.stack([np.broadcast_to(np.uint8(255 * np.exp(-((rows - 8 - i % 12) ** 2 + (columns - 14) ** 2) / 30)),
                                     shape) for i in range(count)])


def _model(rng, dataset, model, scale, spread):
    latency, accuracy, macs, paper_latency, paper_accuracy = MODELS[model]
    accuracy *= scale * (0.6 if model == "cbnet-paper" and scale < 0.9 else 1)
    return {"dataset": dataset, "model": model, "latency_ms": latency, "accuracy": accuracy, "macs": macs,
            "latency_ms_spread": 0.03 * latency if spread else None, "accuracy_spread": 0.002 if spread else None,
            "bytes": 4 * macs // 10, "paper_latency_ms": paper_latency, "paper_accuracy": paper_accuracy}


def _energy(row, lenet, device):
    """What Table II adds to a model's row."""
    slower = 1 if device == "this machine" else 12
    power = 10.25 if slower == 1 else 6.4
    return {"device": device, "latency_ms": row["latency_ms"] * slower,
            "latency_p95_ms": 1.1 * row["latency_ms"] * slower,
            "power_w": power, "energy_mj": power * row["latency_ms"] * slower, "meter": "Eq. 1 with psutil",
            "energy_kind": "modelled" if slower == 1 else "estimate", "resolution": None, "utilisation": 0.5,
            "saving": 1 - row["latency_ms"] / lenet["latency_ms"], "speedup": lenet["latency_ms"] / row["latency_ms"],
            "exit_rate": 0.9612 if row["model"] == "branchynet" else None, "exit_rate_spread": 0.03,
            "made_easy": 0.43 if row["model"].startswith("cbnet") else None,
            "paper_saving": 0.85, "paper_speedup": 6.78,
            "invalid": "the processor was throttled" if row["model"] == "cbnet-fast" else None}


def _layers(dataset):
    return [{"dataset": dataset, "part": part, "layer": layer, "size": size, "parameters": macs // 100, "macs": macs}
            for part, layers in (("converter", CONVERTER), ("lightweight DNN", LAYERS)) for layer, size, macs in layers]


def _table1(dataset):
    rows = [{"dataset": dataset, "model": "cbnet-fast", "part": row["part"], "layer": row["layer"], "size": row["size"],
             "activation": "relu" if row["layer"] == "Dense" else None, "paper_size": "784", "paper_activation": "relu",
             "parameters": row["parameters"], "macs": row["macs"], "bytes": 4 * row["parameters"]}
            for row in _layers(dataset)]
    return [*rows, {"dataset": dataset, "model": "cbnet-fast", "part": None, "layer": "total", "size": None,
                    "parameters": 20_000, "macs": 313_462, "bytes": 80_000}]


def _mixes(dataset, scale):
    rows = [{"dataset": dataset, "hard_share": share / 10, "latency_ms": 0.0055 + 0.00135 * share, "lenet_ms": 0.0183,
             "speedup": 0.0183 / (0.0055 + 0.00135 * share) * scale, "exit_rate": 1 - share / 10, "accuracy": 0.9,
             "source": "measured"} for share in range(11)]
    return [*rows, {"dataset": dataset, "hard_share": 0.05 + 1 - scale, "speedup": 5.5 * scale, "source": "paper"}]


def _ratios(rng, row):
    return [{"dataset": row["dataset"], "ratio": tenth / 10, "model": row["model"], "images": 1000 * tenth,
             "hard_share": 0.05, "total_s": row["latency_ms"] * tenth,
             "total_s_spread": 0.02 * row["latency_ms"] * tenth,
             "accuracy": row["accuracy"] + rng.normal(0, 0.003 / tenth), "accuracy_spread": row["accuracy_spread"],
             "repeats": 3} for tenth in range(1, 11)]


def _frontier(rows):
    points = [{**row, "threshold": None, "exit_rate": None} for row in rows if row["model"] != "branchynet"]
    grid = (1e-4, 5e-4, 1e-3, 5e-3, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2)
    top = next((row["accuracy"] for row in rows if row["model"] == "lenet"), 0.9)
    points += [{**rows[0], "model": "branchynet", "threshold": value, "exit_rate": 1 - .3 / (1 + i),
                "latency_ms": 0.0205 - 0.00105 * i, "accuracy": top - 0.0002 * i - 0.004 * (i > 10)}
               for i, value in enumerate(grid)]
    for point in points:
        point["on_frontier"] = not any(other["latency_ms"] <= point["latency_ms"] and other is not point
                                       and other["accuracy"] >= point["accuracy"] for other in points)
    return points


def _ablations(dataset, scale):
    studies = {"target rule": ("random easy image", "class mean", "medoid", "lowest entropy"),
               "converter size": ("784-256-128-32-784", "P196-256-128-32-196U"),
               "output layer": ("softmax", "sigmoid", "linear"),
               "which images are converted": ("all", "hard images alone", "lightweight DNN, no converter")}
    return [{"dataset": dataset, "study": study, "variant": variant, "seeds": 3,
             "accuracy": scale * (0.95 + 0.01 * i), "accuracy_spread": 0.002, "accuracy_easy": scale * 0.99,
             "accuracy_hard": scale * (0.6 + 0.06 * i), "exit_rate_converted": 0.98, "macs": 313_462}
            for study, variants in studies.items() for i, variant in enumerate(variants)]
