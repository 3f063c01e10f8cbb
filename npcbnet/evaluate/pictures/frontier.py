"""The chart that both papers' pages have: accuracy over time of all models and thresholds."""
from npcbnet.evaluate.pictures.marks import LOOKS, floor_of, label, looks, raised, threshold
from npcbnet.evaluate.pictures.panel import Look, Panel, Series
from npcbnet.evaluate.pictures.render import write
from npcbnet.evaluate.reading import grouped, name_of, number, short, times, unit


def frontier(rows, path):
    """Accuracy over time (log axis) of all models and thresholds; the line is the frontier, hollow marks lie below.

    BranchyNet is a line over its thresholds; a row of it without one is a point, as other models are.
    """
    panels = []
    for dataset, group in grouped(rows, "dataset").items():
        name, share = unit(group)
        floor = floor_of(group)
        best = [row for row in group if row.get("on_frontier")]
        best.sort(key=lambda row: (number(row, "latency_ms") or 0, number(row, "accuracy") or 0))
        branchy = [row for row in group if row.get("model") == "branchynet" and number(row, "threshold") is not None]
        branchy.sort(key=lambda row: row["threshold"])
        others = [row for row in group if row not in branchy]
        ends = (branchy[:1], branchy[-1:])
        labelled = [row for row in branchy if row.get("on_frontier") or [row] in ends]
        series = [Series("frontier", times(best, "latency_ms", share), raised(best, floor), "step",
                         Look(colour="#000000"))]
        if branchy:
            series.append(Series("BranchyNet, all thresholds", times(branchy, "latency_ms", share),
                                 raised(branchy, floor), "line", LOOKS["branchynet"],
                                 labels=tuple(threshold(row) if row in labelled else "" for row in branchy)))
        for row, look in zip(others, looks(others)):
            look = Look(look.marker, look.dash, look.colour, hollow=not row.get("on_frontier"))
            series.append(Series(short(name_of(row)), times([row], "latency_ms", share), raised([row], floor), "points",
                                 look, labels=(label(row, floor),), legend=False))
        panels.append([Panel(tuple(series), short(dataset), f"time of one image, {name}", "accuracy", x_log=True,
                             y_percent=True, x_room=0.1)])
    return write(path, panels, [440] * len(panels))
