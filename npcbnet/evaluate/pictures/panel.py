"""What a chart shows, apart from how it is drawn: series in panels, the span of an axis and its ticks.

plotted.py draws panels with matplotlib, plain.py with Pillow where that is not installed.
"""
from dataclasses import dataclass

import numpy as np

LINE_PX = 20  # of height for a row of bars or dots


@dataclass(frozen=True)
class Look:
    """How a series is told from the others, in colour and without: marker, dashes, shade, hatch, an empty marker."""

    marker: str = "o"
    dash: tuple = (1, 0)  # px on, px off
    colour: str = "#000000"
    hatch: str = ""
    hollow: bool = False


@dataclass(frozen=True)
class Series:
    """Points x, y (None leaves a gap) as a line, single points, steps or bars from `left` (0 where None) to x at y."""

    name: str
    x: tuple
    y: tuple
    kind: str = "line"  # line | points | step | bars
    look: Look = Look()
    x_error: tuple | None = None
    y_error: tuple | None = None
    left: tuple | None = None
    labels: tuple = ()  # texts beside the points; for bars, behind their ends
    height: float = 0.7  # of a bar, in units of y
    legend: bool = True


@dataclass(frozen=True)
class Panel:
    """Series on two axes. places: [(y, text, is a heading)] instead of numbers on the y axis, from the top."""

    series: tuple
    title: str = ""
    x_label: str = ""
    y_label: str = ""
    x_log: bool = False
    y_log: bool = False
    x_percent: bool = False
    y_percent: bool = False
    x_zero: bool = False  # the axis begins at 0
    y_zero: bool = False
    x_room: float = 0.06  # share of the axis that is free at both ends: more where texts stand behind bars
    places: tuple = ()
    references: tuple = ()  # (axis "x" or "y", value, name): dashed lines from side to side
    end_labels: bool = False  # each line's name at its right end, and no legend
    legend: bool = True


@dataclass(frozen=True)
class Axis:
    """Where an axis begins and ends, and the values and texts of its ticks."""

    low: float
    high: float
    ticks: tuple
    texts: tuple
    log: bool = False

    def share(self, values):
        """Where values lie between low and high, 0..1; NaN where there is no such place."""
        values = floats(values)
        if not self.log:
            return (values - self.low) / (self.high - self.low)
        with np.errstate(invalid="ignore", divide="ignore"):
            place = np.log(np.where(values > 0, values, np.nan) / self.low) / np.log(self.high / self.low)
        return place


def floats(values):
    """Numbers, None or NaN -> float64 (N,), what is not finite as NaN."""
    found = np.array([np.nan if value is None else value for value in values], np.float64)
    return np.where(np.isfinite(found), found, np.nan)


def axis(values, log=False, percent=False, zero=False, room=0.06):
    """The Axis that shows all finite `values`, `room` of its length free at both ends; percent: values are 0..1."""
    known = floats(values)
    known = known[np.isfinite(known) & (known > 0 if log else True)]
    if not len(known):
        known = np.array([1.0, 10.0] if log else [0.0, 1.0])
    if log:
        return _log_axis(known, room)
    low, high = (min(0.0, known.min()) if zero else known.min()), known.max()
    margin = room * (high - low) or max(abs(high), 0.01) * 0.1
    low, high = low - (0 if zero and low == 0 else margin), high + margin
    if percent:
        low, high = max(low, -0.03), high if room > 0.1 else min(high, 1.03)  # more room is for texts
    step = _step((high - low) / 7)
    ticks = step * np.arange(np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9) + 1)
    if percent and known.max() <= 1:
        ticks = ticks[ticks < 1 + 1e-9]
    digits = max(0, -int(np.floor(np.log10(100 * step if percent else step) + 1e-9)))
    texts = [f"{100 * tick:.{digits}f} %" if percent else f"{tick:,.{digits}f}" for tick in ticks + 0.0]
    return Axis(float(low), float(high), tuple(ticks.tolist()), tuple(texts))


def _step(least):
    """The smallest of 1, 2, 5, 10, ... times a power of ten that is no smaller than `least`."""
    power = 10.0 ** np.floor(np.log10(least))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= least * (1 - 1e-9))


def _log_axis(known, room):
    low, high = np.log10(known.min()), np.log10(known.max())
    margin = max(room * (high - low), 0.08)
    low, high = 10 ** (low - margin), 10 ** (high + margin)
    for steps in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.log10(high))
        ticks = [tick for tick in np.outer(decades, steps).ravel() if low <= tick <= high]
        if len(ticks) >= 3:
            break
    if len(ticks) < 2:
        step = _step((high - low) / 5)
        ticks = step * np.arange(np.ceil(low / step), np.floor(high / step) + 1)
    return Axis(float(low), float(high), tuple(map(float, ticks)), tuple(f"{tick:,.4g}" for tick in ticks), True)


def axes_of(panel):
    """The panel's two axes."""
    xs, ys = [], []
    for series in panel.series:
        for values, error, found in ((series.x, series.x_error, xs), (series.y, series.y_error, ys)):
            values, error = floats(values), floats(error if error is not None else [0] * len(values))
            error = np.nan_to_num(error)
            found += [*(values - error), *(values + error)]
        if series.kind == "bars":
            xs += [*floats(series.left if series.left is not None else [0])]
    for side, value, _ in panel.references:
        (xs if side == "x" else ys).append(value)
    across = axis(xs, panel.x_log, panel.x_percent, panel.x_zero, panel.x_room)
    if panel.places:
        count = max(place[0] for place in panel.places) + 0.6
        return across, Axis(count, -0.6, tuple(place[0] for place in panel.places),
                            tuple(place[1] for place in panel.places))
    return across, axis(ys, panel.y_log, panel.y_percent, panel.y_zero, 0.09)
