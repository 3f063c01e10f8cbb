"""ResNets (He et al., 2016) for small colour images such as CIFAR-10's.

    resnet18, resnet50   table 1. For 32 x 32 pixels, as is usual, the first convolution is 3 x 3 without stride and no
                         pool follows: 11,173,962 and 23,520,842 parameters, 0.56 G and 1.30 G multiply-adds with ten
                         classes (github.com/kuangliu/pytorch-cifar). stem="imagenet": 7 x 7, stride 2, pool, as in the
                         paper and torchvision: 11,689,512 and 25,557,032 parameters with 1,000 classes.
    resnet32             section 4.2, n = 5: 16, 32 and 64 channels, 464,154 parameters, 68.86 M multiply-adds.

CAE-Net's table says 16 M parameters and 45.6 MB for a "ResNet32", which no published net of that name has. This one, of
the paper that CAE-Net cites, is 34 times smaller; its row must be read so.
"""
from npcbnet.errors import UsageError
from npcbnet.layers import (BatchNorm2d, Conv2d, Dense, Flatten, GlobalAvgPool2d, MaxPool2d, PadChannels, ReLU,
                            Residual, Sequential, initialise)
from npcbnet.nets.classifier import Classifier

CHANNELS = (64, 128, 256, 512)  # of the four stages; a bottleneck's output has four times as many
CIFAR_CHANNELS = (16, 32, 64)


def resnet18(input_shape, class_names, rng, stem="cifar"):
    """A fresh ResNet-18: Classifier, weights N(0, 2 / fan in). stem: "cifar" or "imagenet"."""
    return _classifier(resnet_layers(input_shape, len(class_names), (2, 2, 2, 2), stem=stem), rng, input_shape,
                       class_names)


def resnet50(input_shape, class_names, rng, stem="cifar"):
    """A fresh ResNet-50: Classifier, weights N(0, 2 / fan in). stem: "cifar" or "imagenet"."""
    return _classifier(resnet_layers(input_shape, len(class_names), (3, 4, 6, 3), block=bottleneck, stem=stem), rng,
                       input_shape, class_names)


def resnet32(input_shape, class_names, rng, shortcut="pad"):
    """A fresh ResNet-32: Classifier, weights N(0, 2 / fan in).

    shortcut: "pad", the paper's; or "project", with which it has 466,906 parameters and 69.12 M multiply-adds
    (github.com/chenyaofo/pytorch-cifar-models).
    """
    return _classifier(resnet_layers(input_shape, len(class_names), (5, 5, 5), CIFAR_CHANNELS, shortcut=shortcut), rng,
                       input_shape, class_names)


def _classifier(net, rng, input_shape, class_names):
    return Classifier(initialise(net, rng, "he_normal"), input_shape, class_names)


def resnet_layers(input_shape, classes, blocks, channels=CHANNELS, block=None, stem="cifar", shortcut="project"):
    """The layers of a ResNet without parameters yet: Sequential; each block is a Residual and a ReLU.

    blocks, channels: of each stage; every stage but the first begins with a stride of 2. block: `basic` (default) or
    `bottleneck`. Raises UsageError for an unknown stem or shortcut.
    """
    if stem not in ("cifar", "imagenet"):
        raise UsageError(f"a ResNet's stem is 'cifar' or 'imagenet', not {stem!r:.60}")
    window = (3, 1, 1) if stem == "cifar" else (7, 2, 3)
    layers = [*normalised(input_shape[0], channels[0], *window), ReLU()]
    layers += [MaxPool2d(3, 2, 1, ceil_mode=False)] if stem == "imagenet" else []
    previous = channels[0]
    for stage, (count, size) in enumerate(zip(blocks, channels)):
        for i in range(count):
            stride = 2 if stage and not i else 1
            body, made = (block or basic)(previous, size, stride)
            layers += [Residual(Sequential(body), _passed(previous, made, stride, shortcut)), ReLU()]
            previous = made
    return Sequential([*layers, GlobalAvgPool2d(), Flatten(), Dense(previous, classes)])


def basic(channels, size, stride):
    """Two 3 x 3 convolutions (He et al., fig. 5, left): a list of layers, and the channels that they make."""
    return [*normalised(channels, size, 3, stride, 1), ReLU(), *normalised(size, size, 3, 1, 1)], size


def bottleneck(channels, size, stride):
    """1 x 1, 3 x 3 and 1 x 1 (He et al., fig. 5, right): a list of layers, and the channels that they make.

    The stride is the middle convolution's, as in torchvision; in the paper it is the first one's.
    """
    return [*normalised(channels, size, 1), ReLU(), *normalised(size, size, 3, stride, 1), ReLU(),
            *normalised(size, 4 * size, 1)], 4 * size


def normalised(channels, size, kernel, stride=1, pad=0):
    """A convolution and its batch normalisation."""
    return [Conv2d(channels, size, kernel, stride, pad, bias=False), BatchNorm2d(size)]


def _passed(channels, size, stride, shortcut):
    """What lies on the shortcut (He et al., section 3.3): nothing where shapes agree; else zeros for the new channels
    ("pad", option A) or a 1 x 1 convolution ("project", option B)."""
    if shortcut not in ("pad", "project"):
        raise UsageError(f"a ResNet's shortcut is 'pad' or 'project', not {shortcut!r:.60}")
    if (stride, channels) == (1, size):
        return None
    if shortcut == "project":
        return Sequential(normalised(channels, size, 1, stride))
    before = (size - channels) // 2
    return Sequential([MaxPool2d(1, stride), PadChannels(before, size - channels - before)])
