"""Training: one loop for every net of the project.

A batch is cut into shards of SHARD images. Each shard goes forward and backward on its own, on as many threads as there
are, and the shards' gradients are added in their order. The result is therefore the same bits on one thread or on four.
Statistics (BatchNorm2d) are measured shard by shard, too; once a batch they take the mean of the steps that its shards
ask for, each weighted by its images.
Random numbers come from (seed, stage, epoch): a run that was stopped continues from its last checkpoint to those bits.
"""
import ctypes
import os
import zlib
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np

from npcbnet import checkpoint as checkpoints
from npcbnet.data.augment import flipped, shifted
from npcbnet.errors import TrainingError, UsageError
from npcbnet.losses import cross_entropy, distillation
from npcbnet.nets.images import as_floats
from npcbnet.optim import SCHEDULES, Adam
from npcbnet.progress import Progress

ADVICE = "an earlier epoch's checkpoint is kept; try a smaller learning rate, and look for damaged images"
SHARD = 64  # images: a shard's largest map then fits the second-level cache


@dataclass(frozen=True)
class Plan:
    """How long and how to train. Of `epochs`, the last `decay` bring the learning rate to 0 along a cosine."""

    epochs: int
    batch: int = 128
    learning_rate: float = 1e-3
    decay: int = 0
    shift: int = 0  # random shifts of the input by up to so many pixels
    flip: bool = False  # random mirror images
    seed: int = 0


class ClassifierTask:
    """Cross-entropy of one stack of layers; with `teacher` logits (N, O), Hinton's distillation mixed in.

    loss = hard * cross-entropy + (1 - hard) * T^2 KL(teacher || net).
    """

    def __init__(self, net, labels, teacher=None, temperature=3.0, hard=0.3):
        self.net, self.labels = net, labels
        self.teacher = None if teacher is None else np.ascontiguousarray(teacher)  # its bytes are part of fingerprint
        self.temperature, self.hard = temperature, hard

    @property
    def params(self):
        return self.net.params

    @property
    def statistics(self):
        """Names of the params that are measured, not learned."""
        return self.net.statistics

    def fingerprint(self):
        """What, beside plan and images, decides the result: a checkpoint must agree in it."""
        return {"labels": zlib.crc32(self.labels), "temperature": self.temperature, "hard": self.hard,
                "teacher": None if self.teacher is None else zlib.crc32(self.teacher)}

    def gradients(self, x, index, count, rng):
        """A shard's loss and gradients: x (n, C, H, W), index (n,) its rows in the training set, count of the batch."""
        z, backward = self.net.forward(x, True, rng)
        loss, dz = cross_entropy(z, self.labels[index], count)
        if self.teacher is not None:
            soft, dsoft = distillation(z, self.teacher[index], self.temperature, count)
            loss = self.hard * loss + (1 - self.hard) * soft
            dz = self.hard * dz + (1 - self.hard) * dsoft.astype(dz.dtype)
        return loss, backward(dz, need_dx=False)[1]


class BranchyNetTask:
    """BranchyNet's joint loss: the plain sum of all exits' cross-entropies; every image goes to all exits.

    net: a BranchyNet, or a MultiExit with more exits. A stage's backward receives the sum of what its branch and the
    next stage send back.
    """

    def __init__(self, net, labels):
        self.net, self.labels = net, labels

    @property
    def params(self):
        return self.net.params

    @property
    def statistics(self):
        """As ClassifierTask.statistics."""
        return self.net.statistics

    def fingerprint(self):
        """As ClassifierTask.fingerprint."""
        return {"labels": zlib.crc32(self.labels)}

    def gradients(self, x, index, count, rng):
        """As ClassifierTask.gradients."""
        net, labels = self.net, self.labels[index]
        total, backwards, from_branches, grads = 0.0, [], [], {}
        for stage, branch, name in zip(net.stages, net.branches, net.parts[1::2]):
            x, backward = stage.forward(x, True, rng)
            z, branch_backward = branch.forward(x, True, rng)
            loss, dz = cross_entropy(z, labels, count)
            back, grads[name] = branch_backward(dz)
            total, backwards, from_branches = total + loss, [*backwards, backward], [*from_branches, back]
        z, backward = net.stages[-1].forward(x, True, rng)
        loss, dz = cross_entropy(z, labels, count)
        dx, grads[net.parts[-1]] = backward(dz)
        for i in range(len(backwards) - 1, -1, -1):
            dx, grads[net.parts[2 * i]] = backwards[i](from_branches[i] + dx, need_dx=i > 0)
        return total + loss, {f"{part}.{name}": gradient for part, own in grads.items()
                              for name, gradient in own.items()}


def rate_factor(plan, step, steps):
    """Factor of the learning rate at `step` of an epoch's `steps` (both count over the whole run)."""
    decaying = plan.decay * steps
    return SCHEDULES["cosine"](max(0, step - (plan.epochs - plan.decay) * steps), decaying) if decaying else 1.0


def fit(task, images, plan, *, stage, threads=1, checkpoint=None, validate=None, after_step=None, quiet=False):
    """Train task.params in place and return the history, a list of {"epoch", "loss", **validate()} per epoch.

    images (N, C, H, W) uint8; `task` knows the targets by row number. validate: a function of no arguments that gives
    {name: number} after each epoch. after_step(step, steps): called before the first of the run's `steps` updates and
    after each, with the number done so far. checkpoint: a path; written after each epoch, and where it exists training
    continues from it. Raises TrainingError when the loss is no longer finite (the last checkpoint is kept) or the
    checkpoint is of another run.
    """
    optimiser, history = Adam(plan.learning_rate), []
    kept = checkpoints.Checkpoint(checkpoint, stage, plan, images, task) if checkpoint is not None else None
    if kept is not None and kept.path.exists():
        history = kept.restore(optimiser)
    progress = Progress(stage, plan.epochs, len(images), quiet)
    steps = -(-len(images) // plan.batch)
    if after_step is not None:
        after_step(len(history) * steps, plan.epochs * steps)
    with one_blas_thread(), kept_memory(), Crew(threads) as crew:
        for epoch in range(len(history), plan.epochs):
            progress.begin(epoch)
            try:
                loss = _epoch(task, images, plan, optimiser, epoch, steps, stage, crew, progress, after_step)
            finally:
                progress.close()
            if not all(np.isfinite(array).all() for array in task.params.values()):
                raise TrainingError(f"{stage}: a parameter is no finite number after epoch {epoch + 1}, batch {steps}; "
                                    + ADVICE)
            values = {"loss": loss, **(validate() if validate else {})}
            history.append({"epoch": epoch + 1, **values})
            if kept is not None:
                kept.save(optimiser, history)
            progress.end(epoch, values)
    return history


def _epoch(task, images, plan, optimiser, epoch, steps, stage, crew, progress, after_step):
    """All batches of one epoch, in an order of its own; returns the mean loss."""
    name = int.from_bytes(stage.encode()[:8], "little")  # all converters see the same batches
    order_seed, *batch_seeds = np.random.SeedSequence([plan.seed, name, epoch]).spawn(1 + steps)
    order = np.random.default_rng(order_seed).permutation(len(images))
    total = 0.0
    for batch in range(steps):
        index = order[batch * plan.batch:(batch + 1) * plan.batch]
        optimiser.learning_rate = plan.learning_rate * rate_factor(plan, epoch * steps + batch, steps)
        loss, grads = batch_gradients(task, images, index, plan, batch_seeds[batch], crew)
        if not np.isfinite(loss):
            raise TrainingError(f"{stage}: the loss is {loss} in epoch {epoch + 1}, batch {batch + 1}; {ADVICE}")
        update(task, optimiser, grads)
        if after_step is not None:
            after_step(epoch * steps + batch + 1, plan.epochs * steps)
        total += loss * len(index)
        progress.advance(len(index))
    return total / len(images)


def update(task, optimiser, grads):
    """One step: the optimiser moves what is learned, statistics move by the steps that stand in `grads`."""
    params, measured = task.params, task.statistics
    optimiser.update({name: array for name, array in params.items() if name not in measured}, grads)
    for name in measured:
        params[name] -= grads[name]


class Crew:
    """The calling thread and threads - 1 helpers: whoever is free takes the next piece of work.

    The caller works, too, and waits for nobody who has not begun: where other programs keep the other cores busy, it
    does all by itself, as one thread would.
    """

    def __init__(self, threads=1):
        self.helpers = threads - 1

    def __enter__(self):
        self.pool = ThreadPoolExecutor(self.helpers) if self.helpers else None
        return self

    def __exit__(self, *error):
        if self.pool:
            self.pool.shutdown()

    def map(self, work, *columns):
        """[work(*row) for row in zip(*columns)], in this order."""
        rows, results = list(zip(*columns)), {}
        waiting = iter(range(len(rows)))  # next() of it is one step that no other thread interrupts

        def take():
            for i in waiting:
                results[i] = work(*rows[i])

        helpers = [self.pool.submit(take) for _ in range(min(self.helpers, len(rows) - 1))]
        try:
            take()
        finally:
            begun = [helper for helper in helpers if not helper.cancel()]
            wait(begun)
        for helper in begun:
            helper.result()  # raises what went wrong there
        return [results[i] for i in range(len(rows))]


def batch_gradients(task, images, index, plan, seed, crew=Crew()):
    """Mean loss of the batch images[index] and its gradients, shard by shard, on the threads of `crew`.

    Of a statistic, the mean step over the batch's images.
    """
    shards = [index[start:start + SHARD] for start in range(0, len(index), SHARD)]
    rngs = [np.random.default_rng(child) for child in seed.spawn(len(shards))]

    def work(shard, rng):
        pixels = shifted(images[shard], plan.shift, rng)
        return task.gradients(as_floats(flipped(pixels, rng) if plan.flip else pixels), shard, len(index), rng)

    results = crew.map(work, shards, rngs)
    for (_, grads), shard in zip(results, shards):
        for name in task.statistics:
            grads[name] = grads[name] * grads[name].dtype.type(len(shard) / len(index))
    loss, grads = results[0]
    for more_loss, more in results[1:]:
        loss += more_loss
        for name, gradient in more.items():
            grads[name] += gradient
    return loss, grads


def one_blas_thread():
    """A context in which NumPy's matrix product uses one thread: the shards already keep every thread busy."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:  # only speed depends on it
        return nullcontext()
    return threadpool_limits(1)


@contextmanager
def kept_memory():
    """A context in which freed memory stays with the process: every shard asks for the same arrays again.

    Else the C library hands large arrays back at once, and the system clears their pages anew for each shard: of a net
    for CIFAR-10 that takes a seventh of the time. Only glibc is asked. It ends with the options it begins with, but its
    thresholds adapt to the program no more, and if the process's second thread came inside, all share one arena on.
    """
    try:
        library = ctypes.CDLL(None)
        set_option, give_back = library.mallopt, library.malloc_trim
    except (OSError, AttributeError, TypeError):
        yield
        return
    arenas = (8 if ctypes.sizeof(ctypes.c_long) == 8 else 2) * (os.cpu_count() or 1)
    first = {-1: 2 ** 17, -3: 2 ** 17, -8: arenas}  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX of malloc.h
    for option, value in zip(first, (2 ** 30, 2 ** 25, 1)):
        set_option(option, value)
    try:
        yield
    finally:
        for option, value in first.items():
            set_option(option, value)
        give_back(ctypes.c_size_t(0))


def default_threads():
    """One thread for each core this process may use, four at most (a batch has no more shards to share)."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        cores = os.cpu_count() or 1
    return min(cores, 4)


def check_threads(threads):
    """Raise UsageError unless threads is a whole number of at least 1."""
    if threads < 1:
        raise UsageError(f"--threads must be at least 1, not {threads}")
    return threads
