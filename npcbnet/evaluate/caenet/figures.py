"""Which pictures the CAE-Net paper's page has, and what each shows."""
from npcbnet.evaluate.caenet import charts, clusters
from npcbnet.evaluate.pictures.frontier import frontier
from npcbnet.evaluate.reading import brief_titles_of, titled

CAPTIONS = {
    "fig1": "Time by the SLO, ours (grey) by this machine's and the paper's (hatched) by its own, and accuracy.",
    "fig5": "Time and energy of CAE-Net's encoder (hatched) and of the classifier behind it (grey).",
    "elbow": "Squared distances over the number of clusters, of all classes and of each; dashes: the elbow.",
    "clustering": "The converter's loss, and the accuracy behind its encoder, for each way to choose targets.",
    "transfer": "Accuracy of each way to come to the classifier; bars: one standard deviation.",
    "dead": "Zeros after the last convolution, ours (grey) and the paper's (hatched).",
    "slo": "Pruning to the SLO (vertical line), step by step: filled marks meet it.",
    "search": "Architectures that were tried: accuracy over time, a mark a round. Star: the chosen one.",
    "frontier": ("All models; BranchyNet with one early exit at all thresholds T (nats). Hollow: below the frontier. "
                 "↓: far below."),
}
_CHARTS = {"fig1": charts.time_by_slo, "fig5": charts.encoder_and_head, "elbow": clusters.elbow,
           "clustering": charts.clustering, "transfer": charts.transfer, "dead": charts.dead,
           "slo": charts.slo, "search": charts.search, "frontier": frontier}


def figures(report):
    """(section, function of rows and a path, rows, file's name, caption) of each picture, as pictures.draw takes them.

    Fig. 2 is not among them: it shows images that are not in the report (clusters.pairs).
    """
    report = titled(report, brief_titles_of(report))
    return [(key, chart, report.get(key), key, CAPTIONS[key]) for key, chart in _CHARTS.items()]
