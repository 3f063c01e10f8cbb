"""Images to try a trained model on: its own test images where they are at hand, else some that are made here."""
import shlex

import numpy as np

from npcbnet import data
from npcbnet.data import cifar, digits, published
from npcbnet.data.dataset import check_no_part_empty
from npcbnet.errors import UsageError

DRAWN, NOISY = 1000, 200  # images of either kind


def trained_on(model):
    """The data set, a name or path, that the model's record says it was trained on; None where it does not say."""
    try:
        words = shlex.split(str(model.record.get("command")))  # python -m npcbnet.train mnist ...
    except ValueError:  # a quotation that does not end
        return None
    return words[3] if len(words) > 3 else None


def check_classes(model, dataset):
    """Raise UsageError unless the data set has the classes that the model tells apart.

    One that was read from a path and merely numbers its classes is believed to have them.
    """
    known, found = tuple(model.class_names), tuple(dataset.class_names)
    numbered = dataset.name not in data.NAMES and found == tuple(map(str, range(len(found))))
    if len(known) != len(found) or known != found and not numbered:
        raise UsageError(f"{dataset.name} has {len(found)} classes ({_some(found)}), the model knows {len(known)} "
                         f"({_some(known)}); name the data set that it was trained on")


def _some(names):
    """The first names, for a message."""
    return f"{', '.join(names[:3]):.60}" + (", ..." if len(names) > 3 else "")


def test_images(model, asked=None):
    """(uint8 images (N, C, H, W), which they are): of the data set `asked`, else of the model's own if it is at hand.

    Where it is not, nothing is downloaded: drawn digits, for a model of 28x28 grey images, or random pixels serve.
    Raises what data.load raises, and DataError where there are no test images.
    """
    name = trained_on(model)
    own = name if published.at_hand(name) or cifar.at_hand(name) else None
    if asked or own:
        found = data.load(asked or own, shape=model.input_shape)
        check_no_part_empty(found, ["test"])
        return found.test.images, f"test images of {found.title}"
    if model.input_shape == (1, 28, 28):
        return digits.generate(DRAWN, seed=0)[0], "drawn digits"
    noise = np.random.default_rng(0).integers(0, 256, (NOISY, *model.input_shape), dtype=np.uint8)
    return noise, "random pixels"
