"""Linux powercap: the energy counters that processors of Intel and AMD keep for each package (RAPL)."""
import time
from pathlib import Path

from npcbnet.errors import EnergyError

ROOT = Path("/sys/class/powercap")
STILL_S = 0.05  # a counter that did not move for so long does not count


class Rapl:
    """Energy of all processor packages, everyone's work included. root: where the kernel shows the counters.

    resolution_s: the counters are renewed about every millisecond; resolution_j: their usual unit is 2^-14 J.
    """

    name, kind, period_s = "rapl", "measured", 0.25
    resolution_s, resolution_j = 1e-3, 2.0 ** -14
    resolution = "1 ms, 61 µJ"
    source = "Linux powercap (RAPL): counters of the whole processor packages, without memory, board and power supply"

    def __init__(self, root=None):
        self.root = Path(root or ROOT)
        self._domains, self._joules = [], 0.0

    def available(self):
        """None, or why this machine cannot use it."""
        try:
            self.begin()
            time.sleep(STILL_S)
            self.sample()
        except EnergyError as error:
            return str(error)
        return None if self._joules else f"the counters in {self.root} stand still, as in some virtual machines"

    def begin(self):
        """Read the counters for the first time. Raises EnergyError."""
        self._domains = [[folder, _count(folder / "max_energy_range_uj"), _count(folder / "energy_uj")]
                         for folder in self._packages()]
        self._joules = 0.0

    def sample(self):
        """Add what the counters grew by; often enough, so that none turns over twice unseen. Raises EnergyError."""
        for domain in self._domains:
            folder, largest, before = domain
            now = _count(folder / "energy_uj")
            if not before <= largest or not now <= largest:
                raise EnergyError(f"{folder / 'energy_uj'} says {now}, above its own largest value {largest}")
            grown = now - before if now >= before else now + largest + 1 - before  # it starts anew after its largest
            domain[2], self._joules = now, self._joules + grown * 1e-6

    def end(self, seconds, utilisation):
        """Joules since begin(). Raises EnergyError where the counters stood still."""
        self.sample()
        if self._joules == 0 and seconds > 0.1:
            raise EnergyError(f"the counters in {self.root} stood still for {seconds:.1f} s; use another meter")
        return self._joules

    def _packages(self):
        """Folders of the package domains: intel-rapl:0 and its like; those below (cores, memory) are parts of them."""
        if not self.root.is_dir():
            raise EnergyError(f"no {self.root}: this kernel or virtual machine shows no RAPL counters")
        found = [folder for folder in sorted(self.root.glob("intel-rapl:*"))
                 if folder.name.count(":") == 1 and _text(folder / "name").startswith("package")]
        if not found:
            raise EnergyError(f"no package domain intel-rapl:* in {self.root}: no RAPL counters here")
        return found


def _text(path):
    try:
        return path.read_text(encoding="ascii").strip()
    except PermissionError as error:
        raise EnergyError(f"only root may read {path}; run as root, or: sudo chmod a+r {path}") from error
    except (OSError, ValueError) as error:
        raise EnergyError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'not a text'}") from error


def _count(path):
    """The whole number of microjoules in a file."""
    text = _text(path)
    if not text.isdecimal() or len(text) > 20:
        raise EnergyError(f"{path} says {text[:40]!r}, not a number of microjoules")
    return int(text)
