"""Which pictures the CBNet paper's page has, and what each shows."""
from npcbnet.evaluate.cbnet import charts, diagram
from npcbnet.evaluate.pictures.frontier import frontier
from npcbnet.evaluate.reading import brief_titles_of, grouped, titled

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
_CHARTS = {"fig2": diagram.cbnet_blocks, "fig3": charts.speedup_over_hard_share, "fig5": charts.latency_and_accuracy,
           "fig5-bars": charts.beside_the_paper, "converter_share": charts.converter_share,
           "frontier": frontier}


def figures(report, images=None):
    """(section, function of rows and a path, rows, file's name, caption) of each picture, as pictures.draw takes them.

    images: uint8 (C, H, W) each, one for each row of report["fig1"], or None for no Fig. 1. Fig. 4 is not among them:
    it shows images that are not in the report (npcbnet.pictures.conversion_strips).
    """
    report, found = titled(report, brief_titles_of(report)), []
    if images is not None:
        found.append(("fig1", lambda rows, path: diagram.easy_and_hard(rows, images, path), report.get("fig1"), "fig1",
                      CAPTIONS["fig1"]))
    found += [(name.split("-")[0], function, report.get(name.split("-")[0]), name, CAPTIONS[name])
              for name, function in _CHARTS.items()]
    more = [key for key in report if key[:3] == "fig" and key[3:].isdecimal() and int(key[3:]) >= 6]
    found[-2:-2] = [(key, charts.scalability, report[key], key, CAPTIONS["scalability"]) for key in more]
    for i, (dataset, rows) in enumerate(grouped(report.get("ablations") or (), "dataset").items()):
        found.append(("ablations", charts.ablations, rows, f"ablations-{i + 1}",
                      CAPTIONS["ablations"].format(dataset=dataset)))
    return found
