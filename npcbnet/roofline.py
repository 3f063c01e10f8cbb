"""How near to this machine's peaks does a model run, and which of the two is in its way: arithmetic or memory?

The peaks are measured, by two micro-kernels that do nothing else (`runtime/micro/peak_fma.py`, `peak_load.py`). Against
them stands what the model asks for: its multiply-adds as the layers define them, and the bytes that must come and go.
(Williams, Waterman, Patterson: Roofline, CACM 52(4), 2009.)
"""
import math
import time
from dataclasses import dataclass

import numpy as np

from npcbnet.layers.base import aligned_empty
from npcbnet.nets import CBNet, MultiExit
from npcbnet.runtime.fuse import fuse

MAIN_MEMORY = 64 << 20  # bytes: more than a Raspberry Pi's caches hold, and most PCs'
_RUNS, _RUN_S = 15, 1e-3  # the best of so many runs, of so many seconds


@dataclass(frozen=True)
class Work:
    """What a model asks for: multiply-adds of an image; bytes of all weights; bytes that its maps move for an image.

    An operation reads its input once and writes its output once (float32). Operations are what is left after fusing.
    """

    multiply_adds: float
    weight_bytes: float
    map_bytes: float

    def bytes_an_image(self, together):
        """Bytes moved for one image when the weights are read once for `together` of them."""
        return self.weight_bytes / together + self.map_bytes


def work_of(model, exit_rate=0.0):
    """The Work of a model; exit_rate: as MultiExit.macs, of a net with early exits: later stages are for the rest."""
    shape = model.input_shape
    if isinstance(model, MultiExit):
        shares = model.reached(exit_rate)
        parts = [(getattr(model, part), before, shares[i // 2])
                 for i, (part, before) in enumerate(model.input_shapes().items())]
    elif isinstance(model, CBNet):
        parts = [([*model.encoder, *model.decoder], shape, 1), (model.net, shape, 1)]
    else:
        parts = [(model.net, shape, 1)]
    macs = weights = maps = 0
    for layers, before, share in parts:
        for operation in _flat(fuse(layers, before)):
            macs += share * _multiply_adds(operation)
            weights += share * sum(array.nbytes for array in (operation.weight, operation.bias) if array is not None)
            maps += share * 4 * (math.prod(operation.before) + math.prod(operation.after))
    return Work(float(macs), float(weights), float(maps))


def _flat(operations):
    """Operations that move data: those inside of a residual or concatenation in its place, reshaping left out."""
    for operation in operations:
        if operation.parts:
            yield from (inner for part in operation.parts for inner in _flat(part))
        elif operation.kind != "reshape":
            yield operation


def _multiply_adds(operation):
    """Of one image."""
    if operation.weight is None or operation.kind == "scale":
        return 0
    if operation.active is not None:
        return operation.weight[0].size * int(operation.active.sum())
    return operation.weight.size * math.prod(operation.behind)  # a dense layer's weight serves once: behind is ()


class Peaks:
    """What one core of this machine can do at best. Raises ImportError where there is no engine."""

    def __init__(self):
        from npcbnet.runtime.library import KERNEL, library
        kernels = library()
        self._fma, self._load = (KERNEL(kernels.address(name)) for name in ("peak_fma", "peak_load"))
        self._y, self._known = np.zeros(64, np.float32), {}
        half = np.full(2, 0.5, np.float32)
        self.multiply_adds_s = self._run(self._fma, half, turns=0)[0] / self._seconds_a_turn(self._fma, half)

    def load_bytes_s(self, size):
        """Bytes read in a second from an array of `size` bytes, in whichever memory such an array stays."""
        block = self._run(self._load, self._y, 0, turns=0)[0]
        floats = max(1, round(min(size, MAIN_MEMORY) / 4 / block)) * block
        if floats not in self._known:
            x = aligned_empty((max(floats, 16384),), np.float32)  # it aligns what is that large
            x[:] = 1
            self._known[floats] = 4 * floats / self._seconds_a_turn(self._load, x, floats)
        return self._known[floats]

    def _seconds_a_turn(self, kernel, x, *sizes):
        turns = 1
        while self._run(kernel, x, *sizes, turns=turns)[1] < _RUN_S:
            turns *= 2
        return min(self._run(kernel, x, *sizes, turns=turns)[1] for _ in range(_RUNS)) / turns

    def _run(self, kernel, x, *sizes, turns):
        """(result, seconds) of one call; turns are the last number in both kernels' rows."""
        row = np.array([x.ctypes.data, self._y.ctypes.data, *sizes, turns], np.int64)
        start = time.perf_counter()
        result = kernel(row.ctypes.data)
        return result, time.perf_counter() - start


def rooflines(model, us, early, group, threads):
    """For each batch size in `us`, {images: microseconds per image}: what is asked for, the peaks, the shares reached.

    early: shares of the images that leave at early exits; group: images that the engine works on together. More
    images than one group may use all threads. Raises ImportError where there is no engine.
    """
    peaks, work, lines = Peaks(), work_of(model, early), []
    for batch, time_us in us.items():
        together = 1 if batch < group // 2 else min(batch, group)
        workers = min(threads, max(1, batch // group))
        moved, held = work.bytes_an_image(together), work.weight_bytes + together * work.map_bytes
        fma_s, load_s = workers * peaks.multiply_adds_s, workers * peaks.load_bytes_s(held)
        shares = {"arithmetic": 1e6 * work.multiply_adds / fma_s / time_us, "memory": 1e6 * moved / load_s / time_us}
        lines.append({"batch": batch, "multiply_adds": work.multiply_adds, "moved_bytes": moved, "held_bytes": held,
                      "peak_gflop_s": 2e-9 * fma_s, "peak_load_gb_s": 1e-9 * load_s,
                      "arithmetic_share": shares["arithmetic"], "memory_share": shares["memory"],
                      "limit": max(shares, key=shares.get)})
    return lines
