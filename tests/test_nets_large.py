"""AlexNet, VGG16, ResNets, MobileNetV2: the published sizes; small ones compute, learn and come back from a file.

Counts are published by torchvision ("num_params", "_ops" of its Weights), github.com/chenyaofo/pytorch-cifar-models
(README, "#Params.(M)", "#MAdds(M)") and, for github.com/kuangliu/pytorch-cifar's nets, by many who used them.
"""
import numpy as np
import pytest

import npcbnet
from npcbnet.errors import UsageError
from npcbnet.gradcheck import gradcheck
from npcbnet.kernels._jit import COMPILED
from npcbnet.layers import BatchNorm2d, Conv2d, Dense, Dropout, PadChannels, ReLU, Residual, initialise
from npcbnet.nets import Classifier, alexnet, mobilenetv2, resnet18, resnet32, resnet50, vgg16
from npcbnet.nets.mobilenetv2 import IMAGENET_STAGES, STAGES, inverted_residual, mobilenetv2_layers
from npcbnet.nets.resnet import CIFAR_CHANNELS, bottleneck, resnet_layers
from npcbnet.nets.vgg16 import vgg16_layers
from npcbnet.training import ClassifierTask, Plan, fit

CIFAR, NAMES = (3, 32, 32), tuple("0123456789")
SMALL, FEW = (2, 8, 8), ("a", "b", "c")
IMAGENET, THOUSAND = (3, 224, 224), tuple(map(str, range(1000)))


def small_alexnet(dropout=0.5):
    return alexnet(SMALL, FEW, np.random.default_rng(0), channels=(3, 5, 4), hidden=(7,), dropout=dropout)


def small_mobilenetv2(dropout=0.2):
    stages = ((1, 4, 1, 1), (2, 4, 2, 1), (3, 6, 2, 2))
    return mobilenetv2(SMALL, FEW, np.random.default_rng(0), stages, first=4, last=10, dropout=dropout)


def small_vgg16(dropout=0.5):
    return vgg16(SMALL, FEW, np.random.default_rng(0), ((4, 1), (6, 2)), (7,), dropout=dropout)


def small_resnet(dropout=None, block=None, **form):
    """None has dropout."""
    net = resnet_layers(SMALL, len(FEW), (1, 2), (4, 7), block, **form)
    return Classifier(initialise(net, np.random.default_rng(0), "he_normal"), SMALL, FEW)


def small_padded(dropout=None):
    return small_resnet(shortcut="pad")


def small_bottlenecks(dropout=None):
    return small_resnet(block=bottleneck)


def small_imagenet(dropout=None):
    return small_resnet(stem="imagenet")


every_small_net = pytest.mark.parametrize("make", [small_alexnet, small_mobilenetv2, small_vgg16, small_padded,
                                                   small_bottlenecks, small_imagenet])


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


PUBLISHED = {  # layers, shape, class names; parameters exactly, multiply-adds as they are rounded
    "vgg16_bn, chenyaofo": (vgg16_layers(CIFAR, 10), CIFAR, NAMES, 15_253_578, 313.73),
    "vgg16 of many": (vgg16_layers(CIFAR, 10, hidden=()), CIFAR, NAMES, 14_728_266, 313.20),
    "vgg16, torchvision": (vgg16_layers(IMAGENET, 1000, hidden=(4096, 4096), batch_norm=False), IMAGENET, THOUSAND,
                           138_357_544, 15_470),
    "vgg16_bn, torchvision": (vgg16_layers(IMAGENET, 1000, hidden=(4096, 4096)), IMAGENET, THOUSAND, 138_365_992,
                              15_470),
    "resnet18, kuangliu": (resnet_layers(CIFAR, 10, (2, 2, 2, 2)), CIFAR, NAMES, 11_173_962, 560),
    "resnet50, kuangliu": (resnet_layers(CIFAR, 10, (3, 4, 6, 3), block=bottleneck), CIFAR, NAMES, 23_520_842, 1300),
    "resnet18, torchvision": (resnet_layers(IMAGENET, 1000, (2, 2, 2, 2), stem="imagenet"), IMAGENET, THOUSAND,
                              11_689_512, 1814),
    "resnet50, torchvision": (resnet_layers(IMAGENET, 1000, (3, 4, 6, 3), block=bottleneck, stem="imagenet"), IMAGENET,
                              THOUSAND, 25_557_032, 4089),
    # He et al., table 6: 0.46 M; counted as 464,154 and 68.86 M by those who built it
    "resnet32, the paper's": (resnet_layers(CIFAR, 10, (5, 5, 5), CIFAR_CHANNELS, shortcut="pad"), CIFAR, NAMES,
                              464_154, 68.86),
    "resnet32, chenyaofo": (resnet_layers(CIFAR, 10, (5, 5, 5), CIFAR_CHANNELS), CIFAR, NAMES, 466_906, 69.12),
    # Sandler et al., table 4: 3.4 M parameters, 300 M multiply-adds
    "mobilenetv2, torchvision": (mobilenetv2_layers(IMAGENET, 1000, IMAGENET_STAGES, stride=2), IMAGENET, THOUSAND,
                                 3_504_872, 301)}


@pytest.mark.parametrize("net, shape, names, parameters, macs", PUBLISHED.values(), ids=PUBLISHED)
def test_published_sizes(net, shape, names, parameters, macs):
    model = Classifier(net, shape, names)  # without parameters: nothing is allocated
    assert model.parameter_count() == parameters
    step = 10 if macs in (15_470, 560, 1300) else 0.01 if macs < 400 and macs % 1 else 1
    assert round(model.macs() / 1e6 / step) == round(macs / step)


def test_the_nets_that_are_made_are_the_published_ones():
    rng = np.random.default_rng(0)
    made = {"vgg16_bn, chenyaofo": vgg16(CIFAR, NAMES, rng), "resnet18, kuangliu": resnet18(CIFAR, NAMES, rng),
            "resnet50, kuangliu": resnet50(CIFAR, NAMES, rng), "resnet32, the paper's": resnet32(CIFAR, NAMES, rng),
            "resnet32, chenyaofo": resnet32(CIFAR, NAMES, rng, "project"),
            "resnet18, torchvision": resnet18(CIFAR, THOUSAND, rng, "imagenet")}
    for name, model in made.items():
        assert model.net.config() == PUBLISHED[name][0].config()
        assert set(model.net.params) == set(model.net.param_shapes())
        assert model.predict_proba(np.zeros((1, *CIFAR), np.uint8)).shape == (1, model.classes)


def test_vgg16_is_built_as_in_the_paper():
    net = vgg16_layers(IMAGENET, 1000, hidden=(4096, 4096), batch_norm=False)
    convs, shapes = [layer for layer in net if isinstance(layer, Conv2d)], net.shapes(IMAGENET)
    assert [(conv.in_channels, conv.out_channels) for conv in convs] == [
        (3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256), (256, 512),
        *[(512, 512)] * 5]
    assert {(conv.kernel, conv.stride, conv.pad, conv.groups) for conv in convs} == {(3, 1, 1, 1)}
    assert [shape for layer, shape in zip(net, shapes[1:]) if layer.name == "maxpool2d"] == [
        (64, 112, 112), (128, 56, 56), (256, 28, 28), (512, 14, 14), (512, 7, 7)]
    assert [layer.out_features for layer in net if isinstance(layer, Dense)] == [4096, 4096, 1000]
    assert sum(isinstance(layer, Dropout) for layer in net) == 2
    assert sum(isinstance(layer, BatchNorm2d) for layer in vgg16_layers(CIFAR, 10)) == 13


def test_resnets_are_built_as_in_the_paper():
    net = resnet_layers(IMAGENET, 1000, (3, 4, 6, 3), block=bottleneck, stem="imagenet")
    blocks = [layer for layer in net if isinstance(layer, Residual)]
    shapes = [shape for layer, shape in zip(net, net.shapes(IMAGENET)[1:]) if isinstance(layer, Residual)]
    assert [shapes[i] for i in (0, 2, 3, 6, 7, 12, 13, 15)] == [(256, 56, 56)] * 2 + [(512, 28, 28)] * 2 + [
        (1024, 14, 14)] * 2 + [(2048, 7, 7)] * 2
    assert net.shapes(IMAGENET)[1] == (64, 112, 112) and net.shapes(IMAGENET)[4] == (64, 56, 56)
    assert [block.shortcut is not None for block in blocks] == [i in (0, 3, 7, 13) for i in range(16)]
    # Table 1: 50 layers with weights on the way through the bodies
    assert 2 + sum(isinstance(layer, Conv2d) for block in blocks for layer in block.body) == 50
    assert all(isinstance(net[i + 1], ReLU) for i, layer in enumerate(net) if isinstance(layer, Residual))
    small = resnet_layers(CIFAR, 10, (5, 5, 5), CIFAR_CHANNELS, shortcut="pad")
    blocks = [layer for layer in small if isinstance(layer, Residual)]
    assert 2 + sum(isinstance(layer, Conv2d) for block in blocks for layer in block.body) == 32
    shapes = {shape for layer, shape in zip(small, small.shapes(CIFAR)[1:]) if isinstance(layer, Residual)}
    assert shapes == {(16, 32, 32), (32, 16, 16), (64, 8, 8)}
    padded = [block.shortcut for block in blocks if block.shortcut is not None]
    assert [(part[1].before, part[1].after) for part in padded] == [(8, 8), (16, 16)]
    assert not any(part.param_shapes() for part in padded) and isinstance(padded[0][1], PadChannels)


def test_shortcut_a_is_every_second_pixel_and_zeros():
    net = resnet_layers((3, 9, 7), 4, (1, 1), (4, 7), shortcut="pad")
    (shortcut,) = (layer.shortcut for layer in net if isinstance(layer, Residual) and layer.shortcut is not None)
    x = np.random.default_rng(0).standard_normal((2, 4, 9, 7)).astype(np.float32)
    y, _ = shortcut.forward(x)
    assert y.shape == (2, 7, 5, 4)
    np.testing.assert_array_equal(y[:, 1:5], x[:, :, ::2, ::2])
    assert not y[:, :1].any() and not y[:, 5:].any()


@pytest.mark.parametrize("form", [{"stem": "large"}, {"shortcut": "b"}, {"stem": None}, {"shortcut": None}])
def test_unknown_forms_of_a_resnet(form):
    with pytest.raises(UsageError, match="stem|shortcut"):
        resnet_layers(CIFAR, 10, (1, 1), block=bottleneck, **form)


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
                  mobilenetv2(shape, names, np.random.default_rng(0), STAGES[:3], 8, 16, stride=2),
                  vgg16(shape, names, np.random.default_rng(0), ((3, 1), (4, 1), (5, 2), (5, 1), (6, 1)), ()),
                  resnet32(shape, names, np.random.default_rng(0))):
        assert model.predict_proba(images).shape == (2, classes)
