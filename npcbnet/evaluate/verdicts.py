"""What the judges of both papers' claims share."""


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
