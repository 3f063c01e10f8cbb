"""An architecture search from beginning to end: a data set, the search, a verdict on test images, a model file."""
from pathlib import Path

import numpy as np

from npcbnet import data, judge, modelfile
from npcbnet.compress import search
from npcbnet.compress.variant import TIMED, accuracy, unsaved
from npcbnet.data.dataset import check_no_part_empty
from npcbnet.files import check_file
from npcbnet.training import default_threads


def find(name, slo_ms, teacher=None, out=None, *, seed=0, threads=None, quick=False, anyway=False, quiet=False):
    """Search on the data set `name` (a name or path) and save the winner; the figures as a dict that json can write.

    teacher: a pretrained name or a model file; out: default NAME-search.npz in this folder, and beside it, until it is
    saved, what the same call goes on from. What misses the SLO is saved only with `anyway` ("kept" tells where that
    lies). threads: None, default_threads(). Raises UsageError, and what load and save raise.
    """
    threads = default_threads() if threads is None else threads
    taught = None if teacher is None else modelfile.load(teacher)
    dataset = data.load(name, shape=None if taught is None else taught.input_shape)
    check_no_part_empty(dataset)
    path = Path(out or f"{dataset.name}-search.npz")
    check_file(path)
    found = search.search_architecture(dataset, slo_ms, teacher=taught, seed=seed, threads=threads, quick=quick,
                                       quiet=quiet, checkpoint=path.with_suffix(".search.npz"))
    model, sample = found.model, dataset.test.images
    sample = sample[np.linspace(0, len(sample) - 1, min(TIMED, len(sample))).astype(int)]
    model.record = {**model.record, "dataset": dataset.title, "test_accuracy": accuracy(model, dataset.test, threads)}
    if found.met or anyway:
        modelfile.save(model, path)
        found.files.clear()
    return {"data": dataset.name, "slo_ms": found.slo_ms, "met": found.met, "over_ms": found.over_ms,
            "architecture": str(found.architecture), "validation_accuracy": found.row["accuracy"],
            "test_accuracy": model.record["test_accuracy"], "parameters": model.parameter_count(),
            "macs": model.macs(), "latency_ms": judge.latencies({"found": model}, sample)["found"].latency_ms,
            "seed": seed, "trained": found.rows, "out": str(path) if found.met or anyway else None,
            "kept": None if found.met or anyway else str(found.files)}


def text(result):
    """The figures as a few lines to read."""
    lines = [f"{len({row['architecture'] for row in result['trained']})} architectures trained; "
             f"the best within {result['slo_ms']:.4g} ms an image:" if result["met"] else
             f"no architecture takes at most {result['slo_ms']:.4g} ms an image; the fastest takes "
             f"{result['over_ms']:.4g} ms more:",
             f"{result['architecture']}: {result['parameters']:,} parameters, {result['macs']:,} multiply-adds",
             f"{result['latency_ms']:.4f} ms an image, {result['validation_accuracy']:.2%} of the validation images, "
             f"{result['test_accuracy']:.2%} of the test images"]
    return "\n".join(lines + ([f"saved as {result['out']}"] if result["out"] else unsaved(result["kept"])))
