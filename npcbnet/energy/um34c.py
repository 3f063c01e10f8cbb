"""Logs of a UM34C USB power meter, as rd-usb exports them: CSV, columns found by their names.

Energy is taken from `Power (W)` over `Unix time`; the meter's own mWh counter is too coarse for single images.
"""
import numpy as np

from npcbnet.energy.log import Clock, Log, number, table
from npcbnet.errors import EnergyError

POWER, VOLTAGE, CURRENT, UNIX_TIME, LOCAL_TIME = "Power (W)", "Voltage (V)", "Current (A)", "Unix time", "Time"
MOST_W, STEP_W = 110, 0.001  # 25 V x 4 A is what the meter can carry
# Voltage x current and power are rounded by themselves: 10 mV x 4 A, 1 mA x 25 V; a wrong unit is a factor of 1000.
NEAR_W, NEAR = 0.1, 0.05


def read(path, utc_offset_h=None):
    """The Log of a file. utc_offset_h: of the column Time, which serves where there is no Unix time."""
    names, rows = table(path)
    if POWER not in names:
        other = next((name for name in names if name.startswith("Power")), None)
        raise EnergyError(f"{path}:1: the power must be in watts, a column {POWER!r}; "
                          + (f"this log has {other!r}" if other else f"its columns are {', '.join(names)[:80]!r}"))
    for wanted in (VOLTAGE, CURRENT):
        word = wanted.split(" ")[0]
        other = next((name for name in names if name.split(" ")[0] == word and name != wanted), None)
        if other:
            raise EnergyError(f"{path}:1: expected a column {wanted!r}, found {other!r}: another unit")
    column = {name: [fields[place] for _, fields in rows] for place, name in enumerate(names)}
    lines = [line for line, _ in rows]
    power = _numbers(column, POWER, path, lines)
    if VOLTAGE in names and CURRENT in names:
        _check_product(power, _numbers(column, VOLTAGE, path, lines), _numbers(column, CURRENT, path, lines), path,
                       lines)
    if UNIX_TIME in names:
        times, least_s, notes = _numbers(column, UNIX_TIME, path, lines), 0.0, ()
    elif LOCAL_TIME in names:
        clock = Clock(utc_offset_h)
        # The stamps are whole seconds: on average, a sample was taken in the middle of one.
        times = [clock.unix(text, "%Y-%m-%d %H:%M:%S", path, line) + 0.5
                 for text, line in zip(column[LOCAL_TIME], lines)]
        least_s, notes = 1.0, (clock.assumed,)
    else:
        raise EnergyError(f"{path}:1: no column {UNIX_TIME!r} or {LOCAL_TIME!r}, so samples cannot be joined to a run")
    return Log(str(path), "um34c", "UM34C USB meter, rd-usb export: all that the board draws, power by time",
               np.array(times, float), np.array(power, float), np.array(lines), STEP_W, MOST_W, least_s, notes)


def _numbers(column, name, path, lines):
    return [number(text, path, line, name) for text, line in zip(column[name], lines)]


def _check_product(power, voltage, current, path, lines):
    """Power must be voltage x current."""
    for watts, volts, amperes, line in zip(power, voltage, current, lines):
        if abs(volts * amperes - watts) > NEAR_W + NEAR * abs(watts):
            raise EnergyError(f"{path}:{line}: {VOLTAGE} {volts:g} x {CURRENT} {amperes:g} is {volts * amperes:g} W, "
                              f"but {POWER} says {watts:g}; is one of them in thousandths (mA, mW)?")
