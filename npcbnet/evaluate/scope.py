"""How much an evaluation does: everything, or small samples of it that show that all of it works."""
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Scope:
    """Sizes of an evaluation.

    train, validation, test: at most so many images of each part (None: all); epochs of every stage (None: the recipes'
    own) and of an ablation's converters; timed: images that each model is timed on, one by one, `rounds` times, and
    more often until all models together took timed_s seconds; power_s: seconds of calls in which a model's power is
    looked at; mix: images of each mix of easy and hard ones; repeats of the scalability experiment; utilisations that
    SubFlow is trained at.
    """

    train: int | None = None
    validation: int | None = None
    test: int | None = None
    epochs: int | None = None
    ablation_epochs: int = 5
    timed: int = 400
    rounds: int = 7
    timed_s: float = 20.0
    power_s: float = 2.0
    mix: int = 300
    repeats: int = 3
    utilisations: tuple = (0.1, 0.25, 0.5)


FULL = Scope()
QUICK = Scope(train=2000, validation=400, test=600, epochs=12, ablation_epochs=5, timed=30, rounds=3, timed_s=0.0,
              power_s=0.5, mix=40, utilisations=(0.1, 0.5))


def reduced(dataset, scope, seed):
    """The Dataset with at most as many images as `scope` says, drawn with `seed`."""
    rng = np.random.default_rng([seed, 2])
    parts = {}
    for part in ("train", "validation", "test"):
        split, most = getattr(dataset, part), getattr(scope, part)
        if most is not None and most < len(split):
            parts[part] = split.take(np.sort(rng.permutation(len(split))[:most]))
    return replace(dataset, **parts)
