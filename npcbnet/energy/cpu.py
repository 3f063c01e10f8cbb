"""How busy were the processors during a run, and what does a power model make of that?

The share is system-wide, over all processors: what the guest's psutil shows, as in the paper (section IV-C). The
counters behind it go in ticks, 10 ms on Linux.
"""
import os

from npcbnet.errors import EnergyError

OTHERS = 0.03  # share of all processors that others may use without a word
MISSING = "psutil is not installed, so nobody counts how busy the processors are; pip install psutil"


def tick_s():
    """Seconds between two steps of the system's CPU time."""
    try:
        return 1 / os.sysconf("SC_CLK_TCK")
    except (AttributeError, ValueError, OSError):  # Windows counts in 1/64 s
        return 1 / 64


class CpuUse:
    """Utilisation between begin() and end(). Raises EnergyError where psutil is missing."""

    def __init__(self):
        try:
            import psutil
        except ImportError as error:
            raise EnergyError(MISSING) from error
        self._psutil, self._process = psutil, psutil.Process()
        self._before = None

    def _now(self):
        """(busy, total) seconds of all processors, and CPU seconds of this process."""
        times, mine = self._psutil.cpu_times()._asdict(), self._process.cpu_times()
        # Linux counts a guest's time within user and nice, too.
        total = sum(times.values()) - times.get("guest", 0) - times.get("guest_nice", 0)
        return total - times["idle"] - times.get("iowait", 0), total, mine.user + mine.system

    def begin(self):
        """Look at the counters."""
        self._before = self._now()

    def end(self):
        """(utilisation, this process's part of it), shares of all processors, 0..1."""
        busy, total, own = (after - before for after, before in zip(self._now(), self._before))
        if total <= 0:
            raise EnergyError("the counters of CPU time did not move during the run; let it run longer")
        clipped = min(max(busy / total, 0.0), 1.0)  # idle time may step back by a tick
        return clipped, min(max(own / total, 0.0), clipped)


def others_note(utilisation, own):
    """A note where other processes used more than OTHERS, else None."""
    if utilisation - own <= OTHERS:
        return None
    return f"other processes used {utilisation - own:.0%} of the processors, this one {own:.0%}; all of it is counted"


class ModelMeter:
    """A power model as a meter: power at the run's utilisation, times its seconds."""

    kind, resolution_j, period_s = "modelled", 0.0, None

    def __init__(self, model):
        self.model, self.name = model, model.name
        self.resolution_s = tick_s()
        self.resolution = f"{1000 * self.resolution_s:g} ms of CPU time"
        self.notes = (f"the power is that of: {model.device}; time and utilisation are this machine's",)
        self.source = f"{model.formula()}, u = share of all processors that was busy; {model.source}"

    def available(self):
        """None, or why this machine cannot use it."""
        try:
            CpuUse()
        except EnergyError as error:
            return str(error)
        return None

    def begin(self):
        """Nothing to begin: utilisation is looked at in every run."""

    def sample(self):
        """Nothing to look at."""

    def end(self, seconds, utilisation):
        """Joules of a run."""
        return self.model.power_w(utilisation) * seconds
