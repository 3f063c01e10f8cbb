"""Losses: each returns (loss, gradient by its first argument), both divided by `count`.

`count` is the batch's number of images. It is an argument because a batch is worked on in shards of images
(training.py): the shards' losses and gradients, each divided by the whole batch's count, add up to the batch's.
"""
import numpy as np


def log_softmax(z):
    """z (N, O) -> ln softmax(z), (N, O)."""
    shifted = z - z.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def cross_entropy(z, labels, count=None):
    """-mean ln softmax(z)[label]. z (N, O) logits, labels (N,) int. Gradient: (softmax(z) - one hot) / count."""
    count = count or len(z)
    log_p = log_softmax(z)
    rows = np.arange(len(z))
    loss = -log_p[rows, labels].sum(dtype=np.float64) / count
    gradient = np.exp(log_p)
    gradient[rows, labels] -= 1
    return loss, gradient / z.dtype.type(count)


def mean_squared_error(y, target, count=None):
    """Mean over images and values of (y - target)^2. y, target (N, ...)."""
    size = (count or len(y)) * max(1, y[0].size if len(y) else 1)
    difference = y - target
    return np.square(difference).sum(dtype=np.float64) / size, difference * y.dtype.type(2 / size)


def l1_activity(z, coefficient, count=None):
    """coefficient * mean over images of sum |z|. z (N, D).

    The activity penalty of CBNet (section III-A3), in Keras's form: the sum over the batch divided by its size.
    """
    count = count or len(z)
    return coefficient * np.abs(z).sum(dtype=np.float64) / count, np.sign(z) * z.dtype.type(coefficient / count)


def distillation(z, teacher, temperature, count=None):
    """T^2 * mean KL(softmax(teacher / T) || softmax(z / T)) (Hinton et al., 2015). z, teacher (N, O) logits."""
    count = count or len(z)
    log_p, log_q = log_softmax(z / z.dtype.type(temperature)), log_softmax(teacher / z.dtype.type(temperature))
    q = np.exp(log_q)
    loss = temperature ** 2 * (q * (log_q - log_p)).sum(dtype=np.float64) / count
    return loss, (np.exp(log_p) - q) * z.dtype.type(temperature / count)
