"""How many clusters? The elbow of the curve of inertia over their number (Thorndike, 1953)."""
from dataclasses import dataclass

import numpy as np

from npcbnet.clustering import kmeans
from npcbnet.clustering.classes import by_bytes, checked
from npcbnet.errors import UsageError
from npcbnet.training import Crew, check_threads, one_blas_thread


@dataclass(frozen=True, eq=False)
class Elbow:
    """inertia (K, O): sum of squared distances to the nearest mean for 1, 2, ..., K clusters of each of O classes."""

    inertia: np.ndarray

    @property
    def total(self):
        """(K,) inertia of all classes together."""
        return self.inertia.sum(axis=1)

    @property
    def chosen(self):
        """Clusters for every class alike, as the paper has them: the elbow of the total."""
        return elbow_point(self.total)

    @property
    def chosen_of_each(self):
        """(O,) the elbow of each class's own curve."""
        return np.array([elbow_point(curve) for curve in self.inertia.T])


def elbow(features, labels, classes, most=10, restarts=3, seed=0, threads=1):
    """k-means of each class's features (N, D) for 1..most clusters -> Elbow.

    Each number of clusters also starts from the result of the one before, so the curve never rises. Raises ShapeError
    as `cluster` does, UsageError for most < 3: shorter curves have no elbow.
    """
    for field, value, least in (("most", most, 3), ("restarts", restarts, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise UsageError(f"elbow: {field} must be a whole number of at least {least}, not {value!r:.60}")
    features, labels = checked(features, labels, classes)
    check_threads(threads)

    def work(label):
        mine = features[labels == label]
        x, rng = mine[by_bytes(mine)[0]].astype(np.float64), np.random.default_rng([seed, label])
        curve, groups = [], None
        for count in range(1, most + 1 if len(x) else 1):
            groups, inertia = kmeans.k_means(x, count, rng, restarts, groups)
            curve.append(inertia)
        return curve or [0.0] * most

    with one_blas_thread(), Crew(threads) as crew:
        return Elbow(np.array(crew.map(work, range(classes))).T)


def elbow_point(inertia):
    """inertia (K,) for 1..K clusters -> the number of clusters at the elbow.

    Thorndike looks for the bend by eye. Here it is the point farthest below the chord from the curve's first point to
    its last, both axes scaled to 0..1 (as Satopää et al., 2011, "Kneedle"); 1 where the curve does not bend.
    """
    curve = np.asarray(inertia, np.float64)
    fall = curve[0] - curve[-1]
    if len(curve) < 3 or fall <= 1e-9 * abs(curve[0]):
        return 1
    below = 1 - np.linspace(0, 1, len(curve)) - (curve - curve[-1]) / fall
    return int(below.argmax()) + 1 if below.max() > 1e-6 else 1
