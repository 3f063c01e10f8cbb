"""Rows and pictures of what is looked at: architectures (Table I, Fig. 2), easy and hard images (Fig. 1), strips."""
import numpy as np

from npcbnet import pictures
from npcbnet.evaluate.cbnet.trained import CONVERTED
from npcbnet.layers import Dense
from npcbnet.nets import TABLE_I
from npcbnet.recipes import family

SHOWN = 10  # images of each kind


def table1(trained):
    """A row a layer for the converter of Table I beside the paper's, and a row of totals for every network."""
    rows, name = [], trained.dataset.name
    rows += [{"dataset": name, "model": "cbnet-table1", "part": "converter", **row}
             for row in _beside_paper(trained)]
    for key, model in trained.models.items():
        rows.append({"dataset": name, "model": key, "part": "whole network", "layer": "total", "size": None,
                     "activation": None, "paper_size": None, "paper_activation": None,
                     "parameters": model.parameter_count(), "macs": model.macs(), "bytes": model.parameter_bytes()})
    return rows


def _beside_paper(trained):
    """The layers of converter table1 with the paper's sizes and activations (None for a data set it does not have)."""
    converter, shape = trained.models["cbnet-table1"].converter, trained.dataset.input_shape
    published = TABLE_I.get(family(trained.dataset))
    dense = [layer for layer in (*converter.encoder, *converter.decoder) if isinstance(layer, Dense)]
    form = converter.form
    sizes, activations = [int(np.prod(shape)), *(layer.out_features for layer in dense)], form.activations
    ours = [None, *activations, form.output]
    theirs = [(784, None), *zip(published.hidden, published.activations), (784, published.output)] if published else []
    rows = []
    for i, (size, activation) in enumerate(zip(sizes, ours)):
        layer = dense[i - 1] if i else None
        paper_size, paper_activation = theirs[i] if i < len(theirs) else (None, None)
        weights = layer.in_features * layer.out_features if layer else 0
        count = weights + layer.out_features if layer else 0
        rows.append({"layer": f"FullyConnected{i}" if i else "Input", "size": str(size), "activation": activation,
                     "paper_size": paper_size and str(paper_size), "paper_activation": paper_activation,
                     "parameters": count, "macs": weights, "bytes": 4 * count})
    return rows


def fig2(trained, key="cbnet-fast"):
    """CBNet's layers in the order in which an image meets them."""
    model, rows = trained.models[key], []
    shape = model.input_shape
    for part, layers in (("converter", (*model.converter.encoder, *model.converter.decoder)),
                         ("lightweight DNN", model.net)):
        for layer in layers:
            after = layer.output_shape(shape)
            rows.append({"dataset": trained.dataset.name, "part": part, "layer": type(layer).__name__,
                         "size": "x".join(map(str, after)), "macs": layer.macs(shape),
                         "parameters": sum(array.size for array in layer.params.values())})
            shape = after
    return rows


def fig1(measured):
    """(rows, images (N, C, H, W)): a random easy image of each class and a random hard one, if there are any."""
    test, answer = measured.test, measured.answer
    rng, chosen = np.random.default_rng([measured.trained.seed, 5]), []
    for kind in (measured.early, ~measured.early):
        for label in range(measured.trained.dataset.classes):
            members = np.flatnonzero(kind & (test.labels == label))
            chosen += list(rng.permutation(members)[:1])
    entropy = measured.predictors["lightweight"].explain(test.images[chosen]).entropy
    names = measured.trained.dataset.class_names
    rows = [{"dataset": measured.trained.dataset.name, "seed": measured.trained.seed, "index": int(index),
             "label": int(test.labels[index]), "class_name": names[test.labels[index]],
             "predicted": int(answer.label[index]), "entropy": float(h), "easy": bool(measured.early[index])}
            for index, h in zip(chosen, entropy)]
    return rows, test.images[chosen]


def fig4(measured, out):
    """(rows, {model: picture}): what each converter makes of one hard image a class, and what it was taught to make."""
    trained, test = measured.trained, measured.test
    hard = [np.flatnonzero(~measured.early & (test.labels == label))[:1] for label in range(trained.dataset.classes)]
    index = np.concatenate(hard)[:SHOWN]
    rows, paths = [], {}
    if not len(index):
        return rows, paths
    images, labels, names = test.images[index], test.labels[index], trained.dataset.class_names
    before = measured.predictors["lightweight"].explain(images)
    for key in CONVERTED:
        after = measured.predictors[key].explain(images)
        rows += [{"dataset": trained.dataset.name, "seed": trained.seed, "model": key, "index": int(index[i]),
                  "label": int(labels[i]), "predicted_before": int(before.label[i]),
                  "predicted_after": int(after.label[i]), "entropy_before": float(before.entropy[i]),
                  "entropy_after": float(after.entropy[i])} for i in range(len(index))]
        titles = [f"{names[true]}: read as {names[label]}" for true, label in zip(labels, after.label)]
        path = out / f"fig4-{trained.dataset.name}-{key}.png"
        paths[key] = pictures.conversion_strips(path, images, after.converted,
                                                trained.converter_rule(key).like(images, labels), titles)
    return rows, paths
