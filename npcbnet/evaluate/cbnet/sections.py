"""The sections of the CBNet paper's page: titles, what to look at, and the columns of their tables."""
from npcbnet.evaluate.page.columns import (ACCURACY, CLAIMS, EXITS, LATENCY, MACS, MODEL, P95, PAPER_ACCURACY, Column,
                                           Section)

TITLE = "CBNet: the paper's evaluation and ours"
INTRODUCTION = ("Every table and figure of the CBNet paper (Mahmud et al., 2024) beside what npcbnet measures, with "
                "the paper's figures in columns of their own.")
PAPER_LATENCY = Column("paper_latency_ms", "paper: time, {unit}", "time", "the paper's, in the unit of ours")

TABLE1 = Section("table1", "Table I: architectures", (
    "The paper's Table I gives the sizes of its converting autoencoders; here is every layer of every network, with "
    "what it costs. Look at the sums: with the paper's converters CBNet does about as many multiply-adds as LeNet."), (
    MODEL, Column("part", "part"), Column("layer", "layer"), Column("size", "output"),
    Column("activation", "activation"), Column("paper_size", "paper: size"),
    Column("paper_activation", "paper: activation"), Column("parameters", "parameters", "whole", "trained numbers"),
    Column("macs", "multiply-adds", "whole", "of one image"),
    Column("bytes", "kB", "kilobytes", "of the parameters, in thousands of bytes")))

TABLE2 = Section("table2", "Table II: latency, energy, accuracy", (
    "The paper's main table. Its columns are those of its cloud instance without a GPU (two processors) in rows of "
    "this machine, and of its Raspberry Pi 4 in rows of a Pi. Compare CBNet with the row of the lightweight DNN, which "
    "is CBNet without its converter. Energy is power times time."), (
    MODEL, Column("device", "device"), LATENCY,
    P95, PAPER_LATENCY,
    Column("speedup", "times as fast as LeNet", "times"), Column("paper_speedup", "paper: times", "times"),
    Column("power_w", "power, W", "number"), Column("energy_mj", "energy, mJ", "number", "of one image"),
    Column("saving", "energy saved, %", "percent", "against LeNet on the same device"),
    Column("paper_saving", "paper: saved, %", "percent"), ACCURACY, PAPER_ACCURACY, EXITS,
    Column("made_easy", "hard made easy, %", "percent", "hard images that leave early, and right, once converted"),
    MACS,
    Column("utilisation", "CPU use, %", "percent", "share of the processor that the run used"),
    Column("energy_kind", "energy is", "text",
           "measured by a meter, modelled from the use of the processor, or an estimate for a device that is not here"),
    Column("meter", "meter"), Column("resolution", "resolution"), Column("invalid", "invalid")))

FIG1 = Section("fig1", "Fig. 1: easy and hard images", (
    "Easy images leave BranchyNet at its early exit, hard ones do not. Hard images should look hard to you, too."), (
    Column("seed", "seed", "whole"), Column("index", "test image", "whole"), Column("label", "label"),
    Column("class_name", "class"), Column("predicted", "read as"),
    Column("entropy", "entropy, nats", "number", "at the early exit; below T is easy"),
    Column("easy", "easy", "truth")))

FIG2 = Section("fig2", "Fig. 2: how CBNet works", (
    "A converter turns each image into an easy one of its class; the lightweight DNN, BranchyNet up to its early exit, "
    "reads that. Look at where the multiply-adds are spent."), (
    Column("part", "part"), Column("layer", "layer"), Column("size", "output"),
    Column("parameters", "parameters", "whole"), Column("macs", "multiply-adds", "whole")))

FIG3 = Section("fig3", "Fig. 3: hard images slow BranchyNet down", (
    "The paper's reason for CBNet: BranchyNet's speed-up falls from 5.5 times with 5 % of hard images (MNIST) to 1.7 "
    "times with 23 % (Fashion-MNIST). Look at where our line is for the same shares."), (
    Column("source", "source"), Column("hard_share", "hard images, %", "percent"), LATENCY,
    Column("lenet_ms", "LeNet, {unit}", "time"), Column("speedup", "times as fast as LeNet", "times"),
    EXITS, ACCURACY))

FIG4 = Section("fig4", "Fig. 4: what conversion does to images", (
    "Hard images, what the converter makes of them, and the easy images that it was taught. Conversion worked where "
    "the entropy falls and the class is right."), (
    MODEL, Column("index", "test image", "whole"), Column("label", "label"),
    Column("predicted_before", "read as, before"), Column("predicted_after", "after"),
    Column("entropy_before", "entropy before, nats", "number", "of the lightweight DNN's answer"),
    Column("entropy_after", "after, nats", "number")))

FIG5 = Section("fig5", "Fig. 5: latency and accuracy", (
    "The paper has CBNet 3.78 times as fast as AdaDeep and 4.85 times as fast as SubFlow, and more accurate. Better "
    "models stand further to the upper left; the bars compare times with LeNet's, ours and the paper's each with its "
    "own."), (
    MODEL, LATENCY, Column("paper_latency_ms", "paper: time on a Raspberry Pi 4, {unit}", "time"), ACCURACY,
    PAPER_ACCURACY, MACS, Column("bytes", "kB", "kilobytes")))


def scalability(key):
    """The section of Fig. 6, 7, 8 or one that the paper does not have."""
    return Section(key, f"Fig. {key[3:]}: more images", (
        "The time for all images of a growing part of the test set, its share of hard images kept. In the paper "
        "CBNet's lead over BranchyNet grows with the number of images; look at whether the lines keep their distance "
        "on the log axis, as models with a fixed time per image do."), (
        MODEL, Column("ratio", "part of the test set, %", "percent"), Column("images", "images", "whole"),
        Column("hard_share", "hard, %", "percent"), Column("total_s", "total time, s", "seconds"), ACCURACY,
        Column("repeats", "repeats", "whole")))


CONVERTER = Section("converter_share", "The converter's share of CBNet's time", (
    "In the paper the converter takes up to 25 % of CBNet's time. In a fast runtime time goes where the multiply-adds "
    "are."), (
    MODEL, Column("converter_ms", "converter, {unit}", "time"), Column("total_ms", "CBNet, {unit}", "time"),
    Column("share", "converter's share, %", "percent"), Column("paper_share", "paper: share, %", "percent")))

FRONTIER = Section("frontier", "The frontier of accuracy and time", (
    "No other model is both faster and more accurate than one on the frontier. BranchyNet is there with all its "
    "thresholds: a CBNet below the line is beaten by something simpler."), (
    MODEL, Column("threshold", "T, nats", "number"), LATENCY, ACCURACY, EXITS, MACS,
    Column("on_frontier", "on the frontier", "truth")))

ABLATIONS = Section("ablations", "What each choice is worth", (
    "One choice changed at a time, all others kept. The dashed line is the lightweight DNN without any converter: a "
    "variant left of it would be better off without."), (
    Column("study", "study"), Column("variant", "variant"), ACCURACY,
    Column("accuracy_easy", "easy images, %", "percent", "accuracy on images that leave BranchyNet early"),
    Column("accuracy_hard", "hard images, %", "percent", "accuracy on all others"),
    Column("exit_rate_converted", "early exits, converted, %", "percent", "once the images are converted"), MACS,
    Column("seeds", "seeds", "whole")))

COMPRESSORS = Section("compressors", "The compressors: AdaDeep and SubFlow", (
    "The paper compares CBNet with two ways to make LeNet smaller; here both are applied to our LeNet. Look at what "
    "they chose, whether they kept to their budgets, and at the work that is left."), (
    MODEL, Column("choices", "choices"), Column("met", "budgets met", "truth"), Column("missed", "missed"),
    Column("utilisation", "utilisation, %", "percent"),
    Column("macs", "multiply-adds", "whole", "executed for one image"),
    Column("macs_share", "of LeNet's, %", "percent"),
    Column("storage_bytes", "kB", "kilobytes", "of the parameters in the model's file, in thousands of bytes"),
    LATENCY, ACCURACY, Column("seeds", "seeds", "whole", "how many of the seeds came to this")))


def sections(report):
    """The sections of a report that have rows, in the order of the page."""
    figures = sorted((key for key in report if key[:3] == "fig" and key[3:].isdecimal() and int(key[3:]) >= 6),
                     key=lambda key: int(key[3:]))
    every = [CLAIMS, TABLE1, TABLE2, FIG1, FIG2, FIG3, FIG4, FIG5, *map(scalability, figures), CONVERTER, FRONTIER,
             ABLATIONS, COMPRESSORS]
    return [section for section in every if report.get(section.key)]
