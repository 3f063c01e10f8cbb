"""A runtime in a process of its own, and the parent's end of the line to it."""
import gc
import multiprocessing
import os
import signal
import time
from contextlib import contextmanager, suppress

import numpy as np

from benchmarks.peer_runtimes.errors import PeerError
from benchmarks.peer_runtimes.runtimes import RUNTIMES

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
PATIENCE_S = 5


class Worker:
    """A process that runs one model on one runtime. Every method but the first waits for its answer.

    All raise PeerError, naming the runtime, for whatever goes wrong over there.
    """

    def __init__(self, runtime, model, threads):
        self.runtime = runtime
        spawn = multiprocessing.get_context("spawn")
        self.line, other = spawn.Pipe()
        self.process = spawn.Process(target=serve, args=(other, runtime, model, threads), daemon=True)
        with inherited(threads):
            self.process.start()
        other.close()

    def ready(self):
        """Wait until the runtime is imported."""
        self._ask("ready")

    def prepare(self, inputs):
        """Take inputs, (N, C, H, W) arrays of one shape. Returns build_s, first_s (the first call), all outputs."""
        return self._ask("prepare", inputs)

    def turn(self, calls):
        """Seconds of each of so many calls, the inputs one after the other."""
        return self._ask("turn", calls)

    def close(self):
        """End the process, whatever it is doing."""
        self.line.close()
        self.process.join(0.2)
        if self.process.is_alive():
            self.process.terminate()
            self.process.join(PATIENCE_S)
        if self.process.is_alive():
            self.process.kill()

    def _ask(self, *question):
        try:
            self.line.send(question)
            answer, value = self.line.recv()
        except (EOFError, OSError):
            self.process.join(PATIENCE_S)
            raise PeerError(f"{self.runtime}: its process ended with status {self.process.exitcode}") from None
        if answer == "error":
            raise PeerError(f"{self.runtime}: {value}")
        return value


@contextmanager
def inherited(threads):
    """What a process started meanwhile inherits: the number of threads (libraries read it once), deafness to Ctrl-C."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, interrupt)
        for name, value in before.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value


def serve(line, runtime, model, threads):
    """The worker's side: answer questions until the parent closes the line."""
    desk = None
    with suppress(EOFError, OSError):
        while True:
            question, *arguments = line.recv()
            try:
                desk = desk or open_desk(runtime, model, threads)
                answer = "done", getattr(desk, question)(*arguments)
            except Exception as error:
                answer = "error", " ".join(f"{type(error).__name__}: {error}".split())[:500]
            line.send(answer)


def open_desk(runtime, model, threads):
    """The Desk of a model on a runtime, which is imported now."""
    return Desk(RUNTIMES[runtime].open(threads), model, RUNTIMES[runtime].channels_last)


class Desk:
    """A model, the program that makes functions of it, and the inputs of the row that is being measured."""

    def __init__(self, program, model, channels_last=False):
        self.program, self.model, self.channels_last = program, model, channels_last
        self.function, self.inputs = None, []

    def ready(self):
        """Nothing more to do."""

    def prepare(self, inputs):
        """Worker.prepare. The images are turned here, before anything is timed."""
        if self.channels_last:
            inputs = [np.ascontiguousarray(x.transpose(0, 2, 3, 1)) for x in inputs]
        self.function, self.inputs = None, inputs
        start = time.perf_counter()
        self.function = self.program(self.model, len(inputs[0]))
        built = time.perf_counter()
        self.function(inputs[0])
        first_s = time.perf_counter() - built
        outputs = [np.array(self.function(x)) for x in inputs]
        if self.channels_last:
            outputs = [y.transpose(0, 3, 1, 2) if y.ndim == 4 else y for y in outputs]
        return built - start, first_s, outputs

    def turn(self, calls):
        """Worker.turn. A tenth as many calls go before, untimed, because the other workers emptied the caches."""
        function, clock, seconds = self.function, time.perf_counter, []
        order = [self.inputs[i % len(self.inputs)] for i in range(calls)]
        gc.collect()
        gc.disable()
        try:
            for x in order[:-(-calls // 10) if calls > 1 else 0]:
                function(x)
            for x in order:
                start = clock()
                y = function(x)
                seconds.append(clock() - start)
                del y  # freed outside of the time, like a result that its user is done with
        finally:
            gc.enable()
        return seconds
