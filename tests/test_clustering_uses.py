"""What clustering is made of and for: features of networks, easy images, targets for a converter, pictures, MNIST."""

import numpy as np
import pytest
from skimage import io

import npcbnet
from npcbnet import clustering, conversion, pictures
from npcbnet.clustering import Options, cluster, elbow, penultimate, quality
from npcbnet.errors import ShapeError, UsageError
from npcbnet.evaluate.caenet import clusters
from npcbnet.kernels._jit import COMPILED
from npcbnet.layers import Dense, Flatten, Sequential, initialise
from npcbnet.nets import Classifier, alexnet, lenet, mobilenetv2
from npcbnet.nets.vgg16 import vgg16_layers
from tests.made_up_clusters import blobs, made_split
from tests.real_images import real

NAMES = ("a", "b")


def small(layers, shape=(1, 6, 6), classes=2):
    """A classifier of the layers, with weights."""
    return Classifier(initialise(Sequential(layers), np.random.default_rng(0)), shape, tuple("abcdefghij"[:classes]))


def test_penultimate_features_are_what_enters_the_output_layer():
    rng = np.random.default_rng(0)
    net = lenet((1, 28, 28), NAMES, rng)
    images = rng.integers(0, 256, (150, 1, 28, 28), np.uint8)
    features = penultimate(net, images)
    assert features.shape == (150, 84) and features.dtype == np.float32
    assert np.array_equal(features, penultimate(net, images, threads=3))
    logits, _ = net.net[-1].forward(features)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(shares / shares.sum(axis=1, keepdims=True), net.predict_proba(images), atol=1e-6)
    np.testing.assert_allclose(penultimate(net, images[:5] / 255), features[:5], atol=1e-5)
    assert penultimate(net, images[:0]).shape == (0, 84)


def test_features_of_larger_nets():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 3, 32, 32), np.uint8)
    net = alexnet((3, 32, 32), NAMES, rng, channels=(4, 4, 8, 8, 8), hidden=(12, 7))
    assert penultimate(net, images).shape == (2, 7)
    assert (penultimate(net, images) >= 0).all()  # behind the ReLU
    last = clustering.after_convolution(net.net, 5)
    assert clustering.features_at(net, images, last).shape == (2, 8 * 4 * 4)
    assert isinstance(net.net[last], Flatten) and clustering.after_convolution(net.net, 1) == 3
    for batch_norm in (False, True):  # CAE-Net, section III-A2: from VGG16's 13th layer, of shape (1, 1, 512)
        vgg = vgg16_layers((3, 32, 32), 1000, hidden=(4096, 4096), batch_norm=batch_norm)
        assert vgg[:clustering.after_convolution(vgg, 13)].output_shape((3, 32, 32)) == (512, 1, 1)
    mobile = mobilenetv2((3, 32, 32), NAMES, rng, stages=((1, 8, 1, 1),), first=8, last=20)
    assert penultimate(mobile, images).shape == (2, 20)


def test_features_from_what_has_none():
    rng = np.random.default_rng(0)
    images = np.zeros((2, 1, 6, 6), np.uint8)
    net = small([Flatten(), Dense(36, 2)])
    assert penultimate(net, images).shape == (2, 36)
    for layers in (0, 3, -1):
        with pytest.raises(UsageError, match="layer 1 to 2"):
            clustering.features_at(net, images, layers)
    for count in (0, 1):
        with pytest.raises(UsageError, match="0 convolutions"):
            clustering.after_convolution(net.net, count)
    with pytest.raises(UsageError, match="str"):
        penultimate("mnist-lenet", images)
    with pytest.raises(ShapeError):
        penultimate(net, images[:, :, :5])
    with pytest.raises(UsageError, match="threads"):
        penultimate(net, images, threads=0)
    assert penultimate(lenet((1, 6, 6), NAMES, rng), images).shape == (2, 84)


def test_targets_of_a_clustering():
    features, labels, _ = blobs()
    rng = np.random.default_rng(0)
    images, split = rng.integers(0, 256, (len(labels), 1, 4, 4), np.uint8), made_split(len(labels))
    found = cluster(features, labels, split, 2)
    targets = found.targets(images, split)
    assert np.array_equal(targets.drawn, found.rows)
    index = rng.permutation(len(labels))[:30]
    got = targets.of(index, None)
    assert got.dtype == np.float32 and np.array_equal(got, images[found.rows[index]] * np.float32(1 / 255))
    other = rng.integers(0, 256, (9, 1, 4, 4), np.uint8)
    placed = targets.like(other, labels[:9], found.place(features[:9], labels[:9]))
    assert np.array_equal(placed, targets.of(np.arange(9), None))
    assert targets.like(other, labels[:9]).shape == other.shape
    for rule, count in (("medoid", 1), ("lowest-entropy", 2)):
        with pytest.raises(UsageError, match="groups"):
            conversion.Targets(rule, images, labels, split, 2, rng, count, found.groups)
    with pytest.raises(UsageError, match="class and group"):
        targets.like(other, labels[:9], np.full(9, 7))
    with pytest.raises(ShapeError, match="groups"):
        conversion.Targets("lowest-entropy", images, labels, split, 2, rng, groups=found.groups[1:])


def test_easy_by_entropy_needs_a_right_answer():
    net = small([Flatten(), Dense(36, 2)])
    images = np.random.default_rng(0).integers(0, 256, (50, 1, 6, 6), np.uint8)
    labels, answer = np.zeros(50, np.int64), net.explain(images)
    split = conversion.easy_by_entropy(net, images, labels)
    assert np.array_equal(split.easy, answer.label == 0) and np.array_equal(split.entropy, answer.entropy)
    limit = float(np.median(answer.entropy))
    assert np.array_equal(conversion.easy_by_entropy(net, images, labels, limit).easy,
                          (answer.label == 0) & (answer.entropy < limit))


def test_mnist_with_the_paper_s_three_clusters():
    train = real("mnist").train
    train = train.take(np.arange(3000 if COMPILED else 300))
    net = npcbnet.load("mnist-lenet")
    features = penultimate(net, train.images)
    split = conversion.easy_by_entropy(net, train.images, train.labels)
    one, three = (cluster(features, train.labels, split, 10, Options(clusters=count)) for count in (1, 3))
    assert features.shape == (len(train), 84) and three.counts.tolist() == [3] * 10
    assert (three.inertia < 0.9 * one.inertia).all()
    before, after = (quality(found, features, train.images) for found in (one, three))
    assert before.spread == 0 and before.silhouette is None and after.silhouette > 0.05
    if COMPILED:
        assert after.distance < 0.95 * before.distance  # a target of one's own kind is nearer
    assert conversion.misread(net, three.targets(train.images, split)) == {}
    assert 2 <= elbow(features, train.labels, 10, most=8, restarts=1).chosen <= 5


def drawn(path):
    """The picture (H, W, 3), which must not be blank nor wider than a page."""
    pixels = io.imread(path)
    assert pixels.min() < 100 and pixels.max() > 200 and pixels.shape[1] <= pictures.WIDTH
    return pixels


def test_the_elbow_is_drawn(tmp_path, backend):
    features, labels, _ = blobs(uneven=0)
    rows = clusters.elbow_rows(elbow(features, labels, 2, most=6), "blobs", NAMES)
    assert len(rows) == 3 * 6 and {row["elbow"] for row in rows} == {3}
    path = clusters.elbow(rows, tmp_path / "a.png")
    first = drawn(path)
    assert not np.array_equal(first, drawn(clusters.elbow([{**row, "elbow": 4} for row in rows], path)))
    two = drawn(clusters.elbow(rows + [{**row, "dataset": "more", "inertia": 0.0} for row in rows], path))
    assert two.shape[1] == first.shape[1]
    for odd in ([], [{"dataset": "x", "class_name": None, "clusters": 1}], [{**rows[0], "inertia": None}, rows[1]]):
        drawn(clusters.elbow(odd, path))


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28)])
def test_pairs_of_an_easy_and_a_hard_image(tmp_path, backend, shape):
    features, labels, _ = blobs()
    split = made_split(len(labels))
    found = cluster(features, labels, split, 2)
    images = np.random.default_rng(0).integers(0, 256, (len(labels), *shape), np.uint8)
    rows = clusters.pair_rows(found, split, 1, "blobs", NAMES)
    assert [row["easy"] for row in rows] == [True, False] * 3 and {row["class_name"] for row in rows} == {"b"}
    for easy, hard in zip(rows[::2], rows[1::2]):
        members = np.flatnonzero((labels == 1) & (found.groups == easy["cluster"] - 1))
        assert easy["images"] == len(members) and easy["index"] == found.easiest[1][easy["cluster"] - 1]
        assert hard["entropy"] == split.entropy[members].max() and hard["right"] == split.right[hard["index"]]
    shown = images[[row["index"] for row in rows]]
    path = clusters.pairs(rows, shown, tmp_path / "a.png")
    first = drawn(path)
    assert not np.array_equal(first, drawn(clusters.pairs(rows, 255 - shown, path)))
    if shape[0] == 3:
        assert (first[..., 0] != first[..., 1]).mean() > 0.1
    tall = drawn(clusters.pairs(rows + [{**row, "class_name": "another"} for row in rows], [*shown, *shown], path))
    assert tall.shape[0] == 2 * first.shape[0]
    drawn(clusters.pairs([], [], path))
    with pytest.raises(ShapeError, match="6 rows but 2 images"):
        clusters.pairs(rows, shown[:2], path)
    with pytest.raises(UsageError, match="class 2"):
        clusters.pair_rows(found, split, 2, "blobs", NAMES)
