"""What CAE-Net is compared with (Tables I and II): smaller variants of its baseline, nets with exits, large nets."""
from dataclasses import dataclass, replace

import numpy as np

from npcbnet.caenet import recipe
from npcbnet.caenet.stages import Stages
from npcbnet.compress import adadeep, distil, magnitude, search, share, slo, structure, subflow
from npcbnet.evaluate.kept import checkpoint_of, found_by_adadeep, kept
from npcbnet.exits import choose, outputs_judged
from npcbnet.nets import balexnet, lightweight, mobilenetv2, resnet18, resnet32, resnet50, vgg16
from npcbnet.training import BranchyNetTask, fit

KEPT = 0.625  # of the weights: LeNet-WP and AlexNet-WP (Table I: 5.81 of 9.3 M)
CENTROIDS = 32
UTILISATION = 0.1
LEFT_OUT = 0.4  # of the channels: VGG16-pruned, ResNet50-pruned
FASTER = 0.5  # the SLO that CAE-Net is pruned to, as a share of its own latency
LARGE = {"vgg16": vgg16, "resnet50": resnet50, "resnet32": resnet32, "resnet18": resnet18, "mobilenetv2": mobilenetv2}
PRUNED = ("vgg16", "resnet50")
_TAUGHT = (f"a small student of the baseline's answers (T {distil.OURS['temperature']:g}, {distil.OURS['hard']:.0%} of "
           "the loss the labels')")


@dataclass(frozen=True)
class Effort:
    """How long the variants of a baseline train: epochs of weight pruning, sharing and SubFlow, AdaDeep's search, the
    loop to the SLO.

    None: as the tools do on their own.
    """

    pruning: int | None = None
    sharing: int | None = None
    subflow: int | None = None
    search: adadeep.Effort | None = None
    loop: slo.Effort | None = None


# An epoch of AlexNet takes two minutes on two cores, so its variants train less
_SEARCH = adadeep.Effort(None, None, (1000, 1), 8, (4000, 1), 3, (8000, 1), 4, 1, adadeep.FULL.left)
EFFORTS = {"lenet": Effort(), "alexnet": Effort(4, 1, 5, _SEARCH, slo.Effort(None, None, 2, (8000, 1), 2, 16))}


def train(stages, models, folder, quick, searching, quiet):
    """Variants of the run's baseline and of its CAE-Net: put into `models`; a row for each.

    What the folder holds already is loaded. searching: an architecture is searched for, too, under the SLO that CAE-Net
    is pruned to; not for colour images, on which each candidate would train for minutes. Each row has "model",
    "choices" (what was done, in words) and what its tool found.
    """
    name, data = stages.chosen.baseline, stages.dataset
    effort = Effort() if quick else EFFORTS[name]
    base, options = models[name], {"seed": stages.run.seed, "threads": stages.threads, "quick": quick, "quiet": quiet}

    def compressed(key, words, make):
        row = kept(folder, key, models, lambda: (make(checkpoint_of(folder, key)), {}), quiet)
        return {**row, "choices": words}

    rows = [
        compressed(f"{name}-kd", _TAUGHT, lambda path: distil.distil(
            base, name, data, control=False, checkpoint=path, **options).model),
        compressed(f"{name}-wp", f"{KEPT:.1%} of the weights kept, pruned while it trains",
                   lambda path: magnitude.train(base, data, KEPT, epochs=effort.pruning, checkpoint=path, **options)),
        compressed(f"{name}-wc", f"{CENTROIDS} values in each layer but the first, trained further if that helps",
                   lambda path: share.train(base, data, CENTROIDS, first=False, epochs=effort.sharing, checkpoint=path,
                                            **options)),
        kept(folder, "adadeep", models, lambda: found_by_adadeep(base, data, folder, options, effort.search), quiet),
        compressed(f"subflow-{UTILISATION:g}", f"{UTILISATION:.0%} of the neurons of each inner layer",
                   lambda path: subflow.train(base, data, UTILISATION, epochs=effort.subflow, checkpoint=path,
                                              **options)),
        kept(folder, "caenet-slo", models, lambda: _to_slo(models["caenet"], data, folder, options, effort.loop),
             quiet)]
    if searching and name == "lenet":
        rows.append(kept(folder, "caenet-search", models, lambda: _searched(
            base, data, rows[-1]["slo_ms"], checkpoint_of(folder, "caenet-search"), options), quiet))
    rows.append(compressed("branchynet", "trained jointly, thresholds chosen on validation images",
                           lambda path: _branchynet(stages, path) if name == "lenet" else _balexnet(stages, path)))
    models["lightweight"] = lightweight(models["branchynet"])
    return rows


def _searched(teacher, dataset, slo_ms, checkpoint, options):
    """(model, row): the best architecture that a search finds under the SLO."""
    found = search.search_architecture(dataset, slo_ms, teacher=teacher, checkpoint=checkpoint, **options)
    return found.model, {"choices": str(found.architecture), "met": found.met, "slo_ms": slo_ms,
                         "missed": _too_slow(found), "history": found.rows}


def _branchynet(stages, checkpoint):
    """BranchyNet as `npcbnet.train` makes it, with its checkpoint in the place of compressors'."""
    return Stages(stages.run, stages.dataset, checkpoint.parent, stages.threads, stages.quiet).branchynet()


def _balexnet(stages, checkpoint):
    """BranchyNet's own AlexNet with three exits, trained as long as the baseline."""
    data, held, run = stages.dataset, stages.dataset.validation, stages.run
    net = balexnet(data.input_shape, data.class_names, np.random.default_rng([run.seed, 7]))
    plan = replace(recipe.baseline_plan(stages.chosen, data, run.seed, run.epochs), learning_rate=1e-3)
    fit(BranchyNetTask(net, data.train.labels), data.train.images, plan, stage="balexnet", threads=stages.threads,
        checkpoint=checkpoint, quiet=stages.quiet)
    net.thresholds = choose(*outputs_judged(net.all_exits(held.images), held.labels), net.macs)
    return net


def _to_slo(model, dataset, folder, options, effort):
    """(model, row): CAE-Net pruned until it takes half its time, or what comes nearest."""
    met = slo.meet(model, dataset, share=FASTER, effort=effort, checkpoint=checkpoint_of(folder, "caenet-slo"),
                   **options)
    return met.model, {"choices": f"pruned to {FASTER:g} of its time", "met": met.met, "slo_ms": met.slo_ms,
                       "missed": _too_slow(met), "notes": met.notes, "history": met.rows}


def _too_slow(found):
    """By how much what was found misses its SLO, as text; None where it does not."""
    return None if found.met else f"{found.over_ms * 1e3:.1f} µs too slow"


def large(input_shape, class_names, seed):
    """{key: Classifier} of the large nets and their pruned forms, with fresh weights: they tell time and size alone."""
    models = {key: make(input_shape, class_names, np.random.default_rng([seed, i]))
              for i, (key, make) in enumerate(LARGE.items())}
    for key in PRUNED:
        models[f"{key}-pruned"] = structure.prune(models[key], LEFT_OUT)
    return models
