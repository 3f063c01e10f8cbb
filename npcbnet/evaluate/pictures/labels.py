"""Where texts go in a chart so that none lies on another: beside points, and at the ends of lines."""
import numpy as np

from npcbnet.evaluate.pictures.panel import floats

_RADII = (4, 14, 26, 40, 56, 76, 100)  # px between a point and the nearest edge of its text
_ANGLES = np.linspace(0, 2 * np.pi, 16, endpoint=False)


def beside(points, sizes, bounds, obstacles=()):
    """For each point (x, y) a text of size (w, h) -> the texts' centres (N, 2), all in px.

    Each stands as near to its point as it can without lying on another text, a point or an obstacle [(x0, y0, x1,
    y1)], inside bounds (x0, y0, x1, y1); where nothing is free, where it covers least.
    """
    points = np.asarray(points, np.float64).reshape(-1, 2)
    taken, texts = [(x - 6, y - 6, x + 6, y + 6) for x, y in points] + [tuple(box) for box in obstacles], []
    centres = np.zeros((len(points), 2))
    for i in np.argsort(-points[:, 0], kind="stable"):  # from the right edge, where there is least room
        centres[i], box = _best(points[i], sizes[i], bounds, np.array(taken), texts)
        texts.append(box)
        taken += [box, *along(points[i], points[i].clip(box[:2], box[2:]))]  # and the line from the point to its text
    return centres


def along(start, end, every=6):
    """Small boxes along the line between two points, in px."""
    count = min(int(np.hypot(*(np.asarray(end) - start)) / every) + 2, 500)
    places = np.linspace(start, end, count)
    return [(x - 2, y - 2, x + 2, y + 2) for x, y in places]


def obstacles(series, places):
    """Boxes on which no text should stand: a series' marks, lines and error bars; places(x, y) gives px (N, 2)."""
    points, boxes = places(series.x, series.y), []
    if series.kind == "bars":
        return boxes
    if series.kind == "step":
        points = stepped(points)
    if series.kind != "points":
        for start, end in zip(points, points[1:]):
            if np.isfinite([start, end]).all():
                boxes += along(start, end)
    for start, end in error_bars(series, places):
        boxes += along(start, end)
    return boxes + [(x - 6, y - 6, x + 6, y + 6) for x, y in points if np.isfinite([x, y]).all()]


def stepped(points):
    """The corners of steps through points (N, 2): each goes on at its height until the next begins."""
    return np.stack([np.append(points[:1, 0], points[1:, 0].repeat(2)), points[:, 1].repeat(2)[:2 * len(points) - 1]],
                    axis=1)


def error_bars(series, places):
    """The two ends, in px, of each error bar that a series has."""
    bars = []
    for side, error in enumerate((series.x_error, series.y_error)):
        if error is None:
            continue
        values = [floats(series.x), floats(series.y)]
        error = np.nan_to_num(floats(error))
        ends = [places(*(value + sign * error if axis == side else value for axis, value in enumerate(values)))
                for sign in (-1, 1)]
        bars += [(start, end) for start, end in zip(*ends)
                 if np.isfinite([start, end]).all() and (start != end).any()]
    return bars


def _best(point, size, bounds, taken, texts):
    """The place of one text that covers least, whose line to its point crosses no text, and that is nearest.

    Returns its centre and its box.
    """
    width, height = size
    directions = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
    half = np.array([width, height]) / 2
    reach = half * np.sign(np.round(directions, 9)) * np.minimum(1, 1.5 * np.abs(directions))
    radii, often = np.repeat(_RADII, len(_ANGLES)), (len(_RADII), 1)
    centres = point + np.tile(directions, often) * radii[:, None] + np.tile(reach, often)
    left = np.tile(directions, often)[:, 0] < 0
    low, high = centres - half, centres + half
    outside = (np.maximum(bounds[:2] - low, 0) + np.maximum(high - bounds[2:], 0)).sum(axis=1)
    across = np.minimum(high[:, None, 0], taken[:, 2]) - np.maximum(low[:, None, 0], taken[:, 0])
    down = np.minimum(high[:, None, 1], taken[:, 3]) - np.maximum(low[:, None, 1], taken[:, 1])
    covered = (np.maximum(across, 0) * np.maximum(down, 0)).sum(axis=1)
    crossed = np.zeros(len(centres))
    nearest = point.clip(low, high)
    for x0, y0, x1, y1 in texts:
        for share in np.linspace(0.2, 1, 9):
            x, y = (point + share * (nearest - point)).T
            crossed += (x0 < x) & (x < x1) & (y0 < y) & (y < y1)
    best = np.argmin(50 * crossed + 1000 * outside + 100 * covered + radii + 2 * left)
    return centres[best], (*low[best], *high[best])


def spread(places, gap, low, high):
    """Places moved as little as needed to lie at least `gap` apart and inside low..high, in the same order.

    Where they do not fit, they are as far apart as they can be.
    """
    places = np.asarray(places, np.float64)
    if len(places) < 2:
        return places.clip(low, high)
    gap = min(gap, (high - low) / (len(places) - 1))
    order = np.argsort(places, kind="stable")
    groups = []  # (mean of the places less what their order adds, how many): pooled while they overlap
    for rank, i in enumerate(order):
        groups.append([places[i] - gap * rank, 1])
        while len(groups) > 1 and groups[-2][0] >= groups[-1][0]:
            mean, count = groups.pop()
            before, others = groups[-1]
            groups[-1] = [(before * others + mean * count) / (others + count), others + count]
    shifts = np.concatenate([np.full(count, mean) for mean, count in groups])
    moved = np.empty(len(places))
    moved[order] = shifts.clip(low, high - gap * (len(places) - 1)) + gap * np.arange(len(places))
    return moved
