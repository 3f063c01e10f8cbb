"""Which clustering, and its knobs."""
from dataclasses import dataclass

import numpy as np

from npcbnet.errors import UsageError

METHODS = ("k-means", "cosine", "dbscan", "hdbscan")


@dataclass(frozen=True)
class Options:
    """How the images of a class are divided. Raises UsageError for values that cannot be used.

    method: one of METHODS. clusters: of a class, and restarts: k-means alone; the paper's elbow on CIFAR-10 is 3.
    similarity: cosine alone, -1..1; clusters are joined while the mean cosine similarity between them is at least this.
    smallest: cosine and hdbscan; a cluster of fewer images is none. neighbours: dbscan and hdbscan; images within reach
    of a core image, itself included. radius: dbscan's reach; None: so far that a share `sparse` of the images has
    fewer neighbours. seed: of k-means and of the choice among too many images; the other methods draw nothing.
    """

    method: str = "k-means"
    clusters: int = 3
    restarts: int = 8
    similarity: float = 0.7
    smallest: int = 25
    neighbours: int = 10
    radius: float | None = None
    sparse: float = 0.1
    seed: int = 0

    def __post_init__(self):
        if self.method not in METHODS:
            raise UsageError(f"unknown clustering {self.method!r}; choose one of {', '.join(METHODS)}")
        for field, least in (("clusters", 1), ("restarts", 1), ("smallest", 2), ("neighbours", 1), ("seed", 0)):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise UsageError(f"clustering: {field} must be a whole number of at least {least}, not {value!r:.60}")
        _between("similarity", self.similarity, -1, 1)
        _between("sparse", self.sparse, 0, 1)
        if self.radius is not None:
            _between("radius", self.radius, 0, np.inf)
            if not 0 < self.radius < np.inf:
                raise UsageError(f"clustering: radius must be positive, not {self.radius!r}; None chooses one")


def _between(field, value, low, high):
    """Raise UsageError unless value is a number in low..high."""
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not low <= value <= high:
        raise UsageError(f"clustering: {field} must be a number from {low} to {high}, not {value!r:.60}")
