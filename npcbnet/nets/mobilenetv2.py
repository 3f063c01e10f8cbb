"""MobileNetV2 (Sandler et al., 2018, table 2) for small colour images such as CIFAR-10's.

As usual for 32 x 32 pixels, the first convolution and the second stage go without their stride of 2. The sizes are
those of torchvision's MobileNetV2, and of github.com/chenyaofo/pytorch-cifar-models, whose 10-class net has 2.24 M
parameters and 87.98 M multiply-adds. With stages=IMAGENET_STAGES and stride=2 it is the paper's.
"""
from npcbnet.layers import (BatchNorm2d, Conv2d, Dense, Dropout, Flatten, GlobalAvgPool2d, ReLU6, Residual, Sequential,
                            initialise)
from npcbnet.nets.classifier import Classifier

# Of each stage: expansion t, channels out c, blocks n, stride of the first block s
STAGES = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
IMAGENET_STAGES = tuple((t, c, n, 2 if i == 1 else s) for i, (t, c, n, s) in enumerate(STAGES))


def mobilenetv2(input_shape, class_names, rng, stages=STAGES, first=32, last=1280, dropout=0.2, stride=1):
    """A fresh MobileNetV2: Classifier, weights N(0, 2 / fan in).

    first, last: channels before and after the stages; stride: of the first convolution.
    """
    net = mobilenetv2_layers(input_shape, len(class_names), stages, first, last, dropout, stride)
    return Classifier(initialise(net, rng, "he_normal"), input_shape, class_names)


def mobilenetv2_layers(input_shape, classes, stages=STAGES, first=32, last=1280, dropout=0.2, stride=1):
    """The layers of a MobileNetV2 without parameters yet: Sequential."""
    layers, channels = normalised(Conv2d(input_shape[0], first, 3, stride, 1, bias=False)), first
    for expansion, size, blocks, step in stages:
        for i in range(blocks):
            layers += inverted_residual(channels, size, step if i == 0 else 1, expansion)
            channels = size
    layers += normalised(Conv2d(channels, last, 1, bias=False))
    return Sequential([*layers, GlobalAvgPool2d(), Flatten(), Dropout(dropout), Dense(last, classes)])


def inverted_residual(channels, size, stride, expansion):
    """A list of layers: (N, channels, H, W) -> (N, size, P, Q) (Sandler et al., section 3.3).

    Wide inside, narrow between the blocks; there nothing rectifies (section 3.2). Where input and output have one
    shape, the layers lie in one Residual.
    """
    wide = channels * expansion
    body = normalised(Conv2d(channels, wide, 1, bias=False)) if expansion > 1 else []
    body += normalised(Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False))
    body += [Conv2d(wide, size, 1, bias=False), BatchNorm2d(size)]
    return [Residual(Sequential(body))] if stride == 1 and channels == size else body


def normalised(conv):
    """A convolution, its batch normalisation and activation."""
    return [conv, BatchNorm2d(conv.out_channels), ReLU6()]
