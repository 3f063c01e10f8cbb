"""Did the machine stay the same during a run? Throttling and changes of the clock make a run worthless.

Looked at: `vcgencmd get_throttled` on a Raspberry Pi, and the clocks that Linux shows for each processor.
"""
import os
from pathlib import Path

from npcbnet.energy import vcgencmd
from npcbnet.errors import EnergyError

CPUS = Path("/sys/devices/system/cpu")
MOST_CHANGE = 0.05  # of the clock's highest value in the run


class Conditions:
    """What was seen from begin() to end(). cpus: the folder of the cpu0, cpu1, ...; command: vcgencmd.

    The clock is that of the fastest processor this process may use: a run of one thread leaves others idle, whose
    clocks fall without harm.
    """

    def __init__(self, cpus=None, command=None):
        root, self._command = Path(cpus or CPUS), command
        try:
            mine = os.sched_getaffinity(0)
        except AttributeError:  # no Linux
            mine = range(os.cpu_count() or 1)
        files = (root / f"cpu{number}" / "cpufreq" / "scaling_cur_freq" for number in sorted(mine))
        self._files = [file for file in files if file.exists()]
        self._asks = vcgencmd.present(command)
        self._bits, self._clocks, self._notes = None, [], []

    def begin(self):
        """The first look."""
        self._clocks, self._notes = [], []
        self._bits = self._throttled()
        self.sample()

    def sample(self):
        """Look at the clocks again."""
        clocks = [clock for clock in map(_khz, self._files) if clock]
        if clocks:
            self._clocks.append(max(clocks))

    def end(self):
        """(why the run is invalid or None, notes)."""
        self.sample()
        reasons = self._slowed() + self._changed()
        return "; ".join(reasons) or None, tuple(self._notes)

    def _throttled(self):
        if not self._asks:
            return None
        try:
            return vcgencmd.throttled(self._command)
        except EnergyError as error:
            note = f"throttling was not looked at: {error}"
            self._notes += [note] if note not in self._notes else []
            return None

    def _slowed(self):
        """Reasons: what holds at either end, and what happened in between, which the firmware remembers."""
        before, after = self._bits, self._throttled()
        if before is None or after is None:
            return []
        (now_before, earlier), (now_after, since) = vcgencmd.in_words(before), vcgencmd.in_words(after)
        between = [word for word in since if word not in earlier]
        during = [word for word in vcgencmd.BITS.values() if word in {*now_before, *now_after, *between}]
        if earlier and not during:
            self._notes.append(f"before this run, but since the start, the Pi had: {', '.join(earlier)}")
        if not during:
            return []
        return [f"{', '.join(during)} during the run (vcgencmd get_throttled: {before:#x} before, {after:#x} after)"]

    def _changed(self):
        if not self._clocks:
            return []
        low, high = min(self._clocks), max(self._clocks)
        if high - low <= MOST_CHANGE * high:
            return []
        return [f"the processor's clock changed from {low / 1000:g} to {high / 1000:g} MHz during the run; set the "
                "governor to performance, or cool it"]


def _khz(path):
    """The clock in a file, None where it does not tell (a processor that sleeps)."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return int(text) if text.isdecimal() and len(text) < 12 else None
