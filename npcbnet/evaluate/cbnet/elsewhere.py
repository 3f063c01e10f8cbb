"""Rows of Table II for a device that is not here: latencies from a file, energy by a model. All say `estimate`."""
import math

from npcbnet import energy
from npcbnet.energy.models import read_json
from npcbnet.errors import UsageError
from npcbnet.evaluate.cbnet import paper
from npcbnet.evaluate.cbnet.trained import MODELS

PRETRAINED = {"cbnet": "cbnet-fast"}  # names in the cycle estimate's file, where they are not ours
EXAMPLE = '{"device": "Raspberry Pi 4", "power": "pi4", "utilisation": 0.25, "latency_ms": {"lenet": 0.31}}'


def read_all(paths):
    """read() of several files. Raises UsageError where two are of one device: savings are against its LeNet."""
    found = {}
    for path in paths:
        given = read(path)
        if given["device"] in found:
            raise UsageError(f"{found[given['device']][0]} and {path} are both of {given['device']!r}; join them, or "
                             "give the devices different names")
        found[given["device"]] = path, given
    return [given for _, given in found.values()]


def read(path):
    """{"device", "power", "utilisation", "latency_ms": {(data set or None, model): ms}, "source"} of a file.

    The file is JSON as EXAMPLE, with latencies that the user measured there, or what benchmarks.pi_estimate wrote.
    Raises EnergyError and UsageError, naming the field.
    """
    values = read_json(path)
    if isinstance(values, dict) and "mca" in values and isinstance(values.get("models"), list):
        return _cycles(path, values)
    if not isinstance(values, dict) or not isinstance(values.get("latency_ms"), dict) or not values["latency_ms"]:
        raise UsageError(f"{path}: latency_ms with a number of milliseconds for each model is missing; "
                         f"expected {EXAMPLE}")
    times = {(None, str(key)): _positive(path, f"latency_ms of {key}", value)
             for key, value in values["latency_ms"].items()}
    unknown = [key for _, key in times if key not in (*MODELS, "adadeep") and not key.startswith("subflow-")]
    if unknown or (None, "lenet") not in times:
        raise UsageError(f"{path}: latency_ms must name lenet and may name {', '.join(MODELS[1:])}, adadeep and "
                         f"subflow-UTILISATION{f', but not {unknown[0]!r:.40}' if unknown else ''}")
    if not isinstance(values.get("power"), str) or values["power"] not in energy.MODELS:
        raise UsageError(f"{path}: power must be one of {', '.join(energy.MODELS)}, not {values.get('power')!r:.40}")
    share = values.get("utilisation", 1.0)
    if not isinstance(share, int | float) or isinstance(share, bool) or not 0 <= share <= 1:
        raise UsageError(f"{path}: utilisation is the share of all processors in use, 0 to 1, not {share!r:.40}")
    device = str(values.get("device") or energy.MODELS[values["power"]].name)
    return {"device": f"{device}, estimate", "power": values["power"], "utilisation": float(share),
            "latency_ms": times, "source": "latency as given by the user"}


def _cycles(path, values):
    """The cycle estimate of benchmarks.pi_estimate: one core of four."""
    times = {}
    for row in values["models"]:
        if not isinstance(row, dict) or not isinstance(row.get("model"), str):
            raise UsageError(f"{path}: a row of models has no name; make the file anew with benchmarks.pi_estimate")
        name, _, model = row["model"].partition("-")
        if row.get("form") == "one image" and model and row.get("us") is not None and not row.get("not_counted"):
            times[name, PRETRAINED.get(model, model)] = _positive(path, f"us of {row['model']}", row["us"]) / 1e3
    for name, model in list(times):
        if model == "branchynet":  # the file's goes through both exits; `rows` puts in how many do
            times[name, "both exits"] = times.pop((name, model))
    if not times:
        raise UsageError(f"{path} has no time of a model; install llvm-mca and run benchmarks.pi_estimate again")
    return {"device": "Raspberry Pi 4, estimate", "power": "pi4", "utilisation": 0.25, "latency_ms": times,
            "source": "cycles of the loops of products alone, no caches"}


def _positive(path, what, value):
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        raise UsageError(f"{path}: {what} must be a number above 0, not {value!r:.40}")
    return float(value)


def rows(given, here):
    """Rows of Table II for the device of read()'s answer, after the rows `here` of this machine.

    LeNet must be among the file's models for a data set to be shown, as savings are against it.
    """
    made = []
    for row in here:
        name, model = family_name(row), row["model"]
        latency = _latency(given["latency_ms"], name, model, row)
        lenet = _latency(given["latency_ms"], name, "lenet", row)
        if latency is None or lenet is None:
            continue
        used = energy.estimated(energy.MODELS[given["power"]], latency, given["utilisation"])
        published = paper.table_ii(name, model, paper.PI) if given["power"] == "pi4" else paper.table_ii("", "")
        made.append({**row, "device": given["device"], "latency_ms": latency, "latency_ms_spread": None,
                     "latency_p95_ms": None, "power_w": used.power_w, "utilisation": given["utilisation"],
                     "energy_kind": used.kind, "meter": used.meter, "resolution": given["source"], "invalid": None,
                     **published})
    return made


def family_name(row):
    """The published data set that a row's belongs to."""
    return row["dataset"].split("-")[0]


def _latency(times, name, model, row):
    """Milliseconds of a model on a data set, or None."""
    both = times.get((name, "both exits"))
    if model == "branchynet" and both is not None and (name, "lightweight") in times:
        early = times[name, "lightweight"]
        return early + (1 - row["exit_rate"]) * (both - early)
    return times.get((name, model), times.get((None, model)))
