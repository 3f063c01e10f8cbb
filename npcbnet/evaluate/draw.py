"""All pictures of a report, drawn into a folder, with what each shows."""
from pathlib import Path

from npcbnet.evaluate import charts, diagram
from npcbnet.evaluate.marks import grouped, titled

CAPTIONS = {
    "fig1": "Easy images over hard ones; above each its class and its entropy at the early exit, in nats.",
    "fig2": "CBNet layer by layer: in each block its multiply-adds, below it its output. Height: size (log scale).",
    "fig3": "BranchyNet's speed-up over LeNet against the share of hard images. Stars: the paper's Fig. 3, on a Pi 4.",
    "fig5": "Time (log axis) and accuracy of our models; bars: one standard deviation. ↓: far below, at this accuracy.",
    "fig5-bars": "Time with LeNet's as 1, each with its own LeNet, and accuracy: ours and the paper's.",
    "scalability": "Total time (log axis) and accuracy over the share of the test set; bars: one standard deviation.",
    "converter_share": "Time of the converter (hatched) and of the lightweight DNN (grey).",
    "frontier": "All models, and BranchyNet at all thresholds T (nats). Hollow: below the frontier. ↓: far below.",
    "ablations": "{dataset}: accuracy of each variant on all and on hard images; bars: one standard deviation.",
}


def draw(report, folder, images=None):
    """Draw what a report has rows for -> {section: [(path, caption)]}, as npcbnet.evaluate.page.write takes it.

    images: uint8 (C, H, W) each, one for each row of report["fig1"], or None for no Fig. 1. Fig. 4 is not drawn here:
    its images are not in the report (npcbnet.pictures.conversion_strips draws them).
    """
    folder, made, report = Path(folder), {}, titled(report)

    def add(key, function, rows, name=None, caption=None, *more):
        if rows:
            path = function(rows, *more, folder / f"{name or key}.png")
            made.setdefault(key, []).append((path, caption or CAPTIONS[name or key]))

    if images is not None:
        add("fig1", diagram.easy_and_hard, report.get("fig1"), None, None, images)
    add("fig2", diagram.cbnet_blocks, report.get("fig2"))
    add("fig3", charts.speedup_over_hard_share, report.get("fig3"))
    add("fig5", charts.latency_and_accuracy, report.get("fig5"))
    add("fig5", charts.beside_the_paper, report.get("fig5"), "fig5-bars")
    for key in report:
        if key[:3] == "fig" and key[3:].isdecimal() and int(key[3:]) >= 6:
            add(key, charts.scalability, report[key], key, CAPTIONS["scalability"])
    add("converter_share", charts.converter_share, report.get("converter_share"))
    add("frontier", charts.frontier, report.get("frontier"))
    for i, (dataset, rows) in enumerate(grouped(report.get("ablations") or (), "dataset").items()):
        add("ablations", charts.ablations, rows, f"ablations-{i + 1}", CAPTIONS["ablations"].format(dataset=dataset))
    return made
