"""What the CBNet paper printed (Mahmud et al., 2024), as far as its text gives numbers."""

# Table II: milliseconds an image, share of LeNet's energy that is saved, and accuracy.
# The cloud instance has two processors and no GPU, as the machines that most people will run this on.
CLOUD, PI = "Google Cloud instance, no GPU", "Raspberry Pi 4"
TABLE_II = {
    ("mnist", "lenet"): {CLOUD: (1.322, None), PI: (12.735, None), "accuracy": 0.9911},
    ("mnist", "branchynet"): {CLOUD: (0.395, 0.70), PI: (2.3, 0.82), "accuracy": 0.9911},
    ("mnist", "cbnet"): {CLOUD: (0.267, 0.80), PI: (1.877, 0.85), "accuracy": 0.9861},
    ("fmnist", "lenet"): {CLOUD: (1.271, None), PI: (13.006, None), "accuracy": 0.8653},
    ("fmnist", "branchynet"): {CLOUD: (0.716, 0.43), PI: (7.248, 0.45), "accuracy": 0.878},
    ("fmnist", "cbnet"): {CLOUD: (0.261, 0.81), PI: (1.895, 0.86), "accuracy": 0.8959},
    ("kmnist", "lenet"): {CLOUD: (1.350, None), PI: (12.814, None), "accuracy": 0.914},
    ("kmnist", "branchynet"): {CLOUD: (0.9, 0.33), PI: (5.682, 0.56), "accuracy": 0.9205},
    ("kmnist", "cbnet"): {CLOUD: (0.26, 0.82), PI: (1.897, 0.85), "accuracy": 0.925},
}
# Section IV-D: AdaDeep and SubFlow take so many times as long as CBNet (MNIST, Raspberry Pi 4).
SLOWER_THAN_CBNET = {"adadeep": 3.78, "subflow": 4.85}
# Section III-A1 and Fig. 3: (share of hard images, BranchyNet's speed-up over LeNet on a Raspberry Pi 4).
FIG_3 = {"mnist": (0.05, 5.5), "fmnist": (0.23, 1.7)}
# Section IV-D: shares of the test images that leave BranchyNet early.
EXIT_RATES = {"mnist": 0.9488, "fmnist": 0.7691, "kmnist": 0.6308}
CONVERTER_SHARE = 0.25  # of CBNet's time, at most (section IV-D)
# Sections IV-D and IV-E: ranges over the data sets, of the cloud instance without GPU where the paper tells them apart.
SPEEDUP_OVER_LENET, SPEEDUP_OVER_BRANCHYNET = (4.86, 5.19), (1.47, 3.46)
SAVED_OF_LENET, SAVED_OF_BRANCHYNET = (0.80, 0.85), (0.17, 0.79)


def table_ii(family, model, device=CLOUD):
    """The paper's cells of Table II as {"paper_latency_ms", "paper_saving", "paper_accuracy", "paper_speedup"}.

    family: mnist, fmnist or kmnist; model: a key of ours. All are None where the paper has no such row: of our
    converters only those with the paper's sizes, table1 and paper, stand beside the paper's CBNet.
    """
    kind = "cbnet" if model in ("cbnet-paper", "cbnet-table1") else model
    row = TABLE_II.get((family, kind))
    if row is None:
        return dict.fromkeys(("paper_latency_ms", "paper_saving", "paper_accuracy", "paper_speedup"))
    (latency, saving), lenet = row[device], TABLE_II[family, "lenet"][device][0]
    return {"paper_latency_ms": latency, "paper_saving": saving, "paper_accuracy": row["accuracy"],
            "paper_speedup": lenet / latency}


def figure_5(model, family):
    """The paper's milliseconds on a Raspberry Pi 4 and accuracy for Fig. 5 (MNIST), None where it prints none.

    SubFlow's is that of a tenth of the neurons: CAE-Net's Table II, of the same authors, has a tenth of the parameters.
    """
    kind = model.split("-")[0]
    if family != "mnist" or kind == "subflow" and model != "subflow-0.1":
        return {"paper_latency_ms": None, "paper_accuracy": None}
    if kind in SLOWER_THAN_CBNET:
        return {"paper_latency_ms": SLOWER_THAN_CBNET[kind] * TABLE_II["mnist", "cbnet"][PI][0],
                "paper_accuracy": None}
    row = table_ii("mnist", model, PI)
    return {key: row[key] for key in ("paper_latency_ms", "paper_accuracy")}
