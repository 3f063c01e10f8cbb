"""An AlexNet for small colour images, of the size that CAE-Net reports (9.3 M parameters).

CAE-Net does not say what its AlexNet is, and BranchyNet's has 0.54 M parameters. This one has 9.2 M: five convolutions
3 x 3 as in Krizhevsky et al. (2012), channels and dense layers scaled to 32 x 32 images:

    conv 3->64, pool, conv 64->192, pool, conv 192->256, conv 256->256, conv 256->256, pool, FC 4096->1536->768->10
"""
from npcbnet.layers import Conv2d, Dense, Dropout, Flatten, MaxPool2d, ReLU, Sequential, initialise
from npcbnet.nets.classifier import Classifier


def alexnet(input_shape, class_names, rng, channels=(64, 192, 256, 256, 256), hidden=(1536, 768), dropout=0.5):
    """A fresh AlexNet: Classifier, weights N(0, 2 / fan in).

    channels: of the convolutions; the first, second and last are followed by a pool. hidden: features of the dense
    layers before the last, each followed by dropout in training.
    """
    layers, previous = [], input_shape[0]
    for i, size in enumerate(channels):
        layers += [Conv2d(previous, size, 3, pad=1), ReLU()]
        layers += [MaxPool2d(2)] if i in (0, 1, len(channels) - 1) else []
        previous = size
    layers.append(Flatten())
    (previous,) = Sequential(layers).output_shape(input_shape)
    for size in hidden:
        layers += [Dense(previous, size), ReLU(), Dropout(dropout)]
        previous = size
    net = Sequential([*layers, Dense(previous, len(class_names))])
    return Classifier(initialise(net, rng, "he_normal"), input_shape, class_names)
