"""Several subgraphs of one network at run time: each call is answered by the largest that its time allows.

    budget  50 us  ->  utilisation 1      (18 us here, measured)
             9 us  ->  utilisation 0.1    ( 8 us)
             1 us  ->  utilisation 0.05   ( 5 us): none is fast enough, so the answer comes late, and says so
"""
import time
from dataclasses import dataclass

import numpy as np

from npcbnet import runtime
from npcbnet.compress.levels import check_classifier, checked, subgraphs
from npcbnet.errors import UsageError
from npcbnet.nets.images import as_images

BATCHES = 1, 8, 64  # images in the calls that are measured; between them times are interpolated
FEWEST, LONGEST_S = 3, 0.5  # rounds of one size at least; seconds after which no other begins


@dataclass(frozen=True)
class Timed:
    """What one call gave.

    label (N,) int64; utilisation: of the subgraph that answered; expected_ms: what such a call takes by calibration;
    took_ms: what this one took; fits: whether expected_ms was within the budget.
    """

    label: np.ndarray
    utilisation: float
    expected_ms: float
    took_ms: float
    fits: bool


class Dynamic:
    """Subgraphs, compiled, and how long each takes on this machine (Lee and Nirjon, 2020, sections III and V).

    models: the Classifier that subflow.train_nested made, or a list of (utilisation, Classifier) of one input shape
    with one set of classes. Each is compiled, and calibrated at once. threads: as runtime.compile. Not for two threads
    at a time. Raises UsageError.
    """

    def __init__(self, models, threads=1):
        pairs = _pairs(models)
        self.utilisations = [utilisation for utilisation, _ in pairs]
        self.macs = {utilisation: model.macs() for utilisation, model in pairs}
        self.input_shape, self.class_names = pairs[0][1].input_shape, pairs[0][1].class_names
        self._predictors = {utilisation: runtime.compile(model, threads) for utilisation, model in pairs}
        self._single = {self.input_shape, (1, *self.input_shape)}
        self.calibrate()

    def calibrate(self, images=None, rounds=30):
        """Measure every subgraph anew: returns {utilisation: {images in a call: median ms}}, also in `times_ms`.

        images: some to measure with, as for predict; default: noise, of which no pixel can be left out. rounds: calls
        of each size, fewer where they take long; the subgraphs take turns, so that a busy moment of the machine hits
        all of them. Raises UsageError, ShapeError.
        """
        if images is None:
            shape = max(BATCHES), *self.input_shape
            images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        images = as_images(images, self.input_shape)
        if not len(images) or isinstance(rounds, bool) or not isinstance(rounds, (int, np.integer)) or rounds < 1:
            raise UsageError(f"calibrate needs images and at least one round, not {len(images)} and {rounds!r:.60}")
        self.times_ms = {utilisation: {} for utilisation in self.utilisations}
        for count in BATCHES:
            batch = images[np.arange(count) % len(images)]
            for predictor in self._predictors.values():  # nothing is measured cold
                predictor.predict(batch)
            times, begin = [], time.perf_counter()
            while len(times) < rounds and (len(times) < FEWEST or time.perf_counter() - begin < LONGEST_S):
                times.append([_timed(predictor, batch)[1] for predictor in self._predictors.values()])
            for utilisation, median in zip(self.utilisations, np.median(times, axis=0)):
                self.times_ms[utilisation][count] = float(median)
        return self.times_ms

    def expected_ms(self, utilisation, count=1):
        """What a call with `count` images should take: measured, or interpolated between calls that were."""
        times = self.times_ms[utilisation]
        most = max(BATCHES)
        if count > most:
            return times[most] * count / most
        return times[1] if count <= 1 else float(np.interp(count, list(times), list(times.values())))

    def choose(self, budget_ms, count=1):
        """(utilisation, whether it fits): the greatest whose expected_ms is within the budget.

        Where none is, the smallest, and False: a late answer is better than none, and the caller is told. Medians are
        compared: of calls whose budget just fits, about half take a little longer. Raises UsageError for a budget that
        is not above 0.
        """
        number = isinstance(budget_ms, (int, float, np.integer, np.floating)) and not isinstance(budget_ms, bool)
        if not number or not budget_ms > 0:
            raise UsageError(f"a time budget must be milliseconds above 0, not {budget_ms!r:.60}")
        for utilisation in reversed(self.utilisations):
            if self.expected_ms(utilisation, count) <= budget_ms:
                return utilisation, True
        return self.utilisations[0], False

    def predict(self, images, budget_ms):
        """Labels (N,) int64 by the subgraph that `choose` takes for this call. Raises UsageError, ShapeError."""
        return self._predictors[self.choose(budget_ms, self._count(images))[0]].predict(images)

    def answer(self, images, budget_ms):
        """The same with what there is to know about it: a Timed."""
        count = self._count(images)
        utilisation, fits = self.choose(budget_ms, count)
        label, took_ms = _timed(self._predictors[utilisation], images)
        return Timed(label, utilisation, self.expected_ms(utilisation, count), took_ms, fits)

    def _count(self, images):
        """Number of images."""
        if type(images) is np.ndarray and images.shape in self._single:
            return 1
        return len(as_images(images, self.input_shape, check_values=False))


def _timed(predictor, images):
    """(labels, milliseconds) of one call."""
    start = time.perf_counter()
    label = predictor.predict(images)
    return label, (time.perf_counter() - start) * 1e3


def _pairs(models):
    """[(utilisation, Classifier)], ascending, of what Dynamic takes."""
    if not isinstance(models, (list, tuple)):
        return subgraphs(models)
    if not models or not all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in models):
        raise UsageError("Dynamic takes a model of several subgraphs, or a list of (utilisation, Classifier)")
    for utilisation, model in models:
        check_classifier(model)
        checked([utilisation])
    first = models[0][1]
    if any((model.input_shape, model.class_names) != (first.input_shape, first.class_names) for _, model in models):
        raise UsageError("the subgraphs of a Dynamic must take the same images and know the same classes")
    if len(checked([utilisation for utilisation, _ in models])) < len(models):
        raise UsageError("every subgraph of a Dynamic needs a utilisation of its own")
    return sorted(((float(utilisation), model) for utilisation, model in models), key=lambda pair: pair[0])
