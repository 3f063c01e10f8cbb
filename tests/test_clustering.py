"""Intraclass clustering: four ways, degenerate classes, hostile options, the elbow, the quality."""
import importlib.util
import sys
from dataclasses import replace

import numpy as np
import pytest

from npcbnet import clustering, conversion
from npcbnet.clustering import Options, cluster, elbow, elbow_point, kmeans, quality, silhouette
from npcbnet.errors import ShapeError, TrainingError, UsageError
from tests.made_up_clusters import blobs, made_split

pytestmark = pytest.mark.independent

SKLEARN = importlib.util.find_spec("sklearn") is not None
METHODS = [pytest.param(method, marks=pytest.mark.skipif(not SKLEARN and "dbscan" in method, reason="no scikit-learn"))
           for method in clustering.METHODS]
# What finds the three blobs of each class; each method alone has its knob set.
KNOBS = {"k-means": {}, "cosine": {"similarity": 0.5}, "dbscan": {"radius": 2.5}, "hdbscan": {}}


def options(method, **knobs):
    """Options of a method for the blobs."""
    return Options(method, smallest=10, neighbours=5, **{**KNOBS[method], **knobs})


@pytest.mark.parametrize("method", METHODS)
def test_known_blobs_are_found(method):
    features, labels, kinds = blobs()
    found = cluster(features, labels, made_split(len(labels)), 2, options(method))
    assert found.counts.tolist() == [3, 3]
    assert np.array_equal(found.groups, kinds)  # numbered from the largest, as the kinds are
    for label in (0, 1):
        for number in range(3):
            mean = features[(labels == label) & (kinds == number)].astype(np.float64)
            mean = (mean / np.linalg.norm(mean, axis=1, keepdims=True) if method == "cosine" else mean).mean(axis=0)
            np.testing.assert_allclose(found.means[label][number], mean, atol=1e-6)
    assert np.array_equal(found.place(features + 0.01, labels), kinds)


@pytest.mark.parametrize("method", METHODS)
def test_every_image_has_one_cluster_whose_target_is_its_easiest_right_image(method):
    features, labels, _ = blobs(seed=1, noise=2.0)  # not clear at all
    split = made_split(len(labels), 1)
    found = cluster(features, labels, split, 2, options(method))
    assert found.groups.shape == labels.shape and (found.groups >= 0).all()
    for label in (0, 1):
        mine = labels == label
        numbers, sizes = np.unique(found.groups[mine], return_counts=True)
        assert numbers.tolist() == list(range(found.counts[label])) and (np.diff(sizes) <= 0).all()
        for number, row in enumerate(found.easiest[label]):
            members = np.flatnonzero(mine & (found.groups == number) & split.right)
            assert row in members and split.entropy[row] == split.entropy[members].min()
    assert np.array_equal(labels[found.rows], labels) and np.array_equal(found.groups[found.rows], found.groups)
    assert np.isfinite(found.inertia).all() and (found.unclaimed >= 0).all() and (found.unclaimed <= 1).all()


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_images_and_the_number_of_threads_do_not_matter(method):
    features, labels, _ = blobs(seed=2, noise=1.5)
    split, chosen = made_split(len(labels), 2), options(method)
    found = cluster(features, labels, split, 2, chosen)
    order = np.random.default_rng(5).permutation(len(labels))
    turned = conversion.EasyHard(split.entropy[order], split.early[order], split.right[order])
    for other in (cluster(features[order], labels[order], turned, 2, chosen),
                  cluster(features[order], labels[order], turned, 2, chosen, threads=3)):
        assert np.array_equal(other.groups, found.groups[order])
        assert all(np.array_equal(order[a], b) for a, b in zip(other.easiest, found.easiest))
        assert np.array_equal(other.inertia, found.inertia) and np.array_equal(other.unclaimed, found.unclaimed)
        assert all(np.array_equal(a, b) for a, b in zip(other.means, found.means))


def test_k_means_depends_on_its_seed_alone():
    features, labels, _ = blobs(seed=3, noise=3.0)
    split = made_split(len(labels))
    groups = [cluster(features, labels, split, 2, Options(clusters=7, restarts=1, seed=seed)).groups
              for seed in (0, 0, 1)]
    assert np.array_equal(groups[0], groups[1]) and not np.array_equal(groups[0], groups[2])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("features", [np.zeros((30, 4)), np.full((30, 4), 1e8), np.eye(30), np.ones((2, 3)),
                                      np.repeat(np.eye(4), 8, axis=0), np.full((30, 4), -1e-30)],
                         ids=["zeros", "large", "orthogonal", "two", "repeated", "tiny"])
def test_degenerate_classes(method, features):
    """One image, fewer than asked for, all alike, all orthogonal: one cluster or more, and no NaN."""
    features = np.vstack([features, features[:1]]).astype(np.float32)
    labels = np.append(np.zeros(len(features) - 1, np.int64), 1)
    split = made_split(len(labels), right=2)
    found = cluster(features, labels, split, 2, Options(method, clusters=5))
    assert found.counts[1] == 1 and found.easiest[1].tolist() == [len(labels) - 1]
    assert 1 <= found.counts[0] <= min(5, len(np.unique(features, axis=0)))
    assert np.isfinite(found.inertia).all() and found.inertia[1] == 0
    for row in np.unique(features, axis=0):  # equal images have the same cluster
        assert len(np.unique(found.groups[:-1][(features[:-1] == row).all(axis=1)])) == 1
    images = np.zeros((len(labels), 1, 2, 2), np.uint8)
    judged = quality(found, features, images)
    assert judged.distance == judged.spread == 0 and np.isfinite(judged.explained)
    curve = elbow(features, labels, 2, most=4).inertia
    assert np.isfinite(curve).all() and curve.shape == (4, 2) and (curve[:, 1] == 0).all()


def test_a_cluster_without_an_easy_image_joins_the_nearest_that_has_one():
    features = np.repeat([[0.0, 0], [10, 0], [13, 0]], 5, axis=0).astype(np.float32)
    features += np.random.default_rng(0).normal(size=features.shape).astype(np.float32) / 10
    labels, right = np.zeros(15, np.int64), np.repeat([True, False, True], 5)
    split = conversion.EasyHard(np.arange(15.0)[::-1], np.ones(15, bool), right)
    found = cluster(features, labels, split, 1, Options(clusters=3))
    assert found.groups.tolist() == [1] * 5 + [0] * 10 and [rows.tolist() for rows in found.easiest] == [[14, 4]]
    late = conversion.EasyHard(split.entropy, np.zeros(15, bool), right)  # none is easy: the easiest right one
    assert [rows.tolist() for rows in cluster(features, labels, late, 1).easiest] == [[14]]
    with pytest.raises(TrainingError, match="class 0"):
        cluster(features, labels, conversion.EasyHard(split.entropy, split.early, ~split.early), 1)
    with pytest.raises(TrainingError, match="class 1"):
        cluster(features, labels, split, 2)


@pytest.mark.skipif(not SKLEARN, reason="no scikit-learn")
@pytest.mark.parametrize("method", ["dbscan", "hdbscan"])
def test_noise_joins_the_cluster_of_the_nearest_image(method):
    features, labels, kinds = blobs(classes=1)
    far = features[kinds == 1][:1] * 2
    features, labels = np.vstack([features, far]).astype(np.float32), np.append(labels, 0)
    found = cluster(features, labels, made_split(len(labels)), 1, options(method))
    assert found.groups[-1] == 1 and (method == "hdbscan" or found.unclaimed[0] == pytest.approx(1 / len(labels)))
    scattered = 100 * np.random.default_rng(0).random((60, 12)).astype(np.float32)
    found = cluster(scattered, np.zeros(60, np.int64), made_split(60), 1,
                    Options(method, radius=1e-3, smallest=20, neighbours=20))
    assert found.counts.tolist() == [1] and found.unclaimed.tolist() == [1.0]


def test_small_clusters_of_alike_images_are_noise():
    features, labels, kinds = blobs(classes=1)
    features[kinds == 2] = features[kinds == 1][:1]
    features[np.flatnonzero(kinds == 2)[:4]] = 5 * np.eye(12, dtype=np.float32)[7]
    found = cluster(features, labels, made_split(len(labels)), 1, options("cosine"))
    assert found.counts.tolist() == [2] and found.unclaimed[0] == pytest.approx(4 / len(labels))
    assert cluster(features, labels, made_split(len(labels)), 1, Options("cosine", smallest=3)).counts.tolist() == [3]


def test_cosine_sees_directions_and_the_index_decides():
    features, labels, kinds = blobs(classes=1)
    scaled = features * np.random.default_rng(0).uniform(0.1, 10, len(features))[:, None].astype(np.float32)
    split = made_split(len(labels))
    assert np.array_equal(cluster(scaled, labels, split, 1, options("cosine")).groups, kinds)
    counts = [cluster(scaled, labels, split, 1, Options("cosine", similarity=index, smallest=2)).counts[0]
              for index in (-1.0, 0.5, 0.98)]
    assert counts[0] == 1 and counts[1] == 3 and counts[2] > 3


def test_more_images_than_can_be_compared(monkeypatch):
    monkeypatch.setattr("npcbnet.clustering.classes.MOST", 60)
    features, labels, kinds = blobs()
    found = cluster(features, labels, made_split(len(labels)), 2, Options("cosine", smallest=5))
    assert np.array_equal(found.groups, kinds) and not found.unclaimed.any()


def test_without_scikit_learn_there_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    features, labels, kinds = blobs()
    for method in ("dbscan", "hdbscan"):
        with pytest.raises(UsageError, match="pip install scikit-learn"):
            cluster(features, labels, made_split(len(labels)), 2, options(method))
    for method in ("k-means", "cosine"):
        assert np.array_equal(cluster(features, labels, made_split(len(labels)), 2, options(method)).groups, kinds)


@pytest.mark.parametrize("field, value", [
    ("method", "k-medians"), ("method", None), ("clusters", 0), ("clusters", 2.5), ("clusters", True), ("restarts", 0),
    ("smallest", 1), ("neighbours", "5"), ("seed", -1), ("similarity", 1.5), ("similarity", float("nan")),
    ("similarity", "high"), ("sparse", -0.1), ("sparse", None), ("radius", 0), ("radius", -1.0), ("radius", np.inf)])
def test_hostile_options(field, value):
    with pytest.raises(UsageError, match=field if field != "method" else "unknown clustering"):
        Options(**{field: value})


@pytest.mark.parametrize("features, labels, classes, match", [
    (np.zeros((3, 2, 2)), np.zeros(3, int), 1, "expected numbers"),
    (np.zeros((0, 2)), np.zeros(0, int), 1, "at least one"), (np.zeros((3, 0)), np.zeros(3, int), 1, "at least one"),
    (np.array([["a"]]), np.zeros(1, int), 1, "expected numbers"),
    (np.zeros((3, 2)), np.zeros(2, int), 1, "labels"), (np.zeros((3, 2)), np.zeros(3), 1, "labels are float64"),
    (np.zeros((3, 2)), np.array([0, 1, 2]), 2, "0..1"), (np.zeros((3, 2)), np.array([0, -1, 0]), 2, "0..1"),
    (np.full((3, 2), np.nan), np.zeros(3, int), 1, "NaN"), (np.full((3, 2), 1e300), np.zeros(3, int), 1, "infinite"),
    (np.zeros((3, 2)), np.zeros(3, int), 0, "classes"), (np.zeros((3, 2)), np.zeros(3, int), 2.0, "classes")])
def test_hostile_arrays(features, labels, classes, match):
    for function in (lambda: cluster(features, labels, made_split(3), classes),
                     lambda: elbow(features, labels, classes)):
        with pytest.raises((ShapeError, UsageError), match=match):
            function()


def test_arrays_that_do_not_belong_together():
    features, labels, _ = blobs()
    with pytest.raises(ShapeError, match="entropies"):
        cluster(features, labels, made_split(3), 2)
    with pytest.raises(UsageError, match="threads"):
        cluster(features, labels, made_split(len(labels)), 2, threads=0)
    found = cluster(features, labels, made_split(len(labels)), 2)
    with pytest.raises(ShapeError, match="features"):
        found.place(features[:, :5], labels)
    with pytest.raises(ShapeError, match="images"):
        quality(found, features, np.zeros((3, 1, 2, 2), np.uint8))
    for most in (2, 2.5, None):
        with pytest.raises(UsageError, match="most"):
            elbow(features, labels, 2, most=most)
    with pytest.raises(UsageError, match="sample"):
        silhouette(features, labels, labels, sample=1)


def test_k_means_is_as_good_as_every_division_of_a_small_class():
    rng, ratios = np.random.default_rng(0), []
    for _ in range(20):
        x = rng.normal(size=(9, 2))
        best = np.inf
        for code in range(2 ** 9):
            groups = np.array([code >> i & 1 for i in range(9)])
            best = min(best, sum(np.square(x[groups == g] - x[groups == g].mean(axis=0)).sum() for g in set(groups)))
        groups, inertia = kmeans.k_means(x, 2, rng, restarts=20)
        means = np.array([x[groups == g].mean(axis=0) for g in (0, 1)])
        assert inertia == pytest.approx(np.square(x - means[groups]).sum())
        ratios.append(inertia / best)
        nearest = np.square(x[:, None] - means).sum(axis=2).argmin(axis=1)
        assert np.array_equal(groups, nearest)  # nothing is left to do
    assert min(ratios) > 1 - 1e-9 and max(ratios) < 1.1 and np.mean(np.array(ratios) < 1 + 1e-9) >= 0.8


def test_k_means_fills_empty_groups():
    x = np.array([[0.0], [0.1], [0.2], [9.0], [9.1]])
    groups, inertia = kmeans._lloyd(x, np.square(x).sum(axis=1), np.array([[0.0], [50.0], [60.0]]), 50)
    assert len(np.unique(groups)) == 3 and inertia < 0.1


@pytest.mark.parametrize("kinds", [1, 2, 3, 5])
def test_the_elbow_is_the_number_of_blobs(kinds):
    features, labels, _ = blobs(kinds=kinds, uneven=0)
    found = elbow(features, labels, 2, most=9, restarts=5)
    assert (np.diff(found.inertia, axis=0) <= 1e-9 * found.inertia[0]).all()  # never rises
    if kinds > 1:
        assert found.chosen == kinds and found.chosen_of_each.tolist() == [kinds, kinds]
    np.testing.assert_allclose(found.inertia[0], [np.square(x - x.mean(axis=0)).sum() for x in
                                                  (features[labels == label].astype(np.float64) for label in (0, 1))])


@pytest.mark.parametrize("curve, point", [
    ([10, 9, 8, 7, 6], 1), ([10, 2, 1, 0.5], 2), ([10, 8, 1, 0.9, 0.8, 0.7], 3), ([5, 5, 5], 1), ([0, 0, 0], 1),
    ([3, 2], 1), ([7], 1), ([10, 5, 5, 5, 5], 2)])
def test_the_elbow_of_a_curve(curve, point):
    assert elbow_point(curve) == point


def test_quality_by_hand():
    images = np.zeros((6, 1, 1, 2), np.uint8)
    images[:, 0, 0, 0] = [0, 51, 102, 255, 204, 0]  # 0, .2, .4, 1, .8 and 0 of class 1
    features = np.array([[0.0], [1], [2], [10], [11], [5]], np.float32)
    labels = np.array([0, 0, 0, 0, 0, 1])
    split = conversion.EasyHard(np.array([1.0, 2, 3, 2, 1, 0]), np.ones(6, bool), np.ones(6, bool))
    found = cluster(features, labels, split, 2, Options(clusters=2))
    assert found.rows.tolist() == [0, 0, 0, 4, 4, 5]
    judged = quality(found, features, images)
    assert judged.distance == pytest.approx((0.04 + 0.16 + 0.04) / 12)  # half of the pixels are black everywhere
    mean = 0.8 * 2 / 5
    assert judged.spread == pytest.approx((3 * mean**2 + 2 * (0.8 - mean)**2) / 12, rel=1e-6)
    total, within = np.square(features[:5] - 4.8).sum(), 2 + 0.5
    assert judged.clusters == 3 and judged.explained == pytest.approx(1 - within / total) and judged.unclaimed == 0
    inside, outside = np.array([1.5, 1, 1.5, 1, 1]), np.array([10.5, 9.5, 8.5, 9, 10])
    assert judged.silhouette == pytest.approx((1 - inside / outside).mean())
    assert quality(replace(found, groups=found.groups * 0, easiest=([4], [5])), features, images).silhouette is None


@pytest.mark.skipif(not SKLEARN, reason="no scikit-learn")
def test_silhouette_as_scikit_learn_has_it():
    from sklearn.metrics import silhouette_score
    features, labels, _ = blobs(noise=2.0, classes=1)
    groups = np.random.default_rng(0).integers(0, 4, len(labels))
    groups[0] = 4  # alone
    assert silhouette(features, labels, groups) == pytest.approx(silhouette_score(features, groups), abs=1e-6)
    some = silhouette(features, labels, groups, sample=40)
    assert some == pytest.approx(silhouette_score(features, groups), abs=0.2)
