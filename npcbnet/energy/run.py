"""A run with a meter beside it: repeated until the meter resolves it, looked after by a thread meanwhile."""
import threading
import time
from dataclasses import dataclass
from numbers import Integral, Real

from npcbnet.energy.conditions import Conditions
from npcbnet.energy.cpu import CpuUse, ModelMeter, others_note, tick_s
from npcbnet.energy.models import MODELS, power_model
from npcbnet.energy.pmic import Pmic
from npcbnet.energy.rapl import Rapl
from npcbnet.energy.result import INTERVALS, Energy, check_resolved, images_needed
from npcbnet.errors import EnergyError, UsageError

MEASURED = {"rapl": Rapl, "pmic": Pmic}  # the better ones first
WARM_S, BLOCK_S = 0.2, 0.01  # seconds of calls before a run; between two looks at the clock
PERIOD_S = 0.25  # between looks of the thread, where the meter has no period of its own
MOST_DRIFT_S = 0.05


@dataclass(frozen=True)
class Offer:
    """A meter's name and kind, and why this machine does not offer it (None where it does)."""

    name: str
    kind: str
    why_not: str | None
    source: str


def at_hand():
    """An Offer for each meter that can watch a run here. Logs of other instruments can be joined anywhere."""
    meters = [*(make() for make in MEASURED.values()), *(ModelMeter(model) for model in MODELS.values())]
    return [Offer(meter.name, meter.kind, meter.available(), meter.source) for meter in meters]


def meter_called(wanted="auto"):
    """A meter: "auto" (the best measured one here, else the model gci), "rapl", "pmic", or what power_model() takes.

    Anything with the attributes and methods of Rapl is a meter, too, and may have `notes`, texts for its results.
    Raises EnergyError with the reason where this machine does not offer it, UsageError for an unknown name.
    """
    if wanted == "auto":
        offered = (meter for meter in (make() for make in MEASURED.values()) if meter.available() is None)
        return next(offered, None) or meter_called("gci")
    if isinstance(wanted, str) and wanted in MEASURED:
        meter = MEASURED[wanted]()
    elif all(hasattr(wanted, name) for name in ("available", "begin", "sample", "end")):
        meter = wanted
    else:
        try:
            meter = ModelMeter(power_model(wanted))
        except UsageError as error:
            raise UsageError(f"{error}; meters are auto, {', '.join(MEASURED)}") from error
    reason = meter.available()
    if reason:
        raise EnergyError(f"the meter {meter.name} is not here: {reason}")
    return meter


def measure(call, images, meter="auto", seconds=1.0, most_s=60.0, conditions=None):
    """The Energy of call(), which predicts `images` images each time.

    It is called for a moment before anything is measured, then again and again for at least `seconds`, and longer until
    the meter resolves it, but in no run longer than `most_s`. meter: as meter_called() takes it. conditions: a
    Conditions, to look elsewhere. Raises EnergyError, which says how many images it takes, where `most_s` is too short,
    and what call() raises.
    """
    if isinstance(images, bool) or not isinstance(images, Integral) or images < 1:
        raise UsageError(f"call() must predict 1 image or more, not {images!r}")
    for what, value in (("seconds", seconds), ("most_s", most_s)):
        if isinstance(value, bool) or not isinstance(value, Real) or not 0 < value < 1e6:
            raise UsageError(f"{what} must be above 0, not {value!r}")
    meter, conditions = meter_called(meter), conditions or Conditions()
    block = _warm(call)
    target = min(most_s, max(seconds, 1.05 * INTERVALS * meter.resolution_s))
    while True:
        run = _run(call, block, target, meter, conditions)
        done = images * run.calls
        needed = images_needed(done, run.seconds, run.joules, meter.resolution_s, meter.resolution_j)
        if not needed:
            return _result(run, done, meter)
        longer = 1.1 * run.seconds * needed / done
        if longer > most_s:
            check_resolved("the run", meter.name, done, run.seconds, run.joules, meter.resolution_s,
                           meter.resolution_j)
        target = longer


@dataclass
class _Run:
    """What came of one run: its calls, its window, what the meter and the counters say."""

    calls: int
    seconds: float
    begin: float
    end: float
    joules: float
    utilisation: float | None
    own: float | None
    invalid: str | None
    notes: tuple


def _warm(call):
    """Call for WARM_S; returns how many calls take about BLOCK_S."""
    begin, calls = time.perf_counter(), 0
    while not calls or time.perf_counter() - begin < WARM_S:
        call()
        calls += 1
    return max(1, int(calls * BLOCK_S / (time.perf_counter() - begin)))


def _run(call, block, seconds, meter, conditions):
    """One run of at least `seconds`, in blocks of calls."""
    try:
        use = CpuUse()
    except EnergyError:  # a measured meter does not need it
        use = None
    calls = 0
    conditions.begin()
    meter.begin()
    with _Watch(meter.period_s or PERIOD_S, meter, conditions) as watch:
        if use:
            use.begin()
        unix, begin = time.time(), time.perf_counter()
        while (took := time.perf_counter() - begin) < seconds or not calls:
            for _ in range(block):
                call()
            calls += block
        end = time.time()
        busy, own = use.end() if use else (None, None)
    watch.check()
    joules = meter.end(took, busy)
    invalid, notes = conditions.end()
    if took < INTERVALS * tick_s():  # too short for the ticks of CPU time
        busy = own = None if meter.kind == "measured" else busy
    if abs(end - unix - took) > MOST_DRIFT_S:
        notes += (f"the system's clock was set by {end - unix - took:+.2f} s during the run: join no log to it",)
    return _Run(calls, took, unix, end, joules, busy, own, invalid, notes)


def _result(run, images, meter):
    note = others_note(run.utilisation, run.own) if run.own is not None else None
    return Energy(images=images, seconds=run.seconds, power_w=run.joules / run.seconds, kind=meter.kind,
                  meter=meter.name, resolution=meter.resolution, source=meter.source, utilisation=run.utilisation,
                  own_utilisation=run.own, invalid=run.invalid, begin=run.begin, end=run.end,
                  notes=(*getattr(meter, "notes", ()), *run.notes, *([note] if note else [])))


class _Watch:
    """A thread that lets a meter and the conditions look, every `period_s` while the block lasts."""

    def __init__(self, period_s, *looking):
        self._period_s, self._looking, self._error = period_s, looking, None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go, name="npcbnet-energy", daemon=True)

    def _go(self):
        begin, turn = time.perf_counter(), 0
        try:
            while True:
                turn = max(turn + 1, int((time.perf_counter() - begin) / self._period_s))  # late looks are left out
                if self._stop.wait(max(0.0, begin + turn * self._period_s - time.perf_counter())):
                    return
                for each in self._looking:
                    each.sample()
        except Exception as error:  # told by check(), in the thread that measures
            self._error = error

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def check(self):
        """Raise what a look raised."""
        if self._error is not None:
            raise self._error
