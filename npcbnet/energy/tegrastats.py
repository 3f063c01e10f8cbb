"""Logs of NVIDIA's tegrastats on a Jetson: one line a sample, with the board's whole power in milliwatts.

    11-21-2026 14:30:05 RAM 3162/7620MB ... VDD_IN 4162mW/4100mW        Orin, Xavier NX: now / mean
    RAM 1738/3956MB ... POM_5V_IN 1997/2089 POM_5V_GPU 40/57            Nano; older ones write no date
"""
import re

import numpy as np

from npcbnet.energy.log import UNIX, Clock, Log, read_lines
from npcbnet.errors import EnergyError, UsageError

MOST_W, STEP_W = 200, 0.001
_STAMP = re.compile(r"(\d\d-\d\d-\d{4} \d\d:\d\d:\d\d) +", re.ASCII)
_TOTAL = re.compile(r"(?<!\S)(POM_5V_IN|VDD_IN) +(\d{1,7})(mW)?/(\d{1,7})(mW)?(?!\S)", re.ASCII)
_NEAR = 0.1  # how far the lines' true distance may be from the interval that was named


def read(path, utc_offset_h=None, start=None, interval_s=None):
    """The Log of a file. utc_offset_h: of its dates. interval_s: seconds between lines (tegrastats --interval / 1000).

    Needed where several lines share a second, as dates are whole seconds, and with start, the first line's Unix time,
    where there are no dates.
    """
    for what, value, least, most in (("start", start, *UNIX), ("interval_s", interval_s, 0, 3600)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))
                                  or not least < value < most):
            raise UsageError(f"{what} of a tegrastats log must be seconds from {least:g} to {most:g}, not {value!r}")
    found = [_sample(path, line, text) for line, text in read_lines(path)]
    _check_alike(path, found)
    lines, stamps, rails, watts = zip(*found)
    least_s = 0.0
    if stamps[0] is None:
        if start is None or interval_s is None:
            raise EnergyError(f"{path}:{lines[0]}: the lines have no dates; say when the first was written and how "
                              "long lies between two (start and interval)")
        times = start + interval_s * np.arange(len(found))
        notes = (f"line n of the log was taken to be from {interval_s:g} s x (n - 1) after the start that was given",)
    else:
        clock = Clock(utc_offset_h)
        seconds = np.array([clock.unix(stamp, "%m-%d-%Y %H:%M:%S", path, line) for line, stamp in zip(lines, stamps)])
        times, notes = _times(path, lines, seconds, interval_s), (clock.assumed,)
        least_s = 1.0 if interval_s is None else 0.0
    return Log(str(path), "tegrastats", f"tegrastats, {rails[0]}: the whole board's input, momentary value", times,
               np.array(watts), np.array(lines), STEP_W, MOST_W, least_s, notes)


def _check_alike(path, found):
    """All lines are dated or none is, and all tell the same rail."""
    _, first_stamp, first_rail, _ = found[0]
    for line, stamp, rail, _ in found:
        if (stamp is None) != (first_stamp is None):
            raise EnergyError(f"{path}:{line}: some lines have a date and some have none: two logs in one file?")
        if rail != first_rail:
            raise EnergyError(f"{path}:{line}: {rail}, but the lines before tell {first_rail}: two logs in one file?")


def _sample(path, line, text):
    """(line, date or None, rail, watts)."""
    stamp = _STAMP.match(text)
    body = text[stamp.end():] if stamp else text
    if not body.startswith("RAM "):
        raise EnergyError(f"{path}:{line}: no line of tegrastats, which begins with RAM or a date such as "
                          f"11-21-2026 14:30:05, but {text[:40]!r}")
    totals = _TOTAL.findall(body)
    if len(totals) == 1 and totals[0][2] != totals[0][4]:
        raise EnergyError(f"{path}:{line}: units on one side only in {' '.join(_TOTAL.search(body)[0].split())!r}; the "
                          "line is damaged")
    if len(totals) != 1:
        raise EnergyError(f"{path}:{line}: {'more than one' if totals else 'no'} whole POM_5V_IN or VDD_IN "
                          "(milliwatts, now/mean) in the line; is it cut, or from another board?")
    return line, stamp and stamp[1], totals[0][0], int(totals[0][1]) / 1000


def _times(path, lines, stamps, interval_s):
    """Unix seconds of lines whose dates are cut to whole seconds: the middle of the second, or spread evenly."""
    steps = np.diff(stamps)
    back = np.flatnonzero(steps < 0)
    if len(back):
        raise EnergyError(f"{path}:{lines[back[0] + 1]}: a time before that of line {lines[back[0]]}: unsorted, or two "
                          "logs in one file; keep one log, in order of time")
    if interval_s is None:
        twice = np.flatnonzero(steps == 0)
        if len(twice):
            raise EnergyError(f"{path}:{lines[twice[0] + 1]}: the same second as line {lines[twice[0]]}; if tegrastats "
                              "ran with --interval below 1000, say so (interval), else two logs are in one file")
        return stamps + 0.5
    if len(stamps) < 3 or stamps[0] == stamps[-1]:
        raise EnergyError(f"{path}: too few lines to find the times between whole seconds; log longer")
    count = np.arange(len(stamps))
    slope, origin = np.polyfit(count, stamps - stamps[0] + 0.5, 1)
    if abs(slope - interval_s) > _NEAR * interval_s + 1 / len(stamps):
        raise EnergyError(f"{path}: lines come every {slope:.3g} s, not every {interval_s:g} s: another interval, "
                          "a gap, or two logs in one file")
    away = np.flatnonzero(np.abs(origin + slope * count - (stamps - stamps[0] + 0.5)) > 1)
    if len(away):
        raise EnergyError(f"{path}:{lines[away[0]]}: its second is not where lines every {slope:.3g} s put it: a gap, "
                          "or two logs in one file")
    return stamps[0] + origin + slope * count
