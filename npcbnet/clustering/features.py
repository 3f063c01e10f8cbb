"""What a network sees in an image: the numbers that enter its output layer, or leave any other layer."""
import numpy as np

from npcbnet.errors import UsageError
from npcbnet.layers import Conv2d, Dense, Flatten, Sequential
from npcbnet.nets import Classifier
from npcbnet.nets.images import as_images
from npcbnet.nets.model import chunks
from npcbnet.training import Crew, check_threads, one_blas_thread


def penultimate(classifier: Classifier, images, threads=1):
    """What enters the classifier's last Dense layer, (N, D) float32: LeNet D = 84, AlexNet D = 768.

    The paper takes a VGG16 trained on ImageNet instead; its weights are not ours to ship (see features_at). Images are
    taken as for predict, and worked on a few at a time. Raises UsageError for a model without such a layer.
    """
    layers = list(_net(classifier))
    dense = [i for i, layer in enumerate(layers) if isinstance(layer, Dense)]
    if not dense or dense[-1] == 0:
        raise UsageError("this classifier has no dense layer behind others whose input could be features; "
                         "name a layer instead (features_at)")
    return features_at(classifier, images, dense[-1], threads)


def convolutional(classifier: Classifier, images, threads=1):
    """What leaves the classifier's convolutions and their pools, before it is flattened: (N, D) float32.

    Of a VGG16 for 32 x 32 pixels these are the 512 features behind "the 13th layer" on which CAE-Net clusters (section
    III-A2). Raises UsageError for a network without convolutions before its dense layers.
    """
    net = _net(classifier)
    flat = [i for i, layer in enumerate(net) if isinstance(layer, Flatten)]
    if not flat or all(array.ndim < 4 for array in net[:flat[0]].params.values()):
        raise UsageError("this classifier has no convolutions before its dense layers whose output could be features")
    return features_at(classifier, images, flat[0], threads)


def features_at(classifier: Classifier, images, layers, threads=1):
    """What leaves the first `layers` layers of the classifier, flattened: (N, D) float32.

    CAE-Net's 512 features: features_at(vgg16, images, after_convolution(vgg16.net, 13)). Raises UsageError for a cut
    that is not inside the network.
    """
    net = _net(classifier)
    if not 1 <= layers <= len(net):
        raise UsageError(f"features can be taken after layer 1 to {len(net)} of this network, not after {layers}")
    cut = net[:layers]
    if len(cut.output_shape(classifier.input_shape)) == 3:
        cut = Sequential([*cut, Flatten()])
    (size,) = cut.output_shape(classifier.input_shape)
    images = as_images(images, classifier.input_shape)
    found, peak = np.empty((len(images), size), np.float32), cut.peak(classifier.input_shape)
    check_threads(threads)
    per_piece = 64 * threads  # chunks() divides a piece further where its maps are large
    pieces = [slice(start, start + per_piece) for start in range(0, len(images), per_piece)]

    def work(piece):
        here = found[piece]
        for part, x in chunks(images[piece], peak):
            here[part], _ = cut.forward(x)

    with one_blas_thread(), Crew(threads) as crew:
        crew.map(work, pieces)
    return found


def after_convolution(net: Sequential, count):
    """How many layers of `net` stand before what follows its convolution number `count` (1 is the first).

    Its normalisation, activation and pool belong to it. Raises UsageError where there are fewer; those inside a
    Residual are not counted.
    """
    places = [i for i, layer in enumerate(net) if isinstance(layer, Conv2d)]
    if not 1 <= count <= len(places):
        raise UsageError(f"this network has {len(places)} convolutions, so there is no convolution {count}")
    ends = [i for i, layer in enumerate(net) if isinstance(layer, (Conv2d, Flatten, Dense)) and i > places[count - 1]]
    return ends[0] if ends else len(net)


def _net(classifier):
    """The classifier's network."""
    if not isinstance(classifier, Classifier):
        raise UsageError(f"features are taken from a classifier, such as LeNet or AlexNet, not from a "
                         f"{type(classifier).__name__}")
    return classifier.net
