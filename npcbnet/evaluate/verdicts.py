"""What the judges of both papers' claims share."""
from npcbnet.evaluate.reading import brief_titles_of


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


class Titles:
    """What data sets are called: titles[name]."""

    def __init__(self, report):
        self.known = brief_titles_of(report)

    def __getitem__(self, name):
        return self.known.get(name) or str(name)

    def each(self, texts):
        """{data set: text} as one text."""
        return "; ".join(f"{self[name]}: {text}" for name, text in texts.items())
