"""What an evaluation is asked to do, and on which data sets."""
from dataclasses import dataclass, replace

from npcbnet import data, energy, pipeline
from npcbnet.errors import DataError, UsageError
from npcbnet.evaluate.scope import FULL, QUICK
from npcbnet.progress import say


@dataclass(frozen=True)
class Options:
    """What to evaluate.

    datasets: names or paths (None: those of the paper that are at hand or can be fetched); seeds: how many, from `seed`
    on; meter: as for energy.measure; power_s: seconds that each model's power is looked at (None: the scope's);
    latencies: files for elsewhere.read; command: as typed.
    """

    datasets: tuple | None = None
    seeds: int = 3
    seed: int = 0
    quick: bool = False
    threads: int = 1
    meter: str = "auto"
    power_s: float | None = None
    latencies: tuple = ()
    command: str = "python -m npcbnet.evaluate cbnet"

    def check(self):
        """Raise UsageError for numbers that cannot be."""
        if self.seeds < 1:
            raise UsageError(f"--seeds must be at least 1, not {self.seeds}")
        if not 0 <= self.seed < 2 ** 63:
            raise UsageError(f"--seed must be at least 0 and below 2^63, not {self.seed}")
        if self.power_s is not None and not 0 < self.power_s <= 3600:
            raise UsageError(f"--power-seconds must be above 0 and at most 3600, not {self.power_s:g}")
        energy.run.meter_called(self.meter)  # better now than after the training

    def scope(self):
        """The Scope of this evaluation."""
        scope = QUICK if self.quick else FULL
        return scope if self.power_s is None else replace(scope, power_s=self.power_s)


def at_hand(options, own, quiet):
    """(names of the data sets, notes): those asked for; of the paper's own, the ones that can be had."""
    if options.datasets:
        found = {}
        for name in dict.fromkeys(options.datasets):
            dataset = data.load(name)
            pipeline.check_dataset(dataset, options.seed)
            if dataset.name in found:
                raise UsageError(f"{found[dataset.name]} and {name} are both called {dataset.name}; rename one file")
            found[dataset.name] = name
        return tuple(found.values()), []
    names, notes = [], []
    for name in own:
        try:
            data.load(name)
            names.append(name)
        except DataError as error:
            notes.append(f"{name} is left out: {error}")
            say(f"note: {notes[-1]}", quiet)
    if not names:
        raise DataError(f"none of {', '.join(own)} is at hand; name what is with --datasets, e.g. digits")
    return tuple(names), notes
