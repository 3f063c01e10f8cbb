"""Clusterings of one class that need all its distances: cosine similarity, DBSCAN, HDBSCAN.

Each takes rows x (N, D) float64 and Options, and gives groups (N,) of 0, 1, ..., and -1 for what belongs to none.
"""
import numpy as np

from npcbnet.clustering.kmeans import squared_distances
from npcbnet.errors import UsageError

BLOCK = 512  # rows whose distances to all others are held at once


def by_similarity(x, options):
    """Average linkage of cosine distances, cut where clusters are less alike than options.similarity.

    The paper "measured the cosine distance between images and clustered them based on their similarity using various
    similarity index values" and says no more. Two clusters are joined as long as the mean similarity of an image of
    one to an image of the other is at least the index. x: rows of length 1 (or 0: without direction, in no cluster).
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    pointed = np.flatnonzero(x.any(axis=1))
    groups = np.full(len(x), -1)
    if len(pointed) < 2:
        return groups
    x, count = x[pointed], len(pointed)
    distances, place = np.empty(count * (count - 1) // 2), 0  # of each pair once, as linkage takes them
    for start in range(0, count, BLOCK):
        block = 1 - x[start:start + BLOCK] @ x.T
        for row, values in enumerate(block, start):
            distances[place:place + count - row - 1] = values[row + 1:]
            place += count - row - 1
    np.maximum(distances, 0, out=distances)
    # rounding: identical images have a similarity of 1 and must be found alike at 1
    groups[pointed] = fcluster(linkage(distances, "average"), 1 - options.similarity + 1e-9, "distance") - 1
    _, index, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    groups[sizes[index] < options.smallest] = -1
    return groups


def dbscan(x, options):
    """DBSCAN (Ester et al., 1996), by scikit-learn. The paper tuned its reach by hand and does not say how far."""
    found = _sklearn().DBSCAN(eps=options.radius or reach(x, options), min_samples=options.neighbours)
    return found.fit(x).labels_


def reach(x, options):
    """The radius within which all but a share options.sparse of the rows have options.neighbours rows, themselves too.

    The height at which the curve of sorted k-distances is cut, for a given share of noise (Ester et al., section 4.2).
    """
    wanted, x = min(options.neighbours, len(x)) - 1, x - x.mean(axis=0)
    far = [np.partition(squared_distances(x[start:start + BLOCK], x), wanted, axis=1)[:, wanted]
           for start in range(0, len(x), BLOCK)]
    radius = np.sqrt(np.quantile(np.concatenate(far), 1 - options.sparse))
    return max(float(radius), 1e-6 * float(np.abs(x).max()), 1e-12)  # identical images lie within any radius


def hdbscan(x, options):
    """HDBSCAN (Campello et al., 2013), by scikit-learn; the smallest cluster has options.smallest images."""
    if len(x) < max(options.neighbours, options.smallest):
        return np.full(len(x), -1)
    found = _sklearn().HDBSCAN(min_cluster_size=options.smallest, min_samples=options.neighbours, copy=True,
                               algorithm="brute")  # trees are 30 times as slow with 768 features
    return found.fit(x).labels_


def check_method(method):
    """Raise UsageError where a method needs scikit-learn and it is not installed."""
    if method in ("dbscan", "hdbscan"):
        _sklearn()


def _sklearn():
    """sklearn.cluster."""
    try:
        import sklearn.cluster
    except ImportError:
        raise UsageError("dbscan and hdbscan need scikit-learn, which is not installed: pip install "
                         "scikit-learn, or choose k-means or cosine") from None
    return sklearn.cluster
