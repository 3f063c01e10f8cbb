"""Each class divided by itself: which image belongs to which cluster, and which image stands for it."""
from dataclasses import dataclass

import numpy as np

from npcbnet import conversion
from npcbnet.clustering import density, kmeans
from npcbnet.clustering.options import Options
from npcbnet.errors import ShapeError, UsageError
from npcbnet.training import Crew, check_threads, one_blas_thread

MOST = 5000  # images of a class whose distances to each other are all computed: 100 MB, twice that for hdbscan


@dataclass(frozen=True, eq=False)
class Clustering:
    """Clusters of N images, numbered within each of O classes, the largest first.

    options: how they were found; labels (N,): classes; groups (N,) int64: clusters; easiest: for each class the rows
    (K,) of the images that stand for its clusters, easy and of the lowest entropy there; means: for each class its
    clusters' means (K, D) float64; inertia (O,): sum of squared distances to them; unclaimed (O,): the share of images
    that no cluster claimed, which joined the nearest (0 for k-means). Means and inertia of the method "cosine" are
    those of features brought to length 1.
    """

    options: Options
    labels: np.ndarray
    groups: np.ndarray
    easiest: tuple
    means: tuple
    inertia: np.ndarray
    unclaimed: np.ndarray

    @property
    def counts(self):
        """(O,) number of clusters of each class."""
        return np.array([len(rows) for rows in self.easiest])

    @property
    def rows(self):
        """(N,) for each image the row of the one that stands for its cluster: its target."""
        return np.array([self.easiest[label][group] for label, group in zip(self.labels, self.groups)], np.int64)

    def targets(self, images, split):
        """conversion.Targets for a converter: each of the images (N, C, H, W) becomes the easiest of its cluster.

        images and split (conversion.EasyHard) are those that the clusters were made of.
        """
        return conversion.Targets("lowest-entropy", images, self.labels, split, len(self.easiest), None,
                                  groups=self.groups)

    def place(self, features, labels):
        """Other images' clusters (M,): those of their class whose means are nearest. features (M, D), labels (M,)."""
        features, labels = checked(features, labels, len(self.easiest))
        groups = np.zeros(len(labels), np.int64)
        for label in np.unique(labels):
            mine, means = labels == label, self.means[label]
            if not len(means) or means.shape[1] != features.shape[1]:
                raise ShapeError(f"class {label} has {len(means)} clusters of {means.shape[1]} features; an image "
                                 f"with {features.shape[1]} features cannot be placed")
            x = in_space(features[mine], self.options)
            groups[mine] = kmeans.squared_distances(x - means[0], means - means[0]).argmin(axis=1)
        return groups


def cluster(features, labels, split, classes, options=Options(), threads=1):
    """Divide each class by the images' features (N, D) -> Clustering.

    labels (N,) 0..classes-1; split: conversion.EasyHard of the images. What the paper leaves open: an image that the
    method calls noise joins the cluster of the nearest image that it does not; a class that is all noise is one
    cluster; a cluster without an easy image joins the one with the nearest mean that has one. Of a class with more
    than MOST images all methods but k-means look at MOST, and the others join the nearest of these. The result depends
    neither on the order of the images nor on the number of threads. Raises ShapeError for arrays that do not fit,
    UsageError where scikit-learn is missing, TrainingError for a class of which no image is classified right.
    """
    features, labels = checked(features, labels, classes)
    if len(split.entropy) != len(labels):
        raise ShapeError(f"{len(labels)} images but {len(split.entropy)} entropies; each image needs one")
    easy, _ = conversion.easy_rows(split, labels, classes)
    check_threads(threads)

    def work(label):
        mine = np.flatnonzero(labels == label)
        return _one_class(features[mine], np.isin(mine, easy[label]), options, label)

    with one_blas_thread(), Crew(threads) as crew:
        found, means, inertia, unclaimed = zip(*crew.map(work, range(classes)))
    groups = np.empty(len(labels), np.int64)
    easiest = []
    for label, (own, rows) in enumerate(zip(found, easy)):
        groups[labels == label] = own
        members = [rows[groups[rows] == number] for number in range(own.max() + 1)]
        easiest.append(np.array([here[split.entropy[here].argmin()] for here in members]))
    return Clustering(options, labels, groups, tuple(easiest), means, np.array(inertia), np.array(unclaimed))


def checked(features, labels, classes):
    """features as float32 (N, D), labels as int64 (N,). Raises ShapeError where they are not finite or do not fit."""
    if isinstance(classes, bool) or not isinstance(classes, (int, np.integer)) or classes < 1:
        raise UsageError(f"the number of classes must be a whole number of at least 1, not {classes!r:.60}")
    features, labels = np.asarray(features), np.asarray(labels)
    if features.ndim != 2 or features.dtype.kind not in "fiub" or 0 in features.shape:
        raise ShapeError(f"features are {features.dtype} {features.shape}; expected numbers (N, D), at least one of "
                         "each")
    if labels.shape != (len(features),) or labels.dtype.kind not in "iu":
        raise ShapeError(f"labels are {labels.dtype} {labels.shape}; expected whole numbers ({len(features)},), "
                         "one for each row of features")
    if labels.min() < 0 or labels.max() >= classes:
        raise ShapeError(f"labels run from {labels.min()} to {labels.max()}; of {classes} classes they must lie in "
                         f"0..{classes - 1}")
    with np.errstate(over="ignore"):
        features = features.astype(np.float32) + np.float32(0)  # no -0, which has other bytes than 0
    if not np.isfinite(features).all():
        raise ShapeError("features hold NaN or infinite numbers; look what the network computes from these images")
    return features, labels.astype(np.int64)


def in_space(features, options):
    """Features (n, D) as float64; for the cosine method each row of length 1 (zeros stay zeros)."""
    x = features.astype(np.float64)
    if options.method == "cosine":
        length = np.sqrt(np.einsum("nd,nd->n", x, x))[:, None]
        x = np.divide(x, length, out=x, where=length > 0)
    return x


def by_bytes(features):
    """An order of the rows (N, D) float32 that does not depend on the order they came in, and which rows repeat.

    Returns (order (N,), first (N,): for each place in it the first place with the same row).
    """
    keys = np.ascontiguousarray(features).view(np.dtype((np.void, features.shape[1] * 4))).ravel()
    order = np.argsort(keys, kind="stable")
    new = np.append(True, keys[order][1:] != keys[order][:-1])
    return order, np.maximum.accumulate(np.where(new, np.arange(len(new)), 0))


def _one_class(features, easy, options, label):
    """Features (n, D) of one class, easy (n,) bool -> groups (n,), means (K, D), inertia, share unclaimed."""
    order, first = by_bytes(features)
    x = in_space(features[order], options)
    found, unclaimed = _found(x, options, np.random.default_rng([options.seed, label]))
    found = _with_an_easy_image(x, found[first], easy[order])  # identical rows together, whatever rounding says
    _, firsts, found, sizes = np.unique(found, return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(len(sizes), np.int64)
    rank[np.lexsort([firsts, -sizes])] = np.arange(len(sizes))
    groups = np.empty(len(x), np.int64)
    groups[order] = found = rank[found]
    means = kmeans.means_of(x, found, len(sizes))
    return groups, means, kmeans.inertia_of(x, found, means), unclaimed


def _found(x, options, rng):
    """Groups (n,) of rows x in their order by bytes, every row in one, and the share that no cluster claimed."""
    if options.method == "k-means":
        return kmeans.k_means(x, options.clusters, rng, options.restarts)[0], 0.0
    method = {"cosine": density.by_similarity, "dbscan": density.dbscan, "hdbscan": density.hdbscan}[options.method]
    groups = np.full(len(x), -1)
    chosen = np.sort(rng.permutation(len(x))[:MOST])
    groups[chosen] = method(x[chosen], options)
    unclaimed = float((groups[chosen] < 0).mean())
    known, lost = np.flatnonzero(groups >= 0), np.flatnonzero(groups < 0)
    if not len(known):
        return np.zeros(len(x), np.int64), unclaimed
    x = x - x.mean(axis=0)
    others = x[known]
    for start in range(0, len(lost), density.BLOCK):
        here = lost[start:start + density.BLOCK]
        groups[here] = groups[known[kmeans.squared_distances(x[here], others).argmin(axis=1)]]
    return groups, unclaimed


def _with_an_easy_image(x, groups, easy):
    """Groups (n,) of which each has an easy image: one without joins the one with the nearest mean that has."""
    _, groups = np.unique(groups, return_inverse=True)
    means = kmeans.means_of(x - x.mean(axis=0), groups, groups.max() + 1)
    having = np.unique(groups[easy])
    nearest = having[kmeans.squared_distances(means, means[having]).argmin(axis=1)]
    nearest[having] = having
    return nearest[groups]
