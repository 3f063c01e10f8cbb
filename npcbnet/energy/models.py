"""Power models: the watts of a device as a function of how busy its processors are. All constants can be replaced.

    MODELS["pi4"].power_w(0.25)                    # one of four cores busy
    replace(MODELS["pi4"], peak_w=7.1, source="my meter").power_w(0.25)      # dataclasses.replace
"""
import json
import math
from dataclasses import dataclass, fields, replace
from numbers import Real
from pathlib import Path

from npcbnet.energy.result import Energy
from npcbnet.errors import EnergyError, UsageError

_NUMBERS = ("idle_w", "peak_w", "beta", "processors", "server_processors")


@dataclass(frozen=True)
class PowerModel:
    """P(u) = n/N (P_idle + (P_peak - P_idle) u^beta), the paper's Eq. 1; with n = N it is Eq. 2.

    device: in words. idle_w, peak_w: of the whole machine at u = 0 and 1. processors (n) of server_processors (N) are
    ours; utilisation u is that of our processors. source: where the constants come from. Raises UsageError.
    """

    name: str
    device: str
    idle_w: float
    peak_w: float
    beta: float
    source: str
    processors: float = 1
    server_processors: float = 1

    def __post_init__(self):
        for key in _NUMBERS:
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
                raise UsageError(f"power model {self.name}: {key} must be a number, not {value!r}")
        for key in ("name", "device", "source"):
            if not isinstance(getattr(self, key), str) or not getattr(self, key).strip():
                raise UsageError(f"power model: {key} must be some text, not {getattr(self, key)!r}")
        if not 0 <= self.idle_w <= self.peak_w or self.peak_w == 0:
            raise UsageError(f"power model {self.name}: 0 <= idle_w <= peak_w must hold and peak_w be above 0, but "
                             f"they are {self.idle_w:g} and {self.peak_w:g}")
        if not 0 < self.beta <= 10:
            raise UsageError(f"power model {self.name}: beta must be above 0 and at most 10, not {self.beta:g}")
        if not 0 < self.processors <= self.server_processors:
            raise UsageError(f"power model {self.name}: processors must be above 0 and at most server_processors, but "
                             f"they are {self.processors:g} of {self.server_processors:g}")

    def power_w(self, utilisation):
        """Watts at a utilisation in 0..1. Raises UsageError."""
        u = utilisation
        if isinstance(u, bool) or not isinstance(u, Real) or not 0 <= u <= 1:
            raise UsageError(f"utilisation is a share of the processors, 0 to 1, not {u!r}")
        share = self.processors / self.server_processors
        return share * (self.idle_w + (self.peak_w - self.idle_w) * float(u) ** self.beta)

    def formula(self):
        """The equation with its constants, as text."""
        share = "" if self.processors == self.server_processors else f"{self.processors:g}/{self.server_processors:g} "
        power = "u" if self.beta == 1 else f"u^{self.beta:g}"
        inner = f"{self.idle_w:g} + {self.peak_w - self.idle_w:g} {power}"
        return f"P = {share}({inner}) W" if share else f"P = {inner} W"


MODELS = {model.name: model for model in (
    PowerModel("gci", "Google Cloud instance, N1, 2 vCPUs of a Xeon E5-2699 v3", idle_w=40, peak_w=180, beta=0.75,
               processors=2, server_processors=18,
               source="Mahmud et al. 2024, section IV-C, Eq. 1; idle and peak of Wang et al. 2014 [33]"),
    PowerModel("pi4", "Raspberry Pi 4", idle_w=2.7, peak_w=6.4, beta=1,
               source="Mahmud et al. 2024, section IV-C, Eq. 2; PowerPi [16], idle and peak of pidramble.com"))}


def power_model(wanted):
    """The PowerModel of a name in MODELS, of a JSON file's path, or itself. Raises UsageError, EnergyError."""
    if isinstance(wanted, PowerModel):
        return wanted
    if isinstance(wanted, str) and wanted in MODELS:
        return MODELS[wanted]
    if not isinstance(wanted, (str, Path)) or not Path(wanted).is_file():
        raise UsageError(f"unknown power model {str(wanted)!r}: known are {', '.join(MODELS)}, and a JSON file with "
                         'constants, such as {"base": "pi4", "peak_w": 7.1}')
    return _from_file(Path(wanted))


def _from_file(path):
    """A model from JSON: {"base": name, then any constants of PowerModel to replace}, or all of them without a base."""
    known = [field.name for field in fields(PowerModel)]
    found = read_json(path)
    if not isinstance(found, dict):
        raise EnergyError(f'{path}: a power model is an object such as {{"base": "pi4", "peak_w": 7.1}}')
    unknown = sorted(set(found) - {*known, "base"})
    if unknown:
        raise EnergyError(f"{path}: unknown field {unknown[0]!r}; a power model has base, {', '.join(known)}")
    base = found.pop("base", None)
    if base is not None and (not isinstance(base, str) or base not in MODELS):
        raise EnergyError(f"{path}: base must be one of {', '.join(MODELS)}, not {base!r}")
    found.setdefault("name", path.stem)
    try:
        if base is None:
            return PowerModel(**{"device": found["name"], "source": str(path), **found})
        if "source" not in found:
            changed = ", ".join(f"{key} {found[key]}" for key in _NUMBERS if key in found)
            found["source"] = MODELS[base].source + (f"; with {changed} of {path}" if changed else "")
        return replace(MODELS[base], **found)
    except TypeError as error:
        missing = [key for key in ("idle_w", "peak_w", "beta") if key not in found]
        raise EnergyError(f"{path}: {' and '.join(missing)} missing; give it, or a base") from error
    except UsageError as error:
        raise EnergyError(f"{path}: {error}") from error


def read_json(path):
    """What a JSON file holds. Raises EnergyError in one line."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise EnergyError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise EnergyError(f"{path} is no JSON: {' '.join(str(error).split())}") from error


def estimated(model, latency_ms, utilisation=1.0, latency_source="a given latency"):
    """The Energy of an image on a device that is not here, from its latency there; kind "estimate".

    model: as power_model() takes it. utilisation: share of that device's processors that the work keeps busy; 1, the
    most, unless said otherwise: one thread on a Raspberry Pi 4 is 0.25. Raises UsageError.
    """
    model = power_model(model)
    if isinstance(latency_ms, bool) or not isinstance(latency_ms, Real) or not 0 < latency_ms < 1e9:
        raise UsageError(f"a latency is milliseconds above 0, not {latency_ms!r}")
    return Energy(images=1, seconds=latency_ms / 1000, power_w=model.power_w(utilisation), kind="estimate",
                  meter=model.name, resolution="none: nothing was run", utilisation=float(utilisation),
                  source=f"{model.formula()}, u = {utilisation:g}, times {latency_source}; {model.source}")


def estimates(path, model, utilisation=1.0):
    """{"MODEL, FORM": Energy} of a file of estimated latencies, as `python -m benchmarks.pi_estimate --json` writes it.

    Such a file has "label", a text, and "models", a list of {"model", "form", "us"}. Raises EnergyError, UsageError.
    """
    found = read_json(path)
    rows = found.get("models") if isinstance(found, dict) else None
    if not isinstance(rows, list) or not rows:
        raise EnergyError(f'{path}: no list called "models"; expected what benchmarks.pi_estimate --json writes')
    results, label = {}, " ".join(str(found.get("label", "estimate")).split())
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not isinstance(row.get("model"), str):
            raise EnergyError(f'{path}: entry {number} of "models" has no "model"')
        name = ", ".join(str(row[key]) for key in ("model", "form") if row.get(key))
        if name in results:
            raise EnergyError(f"{path}: {name} is there twice")
        us = row.get("us")
        if isinstance(us, bool) or not isinstance(us, Real) or not 0 < us < 1e12:
            raise EnergyError(f'{path}: "us" of {name} must be microseconds above 0, not {us!r}')
        results[name] = estimated(model, us / 1000, utilisation, f"a latency ({label})")
    return results
