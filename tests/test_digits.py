"""The embedded digits: same bytes for the same seed, the promised layout, a dial that really goes from easy to hard."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from npcbnet.data import digits, strokes
from npcbnet.errors import UsageError


@pytest.fixture(scope="module")
def sample():
    """600 default digits: images (600, 1, 28, 28), labels (600,)."""
    return digits.generate(600, seed=3)


def test_same_seed_same_bytes_other_seed_other_bytes(sample):
    again, labels = digits.generate(600, seed=3)
    other, _ = digits.generate(600, seed=4)
    assert np.array_equal(again, sample[0]) and np.array_equal(labels, sample[1])
    assert not np.array_equal(other, sample[0])


def test_same_bytes_whatever_the_number_of_threads(sample):
    code = ("import hashlib; from npcbnet.data.digits import generate;"
            "print(hashlib.sha256(generate(600, seed=3)[0].tobytes()).hexdigest())")
    here = hashlib.sha256(sample[0].tobytes()).hexdigest()
    for threads in ("1", "4"):
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": threads, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", code]
        there = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        assert there.stdout.strip() == here


def test_the_global_random_state_is_left_alone():
    np.random.seed(5)
    before = np.random.get_state()[1].copy()
    digits.generate(10)
    assert np.array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize("n", [0, 1, 9, 10, 23, 1001])
def test_shape_type_and_balance(n):
    images, labels = digits.generate(n, seed=n)
    assert images.shape == (n, 1, 28, 28) and images.dtype == np.uint8
    assert labels.shape == (n,) and labels.dtype == np.int64
    counts = np.bincount(labels, minlength=10)
    assert len(counts) == 10 and counts.max() - counts.min() <= 1


def test_the_order_is_shuffled(sample):
    assert not np.array_equal(sample[1], np.arange(600) % 10)


def test_laid_out_as_mnist_is():
    images = digits.generate(500, seed=1, difficulty=0.0)[0][:, 0] / 255.0
    assert (images.max(axis=(1, 2)) > 0.9).all(), "white ink"
    assert (np.median(images, axis=(1, 2)) == 0).all(), "on black"
    rows, columns = ((images.max(axis=axis) > 0.5).sum(axis=1) for axis in (2, 1))
    longer = np.maximum(rows, columns)
    assert longer.min() >= 18 and longer.max() <= 22, "the longer side is about 20 pixels"
    mass = images.sum(axis=(1, 2))
    places = np.arange(28)
    down, across = images.sum(axis=2) @ places / mass, images.sum(axis=1) @ places / mass
    # The place drifts a little by design; a path over itself weighs twice and inks once, so a few are a pixel off.
    offset = np.hypot(down - 14, across - 14)
    assert offset.mean() < 0.5 and offset.max() < 2, "centred by mass"


def test_harder_digits_lie_farther_from_the_mean_of_their_class():
    """The dial moves a measurable statistic: the share of the pixels' variance inside classes."""
    shares = []
    for difficulty in (0.0, 0.25, 0.5, 0.75, 1.0):
        images, labels = digits.generate(1000, seed=2, difficulty=difficulty)
        flat = images.reshape(1000, -1) / 255.0
        inside = sum(flat[labels == digit].var(axis=0).sum() for digit in range(10)) / 10
        shares.append(inside / flat.var(axis=0).sum())
    assert (np.diff(shares) > 0.005).all(), shares


def test_easy_digits_are_told_apart_by_their_nearest_neighbour():
    images, labels = digits.generate(2000, seed=6, difficulty=0.0)
    flat = images.reshape(2000, -1).astype(np.float64)
    known, asked = flat[:1600], flat[1600:]
    distance = (known ** 2).sum(axis=1) - 2 * asked @ known.T
    assert (labels[:1600][distance.argmin(axis=1)] == labels[1600:]).mean() > 0.95


@pytest.mark.parametrize("arguments, word", [
    (dict(n=-1), "n must"), (dict(n=2.5), "n must"), (dict(n="10"), "n must"), (dict(n=True), "n must"),
    (dict(n=5, difficulty=-0.1), "difficulty"), (dict(n=5, difficulty=1.01), "difficulty"),
    (dict(n=5, difficulty=float("nan")), "difficulty"), (dict(n=5, difficulty="hard"), "difficulty"),
    (dict(n=5, difficulty=None), "difficulty"), (dict(n=5, seed=-1), "seed"), (dict(n=5, seed=0.5), "seed"),
])
def test_bad_arguments_get_one_clear_line(arguments, word):
    with pytest.raises(UsageError, match=word) as caught:
        digits.generate(**arguments)
    assert "\n" not in str(caught.value)


def test_numpy_numbers_are_numbers():
    images, _ = digits.generate(np.int32(3), seed=np.uint8(1), difficulty=np.float32(0.5))
    assert np.array_equal(images, digits.generate(3, seed=1, difficulty=0.5)[0])


def test_curves_pass_through_their_control_points():
    for digit in strokes.styles():
        for style in digit:
            for matrix in (style.sharp, style.smooth):
                assert matrix.shape == (strokes.POINTS, len(style.controls))
                # Rows that sum to 1: control points moved together only move the curve.
                np.testing.assert_allclose(matrix.sum(axis=1), 1.0, atol=1e-9)
            path = style.sharp @ style.controls
            gaps = np.linalg.norm(path[None] - style.controls[:, None], axis=2).min(axis=1)
            assert gaps.max() < 0.05
            assert path.min() > -0.15 and path.max() < 1.15, "curves do not overshoot the box"
