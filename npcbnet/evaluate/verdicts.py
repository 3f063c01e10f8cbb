"""What the judges of both papers' claims share."""
import math

from npcbnet.evaluate.reading import brief_titles_of, facts_of, number

LEAST = 0.001  # of accuracy: less is no difference, even where seeds agree


def claim(text, published, ours, holds, why):
    """A row; `why` explains what does not hold, or holds in part."""
    return {"claim": text, "paper": published, "ours": ours, "holds": holds, "why": None if holds == "yes" else why}


def span(values, form):
    """Lowest to highest of some numbers, as text."""
    low, high = (form.format(value) for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def verdict(values, good, bad):
    """yes if all values are at least `good`, no if none is above `bad`, else in part."""
    return "yes" if min(values) >= good else "no" if max(values) <= bad else "in part"


def all_or_some(held):
    """yes if all of some truths are, no if none is, else in part."""
    return "yes" if all(held) else "in part" if any(held) else "no"


def noise(report, row):
    """Standard deviation of a row's accuracy: over its seeds, or of one seed's by the number of test images."""
    spread, right = number(row, "accuracy_spread"), number(row, "accuracy")
    images = [number(one, "test") for one in facts_of(report).get("datasets") or () if isinstance(one, dict)
              and one.get("name") == row.get("dataset")]
    if spread is None and right is not None and images and images[0]:
        spread = math.sqrt(max(0.0, right * (1 - right)) / images[0])
    return max(spread or 0.0, LEAST)


class Titles:
    """What data sets are called: titles[name]."""

    def __init__(self, report):
        self.known = brief_titles_of(report)

    def __getitem__(self, name):
        return self.known.get(name) or str(name)

    def each(self, texts):
        """{data set: text} as one text."""
        return "; ".join(f"{self[name]}: {text}" for name, text in texts.items())
