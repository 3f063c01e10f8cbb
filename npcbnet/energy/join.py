"""Joining another instrument's log to runs: what each run's window in it says of an image."""
import math
from numbers import Integral, Real
from pathlib import Path

from npcbnet.energy import nvidia_smi, tegrastats, um34c
from npcbnet.energy.models import read_json
from npcbnet.energy.result import Energy, check_resolved
from npcbnet.errors import EnergyError, UsageError

KINDS = {"um34c": um34c.read, "tegrastats": tegrastats.read, "nvidia-smi": nvidia_smi.read}
OPTIONS = {"utc_offset_h": tuple(KINDS), "start": ("tegrastats",), "interval_s": ("tegrastats",),
           "gpu": ("nvidia-smi",)}


def from_log(path, kind, windows, idle_w=0.0, **options):
    """{name: Energy} of the runs in `windows`, [(name, begin, end, images)], from a log that covers them.

    kind: one of KINDS. begin, end: Unix seconds, as Energy has them; a fifth entry is the run's own `invalid`. idle_w:
    power of the idle device, which is taken off. options: utc_offset_h, start, interval_s (tegrastats), gpu
    (nvidia-smi), as their readers take them. Raises EnergyError naming file and line, UsageError.
    """
    if kind not in KINDS:
        raise UsageError(f"unknown kind of log {kind!r}: known are {', '.join(KINDS)}")
    options = {name: value for name, value in options.items() if value is not None}
    for name in options:
        if kind not in OPTIONS.get(name, ()):
            raise UsageError(f"a {kind} log takes no {name}")
    if isinstance(idle_w, bool) or not isinstance(idle_w, Real) or not 0 <= idle_w < math.inf:
        raise UsageError(f"an idle power is watts, 0 or more, not {idle_w!r}")
    checked = _checked(windows)
    log = KINDS[kind](path, **options)
    return {name: _energy(log, name, *window, idle_w) for name, *window in checked}


def _energy(log, name, begin, end, images, invalid, idle_w):
    """The Energy of one window."""
    seconds, joules = end - begin, log.joules(begin, end, name)
    net = joules - idle_w * seconds
    if net <= 0:
        raise EnergyError(f"{log.path}: {name} took {joules / seconds:.4g} W, no more than the idle "
                          f"power of {idle_w:g} W")
    check_resolved(f"{log.path}: {name}", log.meter, images, seconds, net, log.resolution_s,
                   log.step_w * log.resolution_s)
    notes = log.notes + ((f"an idle power of {idle_w:g} W was taken off",) if idle_w else ())
    return Energy(images=images, seconds=seconds, power_w=net / seconds, kind="measured", meter=log.meter,
                  resolution=log.resolution, source=f"{log.source}; {Path(log.path).name}", invalid=invalid,
                  begin=begin, end=end, notes=notes)


def _checked(windows):
    """[(name, begin, end, images, invalid)]."""
    found = []
    for window in windows:
        if not isinstance(window, (list, tuple)) or not 4 <= len(window) <= 5:
            raise UsageError(f"a window is (name, begin, end, images), not {window!r}")
        name, begin, end, images, invalid = (*window, None)[:5]
        numbers = all(isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
                      for value in (begin, end))
        if not numbers or not begin < end:
            raise UsageError(f"the window of {name} must go from one Unix time to a later one, not from {begin!r} to "
                             f"{end!r}")
        if isinstance(images, bool) or not isinstance(images, Integral) or images < 1:
            raise UsageError(f"the window of {name} must have 1 image or more, not {images!r}")
        if invalid is not None and not isinstance(invalid, str):
            raise UsageError(f"invalid of the window of {name} must be a text or nothing, not {invalid!r}")
        found.append((str(name), float(begin), float(end), int(images), invalid))
    if not found:
        raise UsageError("no window: name the runs that the log is to be joined to")
    names = [name for name, *_ in found]
    if len(set(names)) < len(names):
        raise UsageError(f"{next(name for name in names if names.count(name) > 1)} names two windows")
    return found


def windows_of(results):
    """What --out writes for {name: Energy}: JSON-ready windows of the runs, and all figures."""
    return {"windows": [{"name": name, "begin": one.begin, "end": one.end, "images": one.images,
                         "invalid": one.invalid} for name, one in results.items() if one.begin is not None],
            "results": {name: one.as_dict() for name, one in results.items()}}


def read_windows(path):
    """The windows of a file that windows_of() made, as from_log() takes them. Raises EnergyError.

    An evaluation's report.json will do, too.
    """
    found = read_json(path)
    rows = found.get("windows") if isinstance(found, dict) else None
    if not isinstance(rows, list) or not rows:
        raise EnergyError(f'{path}: no list called "windows"; make the file with python -m npcbnet.energy MODEL --out')
    for row in rows:
        if not isinstance(row, dict) or not {"name", "begin", "end", "images"} <= set(row):
            raise EnergyError(f"{path}: each of its windows needs name, begin, end and images")
    try:
        return _checked([(row["name"], row["begin"], row["end"], row["images"], row.get("invalid")) for row in rows])
    except UsageError as error:
        raise EnergyError(f"{path}: {error}") from error
