"""The latency of many networks beside that of one: in turns with it, remembered, kept in a file."""
import json
from pathlib import Path

import numpy as np

from npcbnet import judge
from npcbnet.files import read_note, write_text

TIMED, TOGETHER = 60, 8  # images, and networks that take turns with the original
FIRST = 3  # readings of the original alone, at the beginning
_READING = "original, reading "


class Stopwatch:
    """Milliseconds of one image at batch 1 in the engine.

    A network is measured in turns with the original, and its time is given as so much of the original's at the
    beginning, so that a busy moment of the machine hits both. Was the beginning such a moment? `drift` tells. Networks
    of the same shapes (and as many zeros) share one measurement. measure: a function {name: model} -> {name: ms}, None:
    the engine's clock. path: of a JSON file that keeps what was measured, None: nothing is kept. Raises TrainingError
    where that file is damaged.
    """

    def __init__(self, model, images, measure=None, path=None):
        self.model, self.images, self.path = model, images, None if path is None else Path(path)
        self.measure = measure or self._clock
        kept = {} if path is None or not self.path.exists() else read_note(self.path, "measure", _positive)
        self.readings = [ms for key, ms in kept.items() if key.startswith(_READING)]  # of the original, in order
        self.known = {key: ms for key, ms in kept.items() if not key.startswith(_READING)}
        if not self.readings and architecture(model) in self.known:  # a file of npcbnet before it kept readings
            self.readings = [self.known[architecture(model)]] * FIRST

    @property
    def drift(self):
        """The lower quartile of all readings of the original, as what disturbs them makes them longer, by the median of
        the first ones: `times` times this is what they are in a quiet moment."""
        return float(np.percentile(self.readings, 25) / np.median(self.readings[:FIRST])) if self.readings else 1.0

    def times(self, models, again=""):
        """[ms] of each model, in order; the original's own is always measured first. again: a name; what was measured
        under another one is measured anew."""
        keys = [again + architecture(model) for model in models]
        waiting = dict(zip(keys, models))
        waiting = [(key, model) for key, model in waiting.items() if key not in self.known]
        mine = architecture(self.model)
        if mine not in self.known:
            self.readings = [self.measure({"original": self.model})["original"] for _ in range(FIRST)]
            self.known[mine] = float(np.median(self.readings))
        for start in range(0, len(waiting), TOGETHER):
            here = {key: model for key, model in waiting[start:start + TOGETHER] if key not in self.known}
            if not here:
                continue
            found = self.measure({"original": self.model, **here})
            self.readings.append(found["original"])
            self.known.update((key, self.known[mine] * found[key] / found["original"]) for key in here)
        if self.path is not None:
            readings = {f"{_READING}{number}": ms for number, ms in enumerate(self.readings)}
            write_text(self.path, json.dumps(self.known | readings))
        return [self.known[key] for key in keys]

    def _clock(self, models):
        return {name: timed.latency_ms for name, timed in judge.latencies(models, self.images[:TIMED]).items()}


def _positive(ms):
    return isinstance(ms, float) and 0 < ms < float("inf")


def architecture(model):
    """What decides a network's latency, as a text: its layers, and how many weights of each are not zero."""
    weights = [int(np.count_nonzero(array)) for array in model.params.values() if array.ndim > 1]
    return f"{model.config()['net']} {weights}"
