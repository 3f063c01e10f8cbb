"""What charts share: a model's mark and text, and what lies too low to be shown at its place."""
from itertools import cycle

import numpy as np

from npcbnet.evaluate.pictures.panel import Look, Series
from npcbnet.evaluate.reading import name_of, number, numbers, short

LOOKS = {
    "lenet": Look("s", (1, 0), "#000000"), "branchynet": Look("o", (7, 3), "#b3261e"),
    "lightweight": Look("D", (2, 3), "#1f5fae"), "cbnet-fast": Look("^", (1, 0), "#2e7d32"),
    "cbnet-table1": Look("v", (10, 3, 2, 3), "#7b3fa0"), "cbnet-residual": Look(">", (4, 2), "#8a5a00"),
    "cbnet-paper": Look("<", (2, 3), "#555555"), "adadeep": Look("P", (12, 3), "#00707a"),
    "subflow": Look("X", (5, 2, 1, 2), "#a03060"),
    "alexnet": Look("s", (1, 0), "#000000"), "caenet": Look("*", (1, 0), "#2e7d32"),
    "caenet-slo": Look("v", (1, 0), "#2e7d32"), "caenet-fast": Look("^", (1, 0), "#2e7d32"),
    "caenet-transfer": Look(">", (4, 2), "#1f5fae"), "caenet-scratch": Look("<", (2, 3), "#8a5a00"),
    "caenet-random": Look("X", (2, 2), "#555555", hollow=True), "caenet-search": Look("P", (4, 2), "#7b3fa0"),
    **{f"{name}-{how}": look for name in ("lenet", "alexnet") for how, look in (
        ("kd", Look("p", (6, 2), "#7b3fa0")), ("wp", Look("h", (3, 2), "#a03060")),
        ("wc", Look("d", (8, 2, 2, 2), "#00707a")))},
    **{name: Look(marker, (2 + i, 4), "#444444", hollow=True) for i, (name, marker) in enumerate((
        ("vgg16", "p"), ("resnet50", "h"), ("resnet32", "d"), ("resnet18", "P"), ("mobilenetv2", "*")))},
}
_OTHERS = (Look("*", (1, 0), "#333333"), Look("o", (3, 3), "#333333", hollow=True),
           Look("s", (6, 3), "#333333", hollow=True), Look("^", (1, 3), "#333333", hollow=True),
           Look("D", (9, 2), "#333333", hollow=True))
DATASETS = (Look("o", (1, 0), "#000000"), Look("s", (7, 3), "#b3261e"), Look("^", (2, 3), "#1f5fae"),
             Look("D", (9, 3, 2, 3), "#2e7d32"))


def cycled(entries):
    """The entries, again and again."""
    return cycle(entries)


def looks(rows):
    """A Look for each row, or for each list of rows, by its model: the same in every chart where the model is known."""
    found, others, used = [], cycle(_OTHERS), {}
    for row in rows:
        model = str((row[0] if isinstance(row, list) else row).get("model"))
        kind = model if model in LOOKS else model.partition("-")[0]
        if kind not in LOOKS:
            found.append(next(others))
            continue
        base = LOOKS[kind]
        again = used[kind] = used.get(kind, -1) + 1  # SubFlow at another utilisation: hollow, other dashes
        found.append(base if not again else
                     Look(base.marker, (base.dash[0] + again, 2 + again), base.colour, hollow=again % 2 == 1))
    return found


def floor_of(rows):
    """The accuracy under which a model lies so far below the others that it would flatten them, or None."""
    known = [value for value in numbers(rows, "accuracy") if value is not None]
    if len(known) < 4:
        return None
    floor = max(known) - max(3 * (max(known) - float(np.median(known))), 0.02)
    return floor if min(known) < floor - 0.01 else None


def below(row, floor):
    """Does the row's accuracy lie under the floor?"""
    return floor is not None and number(row, "accuracy") is not None and row["accuracy"] < floor


def raised(rows, floor):
    """The rows' accuracies, those below the floor as the floor."""
    return tuple(floor if below(row, floor) else number(row, "accuracy") for row in rows)


def label(row, floor):
    """The model's name, with its accuracy where its mark had to be raised."""
    return short(name_of(row)) + (f" ↓ {100 * row['accuracy']:.1f} %" if below(row, floor) else "")


def threshold(row):
    """A short text for BranchyNet's threshold."""
    value = number(row, "threshold")
    return "BranchyNet" if value is None else f"T = {value:.3g}"


def over_ratio(rows, look, key):
    """The line of one model over the share of the test set, with its spread."""
    rows = sorted((row for row in rows if number(row, "ratio") is not None), key=lambda row: row["ratio"])
    return Series(short(name_of(rows[0])) if rows else "", numbers(rows, "ratio"), numbers(rows, key), "line", look,
                  y_error=numbers(rows, f"{key}_spread"))


def without_far_below(models):
    """Lists of rows, one a model -> those not far below the others, and the names and accuracies of the rest."""
    lasts = [model[-1] for model in models]
    floor = floor_of(lasts)
    return ([model for model, last in zip(models, lasts) if not below(last, floor)],
            [f"{short(name_of(last))} {100 * last['accuracy']:.1f} %" for last in lasts if below(last, floor)])
