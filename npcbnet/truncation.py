"""The lightweight DNN of a network without branches: where to cut it (CBNet, section III-B)."""
from dataclasses import dataclass

import numpy as np

from npcbnet.exits import leaves
from npcbnet.layers import Sequential, initialise
from npcbnet.nets import Classifier, truncate
from npcbnet.training import ClassifierTask, Plan, fit


@dataclass(frozen=True)
class Truncation:
    """A network cut after `layers` layers: its classifier and what it does to the validation images."""

    layers: int
    classifier: Classifier
    accuracy: float
    easy_share: float


def find_truncation(net: Sequential, train, validation, class_names, threshold, *, easy_share, plan=Plan(2), threads=1,
                    quiet=True):
    """Try cutting `net` after k = 1, 2, ... layers until enough validation images are easy (CBNet, section III-B).

    train, validation: (images, labels). Each candidate is trained with `plan` from net's weights (copied; the output
    layer is new). Returns the list of Truncation tried; the last is the first that reached `easy_share`, or the
    deepest.
    """
    tried = []
    images, labels = train
    for layers in range(1, len(net)):
        cut = truncate(net, layers, images.shape[1:], len(class_names))
        candidate = Classifier.from_config({"input_shape": images.shape[1:], "class_names": class_names,
                                            "net": cut.config()})
        initialise(candidate.net, np.random.default_rng(plan.seed))
        candidate.net.params = {name: array.copy() for name, array in net[:layers].params.items()}
        fit(ClassifierTask(candidate.net, labels), images, plan, stage=f"cut after {layers}",
            threads=threads, quiet=quiet)
        answer = candidate.explain(validation[0])
        right = answer.label == validation[1]
        easy = leaves(answer.entropy, threshold) & right
        tried.append(Truncation(layers, candidate, float(right.mean()), float(easy.mean())))
        if tried[-1].easy_share >= easy_share:
            break
    return tried
