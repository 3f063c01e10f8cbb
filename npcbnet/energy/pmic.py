"""The power rails of a Raspberry Pi 5, as its power management chip measures them: vcgencmd pmic_read_adc."""
import re
import time

from npcbnet.energy import vcgencmd
from npcbnet.errors import EnergyError

MOST_W = 100
_LINE = re.compile(r"(\w+)_([AV]) +(current|volt)\(\d+\)=(\d+(?:\.\d+)?)([AV])")
_WORD = {"A": "current", "V": "volt"}


class Pmic:
    """Sum of current x voltage over the rails that have both, looked at while the run goes.

    command: the program to ask. period_s: a look costs the Pi about 10 ms of one core, so there are few.
    resolution_j: of one look, for currents in steps of milliamperes.
    """

    name, kind, period_s = "pmic", "measured", 0.25
    resolution_s, resolution_j = period_s, 0.01 * period_s
    resolution = f"{period_s:g} s between looks, about 0.01 W"
    source = ("vcgencmd pmic_read_adc: sum over the chip's rails; what feeds on 5 V directly (USB, HATs) and the "
              "converters' losses are not in it")

    def __init__(self, command=None):
        self.command = command
        self._looks = []

    def available(self):
        """None, or why this machine cannot use it."""
        try:
            self._look()
        except EnergyError as error:
            return str(error)
        return None

    def _look(self):
        before = time.perf_counter()
        watts = rails_w(vcgencmd.ask("pmic_read_adc", self.command))
        return (before + time.perf_counter()) / 2, watts

    def begin(self):
        """The first look. Raises EnergyError."""
        self._looks = [self._look()]

    def sample(self):
        """Another look. Raises EnergyError."""
        self._looks.append(self._look())

    def end(self, seconds, utilisation):
        """Joules of the `seconds` since begin(), by trapezoids between the looks."""
        self.sample()
        (first, *_), (last, *_) = self._looks[0], self._looks[-1]
        joules = sum((t1 - t0) * (w0 + w1) / 2 for (t0, w0), (t1, w1) in zip(self._looks, self._looks[1:]))
        return joules / (last - first) * seconds


def rails_w(answer):
    """Watts of an answer of pmic_read_adc, lines such as `3V3_SYS_A current(1)=0.12A` and `..._V volt(9)=3.3V`.

    Rails without a current (EXT5V, BATT) have no part in it. Raises EnergyError naming the line.
    """
    found = {"A": {}, "V": {}}
    for line in filter(None, map(str.strip, answer.splitlines())):
        match = _LINE.fullmatch(line)
        if not match or match[2] != match[5] or match[3] != _WORD[match[2]]:
            raise EnergyError(f"vcgencmd pmic_read_adc says {line[:60]!r}, not NAME_A current(0)=...A or "
                              "NAME_V volt(0)=...V")
        if match[1] in found[match[2]]:
            raise EnergyError(f"vcgencmd pmic_read_adc names {match[1]}_{match[2]} twice")
        found[match[2]][match[1]] = float(match[4])
    both = found["A"].keys() & found["V"].keys()
    if not both:
        raise EnergyError("vcgencmd pmic_read_adc tells no rail's current and voltage; only a Raspberry Pi 5 does")
    watts = sum(found["A"][rail] * found["V"][rail] for rail in sorted(both))
    if not 0 < watts <= MOST_W:
        raise EnergyError(f"vcgencmd pmic_read_adc tells {watts:g} W, which no Raspberry Pi takes")
    return watts
