"""Parts of charts in which each row of a report has a line of its own, with its name on the left."""
from npcbnet.evaluate.pictures.marks import below, floor_of, raised
from npcbnet.evaluate.pictures.panel import Look, Panel, Series
from npcbnet.evaluate.reading import grouped, name_of, number, numbers, short

HEAD, PAIR_PX = 110, 36  # px: of a panel's title, axis and legend; of a line of two bars
_OURS, _PAPERS = Look(colour="#9a9a9a"), Look(colour="#ffffff", hatch="////")
_FIRST, _SECOND = Look(colour="#ffffff", hatch="////"), Look(colour="#bdbdbd")


def named(rows, key=None):
    """The places of rows: the models' names, or what stands in `key`."""
    return tuple((i, short(name_of(row) if key is None else row.get(key)), False) for i, row in enumerate(rows))


def unnamed(rows):
    """The places of rows whose names stand in the panel to the left."""
    return tuple((i, "", False) for i in range(len(rows)))


def listed(rows):
    """(rows, heights, places) with the data sets as headings over their rows."""
    places, heights, y = [], [], 0
    for dataset, group in grouped(rows, "dataset").items():
        places.append((y, short(dataset), True))
        for row in group:
            y += 1
            heights.append(y)
            places.append((y, short(name_of(row)), False))
        y += 1
    return [row for group in grouped(rows, "dataset").values() for row in group], tuple(heights), tuple(places)


def pairs_of_bars(ours, papers, heights=None, left=None):
    """Series of two bars a row, ours grey and the paper's hatched; each (length, text) or None. left: where all begin.

    heights: of the rows (default: 0, 1, 2, ...).
    """
    made = []
    for name, entries, look, shift in (("ours", ours, _OURS, -0.2), ("the paper's", papers, _PAPERS, 0.2)):
        known = [(y + shift, *entry) for y, entry in zip(heights or range(len(entries)), entries) if entry]
        if known:
            ys, values, texts = zip(*known)
            made.append(Series(name, values, ys, "bars", look, labels=texts, height=0.36,
                               left=None if left is None else (left,) * len(known)))
    return tuple(made)


def split_bars(first, whole, shares, heights):
    """Series of bars of two parts: first (name, ends) hatched, whole (the second's name, ends) grey; shares as text."""
    return (Series(*first, heights, "bars", _FIRST),
            Series(*whole, heights, "bars", _SECOND, left=first[1],
                   labels=tuple("" if share is None else f"{first[0]} {100 * share:.0f} %" for share in shares)))


def accuracies(rows, title=""):
    """A panel with a dot for each row's accuracy, and a diamond for the paper's."""
    heights, papers = tuple(range(len(rows))), numbers(rows, "paper_accuracy")
    floor = floor_of(rows)
    if floor is not None and any(value is not None and value < floor for value in papers):
        floor = None  # the axis goes down there anyway
    dots = [Series("ours", raised(rows, floor), heights, "points", Look("o"),
                   x_error=tuple(None if below(row, floor) else number(row, "accuracy_spread") for row in rows),
                   labels=tuple(f"↓ {100 * row['accuracy']:.1f} %" if below(row, floor) else "" for row in rows))]
    dots += [Series("the paper's", papers, heights, "points", Look("D", hollow=True))] if any(papers) else []
    return Panel(tuple(dots), title, "accuracy", x_percent=True, places=unnamed(rows))
