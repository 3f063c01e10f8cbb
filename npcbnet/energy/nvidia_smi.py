"""Logs of an NVIDIA GPU's power: nvidia-smi --query-gpu=timestamp,power.draw --format=csv -lms 100 > FILE

`csv,nounits` will do, too; other columns may be there. With more than one GPU, index must be among them.
"""
import re

import numpy as np

from npcbnet.energy.log import Clock, Log, number, table
from npcbnet.errors import EnergyError

MOST_W, STEP_W = 3000, 0.01
UPDATE_S = 0.1  # GPUs renew the value no more often, whatever is asked (the paper's K80, too)
WHICH = ("index", "uuid", "gpu_uuid", "pci.bus_id", "gpu_bus_id")
POWERS = ("power.draw", "power.draw.instant", "power.draw.average")
_UNIT = re.compile(r"([\w.]+) \[(\w+)\]")


def read(path, utc_offset_h=None, gpu=None):
    """The Log of a file. utc_offset_h: of its timestamps; gpu: index, uuid or bus of the GPU where it has several."""
    names, rows = table(path)
    if "timestamp" not in names:
        raise EnergyError(f"{path}:1: no column 'timestamp'; log with --query-gpu=timestamp,power.draw --format=csv, "
                          "with its header")
    place = _power(path, names)
    rows = _one_gpu(path, names, rows, gpu)
    clock, times, watts, lines, left_out = Clock(utc_offset_h), [], [], [], 0
    for line, fields in rows:
        text = fields[place]
        if text.startswith("[") or text == "N/A":  # [N/A], [Not Supported], [Unknown Error]
            left_out += 1
            continue
        times.append(_unix(clock, fields[names.index("timestamp")], path, line))
        watts.append(number(text.removesuffix(" W"), path, line, names[place]))
        lines.append(line)
    if not lines:
        raise EnergyError(f"{path}: no sample with a power" + (": this GPU does not tell it" if left_out else ""))
    steps = np.diff(times)
    if len(steps) > 8 and (steps > 0).all() and np.percentile(steps, 20) < 0.1 * np.percentile(steps, 80):
        raise EnergyError(f"{path}:{lines[1]}: the times come in bunches, as with several GPUs; log index, too")
    notes = (clock.assumed,) + ((f"{left_out} lines without a power were left out",) if left_out else ())
    return Log(str(path), "nvidia-smi", f"nvidia-smi, {names[place].split()[0]}: the GPU's board alone, as its driver "
               "averages it", np.array(times), np.array(watts), np.array(lines, int), STEP_W, MOST_W, UPDATE_S, notes)


def _power(path, names):
    """Which column is the power in watts."""
    units = {match[1]: match[2] for match in map(_UNIT.fullmatch, names) if match}
    for wanted in POWERS:
        if units.get(wanted, "W") != "W":
            raise EnergyError(f"{path}:1: {wanted} must be in watts, but is in {units[wanted]}")
        if wanted in units:
            return names.index(f"{wanted} [W]")
        if wanted in names:
            return names.index(wanted)
    raise EnergyError(f"{path}:1: no column 'power.draw [W]'; its columns are {', '.join(names)[:80]!r}")


def _one_gpu(path, names, rows, gpu):
    """The rows of one GPU."""
    places = [names.index(name) for name in WHICH if name in names]
    if gpu is not None:
        found = [row for row in rows if str(gpu) in (row[1][place] for place in places)]
        if not found:
            raise EnergyError(f"{path}: no line of a GPU {gpu}" + ("" if places else ": log index, too"))
        return found
    for place in places:
        there = sorted({fields[place] for _, fields in rows})
        if len(there) > 1:
            raise EnergyError(f"{path}: samples of {len(there)} GPUs ({', '.join(there)[:80]!r}); say which one (gpu)")
    return rows


def _unix(clock, text, path, line):
    return clock.unix(text, "%Y/%m/%d %H:%M:%S.%f", path, line)
