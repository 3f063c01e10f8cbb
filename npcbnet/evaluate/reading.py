"""How a report is read: data sets' and models' names, numbers of its rows, units, rows of a kind."""
import math

from npcbnet.report import model_name


def facts_of(report):
    """The report's facts; none where they are no dict."""
    return report["facts"] if isinstance(report.get("facts"), dict) else {}


def titles_of(report):
    """{data set: its title} of a report."""
    return {row.get("name"): row.get("title") for row in facts_of(report).get("datasets") or ()
            if isinstance(row, dict)}


def brief_titles_of(report):
    """The same, short: without what stands in parentheses, unless another data set is called that, too."""
    whole = titles_of(report)
    cut = {name: str(title or "").partition(" (")[0].strip() or title for name, title in whole.items()}
    return {name: title if list(cut.values()).count(title) == 1 else whole[name] for name, title in cut.items()}


def titled(report, titles=None):
    """The report with data sets called by their titles in all rows; titles {data set: title}: titles_of, by default."""
    titles = titles_of(report) if titles is None else titles
    return {key: [{**row, "dataset": titles.get(row["dataset"]) or row["dataset"]}
                  if isinstance(row, dict) and row.get("dataset") is not None else row for row in rows]
            if isinstance(rows, list) else rows for key, rows in report.items()}


def name_of(row):
    """What a model is called in tables and charts."""
    if row.get("model") == "branchynet" and row.get("threshold") is None:
        return "BranchyNet"
    return model_name(row)


def grouped(rows, *keys):
    """{value, or tuple of values: rows}, in the order of the rows."""
    groups = {}
    for row in rows:
        groups.setdefault(row.get(keys[0]) if len(keys) == 1 else tuple(row.get(key) for key in keys), []).append(row)
    return groups


def number(row, key):
    """A row's finite number, or None."""
    value = row.get(key)
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if known else None


def numbers(rows, key):
    """The rows' numbers, None where there is none."""
    return tuple(number(row, key) for row in rows)


def times(rows, key, share):
    """The rows' times in ms, times `share`."""
    return tuple(None if value is None else value * share for value in numbers(rows, key))


def unit(rows, key="latency_ms"):
    """The unit for times in ms and its share of one: µs unless the longest takes 10 ms."""
    longest = max((number(row, key) or 0 for row in rows), default=0)
    return ("ms", 1) if longest >= 10 else ("µs", 1000)


def short(text):
    """A text for a chart: one line of at most 40 letters."""
    text = " ".join(str(text).split())
    return text if len(text) <= 40 else text[:39] + "…"
