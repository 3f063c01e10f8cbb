"""The evaluation's result as three files: report.json, report.md and a self-contained report.html."""
import json
import math
from pathlib import Path

from npcbnet import machine
from npcbnet.evaluate.page.markup import Caution, Code, Heading, Items, Picture, Table, Text, markdown, page
from npcbnet.evaluate.reading import facts_of, grouped, name_of, number, titled
from npcbnet.files import write_text
from npcbnet.report import clean

_DASH = "–"
_TIMES = ("latency_ms", "total_ms")  # the times whose largest chooses the unit of a section's tables


def write(out, report, edition, pictures=None):
    """Write report.json, report.md and report.html into the folder `out`; return their three paths.

    report: {"facts": {"paper": "cbnet" or "caenet", ...}, "table1": [rows], ...}. edition: the paper's sections.py: its
    TITLE, its INTRODUCTION, and its sections(report), whose columns are shown; all others go only into report.json. A
    value K with a number in K_spread is shown as mean ± spread; None, NaN and infinity are a dash; sections without
    rows are left out.
    pictures: {section: [(path of a PNG file, caption)]}.
    Raises UsageError where `out` cannot be written or a picture cannot be read.
    """
    out, report = Path(out), clean(report)
    blocks = blocks_of(report, edition, pictures or {})
    texts = {"report.json": json.dumps(report, indent=1, allow_nan=False, ensure_ascii=False) + "\n",
             "report.md": markdown(blocks, out), "report.html": page(blocks, edition.TITLE)}
    for name, text in texts.items():
        write_text(out / name, text)
    return tuple(out / name for name in texts)


def blocks_of(report, edition, pictures):
    """The page's blocks."""
    report = titled(report)
    blocks = head(report, edition)
    for section in edition.sections(report):
        rows = section.rows(report)
        blocks += [Heading(section.title, 2, section.key), Text(section.text)]
        blocks += [Picture(Path(path), caption) for path, caption in pictures.get(section.key) or ()]
        unit = unit_of(rows)
        columns = [column for column in section.columns if any(row.get(column.key) not in (None, "") for row in rows)]
        split = section.split and any(row.get("dataset") is not None for row in rows)
        for dataset, group in (grouped(rows, "dataset") if split else {None: rows}).items():
            blocks += [Heading(str(dataset), 3)] if split else []
            blocks.append(table(columns, group, unit))
        notes = [(column.heading.format(unit=unit[0]), f"{column.note}.") for column in columns if column.note]
        blocks += [Items(tuple(notes))] if notes else []
    return blocks


def head(report, edition):
    """What was run, where and with what; warnings first."""
    facts = facts_of(report)
    computer = facts.get("machine")
    described = computer if isinstance(computer, dict) else {}
    versions = facts.get("versions") or described.get("versions")
    blocks = [Heading(edition.TITLE, 1), Text(edition.INTRODUCTION)]
    if facts.get("quick"):
        blocks.append(Caution("this was a quick run on small samples: its figures show that all of it works, no more."))
    blocks += [Caution(text) for text in invalid(report)]
    if facts.get("command"):
        blocks.append(Code(str(facts["command"])))
    items = [("Machine", machine.in_words(described) if described else computer), ("Versions", _listed(versions)),
             ("Date", facts.get("date") or described.get("date")), ("Seeds", _listed(facts.get("seeds"))),
             ("Threads", facts.get("threads"))]
    blocks.append(Items(tuple((term, str(text)) for term, text in items if text not in (None, ""))))
    datasets = [entry for entry in facts.get("datasets") or () if isinstance(entry, dict)]
    if datasets:
        keys = ("train", "validation", "test")
        rows = tuple((str(entry.get("title") or entry.get("name")), *(_written(entry.get(key), "whole", None)
                                                                      for key in keys)) for entry in datasets)
        blocks.append(Table(("data set", *(f"{key} images" for key in keys)), (False, True, True, True), rows))
    notes = facts.get("notes") or ()
    blocks.append(Items(tuple(("", str(note)) for note in ([notes] if isinstance(notes, str) else notes))))
    return [block for block in blocks if not isinstance(block, Items) or block.entries]


def invalid(report):
    """One sentence for each row whose energy does not count."""
    tables = [rows for key, rows in report.items() if key.startswith("table") and isinstance(rows, list)]
    for row in (row for rows in tables for row in rows):
        if isinstance(row, dict) and row.get("invalid"):
            where = ", ".join(str(part) for part in (row.get("dataset"), name_of(row), row.get("device")) if part)
            yield f"the energy of {where} does not count: {str(row['invalid']).rstrip('.')}."


def unit_of(rows):
    """The unit of all times of a section and its share of a ms: µs unless the slowest of ours takes 10 ms."""
    longest = max((number(row, key) or 0 for row in rows for key in _TIMES), default=0)
    return ("ms", 1) if longest >= 10 else ("µs", 1000)


def table(columns, rows, unit):
    """A Table of the columns, one row each."""
    cells = tuple(tuple(cell(column, row, unit) for column in columns) for row in rows)
    sums = tuple("layer" in row and "macs" in row and str(row["layer"] or "total").lower() in ("total", "sum", "all")
                 for row in rows)
    return Table(tuple(column.heading.format(unit=unit[0]) for column in columns),
                 tuple(column.form not in ("text", "name", "truth") for column in columns), cells, sums)


def cell(column, row, unit):
    """What stands in a table for a row: a dash for what is missing, "mean ± spread" where there is a spread."""
    if column.form == "name":
        return name_of(row)
    value = row.get(column.key)
    spread = number(row, f"{column.key}_spread")
    if spread is None or number(row, column.key) is None or column.form in ("text", "truth"):
        return _written(value, column.form, unit)
    return f"{_written(value, column.form, unit, spread)} ± {_written(spread, column.form, unit, value)}"


def _written(value, form, unit, beside=None):
    """One value; beside: its spread, or the mean whose spread it is: both have as many digits after their points."""
    if value is None or value == "":
        return _DASH
    if form == "truth" or isinstance(value, bool):
        return {True: "yes", False: "no"}.get(value, str(value))
    if form == "text" or not isinstance(value, int | float):
        return str(value)
    if form in ("time", "kilobytes", "percent"):
        share = {"time": unit[1] if unit else 1, "kilobytes": 1e-3, "percent": 100}[form]
        value, beside = share * value, None if beside is None else share * beside
    if form == "percent":
        return f"{value:.2f}"
    if form == "printed":
        return f"{value:,.6g}"
    if form == "whole":
        return f"{value:,.0f}"
    if form == "times":
        return f"{value:.2f}×"
    if beside is None:
        return f"{value:,.{_digits(value)}f}"
    mean, spread = max(abs(value), abs(beside)), min(abs(value), abs(beside))
    return f"{value:,.{max(_digits(mean), min(_first(spread), _digits(mean) + 2))}f}"


def _digits(value):
    """Digits after the point that leave three in all, at most six."""
    size = abs(value)
    return next((digits for digits, least in enumerate((99.95, 9.995, 0.9995, 0.09995, 0.009995, 0.0009995))
                 if size >= least), 0 if size == 0 else 6)


def _first(value):
    """Digits after the point up to the first that is not 0."""
    return max(0, math.ceil(-math.log10(value) - 1e-9)) if value > 0 else 0


def _listed(value):
    """{"a": 1} -> "a 1", [1, 2] -> "1, 2"; None for what is not there."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {entry}" for key, entry in value.items() if entry is not None)
    return ", ".join(map(str, value)) if isinstance(value, list) else value
