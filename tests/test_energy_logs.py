"""Power logs of other instruments: what they say of a run, and that no damaged one says anything.

tests/data/energy holds logs as the instruments write them, of one course: idle for 10 s, rising for 5 s, busy for 30 s,
falling for 5 s, idle. They begin on 2026-11-21 at 14:30:05 UTC; the clock of um34c* shows an hour more.
"""
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from npcbnet import energy
from npcbnet.energy import join, tegrastats
from npcbnet.energy.log import Log, moment
from npcbnet.errors import EnergyError, UsageError

pytestmark = pytest.mark.independent

DATA = Path(__file__).parent / "data" / "energy"
T0 = 1795271405.0
BUSY, RISING = (16.0, 44.0), (5.0, 35.0)
NANO = {"start": T0, "interval_s": 1.0}
# file: kind, options, idle and busy watts, where the log ends
LOGS = {"um34c.csv": ("um34c", {}, 2.7, 3.6), "um34c-no-unix-time.csv": ("um34c", {"utc_offset_h": 1}, 2.7, 3.6),
        "tegrastats-nano.log": ("tegrastats", NANO, 1.9, 4.8),
        "tegrastats-orin.log": ("tegrastats", {"utc_offset_h": 0}, 4.1, 6.3),
        "tegrastats-orin-200ms.log": ("tegrastats", {"utc_offset_h": 0, "interval_s": 0.2}, 4.1, 6.3),
        "nvidia-smi.csv": ("nvidia-smi", {"utc_offset_h": 0}, 29, 79),
        "nvidia-smi-two-gpus.csv": ("nvidia-smi", {"utc_offset_h": 0, "gpu": 0}, 29, 79)}


def window(begin, end, name="run", images=1000):
    return name, T0 + begin, T0 + end, images


def course_j(begin, end, idle, busy):
    """Joules of the course, in fine steps."""
    t = np.linspace(begin, end, 100_001)
    share = np.clip((t - 10) / 5, 0, 1) - np.clip((t - 45) / 5, 0, 1)
    return (idle + (busy - idle) * share).mean() * (end - begin)


def refused(path, kind, says, windows=None, **options):
    """The error of a log, one line that names it."""
    with pytest.raises(EnergyError) as error:
        energy.from_log(path, kind, windows or [window(*BUSY)], **options)
    assert str(path) in str(error.value) and len(str(error.value).splitlines()) == 1
    assert says in str(error.value), str(error.value)
    return str(error.value)


def changed(tmp_path, name, change):
    """A copy of a log, its lines (without ends) changed by a function."""
    lines = (DATA / name).read_bytes().decode().splitlines()
    path = tmp_path / name
    path.write_text("".join(line + "\n" for line in change(lines)), encoding="utf-8")
    return path


def edit(tmp_path, name, number, old, new):
    """A copy with one line, counted from 1, edited."""
    def change(lines):
        assert old in lines[number - 1]
        return [*lines[:number - 1], lines[number - 1].replace(old, new, 1), *lines[number:]]
    return changed(tmp_path, name, change)


# --- whole logs ---
@pytest.mark.parametrize("name", LOGS)
def test_energy_is_the_area_under_the_log(name):
    kind, options, idle, busy = LOGS[name]
    ends = [(16.0, 36.25), (5.0, 27.5)] if "200ms" in name else [BUSY, RISING]
    found = energy.from_log(DATA / name, kind, [window(*each, str(each)) for each in ends], **options)
    for begin, end in ends:
        one = found[str((begin, end))]
        assert one.power_w * one.seconds == pytest.approx(course_j(begin, end, idle, busy), rel=0.015)
        assert one.energy_mj == one.power_w * one.seconds / 1000 * 1000
        assert (one.kind, one.meter, one.images) == ("measured", kind, 1000)
        assert (one.begin, one.end, one.seconds) == (T0 + begin, T0 + end, end - begin)
        assert "W" in one.resolution and "s between samples" in one.resolution and name in one.source


def test_windows_interpolate_at_their_edges():
    times = T0 + np.arange(5.0)
    log = Log("x", "m", "s", times, np.array([0.0, 10, 20, 30, 40]), np.arange(5), 0.01, 100)
    assert log.joules(T0 + 0.5, T0 + 3.5) == pytest.approx(60)
    assert log.joules(T0 + 1.25, T0 + 1.75) == pytest.approx(7.5)  # between two samples
    assert log.joules(T0, T0 + 4) == pytest.approx(80) and log.interval_s == 1


def test_what_was_assumed_is_said():
    def notes(name, **more):
        kind, options, *_ = LOGS[name]
        return " ".join(energy.from_log(DATA / name, kind, [window(*BUSY)], **{**options, **more})["run"].notes)
    assert notes("um34c.csv") == ""
    assert "UTC+01:00" in notes("um34c-no-unix-time.csv") and "line n" in notes("tegrastats-nano.log")
    assert "1 lines without a power" in notes("nvidia-smi.csv") and "UTC" in notes("tegrastats-orin.log")
    assert "idle power of 2.7 W" in notes("um34c.csv", idle_w=2.7)


def test_local_times_are_this_machines_unless_said(monkeypatch):
    import time
    monkeypatch.setenv("TZ", "XYZ-1")  # an hour ahead of UTC
    time.tzset()
    try:
        one = energy.from_log(DATA / "um34c-no-unix-time.csv", "um34c", [window(*BUSY)])["run"]
    finally:
        monkeypatch.undo()
        time.tzset()
    assert one.power_w == pytest.approx(3.6, rel=0.01) and "this machine's time zone" in one.notes[0]


def test_idle_power_is_taken_off():
    one = energy.from_log(DATA / "um34c.csv", "um34c", [window(*BUSY)], idle_w=2.7)["run"]
    assert one.power_w == pytest.approx(0.9, abs=0.02)
    refused(DATA / "um34c.csv", "um34c", "no more than the idle power of 3.7 W", idle_w=3.7)


def test_the_runs_own_invalidity_stays():
    one = energy.from_log(DATA / "um34c.csv", "um34c", [(*window(*BUSY), "throttled during the run")])["run"]
    assert one.invalid == "throttled during the run"


@pytest.mark.parametrize("gpu, watts", [(0, 79), ("1", 27.5)])
def test_one_of_two_gpus(gpu, watts):
    one = energy.from_log(DATA / "nvidia-smi-two-gpus.csv", "nvidia-smi", [window(*BUSY)], utc_offset_h=0, gpu=gpu)
    assert one["run"].power_w == pytest.approx(watts, rel=0.01)


def test_utf16_as_powershell_writes_it(tmp_path):
    path = tmp_path / "gpu.csv"
    path.write_text((DATA / "nvidia-smi.csv").read_text(), encoding="utf-16", newline="\r\n")
    one = energy.from_log(path, "nvidia-smi", [window(*BUSY)], utc_offset_h=0)["run"]
    assert one.power_w == pytest.approx(79, rel=0.01)


# --- runs that a log does not tell of ---
@pytest.mark.parametrize("ends, says", [
    ((-5, 30), "the log goes from 2026-11-21 14:30:05"), ((40, 70), "log the whole run"),
    ((3616, 3644), "if the log's clock were 1 h behind"), ((-19800 + 16, -19800 + 44), "5.5 h ahead")])
def test_a_run_outside_of_the_log(ends, says):
    refused(DATA / "um34c.csv", "um34c", says, [window(*ends)])


def test_the_hint_is_right(tmp_path):
    name = "um34c-no-unix-time.csv"
    text = refused(DATA / name, "um34c", "UTC offset", utc_offset_h=3)  # reading the same stamps two hours too early
    assert "2 h behind" in text
    energy.from_log(DATA / name, "um34c", [window(*BUSY)], utc_offset_h=1)


def test_a_run_too_short_for_the_log_says_how_many_images():
    text = refused(DATA / "um34c.csv", "um34c", "need 2,000 images", [window(20, 30)])
    assert "1,000 images in 10 s" in text
    refused(DATA / "um34c.csv", "um34c", "images", [window(20, 20.5)])


def test_a_gap_in_the_run_is_refused_elsewhere_it_is_not(tmp_path):
    path = changed(tmp_path, "um34c.csv", lambda lines: lines[:29] + lines[34:])
    refused(path, "um34c", "csv:30: 6 s after line 29")
    assert energy.from_log(path, "um34c", [window(34, 54)])["run"].power_w > 3
    path = changed(tmp_path, "nvidia-smi.csv", lambda lines: [
        line.replace(line.split(", ")[1], "[N/A]") if 100 < n < 120 else line for n, line in enumerate(lines)])
    refused(path, "nvidia-smi", "gap within run", utc_offset_h=0)


@pytest.mark.parametrize("windows", [
    [], [("a", 1, 2)], [("a", 2, 1, 5)], [("a", 1, math.nan, 5)], [("a", 1, 2, 0)], [("a", 1, 2, 1.5)],
    [("a", "1", 2, 5)], [window(16, 40), window(16, 41)], [(*window(*BUSY), 3)], [7]])
def test_impossible_windows_are_named(windows):
    with pytest.raises(UsageError):
        energy.from_log(DATA / "um34c.csv", "um34c", windows)


@pytest.mark.parametrize("kind, options", [
    ("um34", {}), ("um34c", {"gpu": 0}), ("um34c", {"interval_s": 1}), ("nvidia-smi", {"start": 1}),
    ("um34c", {"x": 1}), ("um34c", {"idle_w": -1}), ("um34c", {"idle_w": math.nan}),
    ("tegrastats", {"interval_s": 0, "start": T0}),
    ("tegrastats", {"interval_s": 1, "start": 5}), ("tegrastats", {"utc_offset_h": 27}),
    ("nvidia-smi", {"utc_offset_h": "x"})])
def test_impossible_options_are_named(kind, options):
    name = {"tegrastats": "tegrastats-orin.log", "nvidia-smi": "nvidia-smi.csv"}.get(kind, "um34c.csv")
    with pytest.raises(UsageError):
        energy.from_log(DATA / name, kind, [window(*BUSY)], **options)


# --- any log ---
@pytest.mark.parametrize("name", LOGS)
@pytest.mark.parametrize("damage, says", [
    (lambda raw: b"", "is empty"), (lambda raw: b"\n \n", "is empty"), (lambda raw: raw[:-1], "has no end"),
    (lambda raw: raw[:len(raw) * 2 // 3], ""), (lambda raw: raw.splitlines(True)[0], ""),
    (lambda raw: raw + raw, ""), (lambda raw: b"".join(reversed(raw.splitlines(True))), ""),
    (lambda raw: raw.replace(b"3", b"\xff"), "UTF-8"), (lambda raw: b"\0" * 500 + b"\n", ""),
    (lambda raw: raw[len(raw) // 2:], ""), (lambda raw: b"PK\3\4\n" + raw, "")])
def test_damaged_files_are_refused(tmp_path, name, damage, says):
    kind, options, *_ = LOGS[name]
    if name == "tegrastats-nano.log" and damage(b"1\n2\n") in (b"1\n2\n1\n2\n", b"2\n1\n"):
        pytest.skip("lines without a time have no order")
    path = tmp_path / name
    path.write_bytes(damage((DATA / name).read_bytes()))
    refused(path, kind, says, **options)


def test_files_that_are_not_there(tmp_path):
    refused(tmp_path / "none.csv", "um34c", "cannot read")
    refused(tmp_path, "tegrastats", "cannot read")


def swapped(lines):
    return [*lines[:20], lines[21], lines[20], *lines[22:]]


def twice(lines):
    return [*lines[:21], *lines[20:]]


@pytest.mark.parametrize("name", [name for name in LOGS if "nano" not in name and "200ms" not in name
                                  and "two" not in name])
def test_times_out_of_order_are_named_with_their_lines(tmp_path, name):
    kind, options, *_ = LOGS[name]
    assert ":22:" in refused(changed(tmp_path, name, swapped), kind, "line 21", **options)
    assert ":22:" in refused(changed(tmp_path, name, twice), kind, "line 21", **options)


# --- UM34C ---
@pytest.mark.parametrize("number, old, new, says", [
    (1, "Power (W)", "Power (mW)", ":1: the power must be in watts, a column 'Power (W)'; this log has 'Power (mW)'"),
    (1, ",Power (W)", ",Watts", ":1: the power must be in watts"), (1, "Unix time", "Voltage (V)", "names two columns"),
    (1, "Time,", "Time;", "fields, but"), (9, ",31,", ",", ":9: 16 fields, but 17 columns"),
    (9, ",31,", ",31,31,", ":9: 18 fields, but 17 columns"), (9, "5.0", "nan5.0", ":9: Voltage (V)"),
    (9, "1795271412", "1795271412000", ":9: the time 1.79527e+12"), (9, "1795271412", "", ":9: "),
    (9, "1795271412.405079", "inf", ":9: Unix time"), (9, "1795271412", "1_795271412", ":9: Unix time")])
def test_um34c_lines_that_make_no_sense(tmp_path, number, old, new, says):
    refused(edit(tmp_path, "um34c.csv", number, old, new), "um34c", says)


def column(place, change):
    def all_lines(lines):
        rows = [line.split(",") for line in lines]
        return [lines[0]] + [",".join([*row[:place], change(row[place]), *row[place + 1:]]) for row in rows[1:]]
    return all_lines


@pytest.mark.parametrize("place, change, says", [
    (3, lambda text: str(1000 * float(text)), ":2: Voltage (V) 5.0"), (2, lambda text: str(1000 * float(text)), "mA"),
    (1, lambda text: str(1000 * float(text)), "thousandths"), (3, lambda text: "-" + text, ":2: Voltage"),
    (3, lambda text: text.replace(".", " "), ":2: Power (W) is"), (3, lambda text: "NaN", "'NaN', not a number"),
    (13, lambda text: f"{1000 * float(text):.0f}", "no Unix time in seconds")])
def test_um34c_wrong_units(tmp_path, place, change, says):
    refused(changed(tmp_path, "um34c.csv", column(place, change)), "um34c", says)


def test_um34c_without_volts_and_amperes_still_refuses_what_no_meter_can_carry(tmp_path):
    def reduced(factor):
        def change(lines):
            rows = [line.split(",") for line in lines]
            return ["Power (W),Unix time"] + [f"{factor * float(row[3])},{row[13]}" for row in rows[1:]]
        return changed(tmp_path, "um34c.csv", change)
    assert energy.from_log(reduced(1), "um34c", [window(*BUSY)])["run"].power_w == pytest.approx(3.6, rel=0.01)
    assert ":2: " in refused(reduced(1000), "um34c", "outside of 0..110 W")
    refused(reduced(-1), "um34c", "outside of 0..110 W")


@pytest.mark.parametrize("column", ["Voltage (V)", "Current (A)"])
def test_um34c_volts_and_amperes_have_their_units(tmp_path, column):
    path = edit(tmp_path, "um34c.csv", 1, column, column.replace("(", "(m"))
    assert ":1:" in refused(path, "um34c", column)


def test_um34c_semicolons_and_repeated_headers(tmp_path):
    refused(changed(tmp_path, "um34c.csv", lambda lines: [line.replace(",", ";") for line in lines]), "um34c",
            "with commas between them")
    path = changed(tmp_path, "um34c.csv", lambda lines: lines[:31] + [lines[0]] + lines[31:])
    assert ":32:" in refused(path, "um34c", "two logs in one file")
    refused(changed(tmp_path, "um34c.csv", column(0, lambda t: t)), "nvidia-smi", "no column 'timestamp'")


@pytest.mark.parametrize("time", ["21.11.2026 15:30:05", "2026-11-31 15:30:05", "2026-11-21", "",
                                  "9999-12-31 23:59:59"])
def test_um34c_local_times_that_make_no_sense(tmp_path, time):
    path = changed(tmp_path, "um34c-no-unix-time.csv", column(0, lambda text: time if text.endswith(":10") else text))
    assert ":7:" in refused(path, "um34c", "time")


# --- tegrastats ---
@pytest.mark.parametrize("number, old, new, says", [
    (9, "VDD_IN ", "VDD_INX ", ":9: no whole POM_5V_IN or VDD_IN"), (9, "mW/", "W/", ":9: no whole"),
    (9, "VDD_IN ", "VDD_IN 4162mW/4100mW VDD_IN ", ":9: more than one"), (9, "mW VDD_CPU", " VDD_CPU", ":9: units"),
    (9, "VDD_IN", "POM_5V_IN", ":9: POM_5V_IN, but the lines before tell VDD_IN"),
    (9, "11-21-2026 ", "", ":9: no line of tegrastats"), (9, "11-21-2026", "21-11-2026", ":9: the time is"),
    (9, "RAM", "ROM", ":9: no line of tegrastats"), (9, "VDD_IN 4", "VDD_IN 4162999", ":9: no whole"),
    (9, "VDD_IN ", "VDD_IN 4", ":9: "), (9, "VDD_IN ", "VDD_IN -", ":9: no whole")])
def test_tegrastats_lines_that_make_no_sense(tmp_path, number, old, new, says):
    path = edit(tmp_path, "tegrastats-orin.log", number, old, new)
    if new == "VDD_IN 4":  # 44...mW: still a power that a board may take; ten times as much is not
        path = edit(tmp_path, "tegrastats-orin.log", number, "VDD_IN ", "VDD_IN 444")
    refused(path, "tegrastats", says, utc_offset_h=0)


def test_tegrastats_without_dates_needs_a_start_and_an_interval(tmp_path):
    name = "tegrastats-nano.log"
    for options in ({}, {"start": T0}, {"interval_s": 1.0}):
        refused(DATA / name, "tegrastats", "say when the first was written", **options)
    some = edit(tmp_path, name, 9, "RAM", "11-21-2026 14:30:14 RAM")
    refused(some, "tegrastats", ":9: some lines have a date", **NANO)
    half = energy.from_log(DATA / name, "tegrastats", [window(8, 22)], start=T0, interval_s=0.5)["run"]
    assert half.power_w == pytest.approx(4.8, rel=0.01)


def test_tegrastats_faster_than_its_dates(tmp_path):
    name = "tegrastats-orin-200ms.log"
    assert ":2:" in refused(DATA / name, "tegrastats", "the same second as line 1", utc_offset_h=0)
    refused(DATA / name, "tegrastats", "lines come every 0.202 s, not every 0.1 s", utc_offset_h=0, interval_s=0.1)
    log = tegrastats.read(DATA / name, 0, None, 0.2)
    np.testing.assert_allclose(log.times_s, T0 + 0.3 + 0.202 * np.arange(len(log.times_s)), atol=0.06)
    gap = changed(tmp_path, name, lambda lines: lines[:60] + lines[85:])
    refused(gap, "tegrastats", "a gap", utc_offset_h=0, interval_s=0.2)
    refused(changed(tmp_path, name, lambda lines: lines[:60] + lines[20:]), "tegrastats", ":61: a time before",
            utc_offset_h=0, interval_s=0.2)
    refused(changed(tmp_path, name, lambda lines: [line for line in lines for _ in range(2)]), "tegrastats",
            "two logs in one file", utc_offset_h=0, interval_s=0.2)
    refused(changed(tmp_path, name, lambda lines: lines[:2]), "tegrastats", "log longer", utc_offset_h=0,
            interval_s=0.2)


# --- nvidia-smi ---
@pytest.mark.parametrize("number, old, new, says", [
    (1, "[W]", "[mW]", ":1: power.draw must be in watts, but is in mW"),
    (1, "power.draw [W]", "temperature.gpu", ":1: no"),
    (1, "timestamp", "time", ":1: no column 'timestamp'"), (9, " W,", " mW,", ":9: power.draw [W] is"),
    (9, " W,", ",", ""), (9, ", 0 %", "", ":9: 2 fields, but 3 columns"),
    (9, "2026/11/21", "2026-11-21", ":9: the time"), (9, " W,", "e3 W,", ":9: a power of 28350 W"),
    (9, ", 2", ", -2", ":9: a power of -2")])
def test_nvidia_lines_that_make_no_sense(tmp_path, number, old, new, says):
    path = edit(tmp_path, "nvidia-smi.csv", number, old, new)
    if says:
        refused(path, "nvidia-smi", says, utc_offset_h=0)
    else:  # nounits
        assert energy.from_log(path, "nvidia-smi", [window(*BUSY)], utc_offset_h=0)["run"].power_w > 78


def test_nvidia_logs_of_two_gpus_need_a_choice(tmp_path):
    name = "nvidia-smi-two-gpus.csv"
    refused(DATA / name, "nvidia-smi", "samples of 2 GPUs ('0, 1')", utc_offset_h=0)
    refused(DATA / name, "nvidia-smi", "no line of a GPU 2", utc_offset_h=0, gpu=2)
    unnamed = changed(tmp_path, name, lambda lines: [line.split(", ", 1)[1] for line in lines])
    refused(unnamed, "nvidia-smi", "several GPUs", utc_offset_h=0)
    refused(unnamed, "nvidia-smi", "log index", utc_offset_h=0, gpu=1)


def test_nvidia_gpus_that_tell_no_power(tmp_path):
    path = changed(tmp_path, "nvidia-smi.csv", column(1, lambda _: " [Not Supported]"))
    refused(path, "nvidia-smi", "this GPU does not tell it", utc_offset_h=0)
    path = changed(tmp_path, "nvidia-smi.csv", lambda lines: lines[1:])
    refused(path, "nvidia-smi", "with its header", utc_offset_h=0)


# --- whatever happens to a file ---
def mutated(raw, moves):
    """Bytes after some damage: cut, bytes or lines removed, doubled, swapped, or overwritten."""
    for kind, place, other, text in moves:
        lines = raw.splitlines(True) or [b""]
        at, to = int(place * len(raw)), int(other * len(raw))
        i, j = int(place * (len(lines) - 1)), int(other * (len(lines) - 1))
        if kind == "cut":
            raw = raw[:at]
        elif kind == "remove":
            raw = raw[:min(at, to)] + raw[max(at, to):] if abs(at - to) < 200 else raw[:at] + raw[at + 1:]
        elif kind == "insert":
            raw = raw[:at] + text + raw[at:]
        elif kind == "overwrite":
            raw = raw[:at] + text + raw[at + len(text):]
        elif kind == "line":
            lines[i:i + 1] = [lines[j], lines[i]]
            raw = b"".join(lines)
        else:
            lines[i], lines[j] = lines[j], lines[i]
            raw = b"".join(lines)
    return raw


UNIT = st.floats(0, 1, allow_nan=False)
PIECES = st.one_of(st.binary(min_size=1, max_size=6), st.sampled_from(
    [b",", b"\n", b"-", b"nan", b"inf", b"1e309", b"0", b"9" * 40, b"[N/A]", b" mW", b"\r",
     b"\xef\xbb\xbf", b"\xff\xfe"]))
MOVES = st.lists(st.tuples(st.sampled_from(["cut", "remove", "insert", "overwrite", "line", "swap"]), UNIT, UNIT,
                           PIECES), min_size=1, max_size=4)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(LOGS)), moves=MOVES)
def test_a_mutated_log_gives_a_sensible_number_or_one_line(tmp_path, name, moves):
    kind, options, _, busy = LOGS[name]
    path = tmp_path / name
    path.write_bytes(mutated((DATA / name).read_bytes(), moves))
    try:
        one = energy.from_log(path, kind, [window(16, 36)], **options)["run"]
    except EnergyError as error:
        assert len(str(error).splitlines()) == 1 and name in str(error)
    else:
        # one sample of twenty or more may have become another power that its instrument can tell
        most = {"um34c": 110, "tegrastats": 200, "nvidia-smi": 3000}[kind]
        assert 0 < one.power_w <= busy + 4 * 2 * most / 20


# --- windows in a file ---
def test_windows_go_through_a_file(tmp_path):
    one = energy.from_log(DATA / "um34c.csv", "um34c", [(*window(*BUSY), "throttled")])["run"]
    path = tmp_path / "run.json"
    path.write_text(json.dumps(join.windows_of({"a": one, "b": energy.estimated("pi4", 1.0)})))
    assert join.read_windows(path) == [("a", T0 + BUSY[0], T0 + BUSY[1], 1000, "throttled")]
    assert json.loads(path.read_text())["results"]["b"]["kind"] == "estimate"


@pytest.mark.parametrize("found", [
    "", "[]", "{}", '{"windows": []}', '{"windows": [1]}', '{"windows": [{"name": "a", "begin": 1}]}',
    '{"windows": [{"name": "a", "begin": 2, "end": 1, "images": 5}]}',
    '{"windows": [{"name": "a", "begin": NaN, "end": 1, "images": 5}]}',
    '{"windows": [{"name": "a", "begin": 0, "end": 1, "images": "5"}]}'])
def test_damaged_window_files_are_named(tmp_path, found):
    path = tmp_path / "run.json"
    path.write_text(found)
    with pytest.raises(EnergyError, match="run.json"):
        join.read_windows(path)


def test_moments_are_readable():
    assert moment(T0 + 0.25) == "2026-11-21 14:30:05.2 UTC"
