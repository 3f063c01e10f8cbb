"""What the CAE-Net paper printed (Mahmud et al.), as far as its text gives numbers, and where these contradict."""

PI, NANO = "Raspberry Pi 4", "Nvidia Jetson Nano"
BASELINES = {"cifar10": "alexnet", "mnist": "lenet"}  # what each table compares with
SLO_MS = {"cifar10": {PI: 20, NANO: 10}, "mnist": {PI: 10, NANO: 5}}  # heads of Tables I and II
_COLUMNS = ((PI, "ms"), (PI, "speedup"), (PI, "mj"), (PI, "ratio"), (NANO, "ms"), (NANO, "speedup"), (NANO, "mj"),
            (NANO, "ratio"), (None, "parameters"), (None, "file"), (None, "accuracy"))
# As printed, in the order of _COLUMNS; "-" is N/A. Table I: parameters in millions, files in MB; Table II: thousands,
# KB; accuracy in %. SubFlow has a tenth of the parameters, so it stands for our SubFlow at 10 %.
_PRINTED = {
    "cifar10": (1e6, """
        alexnet          37.1   1    154.73 1     5.09  1     32.1   1     9.3  32.97 78.46
        alexnet-kd       9.51   3.90 38.11  4.06  0.9   5.7   5.21   6.15  0.55 2.22  73.15
        alexnet-wp       39.05  0.95 164.6  0.94  5.19  0.98  30     1.07  5.81 32.97 77.75
        alexnet-wc       39.05  0.95 164.6  0.94  5.78  0.88  36.89  0.87  5.81 5.53  80.20
        branchynet       24.73  1.5  -      -     2.12  2.4   -      -     9.3  37.3  75
        adadeep          16.13  2.3  -      -     2.82  1.8   -      -     3.1  8.1   72
        subflow-0.1      15.45  2.4  -      -     1.59  3.2   -      -     0.93 3.73  67
        caenet           9.16   4.05 37.73  4.1   0.89  5.7   5.30   6.05  0.9  3.5   82.4
        vgg16            252.7  0.14 1068   0.14  83.9  0.06  529.49 0.07  37.9 112   93.56
        vgg16-pruned     135.67 0.38 496.08 0.31  46.8  0.11  320.2  0.10  28   61.45 82.34
        resnet50         223.4  0.16 1435   0.10  37.6  0.13  177.78 0.18  25.4 98.2  93.78
        resnet50-pruned  140.26 0.26 784    0.20  22.9  0.22  164.61 0.195 10   40.69 81.23
        resnet32         161.29 0.22 990    0.15  27.15 0.20  226    0.142 16   45.6  92.68
        resnet18         155.29 0.24 923    0.16  29.36 0.173 123.46 0.26  11   39.52 92.56
        mobilenetv2      77.7   0.48 416.47 0.37  12.68 0.40  91.7   0.35  2.2  27.2  91.31"""),
    "mnist": (1e3, """
        lenet            5.2    1    18.73  1     0.47  1     1.87   1     89.6 328   99.10
        lenet-kd         3.71   1.4  12     1.56  0.48  0.98  1.78   1.05  12.6 76.1  98.60
        lenet-wp         5.14   1.01 18.54  1.01  0.48  0.99  1.90   0.98  56.1 107.9 99.02
        lenet-wc         5.14   1.01 18.73  1     0.49  0.97  1.87   1     56.1 52.69 99.15
        branchynet       1.03   5.4  -      -     0.10  4.7   -      -     89.6 1130  98
        adadeep          2.88   1.8  -      -     -     -     -      -     59.7 63    97
        subflow-0.1      4      1.3  -      -     0.14  3.2   -      -     8.96 113   97
        caenet           3.37   1.54 10.52  1.78  0.472 1     1.79   1.04  110  409   98.20"""),
}
TABLES = {family: {model: dict(zip(_COLUMNS, cells)) for model, *cells in map(str.split, text.strip().splitlines())}
          for family, (_, text) in _PRINTED.items()}  # {family: {model: {(device, column): text as printed}}}
SAME = {"caenet-transfer": "caenet"}  # the paper's CAE-Net keeps the encoder frozen; ours tunes it where that helps

# Section III-A2: mean squared difference of output and target, without and with clustering (CIFAR-10); the elbow.
LOSS_WITHOUT, LOSS_WITH, ELBOW = 0.012, 0.0065, 3
KMEANS_ADDS = (0.01, 0.03)  # of accuracy, over the other ways to cluster
TRANSFER = {"mnist": (0.96, 0.982), "cifar10": (0.62, 0.824)}  # section III-B: accuracy without and with
DEAD = {"alexnet": 0.90, "caenet": 0.0}  # section IV-E: share of zeros after the last convolution (CIFAR-10)
OVER = 4  # the abstract: "over 4-fold energy reduction and inferencing latency speedups" (CIFAR-10, Raspberry Pi)
# What the text says of Tables I and II: where, how many times (as printed), whose ms or mJ, by CAE-Net's; which device.
TEXT = (
    ("abstract: over 4-fold faster than distilled AlexNet", "4", "alexnet-kd", PI, "ms"),
    ("abstract: over 4-fold less energy than distilled AlexNet", "4", "alexnet-kd", PI, "mj"),
    ("abstract: about 6-fold faster than AlexNet", "6", "alexnet", NANO, "ms"),
    ("section IV-D: 4x as fast as AlexNet", "4", "alexnet", PI, "ms"),
    ("section IV-D: 4.1x less energy than AlexNet", "4.1", "alexnet", PI, "mj"),
    ("section IV-D: 5.7x as fast as AlexNet", "5.7", "alexnet", NANO, "ms"),
    ("section IV-D: 6x less energy than AlexNet", "6", "alexnet", NANO, "mj"),
    ("section IV-D: 1.7x as fast as SubFlow", "1.7", "subflow-0.1", PI, "ms"),
    ("section IV-D: 1.7x as fast as AdaDeep", "1.7", "adadeep", PI, "ms"),
    ("section IV-D: 2.7x as fast as BranchyNet", "2.7", "branchynet", PI, "ms"),
    ("section IV-D: 1.8x as fast as SubFlow", "1.8", "subflow-0.1", NANO, "ms"),
    ("section IV-D: 3x as fast as AdaDeep", "3", "adadeep", NANO, "ms"),
    ("section IV-D: 2.4x as fast as BranchyNet", "2.4", "branchynet", NANO, "ms"),
)


def number(family, model, device, column):
    """What Table I or II prints, as a number in its own unit; None where it prints none."""
    text = TABLES.get(family, {}).get(SAME.get(model, model), {}).get((device, column), "-")
    return None if text == "-" else float(text)


def slo_share(base):
    """The SLO as a share of the time of a baseline, "alexnet" or "lenet", on the Raspberry Pi 4 of its table."""
    family = next(name for name, model in BASELINES.items() if model == base)
    return SLO_MS[family][PI] / number(family, base, PI, "ms")


def cells(family, model):
    """The paper's cells beside a row of ours, None where it has none; family: cifar10 or mnist; model: a key of ours.

    Milliseconds, millijoules, times the baseline's speed and energy, numbers, bytes (its MB as 10^6), shares of 1.
    """
    found = {f"paper_{name}": number(family, model, device, column) for name, device, column in (
        ("latency_ms", PI, "ms"), ("speedup", PI, "speedup"), ("energy_mj", PI, "mj"), ("energy_ratio", PI, "ratio"),
        ("nano_latency_ms", NANO, "ms"), ("nano_speedup", NANO, "speedup"), ("nano_energy_mj", NANO, "mj"),
        ("nano_energy_ratio", NANO, "ratio"), ("parameters", None, "parameters"), ("file_bytes", None, "file"),
        ("accuracy", None, "accuracy"))}
    for key, share in (("parameters", None), ("file_bytes", None), ("accuracy", 0.01)):
        if found[f"paper_{key}"] is not None:
            found[f"paper_{key}"] = round(found[f"paper_{key}"] * (share or _PRINTED[family][0]), 6)
    known = found["paper_latency_ms"] is not None
    return {**found, "paper_slo_ms": SLO_MS[family][PI] if known else None}


def contradictions():
    """[{dataset, model, device, what, printed, recomputed}] where the paper's own numbers do not give what it prints.

    A printed ratio is wrong only if no numbers that round to the printed times or energies give it, cut or rounded to
    its own digits.
    """
    rows = []
    for family, table in TABLES.items():
        base = table[BASELINES[family]]
        for model, row in table.items():
            for device in (PI, NANO):
                rows += [_checked(family, model, device, what, row[device, ratio], base[device, column],
                                  row[device, column]) for column, ratio, what in (
                    ("ms", "speedup", "speed-up"), ("mj", "ratio", "energy ratio"))]
    ours = TABLES["cifar10"]["caenet"]
    rows += [_checked("cifar10", model, device, what, printed, TABLES["cifar10"][model][device, column],
                      ours[device, column]) for what, printed, model, device, column in TEXT]
    return [row for row in rows if row]


def _checked(family, model, device, what, printed, whole, part):
    """A row where `printed` cannot be whole / part; all three as printed."""
    if "-" in (printed, whole, part):
        return None
    over, under = _range(whole), _range(part)
    unit = 10.0 ** -len(printed.partition(".")[2])
    if over[0] / under[1] < float(printed) + unit and over[1] / under[0] > float(printed) - unit:
        return None
    return {"dataset": family, "model": model, "device": device, "what": what, "printed": float(printed),
            "recomputed": float(whole) / float(part)}


def _range(text):
    """Between what numbers lies one that is rounded to this text."""
    half = 0.5 * 10.0 ** -len(text.partition(".")[2])
    return float(text) - half, float(text) + half
