"""k-means: Lloyd's algorithm from several k-means++ starts; the best of them after some steps goes on to the end."""
import numpy as np

FIRST_STEPS, STEPS = 10, 200  # of every start, and of the best at most


def squared_distances(x, centres):
    """x (N, D), centres (K, D) -> (N, K), as |x|² - 2xc + |c|²: exact enough where x lies around 0."""
    found = x @ (-2 * centres.T)
    found += np.einsum("nd,nd->n", x, x)[:, None]
    found += np.einsum("kd,kd->k", centres, centres)
    return np.maximum(found, 0, out=found)


def means_of(x, groups, count):
    """x (N, D), groups (N,) of 0..count-1 -> their means (count, D); of an empty group, zeros."""
    sums = np.equal.outer(np.arange(count), groups).astype(x.dtype) @ x
    return sums / np.maximum(np.bincount(groups, minlength=count), 1)[:, None]


def inertia_of(x, groups, means):
    """The sum over the rows of x (N, D) of the squared distance to their group's mean."""
    return float(sum(np.square(x[groups == number] - mean).sum() for number, mean in enumerate(means)))


def k_means(x, count, rng, restarts=8, coarser=None):
    """x (N, D) float64 -> (groups (N,) of 0..K-1, inertia). K is at most `count` and the number of distinct rows.

    coarser (N,): groups from which to start, too, with the row farthest from their means as one more centre; the result
    is then no worse than they are.
    """
    x = x - x.mean(axis=0)
    starts = [_plus_plus(x, count, rng) for _ in range(restarts)]
    if coarser is not None:
        means = means_of(x, coarser, coarser.max() + 1)
        farthest = np.square(x - means[coarser]).sum(axis=1).argmax()
        starts.append(np.vstack([means, x[farthest]]))
    squares = np.einsum("nd,nd->n", x, x)
    begun = [_lloyd(x, squares, start, FIRST_STEPS) for start in starts]
    best = min(begun, key=lambda found: found[1])
    return _lloyd(x, squares, means_of(x, best[0], best[0].max() + 1), STEPS)


def _plus_plus(x, count, rng):
    """Centres (K, D): rows of x, each likelier the farther it is from those before (Arthur & Vassilvitskii, 2007)."""
    rows = [int(rng.integers(len(x)))]
    nearest = np.square(x - x[rows[0]]).sum(axis=1)
    while len(rows) < count and nearest.any():
        sums = np.cumsum(nearest)
        rows.append(min(int(np.searchsorted(sums, rng.random() * sums[-1], side="right")), len(x) - 1))
        np.minimum(nearest, np.square(x - x[rows[-1]]).sum(axis=1), out=nearest)
    return x[rows]


def _lloyd(x, squares, centres, steps):
    """Groups and means in turn until no row changes its group -> (groups, inertia). squares (N,): of each row's length.

    The inertia never rises, also where a row becomes the centre of a group that has none.
    """
    groups = None
    for _ in range(steps):
        nearness = x @ (2 * centres.T) - np.einsum("kd,kd->k", centres, centres)
        now = nearness.argmax(axis=1)
        empty = np.flatnonzero(np.bincount(now, minlength=len(centres)) == 0)
        if len(empty):
            distances = squares - nearness.max(axis=1)
            now[np.argsort(-distances, kind="stable")[:len(empty)]] = empty
        if groups is not None and np.array_equal(now, groups):
            break
        groups, centres = now, means_of(x, now, len(centres))
    _, groups = np.unique(groups, return_inverse=True)
    return groups, inertia_of(x, groups, means_of(x, groups, groups.max() + 1))
