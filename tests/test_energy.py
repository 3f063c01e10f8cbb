"""npcbnet.energy: power models, meters on fake system files, what makes a run invalid, and runs beside a meter."""
import json
import math
import os
import stat
import time
from dataclasses import FrozenInstanceError, replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npcbnet import energy
from npcbnet.energy import cpu, pmic, rapl, run, vcgencmd
from npcbnet.energy.conditions import Conditions
from npcbnet.energy.result import Energy, images_needed
from npcbnet.errors import EnergyError, UsageError

pytestmark = pytest.mark.independent

posix = pytest.mark.skipif(os.name != "posix", reason="shell scripts play vcgencmd")


# --- results ---
@given(st.integers(1, 10**9), st.floats(1e-6, 1e6), st.floats(0, 1e4))
def test_energy_is_power_times_time(images, seconds, power_w):
    one = Energy(images, seconds, power_w, "measured", "m", "1 s", "s")
    assert one.energy_mj == power_w * seconds / images * 1000
    assert json.loads(json.dumps(one.as_dict()))["energy_mj"] == one.energy_mj
    with pytest.raises(FrozenInstanceError):
        one.energy_mj = 0


@pytest.mark.parametrize("fields", [
    {"images": 0}, {"images": 1.5}, {"images": True}, {"seconds": 0}, {"seconds": math.inf}, {"power_w": math.nan},
    {"kind": "guessed"}])
def test_impossible_results_are_refused(fields):
    with pytest.raises((EnergyError, UsageError)):
        Energy(**{"images": 1, "seconds": 1.0, "power_w": 2.0, "kind": "measured", "meter": "m", "resolution": "r",
                  "source": "s", **fields})


def test_how_many_images_a_meter_needs():
    assert images_needed(100, 20, 5, 1, 0.1) == 0  # 20 steps of time, 50 of energy
    assert images_needed(100, 10, 5, 1, 0.1) == 200  # 10 steps of time
    assert images_needed(100, 20, 1, 1, 0.1) == 200  # 10 steps of energy
    assert images_needed(1234, 1, 0, 1e-3, 1) == 25_000  # no step of energy seen; rounded up
    assert images_needed(1, 19.99, 100, 1, 0) == 2


# --- power models ---
def test_the_models_are_the_papers():
    gci, pi4 = energy.MODELS["gci"], energy.MODELS["pi4"]
    assert gci.power_w(0) == pytest.approx(2 / 18 * 40) and gci.power_w(1) == pytest.approx(20)
    assert gci.power_w(0.81) == pytest.approx(17.7, abs=0.05)  # what section IV-E says
    assert gci.power_w(0.5) == pytest.approx(2 / 18 * (40 + 140 * 0.5 ** 0.75))
    assert pi4.power_w(0) == 2.7 and pi4.power_w(1) == pytest.approx(6.4) and pi4.power_w(0.25) == pytest.approx(3.625)
    assert gci.formula() == "P = 2/18 (40 + 140 u^0.75) W" and pi4.formula() == "P = 2.7 + 3.7 u W"
    assert "Eq. 1" in gci.source and "Eq. 2" in pi4.source
    assert replace(pi4, peak_w=7.7).power_w(1) == pytest.approx(7.7)


@pytest.mark.parametrize("u", [-0.01, 1.01, math.nan, math.inf, True, "1", None])
def test_utilisation_is_a_share(u):
    with pytest.raises(UsageError, match="0 to 1"):
        energy.MODELS["pi4"].power_w(u)


@pytest.mark.parametrize("fields", [
    {"idle_w": -1}, {"peak_w": 1}, {"peak_w": math.nan}, {"beta": 0}, {"beta": "1"}, {"processors": 3},
    {"processors": 0}, {"idle_w": 0, "peak_w": 0}, {"source": ""}, {"name": 3}, {"peak_w": True}])
def test_impossible_models_are_refused(fields):
    with pytest.raises(UsageError, match="power model"):
        replace(energy.MODELS["pi4"], **fields)


def model_file(tmp_path, found):
    path = tmp_path / "mine.json"
    path.write_text(found if isinstance(found, str) else json.dumps(found))
    return path


def test_a_model_from_a_file(tmp_path):
    mine = energy.power_model(model_file(tmp_path, {"base": "pi4", "peak_w": 7.0}))
    assert (mine.name, mine.idle_w, mine.peak_w, mine.beta) == ("mine", 2.7, 7.0, 1)
    assert "Eq. 2" in mine.source and "peak_w 7.0" in mine.source and "mine.json" in mine.source
    whole = energy.power_model(str(model_file(tmp_path, {"idle_w": 1, "peak_w": 3, "beta": 2, "source": "a meter"})))
    assert whole.power_w(0.5) == 1.5 and whole.source == "a meter"
    assert energy.power_model(whole) is whole and energy.power_model("gci") is energy.MODELS["gci"]


@pytest.mark.parametrize("found, says", [
    ("{", "no JSON"), ("[" * 100_000, "no JSON"), ([1], "an object"), ({"base": "pi5"}, "base must be one of"),
    ({"base": []}, "base must"), ({"idle_w": 1}, "peak_w and beta missing"), ({"base": "pi4", "peak": 2}, "'peak'"),
    ({"base": "pi4", "peak_w": "7"}, "peak_w must be a number"), ({"base": "pi4", "beta": -1}, "beta must be"),
    ('{"base": "pi4", "peak_w": NaN}', "peak_w must be a number"), ({"base": "pi4", "name": []}, "name must be")])
def test_damaged_model_files_are_named(tmp_path, found, says):
    with pytest.raises(EnergyError, match="mine.json") as error:
        energy.power_model(model_file(tmp_path, found))
    assert says in str(error.value) and "\n" not in str(error.value)


def test_unknown_models_are_named():
    with pytest.raises(UsageError, match="'pi3': known are gci, pi4"):
        energy.power_model("pi3")


# --- estimates ---
def test_an_estimate_from_a_latency():
    one = energy.estimated("pi4", 12.735, utilisation=0.5)
    assert (one.kind, one.meter, one.images, one.utilisation) == ("estimate", "pi4", 1, 0.5)
    assert one.energy_mj == pytest.approx(12.735 * (2.7 + 3.7 * 0.5))
    assert "Eq. 2" in one.source and "nothing was run" in one.resolution
    for latency in (0, -1, math.nan, math.inf, "1", True):
        with pytest.raises(UsageError, match="latency"):
            energy.estimated("pi4", latency)


def test_estimates_from_a_file(tmp_path):
    found = {"label": "estimate: cycles", "models": [{"model": "a", "form": "one image", "us": 50.0},
                                                     {"model": "b", "us": 2000}]}
    results = energy.estimates(model_file(tmp_path, found), "pi4", 0.25)
    assert list(results) == ["a, one image", "b"] and results["b"].energy_mj == pytest.approx(2 * 3.625)
    assert results["a, one image"].seconds == pytest.approx(50e-6) and "estimate: cycles" in results["b"].source
    assert {one.kind for one in results.values()} == {"estimate"}


@pytest.mark.parametrize("found", [
    {}, {"models": []}, {"models": [3]}, {"models": [{"model": "a"}]}, {"models": [{"model": "a", "us": -1}]},
    {"models": [{"model": "a", "us": 1}, {"model": "a", "us": 1}]}, {"models": [{"model": "a", "us": True}]}])
def test_damaged_estimates_are_named(tmp_path, found):
    with pytest.raises(EnergyError, match="mine.json"):
        energy.estimates(model_file(tmp_path, found), "pi4")


# --- RAPL ---
def domain(root, place, name, count, largest=262_143_328_850):
    folder = root / place
    folder.mkdir(parents=True)
    for file, value in (("name", name), ("energy_uj", count), ("max_energy_range_uj", largest)):
        (folder / file).write_text(f"{value}\n")
    return folder / "energy_uj"


def counting(monkeypatch, file):
    """Let a counter move by a joule whenever somebody waits for it."""
    def sleep(_):
        file.write_text(str(int(file.read_text()) + 1_000_000))
    monkeypatch.setattr(rapl, "time", SimpleNamespace(sleep=sleep))


def test_rapl_adds_packages_and_nothing_else(tmp_path, monkeypatch):
    first = domain(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    second = domain(tmp_path, "intel-rapl:1", "package-1", 0)
    for place, name in (("intel-rapl:0:0", "core"), ("intel-rapl:2", "psys"), ("intel-rapl-mmio:0", "package-0")):
        domain(tmp_path, place, name, 0)
    meter = rapl.Rapl(tmp_path)
    counting(monkeypatch, first)
    assert meter.available() is None
    first.write_text("1000000\n")
    meter.begin()
    first.write_text("3500000\n")
    meter.sample()
    second.write_text("500000\n")
    for other in ("intel-rapl:0:0", "intel-rapl:2", "intel-rapl-mmio:0"):
        (tmp_path / other / "energy_uj").write_text("99000000\n")
    assert meter.end(1.0, None) == pytest.approx(3.0)


def test_rapl_counters_that_turn_over(tmp_path):
    file = domain(tmp_path, "intel-rapl:0", "package-0", 999_000, largest=999_999)
    meter = rapl.Rapl(tmp_path)
    meter.begin()
    for count in (500_000, 400_000, 0):  # forth across the end, nearly around, and across the end again
        file.write_text(str(count))
        meter.sample()
    assert meter.end(1.0, None) == pytest.approx((501_000 + 900_000 + 600_000) * 1e-6)


def test_a_run_with_rapl(tmp_path, monkeypatch):
    file = domain(tmp_path / "powercap", "intel-rapl:0", "package-0", 5)
    counting(monkeypatch, file)
    meter = rapl.Rapl(tmp_path / "powercap")
    meter.period_s = 60  # no look while the file is being written

    def call():
        file.write_text(str(int(file.read_text()) + 50_000))
        time.sleep(0.005)

    before = int(file.read_text())
    one = energy.measure(call, 4, meter, seconds=0.2, conditions=Conditions(tmp_path, "nosuch-vcgencmd"))
    assert one.kind == "measured" and one.meter == "rapl" and "61 µJ" in one.resolution
    assert one.power_w * one.seconds == pytest.approx(0.05 * one.images / 4)  # joules of the counted calls alone
    assert (int(file.read_text()) - before) * 1e-6 > one.power_w * one.seconds  # the warm-up is not counted


@pytest.mark.parametrize("text, says", [("", "not a number"), ("-5", "not a number"), ("1e6", "not a number"),
                                        ("9" * 30, "not a number"), ("2000000", "above its own largest")])
def test_rapl_counters_that_make_no_sense(tmp_path, text, says):
    file = domain(tmp_path, "intel-rapl:0", "package-0", 5, largest=1_000_000)
    meter = rapl.Rapl(tmp_path)
    meter.begin()
    file.write_text(text)
    with pytest.raises(EnergyError, match=says) as error:
        meter.sample()
    assert str(file) in str(error.value)


def test_why_rapl_is_not_there(tmp_path, monkeypatch):
    assert "no " + str(tmp_path / "none") in rapl.Rapl(tmp_path / "none").available()
    assert "no package domain" in rapl.Rapl(tmp_path).available()
    file = domain(tmp_path, "intel-rapl:0", "package-0", 5)

    def refuse(path, **_):
        raise PermissionError(13, "Permission denied")

    meter = rapl.Rapl(tmp_path)
    assert "stand still" in meter.available()
    meter.begin()
    with pytest.raises(EnergyError, match="stood still"):
        meter.end(1.0, None)
    monkeypatch.setattr(rapl.Path, "read_text", refuse)  # root, who may run this, can read everything
    assert "only root may read" in rapl.Rapl(tmp_path).available()
    with pytest.raises(EnergyError, match="the meter rapl is not here"):
        monkeypatch.setattr(rapl, "ROOT", tmp_path)
        energy.measure(lambda: None, 1, "rapl")
    assert file.exists()


# --- a Raspberry Pi's firmware ---
RAILS = """ 3V7_WL_SW_A current(0)=0.00390372A
   3V3_SYS_A current(1)=0.12199130A
  VDD_CORE_A current(7)=0.75012000A
 3V7_WL_SW_V volt(8)=3.71740800V
   3V3_SYS_V volt(9)=3.31745700V
  VDD_CORE_V volt(15)=0.89316150V
     EXT5V_V volt(24)=5.10540000V
      BATT_V volt(25)=0.00000000V
"""
RAILS_W = 0.00390372 * 3.717408 + 0.1219913 * 3.317457 + 0.75012 * 0.8931615


@pytest.fixture
def firmware(tmp_path):
    """A fake vcgencmd that answers with the files ADC and BITS beside it."""
    script = tmp_path / "vcgencmd"
    script.write_text(f'#!/bin/sh\ncase "$1" in\npmic_read_adc) cat "{tmp_path}/ADC" ;;\n'
                      f'get_throttled) cat "{tmp_path}/BITS" ;;\n*) echo unknown >&2; exit 255 ;;\nesac\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "ADC").write_text(RAILS)
    (tmp_path / "BITS").write_text("throttled=0x0\n")
    return script


def test_the_rails_power():
    assert pmic.rails_w(RAILS) == pytest.approx(RAILS_W)
    assert pmic.rails_w(RAILS + " LONELY_A current(9)=5.0A\n") == pytest.approx(RAILS_W)  # no voltage: no power


@pytest.mark.parametrize("change", [
    ("0.12199130A", "0.12199130mA"), ("0.12199130A", "nan A"), ("0.12199130A", "-0.1A"),
    ("3V3_SYS_V volt", "3V3_SYS_V"), ("0.75012000A", "750.12A"), ("3V3_SYS_V", "3V7_WL_SW_V"),
    ("current(1)", "volt(1)"), ("0.12199130A", "0.121V")])
def test_rails_that_make_no_sense(change):
    assert change[0] in RAILS
    with pytest.raises(EnergyError) as error:
        pmic.rails_w(RAILS.replace(*change))
    assert "pmic_read_adc" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("answer", ["", "EXT5V_V volt(24)=5.1V\n", "error=1 error_msg=\"Command not registered\"\n"])
def test_firmware_without_rails(answer):
    with pytest.raises(EnergyError):
        pmic.rails_w(answer)


@posix
def test_pmic_looks_while_the_run_goes(firmware, monkeypatch):
    meter = pmic.Pmic(str(firmware))
    assert meter.available() is None
    meter.period_s = meter.resolution_s = 0.02
    result = energy.measure(lambda: time.sleep(0.01), 7, meter, seconds=0.4,
                            conditions=Conditions(firmware.parent, str(firmware)))
    assert result.power_w == pytest.approx(RAILS_W) and result.kind == "measured" and result.meter == "pmic"
    assert result.invalid is None and result.images % 7 == 0 and "not in it" in result.source


@posix
def test_a_meter_that_fails_during_the_run_ends_it(firmware):
    meter = pmic.Pmic(str(firmware))
    meter.period_s = meter.resolution_s = 0.02

    def call():
        time.sleep(0.05)
        (firmware.parent / "new").write_text("rubbish\n")
        os.replace(firmware.parent / "new", firmware.parent / "ADC")

    def begin():
        (firmware.parent / "ADC").write_text(RAILS)
        pmic.Pmic.begin(meter)

    meter.begin = begin
    with pytest.raises(EnergyError, match="rubbish"):
        energy.measure(call, 1, meter, seconds=0.3, conditions=Conditions(firmware.parent, "nosuch"))


@posix
def test_vcgencmd_that_fails_says_so(firmware, monkeypatch):
    with pytest.raises(EnergyError, match="no nosuch-vcgencmd here"):
        vcgencmd.ask("get_throttled", "nosuch-vcgencmd")
    with pytest.raises(EnergyError, match="failed: unknown"):
        vcgencmd.ask("measure_nothing", str(firmware))
    (firmware.parent / "BITS").write_text("VCHI initialization failed\n")
    with pytest.raises(EnergyError, match="not throttled=0x"):
        vcgencmd.throttled(str(firmware))
    firmware.write_text("#!/bin/sh\nexec sleep 30\n")
    monkeypatch.setattr(vcgencmd, "LONGEST_S", 0.2)
    with pytest.raises(EnergyError, match="did not answer"):
        vcgencmd.throttled(str(firmware))


@posix
@pytest.mark.parametrize("before, after, reason, note", [
    ("0x0", "0x0", None, None), ("0x50000", "0x50000", None, "under-voltage, throttled"),
    ("0x0", "0x50005", "under-voltage, throttled", None), ("0x0", "0x20000", "frequency capped", None),
    ("0x8", "0x80000", "soft temperature limit", None), ("0x50000", "0xd0000", "soft temperature limit", None),
    ("0x4", "0x4", "throttled", None)])
def test_throttling_makes_a_run_invalid(firmware, before, after, reason, note):
    conditions = Conditions(firmware.parent, str(firmware))
    (firmware.parent / "BITS").write_text(f"throttled={before}\n")
    conditions.begin()
    (firmware.parent / "BITS").write_text(f"throttled={after}\n")
    invalid, notes = conditions.end()
    assert (invalid or "").startswith(f"{reason} during the run" if reason else "") and bool(invalid) == bool(reason)
    assert any(note in each for each in notes) if note else not notes


@posix
def test_firmware_that_does_not_tell_is_a_note(firmware):
    (firmware.parent / "BITS").write_text("?\n")
    conditions = Conditions(firmware.parent, str(firmware))
    conditions.begin()
    invalid, notes = conditions.end()
    assert invalid is None and len(notes) == 1 and "not looked at" in notes[0]


# --- the clock ---
def clocks(root, *khz):
    for number, value in enumerate(khz):
        folder = root / f"cpu{number}" / "cpufreq"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "scaling_cur_freq").write_text(f"{value}\n")


@pytest.mark.parametrize("later, invalid", [
    ((1_800_000, 600_000), False), ((1_750_000, 1_800_000), False), ((1_500_000, 1_500_000), True),
    (("<unknown>", 1_800_000), False), (("", ""), False), ((2_000_000, 0), True)])
def test_a_clock_that_changes_makes_a_run_invalid(tmp_path, monkeypatch, later, invalid):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    clocks(tmp_path, 1_800_000, 1_800_000)
    conditions = Conditions(tmp_path, "nosuch-vcgencmd")
    conditions.begin()
    clocks(tmp_path, *later)
    conditions.sample()
    clocks(tmp_path, 1_800_000, 1_800_000)
    reason, notes = conditions.end()
    assert bool(reason) == invalid and not notes
    assert not invalid or "clock changed" in reason and "MHz" in reason
    conditions.begin()  # a second run begins anew
    assert conditions.end() == (None, ())


# --- runs ---
class Steady:
    """A meter of a known power, which counts what is done to it."""
    name, kind, resolution, source, period_s = "steady", "measured", "fine", "a test", None

    def __init__(self, power_w=5.0, resolution_s=1e-3, resolution_j=0.0):
        self.power_w, self.resolution_s, self.resolution_j, self.begun = power_w, resolution_s, resolution_j, 0

    def available(self):
        return None

    def begin(self):
        self.begun += 1

    def sample(self):
        pass

    def end(self, seconds, utilisation):
        return self.power_w * seconds


@pytest.fixture
def calm(tmp_path):
    """Conditions of a machine that shows nothing."""
    return Conditions(tmp_path, "nosuch-vcgencmd")


def test_a_run_adds_up(calm):
    calls = []
    before = time.time()
    one = energy.measure(lambda: calls.append(time.sleep(0.002)), 10, Steady(), seconds=0.1, conditions=calm)
    assert one.power_w == pytest.approx(5.0) and one.energy_mj == one.power_w * one.seconds / one.images * 1000
    assert one.images % 10 == 0 and one.images <= 10 * len(calls)
    assert 2e-3 <= one.seconds / one.images * 10 < 0.02 and one.seconds >= 0.1
    assert before <= one.begin < one.end <= time.time() and one.end - one.begin == pytest.approx(one.seconds, abs=0.02)
    assert (one.kind, one.meter, one.resolution, one.invalid) == ("measured", "steady", "fine", None)


def test_a_run_goes_on_until_the_meter_resolves_it(calm):
    meter = Steady(resolution_s=0.02)
    assert energy.measure(lambda: None, 1, meter, seconds=0.01, conditions=calm).seconds >= 20 * 0.02
    meter = Steady(power_w=1.0, resolution_j=0.01)  # 20 steps are 0.2 J, so 0.2 s; known after a first run
    one = energy.measure(lambda: time.sleep(1e-3), 1, meter, seconds=0.05, conditions=calm)
    assert one.seconds >= 0.2 and meter.begun == 2


def test_a_run_that_may_not_be_long_enough_says_how_many_images_it_needs(calm):
    with pytest.raises(EnergyError, match=r"steady.*20 steps need [\d,]+ images") as error:
        energy.measure(lambda: time.sleep(1e-3), 8, Steady(resolution_s=1.0), seconds=0.05, most_s=0.1, conditions=calm)
    needed = int(str(error.value).split("need ")[1].split(" images")[0].replace(",", ""))
    assert 8 * 20 / 0.01 < needed < 8 * 20 / 0.0009  # a call of 8 images took about a millisecond
    with pytest.raises(EnergyError, match="pi4, whose steps are 0.01 s"):
        energy.measure(lambda: None, 1, "pi4", seconds=0.05, most_s=0.05, conditions=calm)


@pytest.mark.parametrize("name", ["gci", "pi4"])
def test_a_modelled_run_is_the_model_at_the_utilisation_seen(calm, name):
    def work():
        until = time.perf_counter() + 0.01
        while time.perf_counter() < until:
            pass

    one = energy.measure(work, 3, name, seconds=0.3, conditions=calm)
    assert one.kind == "modelled" and 0 < one.own_utilisation <= one.utilisation <= 1
    assert one.power_w == pytest.approx(energy.MODELS[name].power_w(one.utilisation))
    assert "CPU time" in one.resolution and "Mahmud" in one.source


def test_utilisation_is_counted_like_psutil_does(monkeypatch):
    class Times(dict):
        def _asdict(self):
            return self

    fields = ("user", "nice", "system", "idle", "iowait", "steal", "guest", "guest_nice")
    process = type("P", (), {"user": 0.0, "system": 0.0})
    use = cpu.CpuUse()
    use._process = type("Q", (), {"cpu_times": staticmethod(lambda: process)})
    use._psutil = type("R", (), {"cpu_times": staticmethod(lambda: Times(zip(fields, counted)))})
    counted = (10, 1, 5, 100, 3, 0, 4, 1)
    use.begin()
    counted, process.user, process.system = (16, 1, 6, 110, 5, 1, 6, 1), 5.0, 1.0
    # busy: 6 user (2 of it a guest's, counted in it), 1 system, 1 steal, less the guest's 2 counted twice
    assert use.end() == (pytest.approx(8 / 20), pytest.approx(6 / 20))
    use.begin()
    with pytest.raises(EnergyError, match="did not move"):
        use.end()


def test_others_at_work_are_noted():
    assert cpu.others_note(0.5, 0.48) is None
    assert "43%" in cpu.others_note(0.68, 0.25) and "all of it is counted" in cpu.others_note(0.68, 0.25)


def test_a_clock_that_changes_during_a_run_shows_in_the_result(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    clocks(tmp_path, 1_800_000)
    conditions = Conditions(tmp_path, "nosuch-vcgencmd")
    meter = Steady()
    assert energy.measure(lambda: None, 1, meter, seconds=0.05, conditions=conditions).invalid is None
    meter.begin = lambda: clocks(tmp_path, 900_000)  # after the first look at the conditions
    one = energy.measure(lambda: None, 1, meter, seconds=0.05, conditions=conditions)
    assert "from 900 to 1800 MHz" in one.invalid and one.energy_mj > 0


def test_a_system_clock_that_is_set_is_noted(calm, monkeypatch):
    moments = iter([1000.0, 2000.0])
    monkeypatch.setattr(run, "time", SimpleNamespace(time=lambda: next(moments), perf_counter=time.perf_counter))
    one = energy.measure(lambda: None, 1, Steady(), seconds=0.1, conditions=calm)
    assert any("system's clock was set by +99" in note for note in one.notes)


def test_what_the_call_raises_comes_through_and_the_watch_ends(calm):
    import threading
    turns = iter([None] * 3)
    with pytest.raises(StopIteration):
        energy.measure(lambda: (time.sleep(0.1), next(turns)), 1, Steady(), conditions=calm)
    assert not [thread for thread in threading.enumerate() if thread.name == "npcbnet-energy"]


@pytest.mark.parametrize("arguments", [
    {"images": 0}, {"images": 2.5}, {"images": True}, {"seconds": 0}, {"seconds": math.nan}, {"most_s": -1},
    {"seconds": "1"}, {"meter": "thermometer"}, {"meter": 7}])
def test_impossible_arguments_are_named(arguments, calm):
    with pytest.raises(UsageError):
        energy.measure(lambda: None, **{"images": 1, "meter": Steady(), "conditions": calm, **arguments})


def test_auto_takes_the_best_meter_there_is(tmp_path, monkeypatch):
    monkeypatch.setattr(rapl, "ROOT", tmp_path)
    monkeypatch.setattr(vcgencmd, "COMMAND", "nosuch-vcgencmd")
    assert run.meter_called("auto").name == "gci"
    offers = {offer.name: offer for offer in energy.at_hand()}
    assert list(offers) == ["rapl", "pmic", "gci", "pi4"] and offers["gci"].why_not is None
    assert "no package domain" in offers["rapl"].why_not and "nosuch-vcgencmd" in offers["pmic"].why_not
    file = domain(tmp_path, "intel-rapl:0", "package-0", 5)
    assert run.meter_called("auto").name == "gci"  # it stands still
    counting(monkeypatch, file)
    assert run.meter_called("auto").name == "rapl"
    assert {offer.name: offer for offer in energy.at_hand()}["rapl"].why_not is None


def test_without_psutil_measured_meters_still_work(calm, monkeypatch):
    import sys
    monkeypatch.setitem(sys.modules, "psutil", None)
    one = energy.measure(lambda: None, 1, Steady(), seconds=0.05, conditions=calm)
    assert one.utilisation is None and one.own_utilisation is None
    with pytest.raises(EnergyError, match="pip install psutil"):
        energy.measure(lambda: None, 1, "gci")
    assert "psutil" in {offer.name: offer for offer in energy.at_hand()}["gci"].why_not
