"""What an image costs in energy, as one meter tells it, and whether that meter could tell at all."""
import math
from dataclasses import asdict, dataclass, field
from numbers import Integral

from npcbnet.errors import EnergyError, UsageError

KINDS = ("modelled", "measured", "estimate")
# A meter's time and energy come in steps. A run of 20 of each is known to about 1/20; less is refused.
INTERVALS, QUANTA = 20, 20


@dataclass(frozen=True)
class Energy:
    """Energy of a run, by one meter.

    energy_mj: millijoules per image, power_w * seconds / images * 1000. utilisation: share of all processors that was
    busy (0..1), own_utilisation: this process's part of it; None where nobody looked. kind: "modelled" (a formula and
    the utilisation during the run), "measured" (a meter) or "estimate" (nothing ran). meter, resolution, source: which
    meter, how fine it is, which equation or instrument it is. invalid: None, or why the figure must not be used. begin,
    end: Unix seconds of the run. notes: what else a reader should know.
    """

    images: int
    seconds: float
    power_w: float
    kind: str
    meter: str
    resolution: str
    source: str
    utilisation: float | None = None
    own_utilisation: float | None = None
    invalid: str | None = None
    begin: float | None = None
    end: float | None = None
    notes: tuple = ()
    energy_mj: float = field(init=False)

    def __post_init__(self):
        if isinstance(self.images, bool) or not isinstance(self.images, Integral) or self.images < 1:
            raise UsageError(f"energy is told for 1 image or more, not for {self.images!r}")
        if not 0 < self.seconds < math.inf or not math.isfinite(self.power_w):
            raise EnergyError(f"no energy follows from {self.power_w} W over {self.seconds} s")
        if self.kind not in KINDS:
            raise UsageError(f"the kind of an energy is one of {', '.join(KINDS)}, not {self.kind!r}")
        # The paper, section IV-C: E = P x t.
        object.__setattr__(self, "energy_mj", self.power_w * self.seconds / self.images * 1000)

    def as_dict(self):
        """All fields, as json can write them."""
        return {**asdict(self), "notes": list(self.notes)}


def images_needed(images, seconds, joules, resolution_s, resolution_j):
    """How many images a run must have for its meter to resolve it; 0 if these do.

    They took `seconds` and `joules`; resolution_s, resolution_j: the meter's steps. Rounded up to two digits.
    """
    factor = INTERVALS * resolution_s / seconds
    if resolution_j > 0:
        factor = max(factor, QUANTA * resolution_j / max(joules, resolution_j))
    if factor <= 1:
        return 0
    needed = math.ceil(images * factor)
    digit = 10 ** max(0, len(str(needed)) - 2)
    return -(-needed // digit) * digit


def check_resolved(what, meter, images, seconds, joules, resolution_s, resolution_j):
    """Raise EnergyError, which says how many images it takes, unless the meter resolves the run called `what`."""
    needed = images_needed(images, seconds, joules, resolution_s, resolution_j)
    if needed:
        steps = f"{resolution_s:g} s" + (f" and {resolution_j:g} J" if resolution_j else "")
        raise EnergyError(f"{what}: {images:,} images in {seconds:.3g} s are too few for {meter}, whose steps are "
                          f"{steps}: {INTERVALS} steps need {needed:,} images; let it run longer")
