"""What does a trained model cost on this machine: to load, to call, in memory, and how near to the machine's peaks?

`measure` gives the figures; `bench_report` makes a page of them.
"""
import os
import time

import numpy as np

from npcbnet import modelfile, runtime
from npcbnet.data.trial import test_images
from npcbnet.errors import UsageError
from npcbnet.exits import exit_shares
from npcbnet.nets import MultiExit
from npcbnet.roofline import rooflines
from npcbnet.runtime import context
from npcbnet.runtime.layerwise import Layerwise

SINGLE, BATCHES = 200, 4  # different images at batch 1, different batches of more
PERCENTILES = (50, 95, 99)
LONGEST_S, FEWEST = 10, 3  # rounds end after so long, but not before so many


def measure(name, batches=(1, 256), threads=1, images=None, rounds=30):
    """The figures as a dict that json can write. name: pretrained, or a model file's path; images: a data set's name.

    Units are in the names: _s, _us (microseconds per image), _bytes. Raises UsageError for impossible numbers, what
    modelfile.load and data.load raise, and ShapeError for images that the model does not take.
    """
    for what, number in (("rounds", rounds), *(("a batch", batch) for batch in batches)):
        if number < 1:
            raise UsageError(f"{what} must be at least 1, not {number}")
    model, predictor, start = started(name, threads)
    pixels, source = test_images(model, images)
    exits = predictor.explain(pixels).exit if isinstance(model, MultiExit) else np.ones(len(pixels), np.int64)
    rows = [row for batch in batches for row in timed_rows(predictor, model, pixels, exits, batch, rounds)]
    result = {"model": str(name), "kind": model.kind, "input_shape": list(model.input_shape),
              "parameters": model.parameter_count(), "threads": threads, "images": source, "rounds": rounds,
              "engine": not isinstance(predictor, Layerwise), "start": start, "rows": rows}
    if result["engine"]:
        native = Native(model)
        result["overhead"] = overhead(predictor, native, pixels[:1], rounds)
        result["engine_bytes"] = native.engine_bytes(threads)
        whole = {row["batch"]: row["p50_us"] for row in rows if row["exit"] is None}
        early = exit_shares(exits, len(model.branches)) if isinstance(model, MultiExit) else ()
        result["roofline"] = rooflines(model, whole, early, native.group, threads)
    return result


def started(name, threads):
    """The model, its predictor, and what it took: seconds of each step, and how much more memory the process holds."""
    sizes, seconds = [resident_bytes()], []

    def step(call, *arguments):
        begin = time.perf_counter()
        result = call(*arguments)
        seconds.append(time.perf_counter() - begin)
        sizes.append(resident_bytes())
        return result

    model = step(modelfile.load, name)
    predictor = step(runtime.compile, model, threads)
    step(predictor.predict, np.zeros(model.input_shape, np.uint8))
    step(predictor.warmup)
    grown = max(sizes) - sizes[0] if all(sizes) else None
    return model, predictor, {**dict(zip(("load_s", "compile_s", "first_s", "warmup_s"), seconds)),
                              "resident_growth_bytes": grown}


def resident_bytes():
    """Memory that this process holds now; None where the system does not tell (no Linux)."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def timed_rows(predictor, model, pixels, exits, batch, rounds):
    """A row for all images, and for a net with early exits one for those of each exit, at one batch size, in turns.

    layers_p50_us: of the same images layer by layer, where `predictor` is something else.
    """
    places = {None: np.arange(len(pixels))}
    if isinstance(model, MultiExit):
        places.update({int(number): np.flatnonzero(exits == number) for number in np.unique(exits)})
    layers = None if isinstance(predictor, Layerwise) else Layerwise(model)
    inputs = {number: _batches(pixels[there], batch) for number, there in places.items()}
    mine, theirs = ({number: [] for number in inputs} for _ in range(2))
    for arrays in inputs.values():  # nothing is measured cold
        for each in filter(None, (predictor, layers)):
            each.predict(arrays[0])
    begin = time.perf_counter()
    for turn in range(rounds):
        for number, arrays in inputs.items():
            mine[number].extend(_us(predictor, arrays))
            theirs[number].extend(_us(layers, arrays[::8]) if layers else [])
        if turn + 1 >= FEWEST and time.perf_counter() - begin > LONGEST_S:
            break
    return [{"batch": batch, "exit": number, "share": len(places[number]) / len(pixels), "calls": len(mine[number]),
             **{f"p{p}_us": float(np.percentile(mine[number], p)) for p in PERCENTILES},
             "layers_p50_us": float(np.median(theirs[number])) if layers else None} for number in places]


def _batches(pixels, batch):
    """Batches of images at equal distances; where there are too few, some come again."""
    count = SINGLE if batch == 1 else BATCHES * batch
    return np.split(pixels[np.arange(count) * len(pixels) // count], count // batch)


def _us(predictor, arrays):
    """Microseconds per image of `predict`, for each batch."""
    times = []
    for array in arrays:
        begin = time.perf_counter()
        predictor.predict(array)
        times.append((time.perf_counter() - begin) * 1e6 / len(array))
    return times


class Native:
    """A model's program for one image, called as a Predictor calls it, with none of Python's work around it.

    answers: arrays that `run(start)` fills: probabilities, label, exit, its entropy, those at the early exits.
    """

    def __init__(self, model):
        from npcbnet.runtime.library import KERNEL, library
        from npcbnet.runtime.models import program_of
        kernels = library()
        self.run = KERNEL(kernels.address("executor", alone=True))
        self.placed = [program_of(model, kernels, vectors).place() for vectors in (0, 1)]
        self.start, self.group = self.placed[0].start, self.placed[1].program.group
        self.answers = [np.zeros(size, dtype) for size, dtype in
                         ((model.classes, np.float32), (1, np.int64), (1, np.int64), (1, np.float32),
                          (len(model.parts), np.float32))]

    def take(self, pixels):
        """Point the program to one image, (1, C, H, W) uint8, which must stay alive."""
        here = self.placed[0].context
        here[context.IMAGES] = pixels.ctypes.data
        for place, array in zip((context.P, context.LABEL, context.EXIT, context.ENTROPY, context.EARLY),
                                self.answers):
            here[place] = array.ctypes.data
        here[context.COUNT] = here[context.HERE] = 1

    def engine_bytes(self, threads):
        """What the engine holds for one image and for groups: packed weights, and maps of every thread."""
        one, group = ({"weights": sum(array.nbytes for array in placed.program.weights),
                       "maps": sum(array.nbytes for array in placed.memory)} for placed in self.placed)
        return {"one image": one, "groups": {**group, "maps": threads * group["maps"]}}


def overhead(predictor, native, pixels, rounds):
    """Microseconds of `predict` on one image, of the native call in it, and the difference, which is Python's.

    Medians over rounds in which both take turns, many calls each.
    """
    native.take(pixels)
    calls = max(1, min(200, int(2000 / _us(predictor, [pixels] * 5)[-1])))
    times = np.empty((rounds, 2))
    for turn in times:
        for i, (call, argument) in enumerate(((predictor.predict, pixels), (native.run, native.start))):
            begin = time.perf_counter()
            for _ in range(calls):
                call(argument)
            turn[i] = (time.perf_counter() - begin) * 1e6 / calls
    predict, alone = np.median(times, axis=0)
    return {"predict_us": float(predict), "native_us": float(alone),
            "python_us": float(np.median(times[:, 0] - times[:, 1]))}
