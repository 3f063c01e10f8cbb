"""What the command does: a run of each model, a log joined to earlier runs, or an estimate."""
import json
from dataclasses import asdict

import numpy as np

from npcbnet import modelfile, runtime
from npcbnet.data.trial import test_images
from npcbnet.energy import join, models, report, run
from npcbnet.errors import UsageError

IMAGES = 1000  # different images in a run, where there are so many
# Options by what they are for, each with its default.
RUN = {"meter": "auto", "images": None, "batch": 1, "seconds": 2.0, "threads": 1}
LOG = {"log": None, "format": None, "window": None, "idle_w": 0.0, "utc_offset": None, "start": None,
       "interval": None, "gpu": None}
ESTIMATE = {"latency_ms": None, "estimates": None, "device": "pi4", "utilisation": 1.0}


def show_meters(options):
    """Print the meters of this machine."""
    offers = run.at_hand()
    print(json.dumps([asdict(one) for one in offers], indent=2) if options.json else report.offers_text(offers))


def results(options):
    """{name: Energy} of parsed options. Raises UsageError where they do not go together."""
    given = {name: value for name, value in vars(options).items() if value is not None}
    wanted = [(bool(options.models), "MODEL", RUN), (options.log is not None, "--log", LOG),
              ({*given} & {"latency_ms", "estimates"}, "--latency-ms or --estimates", ESTIMATE)]
    chosen = [(what, group) for there, what, group in wanted if there]
    if len(chosen) != 1:
        raise UsageError("name a MODEL to run, a --log to join, or a --latency-ms to estimate from: one of the three")
    (what, group), = chosen
    for name in given:
        if name not in group and any(name in other for other in (RUN, LOG, ESTIMATE)):
            raise UsageError(f"--{name.replace('_', '-')} does not go with {what}")
    values = {name: given.get(name, default) for name, default in group.items()}
    return {id(RUN): lambda: _run(options.models, **values), id(LOG): lambda: _join(**values),
            id(ESTIMATE): lambda: _estimate(**values)}[id(group)]()


def _run(names, meter, images, batch, seconds, threads):
    """The models, one after the other."""
    if batch < 1:
        raise UsageError(f"--batch must be at least 1, not {batch}")
    if len(set(names)) < len(names):
        raise UsageError(f"{next(name for name in names if names.count(name) > 1)} is named twice")
    chosen = run.meter_called(meter)
    return {name: energy_of(name, chosen, images, batch, seconds, threads) for name in names}


def energy_of(name, meter="auto", images=None, batch=1, seconds=2.0, threads=1):
    """The Energy of an image for the model `name`, answered by the engine in calls of `batch` test images.

    images: a data set's name or path, None: as data.trial.test_images chooses. Raises what modelfile.load, data.load,
    runtime.compile and run.measure raise.
    """
    model = modelfile.load(name)
    predictor = runtime.compile(model, threads)
    pixels, _ = test_images(model, images)
    count = max(1, min(len(pixels), IMAGES) // batch) * batch
    batches = np.split(pixels[np.arange(count) * len(pixels) // count], count // batch)

    def call():
        for each in batches:
            predictor.predict(each)

    return run.measure(call, count, meter, seconds, most_s=max(60.0, 2 * seconds))


def _join(log, format, window, idle_w, utc_offset, start, interval, gpu):
    """An instrument's log and the runs it covers."""
    for name, value in (("--format", format), ("--window", window)):
        if value is None:
            raise UsageError(f"--log needs {name}, too: a log is joined to the runs that --out FILE wrote")
    return join.from_log(log, format, join.read_windows(window), idle_w, utc_offset_h=utc_offset, start=start,
                         interval_s=interval, gpu=gpu)


def _estimate(latency_ms, estimates, device, utilisation):
    """A device that is not here."""
    if latency_ms is not None and estimates is not None:
        raise UsageError("--latency-ms or --estimates, not both")
    if estimates is not None:
        return models.estimates(estimates, device, utilisation)
    return {f"an image on {models.power_model(device).name}": models.estimated(device, latency_ms, utilisation)}
