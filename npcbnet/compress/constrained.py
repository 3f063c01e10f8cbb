"""Training that keeps what compression made: pruned weights stay zero, weights that share a value go on sharing it.

Only gradients change. A pruned weight's is 0; that of shared weights is the sum over all that share the value, the
gradient by their centroid. Adam works value by value, so equal weights with equal gradients stay equal to the last bit.
"""
import zlib

import numpy as np


class Constrained:
    """A task of npcbnet.training under constraints.

    constraints: {parameter's name: bool array, True where a weight may be other than 0; or an array of small whole
    numbers, codes, equal where weights share a value, below 0 where a weight stays as it is}, each of the parameter's
    shape.
    """

    def __init__(self, task, constraints):
        self.task, self.constraints = task, constraints

    @property
    def params(self):
        return self.task.params

    @property
    def statistics(self):
        """As the task's."""
        return self.task.statistics

    def fingerprint(self):
        """As the task's, and the constraints'."""
        marks = {name: zlib.crc32(array.tobytes()) for name, array in self.constraints.items()}
        return {**self.task.fingerprint(), "constraints": marks}

    def gradients(self, x, index, count, rng):
        """As the task's, constrained."""
        loss, grads = self.task.gradients(x, index, count, rng)
        for name, kept in self.constraints.items():
            grads[name] = _masked(grads[name], kept) if kept.dtype == bool else _summed(grads[name], kept)
        return loss, grads


def _masked(gradient, kept):
    return np.where(kept, gradient, gradient.dtype.type(0))


def _summed(gradient, codes):
    """Each value's gradients added, and given to all weights of that value."""
    if codes.dtype == np.uint8:  # all of them learn
        return np.bincount(codes.reshape(-1), gradient.reshape(-1)).astype(gradient.dtype)[codes]
    found, learn = np.zeros_like(gradient), codes >= 0
    found[learn] = np.bincount(codes[learn], gradient[learn]).astype(gradient.dtype)[codes[learn]]
    return found
