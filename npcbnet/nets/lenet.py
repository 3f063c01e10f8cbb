"""The LeNet of BranchyNet's authors (B-LeNet), in its three pieces.

                 +-> branch: conv 5->10 3x3, pool, ReLU, FC          -> exit 1
    stem --------+
    conv 1->5 5x5, pool, ReLU
                 +-> trunk: conv 5->10 5x5, pool, ReLU, conv 10->20 5x5, pool, ReLU, FC 84, FC   -> exit 2

LeNet is stem + trunk, the lightweight DNN stem + branch. Pools are 2x2 in ceil mode and come before the ReLU, as in the
authors' code (networks/lenet_mnist.py); there the first pool and ReLU stand in both paths, here once in the stem, which
computes the same. There is no activation between the two dense layers of the trunk, also as in the code.
"""
from npcbnet.layers import Conv2d, Dense, Flatten, MaxPool2d, ReLU, Sequential, initialise
from npcbnet.nets.classifier import Classifier


def stem(channels):
    """(N, C, H, W) -> (N, 5, P, Q)."""
    return Sequential([Conv2d(channels, 5, 5, pad=3), MaxPool2d(2), ReLU()])


def branch(shape, classes):
    """`shape`, the stem's output (5, P, Q) -> logits."""
    net = Sequential([Conv2d(shape[0], 10, 3, pad=1), MaxPool2d(2), ReLU(), Flatten()])
    return Sequential([*net, Dense(net.output_shape(shape)[0], classes)])


def trunk(shape, classes):
    """`shape`, the stem's output (5, P, Q) -> logits."""
    net = Sequential([Conv2d(shape[0], 10, 5, pad=3), MaxPool2d(2), ReLU(),
                      Conv2d(10, 20, 5, pad=3), MaxPool2d(2), ReLU(), Flatten()])
    return Sequential([*net, Dense(net.output_shape(shape)[0], 84), Dense(84, classes)])


def lenet(input_shape, class_names, rng):
    """A fresh LeNet: Classifier, weights N(0, 1 / fan in) as in the authors' framework."""
    first = stem(input_shape[0])
    net = Sequential([*first, *trunk(first.output_shape(input_shape), len(class_names))])
    return Classifier(initialise(net, rng), input_shape, class_names)
