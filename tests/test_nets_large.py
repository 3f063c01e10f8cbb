"""AlexNet and MobileNetV2: the published sizes, and that small ones compute, learn and come back from a file."""
import numpy as np
import pytest

import npcbnet
from npcbnet.gradcheck import gradcheck
from npcbnet.kernels._jit import COMPILED
from npcbnet.layers import BatchNorm2d, Conv2d, Dropout, Residual
from npcbnet.nets import alexnet, mobilenetv2
from npcbnet.nets.mobilenetv2 import STAGES, inverted_residual
from npcbnet.training import ClassifierTask, Plan, fit

CIFAR, NAMES = (3, 32, 32), tuple("0123456789")
SMALL, FEW = (2, 8, 8), ("a", "b", "c")


def small_alexnet(dropout=0.5):
    return alexnet(SMALL, FEW, np.random.default_rng(0), channels=(3, 5, 4), hidden=(7,), dropout=dropout)


def small_mobilenetv2(dropout=0.2):
    stages = ((1, 4, 1, 1), (2, 4, 2, 1), (3, 6, 2, 2))
    return mobilenetv2(SMALL, FEW, np.random.default_rng(0), stages, first=4, last=10, dropout=dropout)


every_small_net = pytest.mark.parametrize("make", [small_alexnet, small_mobilenetv2])


@pytest.fixture(scope="module")
def mobilenet():
    return mobilenetv2(CIFAR, NAMES, np.random.default_rng(0))


def test_alexnet_has_the_size_of_our_notes():
    """9.2 M parameters and 141 M multiply-adds; by hand: the sum over layers of weights and biases."""
    net = alexnet(CIFAR, NAMES, np.random.default_rng(0))
    convs = [(3, 64), (64, 192), (192, 256), (256, 256), (256, 256)]
    denses = [(4096, 1536), (1536, 768), (768, 10)]
    assert net.parameter_count() == sum(9 * c * f + f for c, f in convs) + sum(d * o + o for d, o in denses)
    assert round(net.parameter_count() / 1e6, 1) == 9.2 and round(net.macs() / 1e6) == 141
    assert [layer.rate for layer in net.net if isinstance(layer, Dropout)] == [0.5, 0.5]
    assert net.macs() == sum(9 * c * f * p for (c, f), p in zip(convs, (1024, 256, 64, 64, 64))) + sum(
        d * o for d, o in denses)


def test_mobilenetv2_has_the_published_size(mobilenet):
    """torchvision's MobileNetV2 with 10 classes: 2,236,682 parameters; chenyaofo/pytorch-cifar-models: 87.98 M."""
    assert mobilenet.parameter_count() == 2_236_682
    assert round(mobilenet.macs() / 1e6, 2) == 87.98


def test_mobilenetv2_has_the_published_size_for_imagenet_too():
    """Sandler et al., table 4: 3.4 M parameters (3,504,872 as torchvision counts) and 300 M multiply-adds."""
    stages = tuple((t, c, n, 2 if c == 24 else s) for t, c, n, s in STAGES)
    net = mobilenetv2(CIFAR, tuple(map(str, range(1000))), np.random.default_rng(0), stages)
    assert net.parameter_count() == 3_504_872
    # The paper's first convolution has a stride of 2 and 224 x 224 pixels; without it, 112 x 112 give the same maps.
    assert net.net.macs((3, 112, 112)) == pytest.approx(300e6, rel=0.01)


def test_mobilenetv2_is_built_as_in_the_paper(mobilenet):
    shapes = mobilenet.net.shapes(CIFAR)
    assert [shape for shape in ((24, 32, 32), (32, 16, 16), (64, 8, 8), (160, 4, 4), (1280, 4, 4), (1280, 1, 1))
            if shape not in shapes] == []
    assert sum(isinstance(layer, Residual) for layer in mobilenet.net) == 10
    assert mobilenet.net.peak(CIFAR) == 144 * 32 * 32
    assert len(mobilenet.statistics) == 2 * 52


def test_a_block_keeps_its_input_only_where_shapes_agree():
    assert isinstance(inverted_residual(8, 8, 1, 6)[0], Residual)
    for channels, size, stride in (8, 9, 1), (8, 8, 2):
        block = inverted_residual(channels, size, stride, 6)
        assert not any(isinstance(layer, Residual) for layer in block)
    (block,) = inverted_residual(8, 8, 1, 6)
    assert [layer.groups for layer in block.body if isinstance(layer, Conv2d)] == [1, 48, 1]
    assert isinstance(block.body[-1], BatchNorm2d)  # a linear bottleneck: nothing rectifies between the blocks
    assert len(inverted_residual(8, 9, 1, 1)) == 5


@every_small_net
def test_gradients_of_the_whole_net(make):
    net = make(dropout=0.0).net
    assert gradcheck(net, np.random.default_rng(1).standard_normal((3, *SMALL)), np.random.default_rng(2)) < 1e-5


@every_small_net
def test_it_learns_and_comes_back_from_a_file(make, tmp_path):
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, 150 if COMPILED else 60)
    images = rng.integers(0, 60, (len(labels), *SMALL), dtype=np.uint8)
    for image, label in zip(images, labels):
        image[label % 2, 2 * label:2 * label + 3, 2:5] += 150
    model = make(dropout=0.05)
    history = fit(ClassifierTask(model.net, labels), images, Plan(25, 50, 1e-2), stage="test", quiet=True)
    assert history[-1]["loss"] < 0.3 * history[0]["loss"]
    assert (model.predict(images) == labels).mean() > 0.9
    npcbnet.save(model, tmp_path / "model.npz")
    found = npcbnet.load(tmp_path / "model.npz")
    assert found.config() == model.config()
    np.testing.assert_array_equal(found.predict_proba(images), model.predict_proba(images))
    alone = np.concatenate([model.predict_proba(image[None]) for image in images[:9]])
    np.testing.assert_array_equal(alone, model.predict_proba(images)[:9])


@pytest.mark.parametrize("shape, classes", [((1, 28, 28), 10), ((3, 17, 9), 2)])
def test_other_shapes_and_class_counts(shape, classes):
    names = tuple(map(str, range(classes)))
    images = np.random.default_rng(0).integers(0, 256, (2, *shape), dtype=np.uint8)
    for model in (alexnet(shape, names, np.random.default_rng(0), (4, 4, 4, 4, 4), (5, 5)),
                  mobilenetv2(shape, names, np.random.default_rng(0), STAGES[:3], 8, 16)):
        assert model.predict_proba(images).shape == (2, classes)
