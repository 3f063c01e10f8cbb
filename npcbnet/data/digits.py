"""`digits`: handwritten-like digits drawn on the spot, the data set that is there when nothing can be downloaded.

Each image is a pen path from `strokes` with the hand's variations (control points, corners, slant, elastic distortion,
pressure), scaled into 20 x 20 and centred by mass in 28 x 28 as MNIST is (LeCun et al. 1998, Gradient-based learning
applied to document recognition, section III.A), then inked, blurred and made noisy. Legend: N images, P path points.
"""

from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from npcbnet.data.strokes import POINTS, styles
from npcbnet.errors import UsageError

SIDE = 28  # pixels, the image
BOX = 20.0  # pixels, the digit's longer side
CENTRE = 14.5  # pixels from the edge: the middle of pixel 14 of 0..27, where the centre of mass is in MNIST
CHUNK = 1000  # images drawn at once: about 100 MB of work space whatever n
FIELD = 16  # side of the elastic field's grid


@dataclass(frozen=True)
class Hand:
    """What varies from image to image, at severity 0 and at severity 1 (in between: linear)."""

    jitter: tuple[float, float] = (0.025, 0.07)  # standard deviation of control points, in digit heights
    elastic: tuple[float, float] = (0.02, 0.08)  # standard deviation of the smooth displacement, in digit heights
    slant: tuple[float, float] = (0.08, 0.38)  # standard deviation of the shear, as a slope
    turn: tuple[float, float] = (0.05, 0.12)  # standard deviation of the rotation, radians
    aspect: tuple[float, float] = (0.1, 0.28)  # standard deviation of log width
    taper: tuple[float, float] = (0.06, 0.3)  # standard deviation of the bottom's width over the top's, less one
    waist: tuple[float, float] = (0.04, 0.22)  # standard deviation of the shift of the middle, in half digit heights
    drift: tuple[float, float] = (0.2, 0.8)  # standard deviation of the place, pixels: a centre of mass is never exact
    width: tuple[float, float] = (0.18, 0.42)  # standard deviation of log pen width
    pressure: tuple[float, float] = (0.05, 0.5)  # standard deviation of log ink along the path
    rounding: tuple[float, float] = (0.1, 1.0)  # largest share of the path without corners
    trim: tuple[float, float] = (0.0, 0.08)  # largest part of a stroke missing at each end
    rough: tuple[float, float] = (0.0, 0.22)  # standard deviation of the edge, pixels
    blur: tuple[float, float] = (0.0, 0.9)  # largest share of the blurred image
    noise: tuple[float, float] = (0.0, 0.05)  # standard deviation of the pixels, of full ink


HAND = Hand()
LEAN = 0.2  # mean slope to the right: most people's writing leans
PEN = 1.2  # pixels, the median half width of a stroke


def _between(limits: tuple[float, float], severity: np.ndarray) -> np.ndarray:
    return limits[0] + (limits[1] - limits[0]) * severity


def _choose(rng: np.random.Generator, labels: np.ndarray, severity: np.ndarray) -> np.ndarray:
    """Style number (N,) for each label (N,): the common ones when easy, the rare ones nearly as often when hard."""
    chosen = np.zeros(len(labels), np.int64)
    draw = rng.random(len(labels))
    for digit, ways in enumerate(styles()):
        mine = np.flatnonzero(labels == digit)
        weights = np.array([way.weight for way in ways]) ** (1.5 - severity[mine, None])
        shares = np.cumsum(weights, axis=1) / weights.sum(axis=1, keepdims=True)
        chosen[mine] = np.minimum((draw[mine, None] >= shares).sum(axis=1), len(ways) - 1)
    return chosen


def _paths(rng: np.random.Generator, labels: np.ndarray,
           severity: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pen paths for labels (N,): points (N, P, 2) as (x, y) in digit heights, shown (N, P) bool, stroke (N, P)."""
    count = len(labels)
    points, stroke = np.zeros((count, POINTS, 2)), np.zeros((count, POINTS), np.int64)
    along = np.zeros((count, POINTS))
    most = max(len(way.controls) for ways in styles() for way in ways)
    moves = rng.standard_normal((count, most, 2)) * _between(HAND.jitter, severity)[:, None, None]
    round_share = (rng.random(count) * _between(HAND.rounding, severity))[:, None, None]
    chosen = _choose(rng, labels, severity)
    for digit, ways in enumerate(styles()):
        for number, way in enumerate(ways):
            mine = np.flatnonzero((labels == digit) & (chosen == number))
            controls = way.controls + moves[mine, :len(way.controls)]
            sharp, smooth = (np.einsum("pk,nkc->npc", matrix, controls) for matrix in (way.sharp, way.smooth))
            points[mine] = sharp + round_share[mine] * (smooth - sharp)
            stroke[mine], along[mine] = way.stroke, way.along
    trims = rng.random((2, count, 1)) * _between(HAND.trim, severity)[:, None]
    return points, (along >= trims[0]) & (along <= 1 - trims[1]), stroke


def _bend(rng: np.random.Generator, points: np.ndarray, severity: np.ndarray) -> np.ndarray:
    """Elastic distortion of points (N, P, 2): a smooth random displacement field per image.

    Simard, Steinkraus and Platt 2003, Best practices for convolutional neural networks, section 2 - applied to the path
    instead of the pixels, which keeps the pen's width.
    """
    count = len(points)
    spread = 2.5
    fields = gaussian_filter(rng.standard_normal((2, count, FIELD, FIELD)), (0, 0, spread, spread), mode="wrap")
    fields *= 2 * np.sqrt(np.pi) * spread  # back to standard deviation 1
    places = np.clip(points, -0.2, 1.2).transpose(2, 0, 1) + 0.2
    places = places * ((FIELD - 1) / 1.4)
    image = np.broadcast_to(np.arange(count)[:, None], places.shape[1:])
    moves = [map_coordinates(field, (image, places[1], places[0]), order=1) for field in fields]
    return points + np.stack(moves, axis=2) * _between(HAND.elastic, severity)[:, None, None]


def _slope(rng: np.random.Generator, points: np.ndarray, severity: np.ndarray) -> np.ndarray:
    """Width, taper, waist, slant and rotation of points (N, P, 2), about the middle of the unit box."""
    normal = rng.standard_normal((5, len(points)))
    aspect = np.exp(normal[0] * _between(HAND.aspect, severity))
    shear = LEAN + normal[1] * _between(HAND.slant, severity)
    turn = normal[2] * _between(HAND.turn, severity)
    x = (points[..., 0] - 0.5) * aspect[:, None]
    y = points[..., 1] - 0.5
    x = x * (1 + (normal[3] * _between(HAND.taper, severity))[:, None] * y)
    y = y + (normal[4] * _between(HAND.waist, severity) * 2)[:, None] * (0.25 - y * y)
    x = x - y * shear[:, None]
    cosine, sine = np.cos(turn)[:, None], np.sin(turn)[:, None]
    return np.stack((cosine * x - sine * y, sine * x + cosine * y), axis=2)


def _fit(points: np.ndarray, mass: np.ndarray, radius: np.ndarray, drift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, P, 2) in pixels, box within BOX and mass (N, P) at CENTRE + drift; and the scale (N,) that did it.

    points (N, P, 2) and mass (N, P) in digit heights, radius (N,) half the pen's width and drift (N, 2) in pixels.
    """
    shown = mass[..., None] > 0
    low = np.where(shown, points, np.inf).min(axis=1)
    high = np.where(shown, points, -np.inf).max(axis=1)
    scale = (BOX - 2 * radius) / np.maximum((high - low).max(axis=1), 1e-6)
    points = points * scale[:, None, None]
    centre = np.einsum("np,npc->nc", mass, points) / mass.sum(axis=1)[:, None]
    points = points + (CENTRE + drift - centre)[:, None]
    # A lopsided digit must stay inside the image, even off its centre of mass.
    low = np.where(shown, points, np.inf).min(axis=1) - radius[:, None]
    high = np.where(shown, points, -np.inf).max(axis=1) + radius[:, None]
    return points + (np.maximum(0.5 - low, 0) - np.maximum(high - SIDE + 0.5, 0))[:, None], scale


def _ink(points: np.ndarray, ink: np.ndarray, radius: np.ndarray, rough: np.ndarray) -> np.ndarray:
    """Images (N, SIDE, SIDE) in 0..1 of paths (N, P, 2) in pixels with half width radius (N,) pixels.

    `ink` (N, P): length of path at each point, pixels, times the pen's pressure; `rough` (N, SIDE, SIDE): how far
    the edge moves out, pixels. A path blurred by a Gaussian has density peak * exp(-distance^2 / 2 spread^2) beside it,
    and a Gaussian is a product of one in x and one in y: an image is one small matrix product, its logarithm the
    distance.
    """
    # In float64, so that neither the number of threads nor the processor's order of adding shows in a byte.
    spread = np.maximum(0.55, 0.35 * radius)[:, None, None]
    pixels = np.arange(SIDE) + 0.5
    across, down = (np.exp(-0.5 * ((points[..., axis, None] - pixels) / spread) ** 2) for axis in (0, 1))
    density = np.matmul((down * ink[..., None]).transpose(0, 2, 1), across) / (np.sqrt(2 * np.pi) * spread)
    distance = spread * np.sqrt(np.maximum(-2 * np.log(np.maximum(density, 1e-12)), 0.0))
    return np.clip(0.5 + (radius[:, None, None] - distance + rough) / 1.2, 0.0, 1.0)


def _ripple(rng: np.random.Generator, count: int) -> np.ndarray:
    """Smooth noise along each path (count, P), of standard deviation 1."""
    spread = 10.0
    noise = gaussian_filter(rng.standard_normal((count, POINTS)), (0, spread), mode="wrap")
    return noise * np.sqrt(2 * np.sqrt(np.pi) * spread)


def _chunk(rng: np.random.Generator, labels: np.ndarray, severity: np.ndarray) -> np.ndarray:
    """Images (N, SIDE, SIDE) uint8 of labels (N,), each as hard as severity (N,) in 0..1 says."""
    count = len(labels)
    points, shown, stroke = _paths(rng, labels, severity)
    points = _slope(rng, _bend(rng, points, severity), severity)
    steps = np.linalg.norm(np.diff(points, axis=1), axis=2) * (stroke[:, 1:] == stroke[:, :-1])
    length = 0.5 * (np.pad(steps, ((0, 0), (1, 0))) + np.pad(steps, ((0, 0), (0, 1))))
    pressure = np.exp(_ripple(rng, count) * _between(HAND.pressure, severity)[:, None])
    # In MNIST the shorter the path (a bare 1), the thicker the stroke.
    width = np.exp(rng.standard_normal(count) * _between(HAND.width, severity))
    radius = np.clip(PEN * width * (length.sum(axis=1) / 2.6) ** -0.15, 0.6, 2.9)
    drift = rng.standard_normal((count, 2)) * _between(HAND.drift, severity)[:, None]
    points, scale = _fit(points, length * shown, radius, drift)
    ink = length * shown * pressure * scale[:, None]
    rough = rng.standard_normal((count, SIDE, SIDE)) * _between(HAND.rough, severity)[:, None, None]
    images = _ink(points, ink, radius, rough)
    blurred = gaussian_filter(images, (0, 0.9, 0.9))
    share = rng.random(count) * _between(HAND.blur, severity)
    images += share[:, None, None] * (blurred - images)
    sigma = (rng.random(count) ** 4 * _between(HAND.noise, severity))[:, None, None]
    images += rng.standard_normal(images.shape) * sigma
    return np.rint(255 * np.clip(images, 0.0, 1.0)).astype(np.uint8)


def _check(n: int, seed: int, difficulty: float) -> None:
    if isinstance(n, bool) or not isinstance(n, Integral) or n < 0:
        raise UsageError(f"digits: n must be a whole number of images, 0 or more, got {n!r}")
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise UsageError(f"digits: seed must be a whole number, 0 or more, got {seed!r}")
    if isinstance(difficulty, bool) or not isinstance(difficulty, Real) or not 0 <= difficulty <= 1:
        raise UsageError(f"digits: difficulty must be a number from 0 (easy) to 1 (hard), got {difficulty!r}")


def generate(n: int, *, seed: int = 0, difficulty: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Draw n digits: images (n, 1, 28, 28) uint8, white ink on black, and labels (n,) int64, balanced and shuffled.

    `difficulty` is the mean severity over the images: at 0 each is neatly written, at 1 each is as distorted as can be,
    in between easy and hard images mix (at 0.5 evenly). The same arguments give the same bytes.
    Raises UsageError for an n, seed or difficulty that cannot be.
    """
    _check(n, seed, difficulty)
    order, *chunks = np.random.SeedSequence(int(seed)).spawn(1 + -(-n // CHUNK))
    rng = np.random.default_rng(order)
    labels = rng.permutation(np.arange(n, dtype=np.int64) % 10)
    # u ** ((1 - d) / d) has mean d for u uniform in 0..1.
    severity = rng.random(n) ** ((1 - difficulty) / max(difficulty, 1e-9))
    images = np.empty((n, 1, SIDE, SIDE), np.uint8)
    for number, chunk in enumerate(chunks):
        part = slice(number * CHUNK, (number + 1) * CHUNK)
        images[part, 0] = _chunk(np.random.default_rng(chunk), labels[part], severity[part])
    return images, labels
