"""Which pictures the CAE-Net paper's page has, and what each shows."""
from npcbnet.evaluate import caenet_charts, charts, clusters

CAPTIONS = {
    "fig1": "Time by the SLO, ours (grey) by this machine's and the paper's (hatched) by its own, and accuracy.",
    "fig5": "Time and energy of CAE-Net's encoder (hatched) and of the classifier behind it (grey).",
    "elbow": "Squared distances over the number of clusters, of all classes and of each; dashes: the elbow.",
    "clustering": "The converter's loss, and the accuracy behind its encoder, for each way to choose targets.",
    "transfer": "Accuracy of each way to come to the classifier; bars: one standard deviation.",
    "dead": "Zeros after the last convolution, ours (grey) and the paper's (hatched).",
    "slo": "Pruning to the SLO (vertical line), step by step: filled marks meet it.",
    "search": "Architectures that were tried: accuracy over time, a mark a round. Star: the chosen one.",
    "frontier": "All models, and BranchyNet at all thresholds T (nats). Hollow: below the frontier. ↓: far below.",
}
_CHARTS = {"fig1": caenet_charts.time_by_slo, "fig5": caenet_charts.encoder_and_head, "elbow": clusters.elbow,
           "clustering": caenet_charts.clustering, "transfer": caenet_charts.transfer, "dead": caenet_charts.dead,
           "slo": caenet_charts.slo, "search": caenet_charts.search, "frontier": charts.frontier}


def figures(report):
    """(section, function of rows and a path, rows, file's name, caption) of each picture."""
    return [(key, chart, report.get(key), key, CAPTIONS[key]) for key, chart in _CHARTS.items()]
