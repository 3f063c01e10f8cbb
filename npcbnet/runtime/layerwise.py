"""What serves where there is no engine: the model's own layers, with a Predictor's methods."""
import copy

import numpy as np

from npcbnet.errors import UsageError
from npcbnet.nets import CBNet
from npcbnet.nets.converter import Converter


class Layerwise:
    """A model's answers layer by layer. The same methods as a Predictor; threads is checked, and one is used."""

    def __init__(self, model, threads=1):
        check_threads(threads)
        check_finite(model)
        self.model, self.threads, self.input_shape = copy.deepcopy(model), int(threads), model.input_shape
        self.class_names = getattr(model, "class_names", ())

    def predict(self, images):
        """Labels (N,) int64. Raises ShapeError."""
        check_classifies(self.model)
        return self.model.predict(images)

    def predict_proba(self, images):
        """Probabilities (N, O) float32. Raises ShapeError."""
        check_classifies(self.model)
        return self.model.predict_proba(images)

    def explain(self, images):
        """An Explanation: label, confidence, entropy, exit and converted image of each. Raises ShapeError."""
        check_classifies(self.model)
        return self.model.explain(images)

    def convert(self, images):
        """The images as the classifier sees them, (N, C, H, W) float32 in 0..1. Raises ShapeError, UsageError."""
        check_converts(self.model)
        return self.model.convert(images)

    def warmup(self):
        """Compile the loops that the layers call. Returns self."""
        images = np.zeros((2, *self.input_shape), np.uint8)
        self.model.convert(images) if isinstance(self.model, Converter) else self.model.predict(images)
        return self


def check_threads(threads):
    """Raise UsageError unless threads is a whole number of at least 1."""
    if isinstance(threads, bool) or not isinstance(threads, (int, np.integer)) or threads < 1:
        raise UsageError(f"threads must be a whole number of at least 1, not {threads!r}")


def check_converts(model):
    """Raise UsageError unless the model makes pictures."""
    if not isinstance(model, (CBNet, Converter)):
        raise UsageError(f"a {type(model).__name__} converts nothing; only a CBNet or a Converter does")


def check_classifies(model):
    """Raise UsageError unless the model has labels to give."""
    if isinstance(model, Converter):
        raise UsageError("a Converter makes pictures and knows no labels; use convert, or compile a CBNet")


def check_finite(model):
    """Raise UsageError if a parameter holds NaN or infinity: the engine leaves zero inputs out and might not meet
    it."""
    for name, array in model.params.items():
        if not np.isfinite(array).all():
            raise UsageError(f"parameter {name!r} holds NaN or infinity: train the model anew, or load another")
