"""The charts of the CAE-Net paper's evaluation: each takes rows of the report and a path and writes one PNG file.

Rows are dicts as sections.py lists them; a missing number leaves its mark out.
"""
from npcbnet.evaluate.pictures.bars import HEAD, PAIR_PX, accuracies, listed, named, pairs_of_bars, split_bars, unnamed
from npcbnet.evaluate.pictures.marks import floor_of, raised
from npcbnet.evaluate.pictures.panel import LINE_PX, Look, Panel, Series
from npcbnet.evaluate.pictures.render import write
from npcbnet.evaluate.reading import grouped, number, numbers, short, times, unit

_MET, _MISSED = Look("o", (3, 3), "#000000"), Look("o", (3, 3), "#000000", hollow=True)
_WAY = Look("", (3, 3), "#777777")
_ROUNDS = (Look("o", colour="#9a9a9a", hollow=True), Look("s", colour="#555555", hollow=True),
           Look("^", colour="#1f5fae", hollow=True), Look("D", colour="#b3261e", hollow=True))


def time_by_slo(rows, path):
    """Fig. 1: times by the SLO (log axis; left of 1 meets it), ours and the paper's each by its own, and accuracy."""
    panels = []
    for dataset, group in grouped(rows, "dataset").items():
        bars = pairs_of_bars([_by_slo(row, "latency_ms", "slo_ms") for row in group],
                             [_by_slo(row, "paper_latency_ms", "paper_slo_ms") for row in group], left=1)
        if bars:
            panels.append([Panel(bars, short(dataset), "time of one image, SLO = 1", places=named(group), x_log=True,
                                 x_room=0.2, references=(("x", 1, "SLO"),)), accuracies(group)])
    return write(path, panels, _heights(panels))


def _by_slo(row, key, slo):
    """(time with the SLO as 1, the time as text), or None."""
    time, limit = number(row, key), number(row, slo)
    if not time or not limit or time < 0 or limit < 0:
        return None
    digits = 4 if key.startswith("paper") else 3  # as the paper prints them
    return time / limit, f"{time:.{digits}g} ms" if time >= 0.1 else f"{1000 * time:.{digits}g} µs"


def _heights(panels):
    """px of rows of panels with two bars a line."""
    return [HEAD + PAIR_PX * len(row[0].places) for row in panels]


def encoder_and_head(rows, path):
    """Fig. 5: time and energy of CAE-Net's encoder (hatched) and of the head behind it (grey)."""
    panels = []
    for dataset, group in grouped(rows, "dataset").items():
        name, share = unit(group)
        models = {key: {row.get("part"): row for row in parts} for key, parts in grouped(group, "model").items()}
        models = [{**parts["encoder"], "head": parts["head"]} for parts in models.values()
                  if {"encoder", "head"} <= set(parts)]
        panels.append([_split(models, "latency_ms", share, short(dataset), f"time of one image, {name}", named(models)),
                       _split(models, "energy_mj", 1, "", "energy of one image, mJ", unnamed(models))])
    return write(path, panels, [HEAD + LINE_PX * len(row[0].places) for row in panels])


def _split(models, key, share, title, label, places):
    """A panel of bars of two parts."""
    heads = [row["head"] for row in models]
    encoder = times(models, key, share)
    whole = tuple(None if None in pair else sum(pair) for pair in zip(encoder, times(heads, key, share)))
    parts = [part / end if end else None for part, end in zip(encoder, whole)]
    bars = split_bars(("encoder", encoder), ("classifier", whole), parts, tuple(range(len(models))))
    return Panel(bars, title, label, places=places, x_zero=True, x_room=0.45)


def clustering(rows, path):
    """The converter's loss and the accuracy that it leads to, for each way to choose targets."""
    panels, rows = [], [row for row in rows if number(row, "reconstruction_loss") is not None]
    for dataset, group in grouped(rows, "dataset").items():
        bars = pairs_of_bars([_with_text(row, "reconstruction_loss") for row in group],
                             [_with_text(row, "paper_loss") for row in group])
        panels.append([Panel(bars, short(dataset), "loss of the converter, training images", x_zero=True, x_room=0.25,
                             places=named([{"name": _method(row)} for row in group], "name")), accuracies(group)])
    return write(path, panels, _heights(panels))


def _with_text(row, key):
    """(number, number as text), or None."""
    value = number(row, key)
    return None if value is None else (value, f"{value:.3g}")


def _method(row):
    """A way to cluster, in few words, and its number of clusters where there is more than one."""
    count = number(row, "clusters")
    more = f", {count:.3g} a class" if count is not None and count > 1 else ""
    return str(row.get("method")).removeprefix("no clustering: ") + more


def transfer(rows, path):
    """Accuracy of each way to come to a classifier, ours and the paper's."""
    panels = []
    for dataset, group in grouped(rows, "dataset").items():
        ours, papers, heights = numbers(group, "accuracy"), numbers(group, "paper_accuracy"), tuple(range(len(group)))
        errors = numbers(group, "accuracy_spread")
        ends = tuple(max(((value or 0) + (error or 0), paper or 0)) or None
                     for value, error, paper in zip(ours, errors, papers))
        texts = tuple(" " + ", ".join(f"{who}{100 * value:.2f} %" for who, value in zip(("", "paper "), pair)
                                if value is not None) for pair in zip(ours, papers))
        dots = [Series("ours", ours, heights, "points", Look("o"), x_error=errors)]
        if any(papers):
            dots.append(Series("the paper's", papers, heights, "points", Look("D", hollow=True)))
        panels.append([Panel((*dots, Series("", ends, heights, "points", Look(""), labels=texts, legend=False)),
                             short(dataset), "accuracy", x_percent=True, x_room=0.4, places=named(group, "variant"))])
    return write(path, panels, [HEAD + (LINE_PX + 8) * len(row[0].places) for row in panels])


def dead(rows, path):
    """Shares of zeros after the last convolution, ours and the paper's."""
    rows, heights, places = listed(rows)
    bars = pairs_of_bars(*([_share(row, key) for row in rows] for key in ("share", "paper_share")), heights)
    return write(path, [[Panel(bars, "", "zeros among the outputs of the last convolution", places=places,
                               x_percent=True, x_zero=True, x_room=0.15)]], [HEAD + PAIR_PX * len(places)])


def _share(row, key):
    value = number(row, key)
    return None if value is None else (value, f"{100 * value:.3g} %")


def slo(rows, path):
    """Pruning to the SLO: accuracy over time, step by step; filled marks meet the SLO, the dashed line."""
    panels = []
    for dataset, group in grouped(rows, "dataset").items():
        name, share = unit(group)
        series = [Series("", times(group, "latency_ms", share), numbers(group, "accuracy"), "line", _WAY, legend=False)]
        for meets, called, look in ((True, "meets the SLO", _MET), (False, "misses it", _MISSED)):
            some = [row for row in group if bool(row.get("meets")) == meets]
            series.append(Series(called, times(some, "latency_ms", share), numbers(some, "accuracy"), "points", look,
                                 labels=tuple(map(_step, some))))
        panels.append(Panel(tuple(series), short(dataset), f"time of one image, {name}", "accuracy, validation",
                            y_percent=True, x_room=0.12, references=_limit(group, share, name)))
    return write(path, [panels[i:i + 2] for i in range(0, len(panels), 2)], [400] * -(-len(panels) // 2))


def _step(row):
    """A step of the loop."""
    return short(", ".join(str(row[key]) for key in ("step", "way") if row.get(key) is not None))


def _limit(rows, share, name):
    """The SLO as a line."""
    limits = [value for value in numbers(rows, "slo_ms") if value is not None and value > 0]
    return (("x", limits[0] * share, f"SLO: {limits[0] * share:.3g} {name}"),) if limits else ()


def search(rows, path):
    """The search's candidates: accuracy over time (log axis), a mark a round; the chosen one has its name."""
    panels = []
    for dataset, group in grouped(rows, "dataset").items():
        name, share = unit(group)
        floor, series = floor_of(group), []
        for look, (stage, some) in zip(_ROUNDS * len(group), grouped(
                [row for row in group if not row.get("chosen")], "round").items()):
            series.append(Series(f"round: {short(stage)[:16]}", times(some, "latency_ms", share), raised(some, floor),
                                 "points", look))
        chosen = [row for row in group if row.get("chosen")]
        series.append(Series("chosen", times(chosen, "latency_ms", share), raised(chosen, floor), "points", Look("*"),
                             labels=tuple(short(row.get("architecture")) for row in chosen)))
        note = "" if floor is None else "; worse ones stand at the bottom"
        panels.append([Panel(tuple(series), short(dataset), f"time of one image, {name}{note}", "accuracy, validation",
                             x_log=True, y_percent=True, references=_limit(group, share, name))])
    return write(path, panels, [420] * len(panels))
