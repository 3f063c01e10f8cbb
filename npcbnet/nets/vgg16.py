"""VGG16 (Simonyan and Zisserman, 2015, table 1, configuration D) for small colour images such as CIFAR-10's.

Two sizes are published, and both are made of these thirteen convolutions; they differ behind them:

    hidden=(512, 512)     for 32 x 32 pixels, with batch normalisation: 15.25 M parameters, 313.73 M multiply-adds
                          (github.com/chenyaofo/pytorch-cifar-models, vgg16_bn). The default.
    hidden=(4096, 4096)   the paper's and torchvision's: 138,357,544 parameters and 15.47 G multiply-adds for 224 x 224
                          pixels and 1,000 classes (138,365,992 with batch normalisation); 33.6 M for CIFAR-10.

CAE-Net's table says 37.9 M parameters and 112 MB for its VGG16, which is neither (112 MB hold 28 M float32 numbers).
"""
from npcbnet.layers import BatchNorm2d, Conv2d, Dense, Dropout, Flatten, MaxPool2d, ReLU, Sequential, initialise
from npcbnet.nets.classifier import Classifier

# Of each stage: channels, convolutions; a pool follows
STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


def vgg16(input_shape, class_names, rng, stages=STAGES, hidden=(512, 512), batch_norm=True, dropout=0.5):
    """A fresh VGG16: Classifier, weights N(0, 2 / fan in).

    stages: channels and number of the convolutions before each pool. hidden: features of the dense layers before the
    last, each followed by dropout in training. batch_norm: a BatchNorm2d behind each convolution, as in torchvision's
    vgg16_bn; the paper has none.
    """
    net = vgg16_layers(input_shape, len(class_names), stages, hidden, batch_norm, dropout)
    return Classifier(initialise(net, rng, "he_normal"), input_shape, class_names)


def vgg16_layers(input_shape, classes, stages=STAGES, hidden=(512, 512), batch_norm=True, dropout=0.5):
    """The layers of a VGG16 without parameters yet: Sequential, in torchvision's order. Pools round sides up."""
    layers, previous = [], input_shape[0]
    for size, convolutions in stages:
        for _ in range(convolutions):
            layers += [Conv2d(previous, size, 3, pad=1), *([BatchNorm2d(size)] if batch_norm else []), ReLU()]
            previous = size
        layers.append(MaxPool2d(2))
    layers.append(Flatten())
    (previous,) = Sequential(layers).output_shape(input_shape)
    for size in hidden:
        layers += [Dense(previous, size), ReLU(), Dropout(dropout)]
        previous = size
    return Sequential([*layers, Dense(previous, classes)])
