"""Pictures of intraclass clustering (CAE-Net): the elbow, and clusters with an easy and a hard image each (Fig. 2)."""
import textwrap

import numpy as np

from npcbnet import drawing, pictures
from npcbnet.errors import ShapeError, UsageError
from npcbnet.evaluate.pictures.panel import Look, Panel, Series
from npcbnet.evaluate.pictures.render import write
from npcbnet.evaluate.pictures.sheets import stacked, with_text
from npcbnet.evaluate.reading import grouped, number, numbers, short

_TOTAL, _ONE = Look("o", (1, 0), "#000000"), Look("", (2, 2), "#8a8a8a")
_LEFT, _SIDE, _APART, _BAND = 100, 98, 12, 40  # px: of labels on the left, a tile, two pairs, texts above a pair
_PAIRS = 4  # beside each other


def elbow_rows(found, dataset, class_names):
    """Rows for `elbow` of a clustering.Elbow: for each class, and for all ("class_name" None), a row a number."""
    curves = [(None, found.total, found.chosen), *zip(class_names, found.inertia.T, found.chosen_of_each, strict=True)]
    return [{"dataset": dataset, "class_name": name, "clusters": count, "inertia": float(inertia), "elbow": int(chosen)}
            for name, curve, chosen in curves for count, inertia in enumerate(curve, 1)]


def elbow(rows, path):
    """Sum of squared distances over the number of clusters: of all classes and of each, with the elbow.

    "elbow" is its number of clusters, as elbow_rows gives it, or True in its row.
    """
    panels = []
    for dataset, group in grouped(rows, "dataset").items():
        series, references = [], ()
        for name, curve in sorted(grouped(group, "class_name").items(), key=lambda entry: entry[0] is None):
            first = number(curve[0], "inertia")
            shares = tuple(None if not first or value is None else value / first
                           for value in numbers(curve, "inertia"))
            series.append(Series("all classes" if name is None else "each class", numbers(curve, "clusters"), shares,
                                 "line", _TOTAL if name is None else _ONE, legend=name is None or not series))
            at = number(curve[0], "elbow") or next((row["clusters"] for row in curve if row.get("elbow") is True), None)
            if name is None and at is not None:
                references = (("x", at, f"elbow: {at:.3g} clusters a class"),)
        panels.append(Panel(tuple(series), short(dataset), "clusters of each class",
                            "squared distances, 1 cluster = 100 %", y_percent=True,
                            references=references))
    return write(path, [panels[i:i + 2] for i in range(0, len(panels), 2)], [400] * -(-len(panels) // 2))


def pair_rows(found, split, label, dataset, class_names):
    """Rows for `pairs`: of each cluster of class `label` the image that stands for it, and its hardest.

    found: clustering.Clustering; split: the conversion.EasyHard it was made with. The hardest has the highest entropy;
    a cluster of one image shows it twice. "index" is the image's row.
    """
    if not 0 <= label < len(class_names):
        raise UsageError(f"there is no class {label}; choose one of 0..{len(class_names) - 1}")
    rows = []
    for cluster, easiest in enumerate(found.easiest[label]):
        members = np.flatnonzero((found.labels == label) & (found.groups == cluster))
        hardest = members[split.entropy[members].argmax()]
        rows += [{"dataset": dataset, "class_name": class_names[label], "cluster": cluster + 1, "images": len(members),
                  "easy": easy, "index": int(index), "entropy": float(split.entropy[index]),
                  "right": bool(split.right[index])} for easy, index in ((True, easiest), (False, hardest))]
    return rows


def pairs(rows, images, path):
    """Fig. 2: for each cluster an easy image (left) and a hard one (right), with their entropies in nats.

    images: uint8 (C, H, W) each, one a row of `rows`, in their order. Raises ShapeError where they are not as many.
    """
    if len(images) != len(rows):
        raise ShapeError(f"pairs: {len(rows)} rows but {len(images)} images; each row needs its own")
    sheets = []
    for (dataset, name), group in grouped([{**row, "at": at} for at, row in enumerate(rows)],
                                          "dataset", "class_name").items():
        clusters = list(grouped(group, "cluster").values())
        for start in range(0, len(clusters), _PAIRS):
            label = f"{dataset}\n{name}" if start == 0 else ""
            sheets.append(_line(clusters[start:start + _PAIRS], images, label))
    return pictures.save(path, stacked(sheets) if sheets else pictures.nothing("no images to show"))


def _line(clusters, images, label):
    """Up to _PAIRS clusters beside each other -> pixels."""
    stacks = [drawing.tiles(np.stack([images[row["at"]] for row in cluster]), _SIDE) for cluster in clusters]
    height, width = stacks[0].shape[1:3]
    pitch = 2 * (width + drawing.GAP) + _APART
    pixels = np.full((_BAND + height + 12, _LEFT + _PAIRS * pitch, 3), 255, np.uint8)
    lines = [part for text in label.split("\n") for part in textwrap.wrap(text, 14, max_lines=2, placeholder="…")]
    texts = [("\n".join(lines), 6, _BAND + height / 2, "left", "center")] if lines else []
    for i, (cluster, tiles) in enumerate(zip(clusters, stacks)):
        left = _LEFT + i * pitch
        texts.append((f"cluster {cluster[0].get('cluster')}: {number(cluster[0], 'images') or 0:,} images",
                      left + width + drawing.GAP / 2, 12, "center", "center"))
        for row, tile, x in zip(cluster, tiles, (left, left + width + drawing.GAP)):
            pixels[_BAND:_BAND + height, x:x + width] = tile
            texts.append((_title(row), x + width / 2, _BAND - 17, "center", "top"))
    return with_text(pixels, texts)


def _title(row):
    """easy (0.0001), hard (1.5), or misread (1.5) for a hard image whose class the baseline does not recognise."""
    kind = "easy" if row.get("easy") else "hard" if row.get("right", True) else "misread"
    entropy = number(row, "entropy")
    return kind if entropy is None else f"{kind} ({entropy:.2g})"
