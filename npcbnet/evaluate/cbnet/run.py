"""The CBNet paper's evaluation from beginning to end: train what is missing, measure, make rows, write a report."""
from pathlib import Path

from npcbnet.evaluate.cbnet import ablations, claims, elsewhere, figures, gallery, paper, scaling, sections
from npcbnet.evaluate.cbnet.measured import Measured, energies, shares_of
from npcbnet.evaluate.cbnet.trained import train
from npcbnet.evaluate.facts import energy_notes, facts_of
from npcbnet.evaluate.measuring import THIS_MACHINE, on_frontier
from npcbnet.evaluate.options import at_hand
from npcbnet.evaluate.page import document
from npcbnet.evaluate.pictures.draw import draw
from npcbnet.evaluate.pooled import pooled
from npcbnet.files import check_folder
from npcbnet.progress import say
from npcbnet.report import model_name, text_table

DATASETS = ("mnist", "fmnist", "kmnist")  # those of the paper
SCALABILITY = {"mnist": "fig6", "fmnist": "fig7", "kmnist": "fig8"}
RAW = ("table2", "share", "frontier", "mixes", "scaling", "compressors", "windows")
SPREAD = ("latency_ms", "accuracy", "exit_rate")  # what also gets a spread over the seeds


def evaluate(options, out, folder=None, quiet=False):
    """The whole evaluation; writes the report and its pictures into `folder` (default: out) and returns the report.

    What was trained stays in out/DATASET-SEED and is not trained again; measuring is done anew each time, all of it in
    one go. Raises UsageError, DataError and what training raises.
    """
    options.check()  # whatever is wrong stops the run before it begins
    given = elsewhere.read_all(options.latencies)
    out, folder, scope = Path(out), Path(folder or out), options.scope()
    names, notes = at_hand(options, DATASETS, quiet)
    check_folder(folder)
    pairs = [(name, seed) for name in names for seed in range(options.seed, options.seed + options.seeds)]
    studies = []
    for name, seed in pairs:
        say(f"training: {name}, seed {seed}", quiet)
        studies += ablations.run(Measured(_trained(name, seed, scope, out, options, quiet), scope),
                                 scope.ablation_epochs, quiet)
    raw, firsts, studied = {key: [] for key in RAW}, [], []
    for name, seed in pairs:
        say(f"measuring: {name}, seed {seed}", quiet)
        measured = Measured(_trained(name, seed, scope, out, options, quiet), scope)
        _add(raw, measured, options.meter)
        studied += measured.converted_rows()
        if seed == options.seed:
            firsts.append(measured)
    report = _assembled(raw, studies + studied, firsts, given, options, notes)
    report["claims"] = claims.judged(report)
    document.write(folder, report, sections, _pictures(report, firsts, folder))
    return report


def _trained(name, seed, scope, out, options, quiet):
    return train(name, seed, scope, out, quick=options.quick, threads=options.threads, quiet=quiet)


def _add(raw, measured, meter):
    """Measure one seed's models and add the rows."""
    rows, windows = measured.table2(meter)
    raw["table2"] += rows
    raw["windows"] += windows
    raw["share"] += measured.converter_share()
    raw["frontier"] += measured.frontier()
    raw["mixes"] += scaling.mixes(measured)
    raw["scaling"] += scaling.scalability(measured)
    raw["compressors"] += measured.compressors()


def _assembled(raw, studies, firsts, given, options, notes):
    """The report as a dict: one list of rows for each table and figure, as document.write takes it."""
    here = pooled(raw["table2"], ("dataset", "model", "device"), SPREAD)
    table2 = energies(here + [row for device in given for row in elsewhere.rows(device, here)])
    report = {
        "facts": {**facts_of(options, firsts), "notes": notes + _notes(firsts) + energy_notes(raw["windows"])},
        "table1": [row for m in firsts for row in gallery.table1(m.trained)], "table2": table2,
        "fig2": gallery.fig2(firsts[0].trained),
        "fig3": scaling.speedups(pooled(raw["mixes"], ("dataset", "hard_share"), ("latency_ms",)))
        + [row for m in firsts for row in scaling.paper_mix(m.trained.dataset)],
        "fig5": [{**{key: row.get(key) for key in ("dataset", "model", "latency_ms", "latency_ms_spread", "accuracy",
                                                   "accuracy_spread", "macs", "bytes")},
                  **paper.figure_5(row["model"], row["dataset"].split("-")[0])}
                 for row in here if row["device"] == THIS_MACHINE],
        "converter_share": shares_of(pooled(raw["share"], ("dataset", "model"))),
        "frontier": on_frontier(pooled(raw["frontier"], ("dataset", "model", "threshold"), ("latency_ms", "accuracy"))),
        "ablations": pooled(studies, ("dataset", "study", "variant"), ("accuracy",)),
        "compressors": pooled(raw["compressors"], ("dataset", "model", "choices"), ("latency_ms", "accuracy")),
        "windows": raw["windows"],
        **{key: [] for key in ("fig1", "fig4", *SCALABILITY.values())}}
    scaled = pooled(raw["scaling"], ("dataset", "ratio", "model"), ("total_s", "accuracy"))
    for number, m in enumerate(firsts):
        name = m.trained.dataset.name
        key = SCALABILITY.get(name.split("-")[0], f"fig{9 + number}")
        report.setdefault(key, []).extend({**row, "repeats": row["seeds"]} for row in scaled if row["dataset"] == name)
    return report


def _notes(firsts):
    """What the first seeds' training had to say, and what a reader of the tables must know."""
    notes = ["Latency is that of one call of the compiled model on one image, real exits, one thread, all models of a "
             "seed in turns; means over seeds."]
    for measured in firsts:
        if measured.trained.dataset.name.startswith("kmnist-"):
            notes.append(f"{measured.trained.dataset.title} is no full KMNIST: {len(measured.trained.dataset.train):,} "
                         "training images, so its figures do not compare with the paper's.")
    return notes


def _pictures(report, firsts, out):
    """Draw all figures: {key: [(path, caption)]}. Adds the rows of Figs. 1 and 4, whose pixels only this knows."""
    found = {"fig1": [], "fig4": []}
    images = []
    for measured in firsts:
        rows, pixels = gallery.fig1(measured)
        report["fig1"] += rows
        images += list(pixels)
        rows, strips = gallery.fig4(measured, out)
        report["fig4"] += rows
        title = measured.trained.dataset.title
        found["fig4"] += [(path, f"{title}, {model_name({'model': key})}: hard images (top), what the converter made "
                           "of them (middle), and its targets (bottom).") for key, path in strips.items()]
    return {**found, **draw(figures.figures(report, images), out)}


def summary(report):
    """Table II of this machine and the claims as text for a terminal."""
    lines = []
    for dataset in report["facts"]["datasets"]:
        rows = [row for row in report["table2"]
                if row["dataset"] == dataset["name"] and row["device"] == THIS_MACHINE]
        lines += [dataset["title"], text_table([{key: value for key, value in row.items() if key != "bytes"}
                                                for row in rows]), ""]
    return "\n".join(lines + [f"{claim['holds']:<8} {claim['claim']}: {claim['ours']}" for claim in report["claims"]])
