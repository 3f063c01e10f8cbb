"""CAE-Net's classifier: a converting autoencoder's encoder, then a thin head (CAE-Net, section III-B, Fig. 3).

`thin` goes without convolutions and without a converter: the smallest network of the family.
"""
from npcbnet.errors import ShapeError
from npcbnet.layers import AvgPool2d, Dense, Flatten, MaxPool2d, ReLU, Sequential, initialise
from npcbnet.nets.classifier import Classifier


def head(shape, classes, hidden, pool=False):
    """A few layers of the baseline, `shape` (F, P, Q) -> logits: Sequential, not initialised.

    pool: 2 x 2 maxima first, as between AlexNet's convolutions and its dense layers; hidden: features of the dense
    layer before the last one.
    """
    layers = [*([MaxPool2d(2)] if pool else []), Flatten()]
    (features,) = Sequential(layers).output_shape(shape)
    return Sequential([*layers, Dense(features, hidden), ReLU(), Dense(hidden, classes)])


def caenet(encoder, hidden, input_shape, class_names, rng, pool=False):
    """A Classifier of an encoder, whose layers and weights it shares, and a fresh head, weights N(0, 2 / fan in)."""
    classifier = head(encoder.output_shape(input_shape), len(class_names), hidden, pool)
    return Classifier(Sequential([*encoder, *initialise(classifier, rng, "he_normal")]), input_shape, class_names)


def thin(input_shape, class_names, rng, hidden):
    """The smallest of the family: a Classifier of dense layers on 2 x 2 means of the image, weights N(0, 2 / fan in).

    Its encoder has never had a decoder; it learns from labels and the baseline's answers alone. hidden: sizes of its
    layers, each behind a ReLU; images with an odd side are taken whole.
    """
    layers = [Flatten()] if input_shape[1] % 2 or input_shape[2] % 2 else [AvgPool2d(2), Flatten()]
    (features,) = Sequential(layers).output_shape(input_shape)
    for size in hidden:
        layers += [Dense(features, size), ReLU()]
        features = size
    net = Sequential([*layers, Dense(features, len(class_names))])
    return Classifier(initialise(net, rng, "he_normal"), input_shape, class_names)


def parts(model: Classifier):
    """(encoder, head) of a Classifier that `caenet` made: what lies before the first Flatten, and before its pool.

    Raises ShapeError for a network without convolutions before a Flatten.
    """
    places = [i for i, layer in enumerate(model.net) if isinstance(layer, (Flatten, MaxPool2d))]
    if not places or places[0] == 0:
        raise ShapeError("this model does not begin with an encoder of convolutions")
    return model.net[:places[0]], model.net[places[0]:]
