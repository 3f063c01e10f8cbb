"""The sections of the CAE-Net paper's page: titles, what to look at, columns, and rows as they are shown."""
from npcbnet.evaluate.caenet.rows import LARGE, OTHER, baselines, of_this_machine, table_keys
from npcbnet.evaluate.page.columns import (ACCURACY, CLAIMS, EXITS, LATENCY, MACS, MODEL, P95, PAPER_ACCURACY, Column,
                                           Section)
from npcbnet.evaluate.reading import name_of, number

TITLE = "CAE-Net: the paper's evaluation and ours"
INTRODUCTION = ("Every table and figure of the CAE-Net paper (Mahmud et al.) beside what npcbnet measures, with the "
                "paper's figures, of a Raspberry Pi 4 and a Jetson Nano, in columns of their own.")
_SEEDS = Column("seeds", "seeds", "whole")
_PARAMETERS = Column("parameters", "parameters", "whole", "trained numbers")
_NONZERO = Column("nonzero", "not zero", "whole", "parameters that are not zero")
_SLO = Column("slo_ms", "SLO, {unit}", "time", "the service-level objective: how long an image may take; in the tables "
              "to the baseline's time as on the paper's Raspberry Pi 4; for pruning and searching half of CAE-Net's")
_MEETS = Column("meets_slo", "meets it", "truth")
_VALIDATED = Column("accuracy", "accuracy, %", "percent", "of validation images")
_PAPER_MS = Column("paper_latency_ms", "paper: Raspberry Pi 4, ms", "printed")
_TITLES = {"table1": "Table I: CIFAR-10", "table2": "Table II: MNIST"}
_VARIANTS = ("KD, WP and WC are distilled, pruned and with shared weights. CAE-Net (transfer) has the converter's "
             "encoder frozen, (random) a random one, (scratch) is the same network trained without a converter, (fast) "
             "a small dense network without a decoder, distilled.")


def in_words(rows):
    """Rows of a table whose `verdict` says whether they are faster than the baseline, and how fast if they are not.

    What has no accuracy shows why in its place.
    """
    bases, made = baselines(rows), []
    for row in rows:
        speedup, faster, words = number(row, "speedup"), row.get("faster"), None
        base = bases[row.get("dataset")]
        if base and row.get("model") == base:
            words = "the baseline"
        elif isinstance(faster, bool) or speedup is not None:
            faster = faster if isinstance(faster, bool) else speedup > 1
            words = "faster" if faster else "not faster" + (
                "" if speedup is None else f": {speedup:.2f} times as fast as {name_of({'model': base or 'it'})}")
        accuracy = row.get("accuracy") if number(row, "accuracy") is not None else row.get("accuracy_note")
        made.append({**row, "verdict": words, "accuracy": accuracy})
    return made


def here(rows):
    """Rows of this machine, as `in_words` gives them: sizes and accuracy are the same everywhere.

    A note where a network is not the paper's, or where its weights are another number for a reason.
    """
    made = []
    for row in of_this_machine(in_words(rows)):
        ours, theirs, note = number(row, "parameters"), number(row, "paper_parameters"), None
        if str(row.get("model")).startswith("subflow"):
            note = "all of its subgraphs' weights; it runs on a part of them"
        elif str(row.get("model")).endswith("-wc"):
            note = "the paper's is pruned as well, by its number of parameters"
        elif row.get("model") in (*LARGE, "branchynet") and ours and theirs and not 1 / OTHER < ours / theirs < OTHER:
            note = f"not the paper's network, which has {theirs / 1e6:.3g} million parameters"
        made.append({**row, "size_note": note})
    return made


def all_classes(rows):
    """Rows of the elbow for all classes together; `elbow` says whether it is at this number of clusters."""
    return [{**row, "elbow": row["elbow"] if isinstance(row.get("elbow"), bool) else
             None if number(row, "elbow") is None else round(row["elbow"]) == row.get("clusters")}
            for row in rows if row.get("class_name") is None]


def speed(key):
    """The section of a table's times and energies; key: table1, table2, ..."""
    return Section(key, f"{_title(key)}, time and energy", (
        "The paper's table, with times as fast as the baseline, and joules as many times fewer. Look at the words: a "
        "smaller network need not be a faster one. " + _VARIANTS), (
        MODEL, Column("device", "device"), LATENCY, P95, Column("speedup", "times as fast as the baseline", "times"),
        Column("verdict", "than the baseline"), _SLO, _MEETS, _PAPER_MS,
        Column("paper_speedup", "paper: times", "times"),
        Column("paper_nano_latency_ms", "paper: Jetson Nano, ms", "printed"),
        Column("paper_nano_speedup", "paper: times, Nano", "times"), Column("power_w", "power, W", "number"),
        Column("energy_mj", "energy, mJ", "number", "of one image, power times time"),
        Column("energy_ratio", "times less energy", "times", "the baseline's by this"),
        Column("paper_energy_mj", "paper: Pi 4, mJ", "printed"),
        Column("paper_energy_ratio", "paper: times less", "times"),
        Column("paper_nano_energy_mj", "paper: Nano, mJ", "printed"),
        Column("paper_nano_energy_ratio", "paper: times less, Nano", "times"),
        Column("energy_kind", "energy is", "text",
               "measured by a meter, modelled from the use of the processor, or an estimate for a device not here"),
        Column("meter", "meter"), Column("resolution", "resolution"), Column("invalid", "invalid"), _SEEDS),
        shown=in_words)


def sizes(key):
    """The section of a table's sizes and accuracies."""
    return Section(f"{key}-sizes", f"{_title(key)}, accuracy and size", (
        "The rest of the paper's table. Compare CAE-Net with the same network from scratch and with the lightweight "
        "DNN without any converter: BranchyNet up to its first exit."), (
        MODEL, ACCURACY, PAPER_ACCURACY, EXITS, _PARAMETERS, _NONZERO,
        Column("paper_parameters", "paper: parameters", "whole", "not zero, as printed"),
        Column("file_bytes", "kB", "kilobytes", "of the weights in the model's file, in thousands of bytes"),
        Column("paper_file_bytes", "paper: kB", "kilobytes"), MACS, Column("size_note", "note"), _SEEDS), source=key,
        shown=here)


def _title(key):
    return _TITLES.get(key, f"Table {key[5:]}: a data set that the paper does not have")


ARITHMETIC = Section("arithmetic", "Where the paper contradicts itself", (
    "Ratios that the paper prints but that its own times or energies do not give, with all rounding allowed for."), (
    MODEL, Column("device", "device"), Column("what", "what"), Column("printed", "printed", "times"),
    Column("recomputed", "recomputed", "times")))

FIG1 = Section("fig1", "Fig. 1: time, SLO and accuracy", (
    "The paper's reason for CAE-Net: large models miss the service-level objective (SLO) of an interactive "
    "application, and smaller ones that meet it are less accurate. Times are shown by the SLO, ours by the one set for "
    "this machine, the paper's by its own for the Raspberry Pi 4. Look for bars left of the line with dots far to the "
    "right."), (
    MODEL, LATENCY, _SLO, _MEETS, ACCURACY, _PAPER_MS, Column("paper_slo_ms", "paper: SLO, ms", "printed"),
    PAPER_ACCURACY))

FIG2 = Section("fig2", "Fig. 2: clusters of a class", (
    "Images of one class, divided into clusters of like ones. The easiest image of each (lowest entropy) is what the "
    "converter shall make of all others; beside it a hard one."), (
    Column("class_name", "class"), Column("cluster", "cluster", "whole"), Column("images", "images", "whole"),
    Column("easy_index", "easy image", "whole"), Column("easy_entropy", "its entropy, nats", "number"),
    Column("hard_index", "hard image", "whole"), Column("hard_entropy", "entropy, nats", "number")))

FIG5 = Section("fig5", "Fig. 5: encoder and classifier", (
    "In the paper most of CAE-Net's time and energy is the encoder's, on CIFAR-10 above all. Here energy is the whole "
    "network's power times the part's time, so both have the same shares. The call itself counts as the head's."), (
    MODEL, Column("part", "part"), LATENCY, Column("latency_share", "of the time, %", "percent"),
    Column("energy_mj", "energy, mJ", "number"), MACS, _PARAMETERS))

ELBOW = Section("elbow", "The elbow: how many clusters", (
    "More clusters always fit better; the elbow is where more of them stop to pay (Thorndike): the point farthest "
    "below the line from the curve's first point to its last. It moves a little with where the curve ends. The paper's "
    "is 3 on CIFAR-10."), (
    Column("clusters", "clusters of each class", "whole"), Column("inertia", "squared distances", "number",
                                                                  "of features to their cluster's centre, summed"),
    Column("elbow", "elbow", "truth")), shown=all_classes)

CLUSTERING = Section("clustering", "What clustering is worth", (
    "In the paper clusters lower the converter's loss by 46 %, and k-means serves best. Compare with one target a "
    "class as well as with the random targets of the first paper: a loss is also low where targets are alike. DBSCAN "
    "and HDBSCAN, as this project sets them, find little more than one cluster in a class, and are then one target a "
    "class. Of colour images, converters train with k-means and without clusters alone: of the other ways only the "
    "clusters are judged. Without augmentation (images neither shifted nor mirrored) the converter learns them by "
    "heart; only the training loss shows that."), (
    Column("method", "method"), Column("clusters", "clusters of each class", "number"),
    Column("epochs", "epochs", "whole"),
    Column("reconstruction_loss", "loss, training", "number", "mean squared difference of output and target, pixels "
           "in 0..1"),
    Column("reconstruction_loss_validation", "loss, validation", "number", "the same of validation images, whose "
           "target is that of the cluster with the nearest mean; of clusters that do not lie around their means "
           "(cosine) it may be another's"),
    Column("paper_loss", "paper: loss", "printed"), _VALIDATED,
    Column("distance", "image to target", "number", "the loss of a converter that changes nothing"),
    Column("silhouette", "silhouette", "number", "of the clusters among the features, -1 to 1"), _SEEDS))

TRANSFER = Section("transfer", "What knowledge transfer is worth", (
    "The paper compares a classifier behind the converter's frozen encoder with one \"without transfer\". The "
    "same network trained from scratch is what transfer has to beat; it has the epochs of head and fine-tuning, but "
    "not the converter's."), (Column("variant", "variant"), ACCURACY, PAPER_ACCURACY, _SEEDS))

DEAD = Section("dead", "Zero activations", (
    "The paper finds 90 % of the outputs of AlexNet's last convolution zero, and none of CAE-Net's. A ReLU makes zeros "
    "of whatever lies below 0, in both."), (
    MODEL, Column("share", "zeros, %", "percent", "of the outputs of the last convolution's ReLU, over test images"),
    Column("paper_share", "paper: zeros, %", "percent"), _SEEDS))

SLO = Section("slo", "Pruning to the SLO", (
    "Connections are pruned first, if zeros make the network faster, then channels, each with training, until an image "
    "takes no longer than half of CAE-Net's time. "
    "Steps left of the line meet the SLO; accuracy is that of validation images."), (
    Column("step", "step"), Column("way", "way"), Column("kept", "kept"), LATENCY, _SLO,
    Column("meets", "meets it", "truth"), _VALIDATED, MACS,
    Column("parameters", _NONZERO.heading, "whole", _NONZERO.note)))

SEARCH = Section("search", "Beyond the paper: a search for architectures", (
    "Encoders of other widths, depths and strides that meet the SLO, each round with longer training for fewer of "
    "them."), (
    Column("architecture", "architecture"), Column("round", "round"), LATENCY, _SLO,
    _VALIDATED, MACS, _PARAMETERS, Column("chosen", "chosen", "truth")))

MADE = Section("made", "How the others were made", (
    "What was done to the baseline, or to CAE-Net, to make each of the others, and what their tools had to say: "
    "whether what they found meets its budgets or its SLO."), (
    MODEL, Column("choices", "what was done"),
    Column("epochs", "epochs", "whole", "of the last training; CAE-Net's parts take 36 on grey images, 35 on "
           "colour images"),
    Column("met", "met", "truth"), Column("missed", "missed"), Column("notes", "notes"), ACCURACY,
    Column("seeds", "seeds", "whole", "how many of the seeds came to this")))

FRONTIER = Section("frontier", "The frontier of accuracy and time", (
    "No other model is both faster and more accurate than one on the frontier; BranchyNet with one early exit is there "
    "with all its thresholds that differ in what they do, with three exits it has one row."), (
    MODEL, Column("threshold", "T, nats", "number"), LATENCY, ACCURACY, MACS,
    Column("on_frontier", "on the frontier", "truth")))


def sections(report):
    """The sections of a report that have rows, in the order of the page."""
    tables = [make(key) for key in table_keys(report) for make in (speed, sizes)]
    every = [CLAIMS, *tables, ARITHMETIC, FIG1, FIG2, FIG5, ELBOW, CLUSTERING, TRANSFER, DEAD, SLO, SEARCH,
             MADE, FRONTIER]
    return [section for section in every if isinstance(report.get(section.source or section.key), list)
            and section.rows(report)]
