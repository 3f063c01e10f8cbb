"""How good is a clustering for conversion? What its targets are like, and what its clusters are like."""
from dataclasses import dataclass

import numpy as np

from npcbnet.clustering.classes import Clustering, by_bytes, checked
from npcbnet.clustering.kmeans import squared_distances
from npcbnet.errors import ShapeError, UsageError
from npcbnet.nets.images import as_floats

SAMPLE = 500  # images of a class whose silhouettes are computed
BLOCK = 1024  # images whose pixels are compared at once


@dataclass(frozen=True)
class Quality:
    """clusters: of all classes together. Of pixels in 0..1, means over all images:

    distance: squared difference of image and target, the reconstruction loss of a converter that changes nothing.
    spread: squared difference of the target and the mean of its class's targets, the loss of a converter that knows
    the class alone; 0 with one target a class. Clusters lower the distance and raise the spread: a trained converter's
    loss falls against random targets (CBNet's), not against one target a class.
    silhouette: of the clusters among the features, -1..1 (Rousseeuw, 1987), None where no class has two of them.
    explained: share of the features' variance within the classes that lies between clusters (0: one cluster).
    unclaimed: share of images that no cluster claimed.
    """

    clusters: int
    distance: float
    spread: float
    silhouette: float | None
    explained: float
    unclaimed: float


def quality(found: Clustering, features, images, sample=SAMPLE):
    """Quality of a Clustering; features (N, D) and images (N, C, H, W) are those it was made of.

    sample: images of each class whose silhouettes are computed. Raises ShapeError where the arrays are not as many.
    """
    features, labels = checked(features, found.labels, len(found.easiest))
    if len(images) != len(labels):
        raise ShapeError(f"{len(images)} images but a clustering of {len(labels)}; pass the images it was made of")
    distance, spread = target_losses(images, labels, found.rows)
    within = between = 0.0
    for label in range(len(found.easiest)):
        x = features[labels == label].astype(np.float64)
        groups, x = found.groups[labels == label], x - x.mean(axis=0)
        for number in range(groups.max(initial=-1) + 1):
            members = x[groups == number]
            between += len(members) * float(np.square(members.mean(axis=0)).sum())
        within += float(np.square(x).sum())
    return Quality(int(found.counts.sum()), distance, spread, silhouette(features, labels, found.groups, sample),
                   between / within if within else 0.0,
                   float(np.average(found.unclaimed, weights=np.bincount(labels, minlength=len(found.easiest)))))


def target_losses(images, labels, rows):
    """(distance, spread) as in Quality; image i's target is image rows[i]. images (N, C, H, W); labels, rows (N,)."""
    distance = spread = 0.0
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        chosen, uses = np.unique(rows[mine], return_counts=True)
        mean = sum(count * np.asarray(as_floats(images[[row]])[0], np.float64) for row, count in zip(chosen, uses))
        mean = mean / len(mine)
        for start in range(0, len(mine), BLOCK):
            here = mine[start:start + BLOCK]
            target = as_floats(images[rows[here]])
            distance += float(np.square(as_floats(images[here]) - target).sum(dtype=np.float64))
            spread += float(np.square(target - mean).sum(dtype=np.float64))
    return distance / images.size, spread / images.size


def silhouette(features, labels, groups, sample=SAMPLE, seed=0):
    """Mean over at most `sample` images of each class of (b - a) / max(a, b), or None where no class has two clusters.

    a: an image's mean distance to the others of its cluster; b: to those of the nearest other cluster of its class. An
    image alone in its cluster has 0 (Rousseeuw, 1987). Classes of one cluster do not count.
    """
    if isinstance(sample, bool) or not isinstance(sample, (int, np.integer)) or sample < 2:
        raise UsageError(f"silhouette: sample must be a whole number of at least 2, not {sample!r:.60}")
    found = []
    for label in np.unique(labels):
        x = features[labels == label]
        order, _ = by_bytes(x)
        chosen = order[np.random.default_rng([seed, label]).permutation(len(x))[:sample]]
        x, (_, own) = x[chosen].astype(np.float64), np.unique(groups[labels == label][chosen], return_inverse=True)
        if own.max() == 0:
            continue
        x = x - x.mean(axis=0)
        member = np.equal.outer(own, np.arange(own.max() + 1))
        sums, sizes = np.sqrt(squared_distances(x, x)) @ member, member.sum(axis=0)
        inside = sums[member] / np.maximum(sizes[own] - 1, 1)
        outside = np.where(member, np.inf, sums / sizes).min(axis=1)
        largest = np.maximum(inside, outside)
        gap = np.divide(outside - inside, largest, out=np.zeros(len(x)), where=(largest > 0) & (sizes[own] > 1))
        found.append(gap)
    return float(np.concatenate(found).mean()) if found else None
