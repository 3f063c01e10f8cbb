"""How people write the ten digits: a table of pen strokes, and the matrices that turn control points into curves.

A style is one way of writing a digit. Its text lists control points `x,y` in a box of 100 x 100 (x to the right, y
down), in the order of the pen; `;` lifts the pen and `!` marks a corner. The number before it says how common the
style is. A curve is linear in its control points, so each style needs one matrix whatever the hand does to the points.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.interpolate import CubicSpline

POINTS = 96  # samples along all strokes of a digit: under one pixel apart for the longest digit in a 20 x 20 box

TABLE = (
    (   # 0: ovals narrow, round and leaning; the ends overlap, cross or leave a gap; a curl inside
        (4, "50,1 24,12 10,50 22,88 50,99 76,88 90,50 78,12 50,1"),
        (3, "52,0 34,14 24,50 32,86 50,100 68,86 77,50 69,14 50,0"),
        (2, "50,10 16,20 2,50 15,82 50,92 85,82 98,50 85,20 48,10"),
        (2, "46,10 20,28 10,62 25,92 52,98 80,80 90,45 76,12 46,3 38,16 52,26"),
        (1, "60,8 30,8 10,40 14,80 45,98 80,85 90,45 78,18 66,10"),
        (2, "74,10 40,14 12,50 8,80 30,96 64,82 92,44 92,14 70,8"),
        (1, "30,6 14,40 18,80 48,98 78,84 88,48 78,14 46,4 22,14"),
        (2, "64,2 24,40 12,78 30,98 66,72 86,32 80,6 58,3"),
        (1.5, "44,16 24,30 8,62 26,92 54,96 84,76 90,40 72,10 46,8 34,24 42,34"),
        (2, "60,2 30,24 16,56 24,92 44,98 68,76 84,42 80,10 58,2"),
        (2, "72,0 34,12 10,54 28,96 68,92 88,54 68,16 34,8"),
        (1.5, "28,4 12,40 14,82 46,98 82,82 90,44 72,10 44,6 30,14"),
        (1, "66,20 60,4 26,20 8,60 22,96 60,92 88,50 84,18 56,10 40,16"),
    ),
    (   # 1: bare lines, straight or bent; with flag; with base
        (9, "50,0 50,50 50,100"),
        (2, "46,0 54,45 50,100"),
        (2, "54,0 47,50 52,100"),
        (1, "54,0 58,40 52,75 38,100"),
        (1.5, "26,30 54,0! 52,50 50,100"),
        (0.5, "10,38 54,0! 52,50 50,100"),
        (1, "28,22 52,0! 51,50 50,98; 18,99 50,98 84,98"),
        (0.4, "50,0 50,50 50,98; 24,99 76,98"),
    ),
    (   # 2: round or angular above; base straight, looped or wavy
        (4, "8,25 26,6 56,0 78,18 72,42 41,70 6,98! 44,96 94,97"),
        (3, "13,24 30,5 61,2 76,20 68,50 41,80 17,97 2,88 17,75 44,86 72,97 98,90"),
        (3, "4,10 44,4 81,8! 44,50 4,95! 50,95 99,93"),
        (2, "10,20 39,2 68,14 63,46 35,82 10,98 0,84 19,72 50,84 79,92 99,74"),
        (1, "0,32 24,12 63,12 74,32 43,62 2,88! 50,86 99,86"),
        (2, "28,22 41,2 63,6 68,30 52,66 24,96! 48,92 79,97"),
        (1.5, "19,34 13,14 43,0 74,14 72,40 43,68 10,94! 43,88 72,96 96,88"),
        (1.5, "20,24 40,2 68,12 62,44 38,72 14,92 6,82 20,76 42,94 70,86"),
        (1.5, "22,16 48,0 68,14 58,48 34,78 12,96! 34,88 56,96"),
        (1.5, "28,40 14,22 34,2 66,6 76,32 52,66 22,94 4,92 8,78 34,82 66,94 98,84"),
        (1, "14,10 40,0 62,10 56,36 26,60 14,80! 44,76 70,86 96,80"),
        (2, "24,20 44,2 72,8 70,36 44,66 22,94 6,92 4,76 24,66 48,80 70,94 98,82"),
        (2, "20,20 50,0 78,14 64,50 30,90 8,98 2,84 20,70 50,84 98,84"),
        (1, "36,26 26,10 50,0 70,14 60,44 30,78 8,94! 50,88 94,90"),
    ),
    (   # 3: two bows with a corner, a loop or neither between them; flat top; curled ends
        (5, "14,14 40,0 68,8 66,32 36,46! 70,54 80,78 52,100 10,90"),
        (2, "12,5 42,4 74,4! 56,24 36,42! 68,50 80,74 54,98 10,94"),
        (1.2, "16,14 44,0 70,14 56,38 34,50 30,42 44,44 74,58 72,86 44,100 8,90"),
        (3, "18,12 46,0 68,14 62,34 46,46 66,56 76,76 56,97 14,96"),
        (2, "22,10 48,2 62,14 52,32 32,40! 66,42 84,66 64,94 10,96"),
        (1.5, "10,24 34,2 72,6 70,34 40,50! 66,54 64,82 38,100 14,84"),
        (1, "30,8 54,0 70,14 62,34 38,42! 60,48 66,70 50,92 20,100"),
        (0.7, "8,30 16,10 44,0 70,12 62,34 36,46! 66,48 80,68 62,96 24,100 6,86 14,76"),
        (0.7, "10,14 44,4 82,0! 52,26 30,44! 60,46 66,66 44,90 4,100"),
    ),
    (   # 4: open, angular or rounded; closed; in one stroke or two
        (4, "23,6 16,52! 46,52 81,46; 72,2 66,50 61,100"),
        (3, "25,8 14,40 27,58 54,54 75,44; 73,8 70,50 63,100"),
        (2, "21,8 16,44 39,56 64,40 73,6! 68,55 63,100"),
        (2, "61,100 61,50 61,2! 36,34 12,62! 50,62 88,60"),
        (1, "64,4 39,26 18,50! 48,54 81,48; 70,2 64,50 54,100"),
        (2, "18,10 10,56! 46,60 90,52; 68,0 64,44 64,96"),
        (1.5, "43,0 30,26 12,54! 50,52 86,44; 64,22 57,58 46,100"),
        (0.5, "63,14 41,22 19,46 34,56 64,44; 72,8 66,50 54,100"),
        (1.5, "40,2 26,30 16,52 30,56 62,46; 76,18 60,52 44,100"),
        (1.5, "30,6 18,44! 40,46 66,38; 74,8 60,50 46,100"),
    ),
    (   # 5: in one stroke or two; like an S; short, long and separate bars; belly round, wide or angular
        (3, "27,5 21,42! 50,36 79,54 75,84 45,99 8,90; 27,5 55,4 85,1"),
        (3, "85,3 56,4 29,6! 21,42! 54,38 81,60 71,90 40,99 6,90"),
        (2, "85,6 48,3 23,20 40,42 67,60 65,86 38,99 8,88"),
        (3, "99,6 71,8 42,12! 31,42! 56,46 62,68 42,90 2,92"),
        (1.5, "75,4 42,3! 33,40! 56,40 71,62 58,92 25,98"),
        (2, "31,10 23,46! 58,46 73,66 60,88 29,98 6,84; 31,10 62,8 98,10"),
        (1, "29,4 31,40! 62,36 83,58 71,88 40,98 10,96; 29,6 54,8 77,2"),
        (2, "58,6 42,30 36,44! 58,50 64,70 42,96 8,88; 58,6 76,4 98,0"),
        (1, "60,2 36,4! 26,46! 52,42 72,60 62,90 30,98 22,84"),
        (1, "30,6 26,44! 54,40 74,58 70,84 46,98 26,92; 30,6 50,6 72,4"),
        (2, "26,4 22,42! 46,33 74,46 80,68 62,92 18,98; 26,4 60,3 88,2"),
        (1, "62,4 40,6! 30,36! 46,40 58,58 52,82 20,98; 44,6 70,4 96,4"),
    ),
    (   # 6: stem curved, straight or upright; loop small, large, closed or open
        (4, "61,0 36,28 19,64 28,94 54,98 70,78 57,58 34,64 21,80"),
        (3, "36,0 25,40 21,80 41,98 68,88 70,64 46,56 23,76"),
        (1, "52,0 25,34 14,70 37,98 73,90 84,62 61,44 27,60"),
        (2, "68,0 45,26 30,62 36,92 54,98 61,84 52,72 34,82"),
        (0.8, "48,0 28,36 19,76 41,98 70,84 68,62 48,64 37,80"),
        (2, "28,4 18,44 23,86 50,97 82,84 86,64 64,56 41,70 32,88"),
    ),
    (   # 7: angular or curved; with serif, with bar, with both; leg straight or bent
        (4, "10,12 48,8 84,5! 60,46 38,100"),
        (2, "10,28 14,9! 48,8 84,6! 62,48 46,100"),
        (2, "10,10 48,8 84,6! 60,46 40,100; 28,54 54,50 80,46"),
        (2, "10,20 40,4 74,6 76,34 58,66 46,100"),
        (2, "8,36 16,10! 52,4 82,8 78,46 66,100"),
        (1.5, "30,6 54,6 72,2! 64,48 52,100"),
        (1.5, "6,18 44,14 90,4! 60,34 44,64 38,100"),
        (0.7, "12,18 46,4 80,10! 66,48 46,98; 24,56 80,50"),
        (2, "8,36 18,12! 46,10 76,4! 52,50 34,100"),
        (2, "12,18 44,10 80,4! 58,36 48,66 46,100"),
        (1.5, "16,30 22,12 36,12 60,10 76,4 66,40 42,98"),
        (1, "28,26 32,10! 68,4! 62,50 52,100"),
        (1.5, "8,24 14,9! 50,12 86,4! 60,42 42,98; 22,54 54,50 86,46"),
        (1, "20,30 24,12! 50,16 74,6! 56,46 50,72 46,100; 30,56 76,50"),
        (1, "8,30 20,12! 44,14 66,6 78,10 60,50 36,100"),
        (1, "16,10 50,12 82,4! 62,40 46,98; 30,50 54,48 84,40"),
    ),
    (   # 8: from the top, the middle or as two circles; ends meeting, apart or with a flick; open below
        (4, "72,12 50,0 28,14 33,36 59,56 70,80 48,100 24,84 37,58 61,36 72,12"),
        (2, "50,1 30,10 30,36 50,46 70,36 70,10 50,1; 50,46 24,58 20,86 50,100 80,86 76,58 50,46"),
        (3, "83,8 56,2 28,14 33,36 57,56 65,82 43,100 22,84 37,60 65,36 89,6"),
        (2, "65,18 50,4 35,16 41,36 65,56 74,82 46,100 18,84 33,56 57,40 65,18"),
        (1.5, "52,46 26,28 31,4 65,4 70,26 41,50 22,78 44,100 74,86 70,62 50,46"),
        (2, "76,16 48,4 22,18 33,42 54,56 59,80 43,98 30,84 41,58 61,36 76,20"),
        (1.5, "59,4 41,10 39,32 54,48 61,72 50,98 37,84 43,56 57,36 65,14 56,2"),
        (3, "82,6 58,0 36,10 36,28 56,52 60,78 40,98 22,88 32,66 58,38 84,8"),
        (2, "66,12 44,1 30,14 40,36 60,62 66,86 50,100 32,88 42,64 60,38 70,12"),
        (1.5, "74,16 56,2 38,10 42,30 66,58 68,84 44,100 26,88 34,64 58,38 74,20"),
        (1.5, "80,14 46,6 18,14 24,34 50,48 56,70 44,96 26,98 24,80 46,56 78,22"),
        (1.5, "72,18 50,2 30,14 36,36 66,70 72,98! 44,95 20,96 34,66 64,36 74,14"),
        (1.5, "86,20 60,2 22,8 14,26 44,46 66,66 56,92 30,98 18,82 40,56 74,38 88,14"),
        (1, "72,22 50,2 30,14 36,36 60,60 74,98; 72,20 60,40 36,62 24,98"),
    ),
    (   # 9: head round, slanting, small or open; tail straight, slanting or curled
        (4, "70,16 48,2 25,18 23,42 45,48 67,28 72,8! 67,54 60,100"),
        (1.2, "72,14 48,2 25,20 28,44 52,46 70,20 72,54 60,92 28,94"),
        (3, "68,14 45,6 23,30 37,48 60,36 74,6! 62,52 45,100"),
        (2, "63,26 55,2 30,8 23,34 45,44 63,24 67,60 67,100"),
        (2, "75,20 55,0 26,14 21,42 52,54 77,28 75,60 70,100"),
        (1.5, "67,8 43,12 21,40 42,50 72,38! 65,66 55,100"),
        (1, "70,16 47,4 30,22 38,42 63,34 72,14 72,60 55,96 26,84"),
        (2.5, "66,10 46,4 30,24 34,42 54,36 72,8! 62,50 40,100"),
        (1.5, "66,18 46,2 28,16 30,40 50,42 66,20 66,50 54,98"),
        (1, "66,22 44,4 28,26 42,46 64,30 68,12! 70,60 52,96 22,88"),
        (1, "64,10 24,12 8,42 30,52 66,24 72,60 76,100"),
        (1, "80,6 44,4 20,20 22,40 48,44 74,24 66,60 42,100"),
    ),
)


@dataclass(frozen=True)
class Style:
    """One way of writing a digit: K control points, and how they become P = POINTS samples of the pen's path.

    `controls` (K, 2) as (x, y), one unit high; `sharp` and `smooth` (P, K): curves with and without the corners;
    `stroke` (P,): number of the stroke of each sample; `along` (P,): its place within that stroke, 0..1.
    """

    weight: float
    controls: np.ndarray
    sharp: np.ndarray
    smooth: np.ndarray
    stroke: np.ndarray
    along: np.ndarray


def _curve(controls: np.ndarray, samples: int) -> np.ndarray:
    """Matrix (samples, K) of the natural cubic spline through controls (K, 2), evenly sampled in its parameter."""
    # The square root of the chord as parameter keeps close points from making the curve overshoot
    # (Lee 1989, Choosing nodes in parametric curve interpolation, Computer-Aided Design 21(6)).
    chords = np.sqrt(np.linalg.norm(np.diff(controls, axis=0), axis=1))
    knots = np.concatenate(([0.0], np.cumsum(chords)))
    places = np.linspace(0.0, knots[-1], samples)
    if len(controls) == 2:
        return np.stack((1 - places / knots[-1], places / knots[-1]), axis=1)
    return CubicSpline(knots, np.eye(len(controls)), bc_type="natural")(places)


def _cornered(controls: np.ndarray, corners: list[int], samples: int) -> np.ndarray:
    """Matrix (samples, K) of the splines between corners (positions in controls), joined where they meet."""
    matrix = np.zeros((samples, len(controls)))
    ends = [0, *corners, len(controls) - 1]
    lengths = np.linalg.norm(np.diff(controls, axis=0), axis=1)
    total = np.concatenate(([0.0], np.cumsum(lengths)))[ends]
    starts = np.rint(total / total[-1] * (samples - 1)).astype(int)
    for first, last, low, high in zip(ends[:-1], ends[1:], starts[:-1], starts[1:], strict=True):
        matrix[low:high + 1] = 0.0
        matrix[low:high + 1, first:last + 1] = _curve(controls[first:last + 1], high - low + 1)
    return matrix


def _parse(weight: float, text: str) -> Style:
    """The style written in `text` (see the module's head)."""
    strokes = [[point.rstrip("!").split(",") for point in stroke.split()] for stroke in text.split(";")]
    corners = [[i for i, point in enumerate(stroke.split()) if point.endswith("!")] for stroke in text.split(";")]
    parts = [np.array(stroke, float) / 100 for stroke in strokes]
    lengths = np.array([np.linalg.norm(np.diff(part, axis=0), axis=1).sum() for part in parts])
    counts = np.rint(lengths / lengths.sum() * POINTS).astype(int)
    counts[0] += POINTS - counts.sum()
    controls = np.concatenate(parts)
    sharp, smooth = np.zeros((2, POINTS, len(controls)))
    row = column = 0
    for part, marks, count in zip(parts, corners, counts, strict=True):
        place = np.s_[row:row + count, column:column + len(part)]
        sharp[place] = _cornered(part, marks, count)
        smooth[place] = _curve(part, count)
        row, column = row + count, column + len(part)
    stroke = np.repeat(np.arange(len(parts)), counts)
    along = np.concatenate([np.linspace(0, 1, count) for count in counts])
    return Style(weight, controls, sharp, smooth, stroke, along)


@lru_cache(maxsize=1)
def styles() -> tuple[tuple[Style, ...], ...]:
    """All styles, by digit."""
    return tuple(tuple(_parse(weight, text) for weight, text in digit) for digit in TABLE)
