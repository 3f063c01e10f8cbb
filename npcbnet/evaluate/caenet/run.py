"""The CAE-Net paper's evaluation from beginning to end: train what is missing, measure, make rows, write a report."""
from pathlib import Path

from npcbnet import data
from npcbnet.errors import UsageError
from npcbnet.evaluate.caenet import claims, clusters, figures, paper, sections
from npcbnet.evaluate.caenet.conversions import methods_at_hand
from npcbnet.evaluate.caenet.measured import Measured
from npcbnet.evaluate.caenet.rows import baselines, fig1, fig2, search_rows, slo_rows
from npcbnet.evaluate.caenet.trained import train
from npcbnet.evaluate.facts import energy_notes, facts_of
from npcbnet.evaluate.measuring import THIS_MACHINE, different, on_frontier
from npcbnet.evaluate.options import at_hand
from npcbnet.evaluate.page import document
from npcbnet.evaluate.pictures.draw import draw
from npcbnet.evaluate.pooled import pooled
from npcbnet.evaluate.reading import brief_titles_of
from npcbnet.files import check_folder
from npcbnet.progress import say
from npcbnet.report import text_table

DATASETS = ("cifar10", "mnist", "fmnist")  # the paper's, and one more for the frontier
RAW = ("table", "windows", "fig5", "transfer", "dead", "clustering", "made", "frontier")
SPREAD = ("latency_ms", "speedup", "accuracy", "reconstruction_loss", "reconstruction_loss_validation", "share",
          "exit_rate")
SAME = 0.95  # of the baseline's time and more is not faster: the same network, measured twice, differs by a few percent


def evaluate(options, out, folder=None, quiet=False):
    """The whole evaluation; writes the report and its pictures into `folder` (default: out) and returns the report.

    options: an Options. Colour images train for hours, so they have one seed. What was trained stays in
    out/DATASET-caenet-SEED and is not trained again. Raises UsageError, DataError and what training raises.
    """
    options.check()
    if options.latencies:
        raise UsageError("--latencies is the CBNet paper's; leave it out with caenet")
    out, folder, scope = Path(out), Path(folder or out), options.scope()
    names, notes = at_hand(options, DATASETS, quiet)
    notes = notes + methods_at_hand()[1]
    check_folder(folder)
    pairs = [(name, seed) for name in names for seed in range(options.seed, options.seed + _seeds(name, options))]
    for name, seed in pairs:
        say(f"training: {name}, seed {seed}", quiet)
        _trained(name, seed, scope, out, options, quiet)
    raw, firsts = {key: [] for key in RAW}, []
    for name, seed in pairs:
        say(f"measuring: {name}, seed {seed}", quiet)
        measured = Measured(_trained(name, seed, scope, out, options, quiet), scope)
        _add(raw, measured, options.meter)
        if seed == options.seed:
            firsts.append(measured)
    report = _assembled(raw, firsts, options, notes)
    pictures = {"fig2": _clusters(report, firsts, folder), **draw(figures.figures(report), folder)}
    report["claims"] = claims.judged(report)
    document.write(folder, report, sections, pictures)
    return report


def _trained(name, seed, scope, out, options, quiet):
    """The Trained of a seed; the first one's also has the architecture that a search finds."""
    return train(name, seed, scope, out, quick=options.quick, searching=seed == options.seed, threads=options.threads,
                 quiet=quiet)


def _seeds(name, options):
    """How many seeds a data set gets."""
    return 1 if data.load(name).input_shape[0] == 3 else options.seeds


def _add(raw, measured, meter):
    """Measure one seed's models and add the rows."""
    rows, windows = measured.table(meter)
    for key, more in (("table", rows), ("windows", windows), ("fig5", measured.encoder_and_head()),
                      ("transfer", measured.transfers()), ("dead", measured.dead()),
                      ("clustering", measured.conversions()), ("made", measured.made()),
                      ("frontier", measured.frontier())):
        raw[key] += more


def _assembled(raw, firsts, options, notes):
    """The report as a dict: one list of rows for each table and figure, as document.write takes it."""
    rows = compared(pooled(raw["table"], ("dataset", "model", "device"), SPREAD))
    report = {"facts": {**facts_of(options, firsts, "caenet"), "notes": notes + energy_notes(raw["windows"])}}
    for key, name in table_keys([measured.trained.dataset.name for measured in firsts]).items():
        report[key] = [row for row in rows if row["dataset"] == name]
    report["fig1"] = fig1(report)
    powers = {(row["dataset"], row["model"]): row["power_w"] for row in rows}
    report["fig5"] = [{**row, "energy_mj": row["latency_ms"] * powers[row["dataset"], row["model"]]}
                      for row in pooled(raw["fig5"], ("dataset", "model", "part"), ("latency_ms",))]
    report["elbow"] = [row for m in firsts for row in clusters.elbow_rows(
        m.trained.seen.elbow(), m.trained.dataset.name, m.trained.dataset.class_names)]
    report["clustering"] = pooled(raw["clustering"], ("dataset", "method"), SPREAD)
    report["transfer"] = pooled(raw["transfer"], ("dataset", "variant"), SPREAD)
    report["dead"] = pooled(raw["dead"], ("dataset", "model"), SPREAD)
    for key, model, made in (("slo", "caenet-slo", slo_rows), ("search", "caenet-search", search_rows)):
        report[key] = [row for m in firsts for row in _history(m.trained, model, made)]
    report["made"] = pooled(raw["made"], ("dataset", "model", "choices", "epochs", "met", "missed", "notes"), SPREAD)
    report["frontier"] = on_frontier(different(pooled(raw["frontier"], ("dataset", "model", "threshold"), SPREAD)))
    report["arithmetic"] = paper.contradictions()
    report["windows"] = raw["windows"]
    return report


def table_keys(names):
    """{"table1": the data set of Table I, "table2": that of Table II, "table3": the next, ...} of those there are."""
    own = {f"table{number + 1}": name for number, family in enumerate(("cifar10", "mnist"))
           for name in names if name.split("-")[0] == family}
    others = [name for name in names if name not in own.values()]
    return own | {f"table{number + 3}": name for number, name in enumerate(others)}


def compared(rows):
    """Set what follows from other rows: energy (E = P t), the ratios to the baseline, and whether the SLO is met.

    The paper's 10 and 20 ms everything here meets. So the SLO of this machine is to the baseline's time as the paper's.
    """
    bases = baselines(rows)
    base = {name: next(row for row in rows if row["dataset"] == name and row["model"] == key)
            for name, key in bases.items()}
    for row in rows:
        row["energy_mj"] = row["power_w"] * row["latency_ms"]
    for row in rows:
        whole = base[row["dataset"]]
        row.setdefault("speedup", whole["latency_ms"] / row["latency_ms"])  # else: formed in each run
        row["energy_ratio"] = whole["energy_mj"] / row["energy_mj"]
        row["slo_ms"] = paper.slo_share(whole["model"]) * whole["latency_ms"]
        row["meets_slo"] = row["latency_ms"] <= row["slo_ms"]
        row["faster"] = row["latency_ms"] < SAME * whole["latency_ms"]
    return rows


def _history(trained, model, made):
    """What was tried until there was the model, as rows that `made` makes; none where the seed does not have it."""
    return [row for kept in trained.rivals if kept["model"] == model
            for row in made(kept["history"], kept["slo_ms"], trained.dataset.name)]


def _clusters(report, firsts, folder):
    """Fig. 2: draws it, and adds its rows to the report. Returns [(path, caption)]."""
    found, images = [], []
    for measured in firsts:
        trained = measured.trained
        rows = clusters.pair_rows(trained.seen.clusters(), trained.seen.split, 0, trained.dataset.name,
                                  trained.dataset.class_names)
        found += rows
        images += [trained.dataset.train.images[row["index"]] for row in rows]
    report["fig2"] = fig2(found)
    titles = brief_titles_of(report)
    shown = [{**row, "dataset": titles[row["dataset"]]} for row in found]
    return [(clusters.pairs(shown, images, folder / "fig2.png"),
             "The first class of each data set: of each cluster the easiest image (left), the target of all others, "
             "and the hardest (right), with their entropies in nats.")]


def summary(report):
    """The tables of this machine and the claims as text for a terminal."""
    lines = []
    titles = {dataset["name"]: dataset["title"] for dataset in report["facts"]["datasets"]}
    for key, name in table_keys(list(titles)).items():
        rows = [{**row, "bytes": row["file_bytes"]} for row in report[key] if row["device"] == THIS_MACHINE]
        lines += [titles[name], text_table(rows), ""]
    return "\n".join(lines + [f"{claim['holds']:<8} {claim['claim']}: {claim['ours']}" for claim in report["claims"]])
