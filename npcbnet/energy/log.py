"""The power log of another instrument: samples by Unix time, checked, and the energy of a window of it."""
import math
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np

from npcbnet.errors import EnergyError, UsageError

GAP = 3  # so many times the usual distance between samples is a gap
LARGEST_BYTES = 256 << 20
UNIX = 946_684_800, 4_102_444_800  # Unix time of the years 2000 and 2100
_NUMBER = re.compile(r"[+-]?\d{1,18}(\.\d{0,18})?([eE][+-]?\d{1,2})?", re.ASCII)


@dataclass(frozen=True, eq=False)
class Log:
    """Samples of one instrument: times_s (M,) Unix seconds, power_w (M,) watts, lines (M,) of the file they stand in.

    meter, source: what measured it. step_w: the smallest difference it tells. least_s: as fine as it can be in time,
    however near the samples are. most_w: more is no sensible value. notes: what was assumed. Raises EnergyError, which
    names file and line, where times do not rise or values make no sense.
    """

    path: str
    meter: str
    source: str
    times_s: np.ndarray
    power_w: np.ndarray
    lines: np.ndarray
    step_w: float
    most_w: float
    least_s: float = 0.0
    notes: tuple = ()
    interval_s: float = field(init=False)

    def __post_init__(self):
        if len(self.times_s) < 2:
            raise EnergyError(f"{self.path}: {len(self.times_s)} sample; a log needs two at least")
        self._check_times()
        wrong = np.flatnonzero(~((self.power_w >= 0) & (self.power_w <= self.most_w)))  # NaN, too
        if len(wrong):
            raise EnergyError(f"{self.path}:{self.lines[wrong[0]]}: a power of {self.power_w[wrong[0]]:g} W is outside "
                              f"of 0..{self.most_w:g} W; is the unit right?")
        object.__setattr__(self, "interval_s", float(np.median(np.diff(self.times_s))))

    def _check_times(self):
        outside = np.flatnonzero(~((self.times_s > UNIX[0]) & (self.times_s < UNIX[1])))
        if len(outside):
            raise EnergyError(f"{self.path}:{self.lines[outside[0]]}: the time {self.times_s[outside[0]]:g} is no Unix "
                              "time in seconds of this century")
        back = np.flatnonzero(np.diff(self.times_s) <= 0)
        if len(back):
            here, before = back[0] + 1, back[0]
            what = "the time of" if self.times_s[here] == self.times_s[before] else "a time before that of"
            raise EnergyError(f"{self.path}:{self.lines[here]}: {what} line {self.lines[before]}: unsorted, or two "
                              "logs in one file; keep one log, in order of time")

    @property
    def resolution_s(self):
        """Seconds between two samples, or what the instrument or its stamps can tell, whichever is longer."""
        return max(self.interval_s, self.least_s)

    @property
    def resolution(self):
        """The resolution in words."""
        return f"{self.resolution_s:.3g} s between samples, {self.step_w:g} W"

    def joules(self, begin, end, name="the run"):
        """Energy from begin to end (Unix seconds), by trapezoids; between two samples power is interpolated.

        Raises EnergyError where the log does not cover that, or has a gap in it.
        """
        times, watts = self.times_s, self.power_w
        if not times[0] <= begin < end <= times[-1]:
            raise EnergyError(f"{self.path}: {name} was from {moment(begin)} to {moment(end)}, the log goes from "
                              f"{moment(times[0])} to {moment(times[-1])}; {self._hint(begin, end)}")
        first, last = np.searchsorted(times, begin, "right") - 1, np.searchsorted(times, end, "left")
        wide = np.flatnonzero(np.diff(times[first:last + 1]) > GAP * self.interval_s)
        if len(wide):
            line, after = self.lines[first + wide[0]], self.lines[first + wide[0] + 1]
            gap = times[first + wide[0] + 1] - times[first + wide[0]]
            raise EnergyError(f"{self.path}:{after}: {gap:.3g} s after line {line}, a gap within {name}; samples "
                              f"usually come every {self.interval_s:.3g} s")
        inside = (times > begin) & (times < end)
        t = np.concatenate([[begin], times[inside], [end]])
        w = np.interp(t, times, watts)
        return float(np.sum(np.diff(t) * (w[:-1] + w[1:]) / 2))

    def _hint(self, begin, end):
        """What may be wrong with the times."""
        for quarters in sorted(range(-56, 57), key=abs):  # time zones differ by quarters of an hour
            shift = 900 * quarters
            if quarters and self.times_s[0] <= begin + shift and end + shift <= self.times_s[-1]:
                return (f"it would fit if the log's clock were {abs(quarters) / 4:g} h "
                        f"{'ahead' if quarters > 0 else 'behind'}: look at the UTC offset")
        return "log the whole run, and let both clocks be right"


def moment(unix):
    """A Unix time as text, UTC, to a tenth of a second."""
    return f"{datetime.fromtimestamp(math.floor(unix * 10) / 10, timezone.utc):%Y-%m-%d %H:%M:%S.%f}"[:-5] + " UTC"


def read_lines(path):
    """[(number, text)] of a log's lines without empty ones; UTF-8, or UTF-16 with its mark. Raises EnergyError.

    A last line without its end is refused: it may be cut anywhere, also within a number.
    """
    try:
        if Path(path).stat().st_size > LARGEST_BYTES:
            raise EnergyError(f"{path}: more than {LARGEST_BYTES >> 20} MiB; cut out the run")
        raw = Path(path).read_bytes()
        text = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except OSError as error:
        raise EnergyError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise EnergyError(f"{path}: no text in UTF-8; is it a log?") from error
    lines = text.replace("\r\n", "\n").split("\n")
    if not text.strip():
        raise EnergyError(f"{path}: the file is empty")
    if lines[-1].strip():
        raise EnergyError(f"{path}:{len(lines)}: the last line has no end, so it may be cut; delete it")
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def table(path):
    """(column names, [(line number, fields)]) of a log with commas between its fields. Raises EnergyError."""
    (first, header), *rows = read_lines(path)
    names = [name.strip() for name in header.split(",")]
    if len(names) < 2:
        raise EnergyError(f"{path}:{first}: expected column names with commas between them, found {header[:60]!r}")
    if len(set(names)) < len(names):
        raise EnergyError(f"{path}:{first}: {next(n for n in names if names.count(n) > 1)!r} names two columns")
    found = []
    for number, line in rows:
        fields = [part.strip() for part in line.split(",")]
        if fields == names:
            raise EnergyError(f"{path}:{number}: the column names come again: two logs in one file; keep one")
        if len(fields) != len(names):
            raise EnergyError(f"{path}:{number}: {len(fields)} fields, but {len(names)} columns; the line is cut or "
                              "damaged")
        found.append((number, fields))
    return names, found


def number(text, path, line, what):
    """A field as a finite float. Raises EnergyError."""
    if not _NUMBER.fullmatch(text):
        raise EnergyError(f"{path}:{line}: {what} is {text[:40]!r}, not a number")
    return float(text)


class Clock:
    """Local times of a log as Unix time. utc_offset_h: hours ahead of UTC; None: this machine's time zone.

    assumed: what a reader of the result should know.
    """

    def __init__(self, utc_offset_h=None):
        self._zone = None
        if utc_offset_h is None:
            self.assumed = "the log's local times were read in this machine's time zone"
            return
        number_of_hours = isinstance(utc_offset_h, (int, float)) and not isinstance(utc_offset_h, bool)
        if not number_of_hours or not -14 <= utc_offset_h <= 14:
            raise UsageError(f"a UTC offset is hours from -14 to 14, not {utc_offset_h!r}")
        self._zone = timezone(timedelta(hours=utc_offset_h))
        self.assumed = f"the log's local times were read as {self._zone}"

    def unix(self, text, form, path, line):
        """Unix seconds of a text that looks like `form` (strptime). Raises EnergyError."""
        try:
            return datetime.strptime(text, form).replace(tzinfo=self._zone).timestamp()
        except (ValueError, OverflowError, OSError) as error:
            raise EnergyError(f"{path}:{line}: the time is {text[:40]!r}, not like "
                              f"{datetime(2026, 11, 21, 14, 30, 5, 250000).strftime(form)!r}") from error
