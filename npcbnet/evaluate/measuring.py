"""What both papers' measurements share: power with its window, and which rows are on the frontier."""
from npcbnet import energy

THIS_MACHINE = "this machine"


def power(predictor, images, scope, meter):
    """energy.Energy of `predictor` on images (N, C, H, W), one by one, for about scope.power_s seconds."""
    def call():
        for image in images:
            predictor.predict(image)

    return energy.measure(call, len(images), meter, scope.power_s)


def window(name, used):
    """A row for `windows` of an energy.Energy: when what ran, and what to know about it."""
    return {"name": name, "begin": used.begin, "end": used.end, "images": used.images, "invalid": used.invalid,
            "others": _others(used),
            "notes": [note for note in used.notes if not note.startswith("other processes")]}


def _others(used):
    """Share of the processors that other programs used while power was looked at, or None."""
    known = used.utilisation is not None and used.own_utilisation is not None
    return used.utilisation - used.own_utilisation if known else None


def different(rows):
    """Rows without those whose threshold does what one before did: the same multiply-adds, and as many right."""
    seen, kept = set(), []
    for row in rows:
        key = row["dataset"], row["model"], row["macs"], row["accuracy"]
        if row.get("threshold") is None or key not in seen:
            kept.append(row)
        seen.add(key)
    return kept


def on_frontier(rows):
    """Set on_frontier: no other row of the same data set is at least as fast and as accurate, and better in one."""
    for row in rows:
        row["on_frontier"] = not any(
            other["dataset"] == row["dataset"] and other["latency_ms"] <= row["latency_ms"]
            and other["accuracy"] >= row["accuracy"]
            and (other["latency_ms"] < row["latency_ms"] or other["accuracy"] > row["accuracy"]) for other in rows)
    return rows
