"""What a run found, for programs (report.json) and for people (report.md, and a table for the terminal)."""
import dataclasses
import json
import math
import os
from pathlib import Path
from urllib.parse import quote

import numpy as np

from npcbnet import machine
from npcbnet.files import write_text

WIDEST = 120  # characters of the terminal's table
NAMES = {"lenet": "LeNet", "branchynet": "BranchyNet", "lightweight": "lightweight DNN, no converter", "cbnet": "CBNet",
         "adadeep": "AdaDeep", "subflow": "SubFlow", "balexnet": "B-AlexNet", "alexnet": "AlexNet", "caenet": "CAE-Net",
         "lenet-kd": "LeNet-KD", "lenet-wp": "LeNet-WP", "lenet-wc": "LeNet-WC", "alexnet-kd": "AlexNet-KD",
         "alexnet-wp": "AlexNet-WP", "alexnet-wc": "AlexNet-WC", "caenet-slo": "CAE-Net, pruned to the SLO",
         "caenet-search": "searched encoder, same SLO",
         "vgg16": "VGG16", "vgg16-pruned": "VGG16, pruned", "resnet50": "ResNet-50",
         "resnet50-pruned": "ResNet-50, pruned", "resnet32": "ResNet-32", "resnet18": "ResNet-18",
         "mobilenetv2": "MobileNetV2"}
BASELINES = ("lenet", "alexnet")  # what the other models of a run are compared with
CAPTIONS = {  # by the first word of a picture's file name, which a model's name may follow: exits-cbnet.png
    "loss": "Training loss and what was measured on validation data, stage by stage",
    "strips": "Hard test images (top), what the converter made of them (middle), and its targets (bottom)",
    "clusters": "One class, a row a cluster: its easiest image, which is the target of all others, and a hard one",
    "elbow": "Spread within the clusters over their number (all classes), and the elbow",
    "exits": "Entropy at BranchyNet's early exit (log scale): test images (hatched), converted (outline), T (dashed)",
}


@dataclasses.dataclass(frozen=True)
class _Column:
    """key of a row; headings in the Markdown and the plain table (None: not there); what stands in a cell; its note."""

    key: str
    heading: str
    short: str | None
    form: object
    note: str


def write_report(out, rows, facts, pictures=()):
    """Write report.json ({"rows": rows, **facts}) and report.md into the folder `out`; return their two paths.

    rows: a dict for each model, `model` and what COLUMNS names, extra keys allowed; shares in 0..1; None where there is
    no such number. facts: dataset (its title), command, seed, epochs, threshold (nats), machine (machine.describe()),
    date, versions, threads, recipe (or a list, recipes), notes (a list); each may be missing, others only go into
    report.json. pictures: paths (captions by CAPTIONS), or (path, caption) pairs. NaN and infinity become None.
    Raises UsageError where `out` cannot be written.
    """
    out, rows, facts = Path(out), clean(rows), clean(facts)
    text = json.dumps({"rows": rows, **facts}, indent=2, allow_nan=False, ensure_ascii=False)
    write_text(out / "report.json", text + "\n")
    write_text(out / "report.md", _markdown(out, rows, facts, pictures))
    return out / "report.json", out / "report.md"


def clean(value):
    """value in strict JSON's types: NumPy numbers and arrays, tuples, paths converted; NaN and infinity are None."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, dict):
        return {str(key): clean(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [clean(entry) for entry in value]
    return str(value).encode("utf-8", "replace").decode()  # a file's name need not be UTF-8


def markdown_table(rows, facts=None):
    """The Markdown table of `rows`; facts' threshold and recipe, where given, become part of the models' names."""
    rows = clean(rows)
    columns, unit = _columns(rows), _unit(rows)
    lines = ["| model | " + " | ".join(_heading(column.heading, rows) for column in columns) + " |",
             "| --- |" + " ---: |" * len(columns)]
    for row in rows:
        cells = [_cell(column, row, rows, unit) or "–" for column in columns]
        lines.append("| " + " | ".join([_escaped(model_name(row, facts)), *cells]) + " |")
    return "\n".join(lines)


def text_table(rows, facts=None):
    """The table for a terminal, aligned, at most 120 characters wide: names are cut before numbers are."""
    rows = clean(rows)
    columns, unit = [column for column in _columns(rows) if column.short], _unit(rows)
    numbers = [[_heading(column.short, rows) for column in columns]]
    numbers += [[_cell(column, row, rows, unit) or "-" for column in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(*numbers)]
    names = ["model", *(model_name(row, facts) for row in rows)]
    room = min(max(map(len, names)), max(12, WIDEST - sum(widths) - 2 * len(widths)))
    names = [name if len(name) <= room else name[:room - 3] + "..." for name in names]
    lines = ["  ".join([name.ljust(room), *(cell.rjust(width) for cell, width in zip(cells, widths))]).rstrip()
             for name, cells in zip(names, numbers)]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def model_name(row, facts=None):
    """What a row's model is called in a table: {"model": "cbnet-table1"} -> "CBNet (table1)"."""
    known = {**(facts or {}), **row}
    key = str(row.get("model", ""))
    kind, _, recipe = key.partition("-")
    if key in NAMES and recipe:
        return NAMES[key]
    if kind == "branchynet" and not recipe:
        threshold = known.get("threshold")
        return f"BranchyNet at T = {threshold:.3g}" if isinstance(threshold, int | float) else "BranchyNet at T"
    thresholds = row.get("thresholds")
    if isinstance(thresholds, list) and not recipe:
        return f"{NAMES.get(kind, kind)} at T = " + ", ".join(
            "∞" if threshold is None else f"{threshold:.3g}" for threshold in thresholds)
    if kind == "cbnet":
        recipe = recipe or known.get("recipe")
        recipe = f"{recipe}, not the paper's" if recipe == "residual" else recipe
    name = NAMES.get(kind, kind)
    if kind == "subflow" and recipe.replace(".", "", 1).isdecimal():  # its utilisation
        return f"{name} at {100 * float(recipe):g} %"
    return f"{name} ({recipe})" if recipe else name


def _percent(row, key, baseline, unit):
    return f"{100 * row[key]:.2f}"


def _percents(row, key, baseline, unit):
    return " / ".join(f"{100 * share:.1f}" for share in row[key])


def _whole(row, key, baseline, unit):
    return f"{row[key]:,.0f}"


def _kilobytes(row, key, baseline, unit):
    return f"{row[key] / 1000:,.1f}"


def _time(row, key, baseline, unit):
    value = row[key] * unit[1]
    return f"{value:,.0f}" if value >= 99.95 else f"{value:#.3g}"


def _times_baseline(row, key, baseline, unit):
    """How many times less than the baseline's."""
    return f"{baseline[key] / row[key]:.2f}×" if row[key] and baseline.get(key) else None


COLUMNS = (
    _Column("accuracy", "accuracy %", "acc %", _percent, "of all test images"),
    _Column("accuracy_easy", "easy %", "easy %", _percent,
            "accuracy on the easy test images: those that leave BranchyNet at its early exit (entropy below T)"),
    _Column("accuracy_hard", "hard %", "hard %", _percent, "accuracy on the hard test images: all others"),
    _Column("exit_rate", "early exits %", "exits %", _percent,
            "test images whose entropy at the early exit is below T"),
    _Column("exit_rate_converted", "early exits, converted %", "conv. %", _percent,
            "the same, once the converter has made easy images of them"),
    _Column("exit_rates", "taken exits %", "exits %", _percents,
            "of a net with several early exits: test images that take each exit, from the first to the last"),
    _Column("macs", "MACs", "MACs", _whole,
            "multiply-adds an image; with early exits the mean over the test images: one that leaves skips the rest"),
    _Column("macs", "fewer than {baseline}", None, _times_baseline,
            "{baseline}'s multiply-adds divided by this model's"),
    _Column("parameters", "parameters", "params", _whole, "trained numbers"),
    _Column("bytes", "kB", "kB", _kilobytes, "size, in thousands of bytes"),
    _Column("latency_ms", "latency {unit}", "{unit}", _time,
            "time of `predict` for one image, alone (batch 1), with the exits it takes"),
    _Column("latency_p95_ms", "95 % {unit}", None, _time, "95 of 100 calls take no longer"),
    _Column("latency_first_ms", "first {unit}", None, _time,
            "the first call in the process that measured; what was compiled by then is not compiled again"),
    _Column("latency_ms", "faster than {baseline}", "speed", _times_baseline,
            "{baseline}'s latency divided by this model's"),
)


def _columns(rows):
    """Those COLUMNS in which at least one row has a number to show."""
    unit = _unit(rows)
    return [column for column in COLUMNS if any(_cell(column, row, rows, unit) for row in rows)]


def _cell(column, row, rows, unit):
    """A cell's text, or None where the row has no such number."""
    if not isinstance(row.get(column.key), list if column.form is _percents else int | float):
        return None
    return column.form(row, column.key, _baseline(rows), unit)


def _baseline(rows):
    """The row of the model that the others are compared with; an empty one where there is none."""
    return next((row for row in rows if row.get("model") in BASELINES), {})


def _heading(text, rows):
    """A column's heading or note with the unit of times and the baseline's name."""
    return text.format(unit=_unit(rows)[0], baseline=NAMES[_baseline(rows).get("model", "lenet")])


def _unit(rows):
    """The unit of all times of a table and its share of a millisecond: µs unless the slowest model takes 10 ms."""
    times = [row["latency_ms"] for row in rows if isinstance(row.get("latency_ms"), int | float)]
    return ("ms", 1) if max(times, default=0) >= 10 else ("µs", 1000)


def _escaped(text):
    """Text that cannot break a Markdown line or table cell."""
    return " ".join(str(text).replace("\\", "\\\\").replace("|", "\\|").split())


def _markdown(out, rows, facts, pictures):
    """The text of report.md."""
    parts = [f"# npcbnet on {_escaped(facts.get('dataset') or 'images')}", _in_words(facts)]
    if facts.get("command"):
        parts.append(f"```\n{facts['command']}\n```")
    parts.append(markdown_table(rows, facts))
    notes = [f"**{_heading(column.heading, rows)}**: {_heading(column.note, rows)}." for column in _columns(rows)]
    notes += [_escaped(note) for note in facts.get("notes") or ()]
    parts.append("\n".join(f"- {note}" for note in notes))
    for picture in pictures:
        path, caption = picture if isinstance(picture, tuple | list) else (picture, _caption(picture, facts))
        link = quote(os.fsencode(Path(os.path.relpath(path, out)).as_posix()))
        parts.append(f"![{clean(_escaped(caption))}]({link})\n\n*{clean(_escaped(caption))}*")
    return "\n\n".join(part for part in parts if part) + "\n"


def _caption(path, facts):
    """What a picture shows, by its file's name."""
    kind, _, model = Path(path).stem.partition("-")
    if kind not in CAPTIONS:
        return Path(path).stem
    return f"{model_name({'model': model}, facts)}. {CAPTIONS[kind]}" if model else CAPTIONS[kind]


def _in_words(facts):
    """The facts as one paragraph."""
    described = facts.get("machine") or {}
    versions = facts.get("versions") or (described.get("versions") if isinstance(described, dict) else None) or {}
    date = facts.get("date") or (described.get("date") if isinstance(described, dict) else None)
    computer = machine.in_words(described) if isinstance(described, dict) else str(described)
    threshold = facts.get("threshold")
    recipes = facts.get("recipe") or ", ".join(facts.get("recipes") or ())
    parts = [f"Recipe {recipes}" if recipes else None,
             f"seed {facts['seed']}" if facts.get("seed") is not None else None,
             f"epochs {_listed(facts['epochs'])}" if facts.get("epochs") is not None else None,
             f"threads {facts['threads']}" if facts.get("threads") is not None else None,
             f"threshold T = {threshold:.4g} nats" if isinstance(threshold, int | float) else None]
    first = ", ".join(part for part in parts if part)
    sentences = [first[:1].upper() + first[1:], f"Measured on {computer}" if computer else None,
                 f"Versions: {_listed(versions)}" if versions else None, f"Date: {date}" if date else None]
    return _escaped(" ".join(f"{sentence}." for sentence in sentences if sentence))


def _listed(value):
    """{"a": 1, "b": 2} -> "a 1, b 2"; anything else as it is."""
    return ", ".join(f"{key} {entry}" for key, entry in value.items()) if isinstance(value, dict) else str(value)
