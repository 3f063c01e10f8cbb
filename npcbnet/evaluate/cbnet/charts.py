"""The charts of the CBNet paper's evaluation: each takes rows of the report and a path and writes one PNG file.

Rows are dicts as sections.py lists them; a missing number leaves its mark out.
"""
from dataclasses import replace

from npcbnet.evaluate.pictures.bars import HEAD, PAIR_PX, accuracies, listed, named, pairs_of_bars, split_bars
from npcbnet.evaluate.pictures.marks import (DATASETS, below, cycled, floor_of, label, looks, over_ratio, raised,
                                             without_far_below)
from npcbnet.evaluate.pictures.panel import LINE_PX, Look, Panel, Series
from npcbnet.evaluate.pictures.render import write
from npcbnet.evaluate.reading import grouped, name_of, number, numbers, short, times, unit

_CONTROL = "lightweight DNN, no converter"


def speedup_over_hard_share(rows, path):
    """Fig. 3: BranchyNet's speed-up over LeNet against the share of hard images; the paper's points stand alone."""
    series = []
    for look, (dataset, group) in zip(cycled(DATASETS), grouped(rows, "dataset").items()):
        measured = [row for row in group if row.get("source") != "paper" and number(row, "hard_share") is not None]
        measured.sort(key=lambda row: row["hard_share"])
        papers = [row for row in group if row.get("source") == "paper"]
        series += [Series(short(dataset), numbers(measured, "hard_share"), numbers(measured, "speedup"), "line", look),
                   Series("the paper's", numbers(papers, "hard_share"), numbers(papers, "speedup"), "points",
                          Look("*", colour=look.colour, hollow=True),
                          labels=tuple(f"paper: {short(dataset)}" for _ in papers), legend=False)]
    panel = Panel(tuple(series), x_label="share of hard images in the mix", y_label="times as fast as LeNet",
                  x_percent=True, end_labels=True, references=(("y", 1.0, "LeNet"),))
    return write(path, [[panel]], [400])


def latency_and_accuracy(rows, path):
    """Fig. 5, our models: time of one image (log axis) and accuracy, a panel a data set, a mark and a name a model."""
    panels = []
    for dataset, group in grouped(rows, "dataset").items():
        name, share = unit(group)
        floor = floor_of(group)
        series = tuple(Series(short(name_of(row)), times([row], "latency_ms", share), raised([row], floor), "points",
                              look, x_error=times([row], "latency_ms_spread", share),
                              y_error=numbers([row], "accuracy_spread") if not below(row, floor) else None,
                              labels=(label(row, floor),))
                       for row, look in zip(group, looks(group)))
        panels.append(Panel(series, short(dataset), f"time of one image, {name}", "accuracy", x_log=True,
                            y_percent=True, legend=False, x_room=0.15))
    return write(path, [panels[i:i + 2] for i in range(0, len(panels), 2)], [380] * -(-len(panels) // 2))


def beside_the_paper(rows, path):
    """Fig. 5 as bars: time with LeNet's as 1 (ours grey, the paper's hatched) and accuracy (ours filled)."""
    panels = []
    for dataset, group in grouped(rows, "dataset").items():
        name, share = unit(group)
        lenet = next((row for row in group if row.get("model") == "lenet"), {})
        bars = pairs_of_bars(
            [_with_base(number(row, "latency_ms"), number(lenet, "latency_ms"), share, name) for row in group],
            [_with_base(number(row, "paper_latency_ms"), number(lenet, "paper_latency_ms"), 1, "ms") for row in group])
        panels.append([Panel(bars, short(dataset), "time of one image, LeNet's = 1", places=named(group), x_zero=True,
                             x_room=0.3), accuracies(group)])
    return write(path, panels, [HEAD + PAIR_PX * len(row[0].places) for row in panels])


def _with_base(value, base, share, name):
    """A time with the base's as 1, and as text; None where one is missing."""
    return (value / base, f"{value * share:.3g} {name}") if base and value is not None else None


def scalability(rows, path):
    """Figs. 6 to 8: total time (log axis) and accuracy over the share of the test set, a line a model."""
    panels = []
    for dataset, group in grouped(rows, "dataset").items():
        models = list(grouped(group, "model").values())
        shown, hidden = without_far_below(models)
        totals = tuple(over_ratio(model, look, "total_s") for model, look in zip(models, looks(models)))
        accuracies = tuple(over_ratio(model, look, "accuracy") for model, look in zip(models, looks(models))
                           if model in shown)
        note = f"; far below: {', '.join(hidden[:3])}{', …' if len(hidden) > 3 else ''}" if hidden else ""
        panels += [[Panel(totals, f"{short(dataset)}: total time", "", "seconds", y_log=True, x_percent=True,
                          end_labels=True)],
                   [Panel(accuracies, "accuracy", f"share of the test set{note}", "", x_percent=True, y_percent=True,
                          end_labels=True)]]
    return write(path, panels, [330] * len(panels))


def converter_share(rows, path):
    """How much of CBNet's time its converter takes, and where it would end with the paper's share."""
    name, share = unit(rows, "total_ms")
    rows, heights, places = listed([row for row in rows
                                    if None not in (number(row, "converter_ms"), number(row, "total_ms"))])
    converter, total = times(rows, "converter_ms", share), times(rows, "total_ms", share)
    papers = tuple(None if number(row, "paper_share") is None else row["paper_share"] * whole
                   for row, whole in zip(rows, total))
    series = (*split_bars(("converter", converter), ("lightweight DNN", total), numbers(rows, "share"), heights),
              Series("end of the converter at the paper's share", papers, heights, "points", Look("D")))
    return write(path, [[Panel(series, "", f"time of one image, {name}", places=places, x_zero=True,
                               x_room=0.2)]], [120 + (LINE_PX + 4) * len(places)])


def ablations(rows, path):
    """One choice at a time: accuracy of all and of hard images, a row of panels a study; dashes: no converter.

    Titles are the studies'; a picture of one data set says in its caption which.
    """
    panels = []
    for of_dataset in grouped(rows, "dataset").values():
        bare = next((row for row in of_dataset if row.get("variant") in (_CONTROL, "lightweight")), None)
        for study, group in grouped(of_dataset, "study").items():
            places = tuple((i, short(row.get("variant")), False) for i, row in enumerate(group))
            unnamed = tuple((i, "", False) for i, *_ in places)
            panels.append([_ablation(group, bare, places, "accuracy", short(study)),
                           _ablation(group, bare, unnamed, "accuracy_hard", "hard images")])
    panels[-1:] = [[replace(panel, legend=True, x_label=text) for panel, text in zip(row, (
        "accuracy, all images", "accuracy, hard images"))] for row in panels[-1:]]
    heights = [70 + (LINE_PX + 4) * len(row[0].places) for row in panels]
    return write(path, panels, heights[:-1] + [height + 45 for height in heights[-1:]])


def _ablation(rows, bare, places, key, title):
    """A dot for each variant of a study, and its value; bare: the row without a converter, or None."""
    values = numbers(rows, key)
    texts = tuple("" if value is None else f"{100 * value:.2f} %" for value in values)
    dots = Series(title, values, tuple(range(len(rows))), "points", Look("o"), labels=texts, legend=False,
                  x_error=numbers(rows, f"{key}_spread"))
    known = bare is not None and number(bare, key) is not None
    return Panel((dots,), title, "", x_percent=True, places=places, x_room=0.25, legend=False,
                 references=(("x", bare[key], _CONTROL),) if known else ())
