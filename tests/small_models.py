"""What the tests of npcbnet.compress share: drawn digits of 14 x 14 pixels and a small LeNet that reads them."""
from contextlib import contextmanager
from functools import cache

import numpy as np
import pytest

from npcbnet.checkpoint import Checkpoint
from npcbnet.data import Dataset, Split, digits
from npcbnet.layers import Conv2d, Dense, Flatten, MaxPool2d, ReLU, Sequential, initialise
from npcbnet.nets import Classifier
from npcbnet.training import ClassifierTask, Plan, fit
from tests.runtime_models import names


def net(channels=(6, 12), features=32):
    """A small LeNet for (1, 14, 14) images."""
    first, second = channels
    return Sequential([Conv2d(1, first, 3, pad=1), MaxPool2d(2), ReLU(), Conv2d(first, second, 3, pad=1), MaxPool2d(2),
                       ReLU(), Flatten(), Dense(second * 16, features), ReLU(), Dense(features, 10)])


@cache
def small_digits():
    """800 training, 200 validation and 200 test images."""
    images, labels = digits.generate(1200, seed=4)
    images = images.reshape(1200, 1, 14, 2, 14, 2).mean(axis=(3, 5)).astype(np.uint8)
    parts = [Split(images[part], labels[part]) for part in (slice(0, 800), slice(800, 1000), slice(1000, 1200))]
    return Dataset("digits", "digits", *parts, names(10))


@cache
def small_lenet():
    """A small LeNet, trained on them: nobody may change it."""
    model, train = Classifier(initialise(net(), np.random.default_rng(0)), (1, 14, 14), names(10)), small_digits().train
    fit(ClassifierTask(model.net, train.labels), train.images, Plan(8, 32, 3e-3, decay=4), stage="x", quiet=True)
    return model


def write_small_files(folder):
    """small.npz, the model, and set.npz, its data, in a folder."""
    import npcbnet
    dataset = small_digits()
    npcbnet.save(small_lenet(), folder / "small.npz")
    parts = {"train": dataset.train, "test": dataset.test}
    np.savez(folder / "set.npz", **{f"{axis}_{name}": array for name, split in parts.items()
                                    for axis, array in (("x", split.images[:, 0]), ("y", split.labels))})


@contextmanager
def stopped_after_an_epoch(monkeypatch):
    """Ctrl-C comes when training has written its next checkpoint."""
    saved = Checkpoint.save

    def stops(self, *arguments):
        saved(self, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Checkpoint, "save", stops)
        yield


def fails(error):
    """A function that raises the error, whatever it is given."""
    def raises(*arguments, **more):
        raise error

    return raises


def epochs_restored(monkeypatch):
    """A list to which each checkpoint that is restored from now on adds how many epochs it has."""
    restore, epochs = Checkpoint.restore, []

    def noted(self, optimiser):
        history = restore(self, optimiser)
        epochs.append(len(history))
        return history

    monkeypatch.setattr(Checkpoint, "restore", noted)
    return epochs
