"""Pictures as pixels, drawn with NumPy and scikit-image alone: montages, plain charts, and the PNG they become.

Montages serve every picture of images; the charts serve where matplotlib is not installed, and have no text.
Pixels are uint8 (H, W, 3), RGB; positions are (x, y) in px from the top left corner.
"""
import struct
import zlib

import numpy as np

from npcbnet.errors import ShapeError

WIDTH = 1000  # px, of a page that shows pictures at 100 %
GAP = 6  # px of white between two tiles
BLACK, GREY, LIGHT, WHITE = (0, 0, 0), (128, 128, 128), (225, 225, 225), (255, 255, 255)
COLOURS = (BLACK, (200, 60, 30), (30, 90, 190), (40, 130, 60))
DASHES = ((1, 0), (7, 5), (2, 4), (12, 3))  # px on, px off


def tiles(images, side):
    """Images (N, C, H, W), uint8 or float 0..1 -> framed tiles (N, h, w, 3) uint8, the longer side about `side` px.

    Pixels are repeated or averaged a whole number of times, so that none is drawn wider than its neighbour. Channels
    that are neither one grey nor three colours are shown by their mean. Raises ShapeError for any other shape.
    """
    images = np.asarray(images)
    if images.ndim != 4 or 0 in images.shape[1:]:
        raise ShapeError(f"cannot draw images of shape {images.shape}; expected (N, C, H, W)")
    values = np.nan_to_num(images.astype(np.float64)) / (255 if images.dtype == np.uint8 else 1)
    if values.shape[1] not in (1, 3):
        values = values.mean(axis=1, keepdims=True)
    rows, columns = values.shape[2:]
    shrink = -(-max(rows, columns) // side)
    down, across = min(shrink, rows), min(shrink, columns)
    rows, columns = rows // down, columns // across
    values = values[:, :, :rows * down, :columns * across]
    values = values.reshape(*values.shape[:2], rows, down, columns, across).mean(axis=(3, 5))
    pixels = np.rint(255 * values.clip(0, 1)).astype(np.uint8).transpose(0, 2, 3, 1)
    grow = max(1, side // max(rows, columns))
    pixels = np.broadcast_to(pixels, (*pixels.shape[:3], 3)).repeat(grow, axis=1).repeat(grow, axis=2)
    return np.pad(pixels, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=GREY[0])


def montage(pictures, columns, *, left=0, bands=None, gap=GAP):
    """Tiles (N, h, w, 3) row by row on white -> pixels, and the tiles' top left corners [(x, y)].

    left: px of white at the left edge. bands: for each row, px of white above it. gap: px between two columns.
    """
    rows = -(-len(pictures) // columns)
    height, width = pictures.shape[1:3]
    bands = [0] * rows if bands is None else bands
    tops = [GAP + row * (height + GAP) + sum(bands[:row + 1]) for row in range(rows)]
    pixels = np.full((GAP + rows * (height + GAP) + sum(bands), left + gap + columns * (width + gap), 3), 255, np.uint8)
    corners = [(left + gap + i % columns * (width + gap), tops[i // columns]) for i in range(len(pictures))]
    for picture, (x, y) in zip(pictures, corners):
        pixels[y:y + height, x:x + width] = picture
    return pixels, corners


def frame(width, height, ticks_x=(), ticks_y=()):
    """An empty chart: white, a black frame, ticks and light grid lines at the given shares (0..1) of its sides."""
    pixels = np.full((height, width, 3), 255, np.uint8)
    for share in ticks_x:
        x, _ = _position(pixels, share, 0)
        pixels[GAP:-GAP, x], pixels[-GAP:, x] = LIGHT, BLACK
    for share in ticks_y:
        _, y = _position(pixels, 0, share)
        pixels[y, GAP:-GAP], pixels[y, :GAP] = LIGHT, BLACK
    for edge in (GAP, GAP + 1, -GAP - 1, -GAP - 2):
        pixels[edge, GAP:-GAP] = pixels[GAP:-GAP, edge] = BLACK
    return pixels


def _position(pixels, x, y):
    """Shares x, y (0..1 from the lower left) of a chart's inside -> px."""
    height, width = pixels.shape[:2]
    inside = 2 * GAP
    return (round(inside + x * (width - 1 - 2 * inside)), round(height - 1 - inside - y * (height - 1 - 2 * inside)))


def curve(pixels, x, y, style=0):
    """Draw a line through the points x, y (shares of the chart's sides), squares at some; NaN leaves a gap."""
    from skimage.draw import line
    colour, (on, off) = COLOURS[style % len(COLOURS)], DASHES[style % len(DASHES)]
    points = [_position(pixels, *point) if np.isfinite(point).all() else None for point in zip(x, y)]
    for start, end in zip(points, points[1:]):
        if start is not None and end is not None:
            rows, columns = line(start[1], start[0], end[1], end[0])
            drawn = np.arange(len(rows)) % (on + off) < on
            for shift in (0, 1):
                pixels[rows[drawn] + shift, columns[drawn]] = pixels[rows[drawn], columns[drawn] + shift] = colour
    for point in filter(None, points[::max(1, len(points) // 10)]):
        pixels[point[1] - 2:point[1] + 4, point[0] - 2:point[0] + 4] = colour


def histogram(pixels, shares, top, filled):
    """Draw bars of heights `shares` (0..top) from side to side: filled and hatched, or as a thick black outline."""
    edges = np.linspace(0, 1, len(shares) + 1)
    before = 0.0
    for start, end, share in zip(edges, edges[1:], shares):
        x0, y = _position(pixels, start, share / top)
        x1, bottom = _position(pixels, end, 0)
        if filled:
            bar = pixels[y:bottom + 1, x0:x1]
            bar[:] = LIGHT
            rows, columns = np.ogrid[y:bottom + 1, x0:x1]
            bar[(rows + columns) % 8 < 1] = GREY
            bar[:1] = bar[:, :1] = GREY
        else:
            last = _position(pixels, start, before / top)[1]
            pixels[min(y, last) - 1:max(y, last) + 2, x0 - 1:x0 + 2] = pixels[y - 1:y + 2, x0:x1 + 1] = BLACK
        before = share


def upright(pixels, x):
    """Draw a dashed vertical line at the share x of the chart's width."""
    column, _ = _position(pixels, x, 0)
    rows = np.arange(GAP, len(pixels) - GAP)
    pixels[rows[rows % 12 < 8], column - 1:column + 2] = COLOURS[1]


def limits(series, shares=False):
    """Lowest and highest finite value of {name: (epochs, values)}, a little apart; shares: they lie in 0..1."""
    values = np.concatenate([values[np.isfinite(values)] for _, values in series.values()] or [[0.0]])
    low, high = values.min(), values.max()
    margin = 0.06 * (high - low) or max(abs(high), 0.01) * 0.1
    low, high = low - margin, high + margin
    return (max(low, -0.02), min(high, 1.02)) if shares else (low, high)


def log_limits(series):
    """As `limits` for a logarithmic axis, or None where a value is not above 0."""
    logarithms = {}
    for name, (epochs, values) in series.items():
        if (values <= 0).any():
            return None
        logarithms[name] = epochs, np.log10(values)
    return limits(logarithms)


def losses_chart(stages):
    """[(stage, losses, metrics)], each {name: (epochs, values)} -> a column a stage, losses above metrics."""
    rows = 2 if any(metrics for _, _, metrics in stages) else 1
    columns = []
    for _, losses, metrics in stages:
        charts = []
        for series, span in ((losses, log_limits(losses)), (metrics, None))[:rows]:
            chart = frame(min(WIDTH // len(stages), 400), 200, (), (0, .25, .5, .75, 1))
            last = max((epochs[-1] for epochs, _ in series.values()), default=1)
            low, high = span or limits(series, series is metrics)
            for style, (epochs, values) in enumerate(series.values()):
                heights = np.log10(values) if span else values
                curve(chart, (epochs - 1) / (last - 1) if last > 1 else [0.5], (heights - low) / (high - low), style)
            charts.append(chart)
        columns.append(np.vstack(charts))
    return np.hstack(columns)


def exits_chart(bars, edges, threshold, clipped):
    """Bars without text: original images hatched, converted images outlined, the threshold dashed."""
    low, high = np.log10(edges[[0, -1]])
    decades = np.arange(np.ceil(low), np.floor(high) + 1)
    top = 1.05 * max(shares.max() for _, shares, _ in bars) or 1
    chart = frame(WIDTH, 420, (decades - low) / (high - low), np.arange(0, top, 0.01 if top < 0.15 else 0.1) / top)
    for name, shares, _ in bars:
        histogram(chart, shares, top, filled=name.startswith("original"))
    upright(chart, np.clip((np.log10(max(threshold, edges[0])) - low) / (high - low), 0, 1))
    return chart


def png(pixels):
    """Pixels (H, W, 3) uint8 -> the bytes of a PNG file (ISO/IEC 15948: 8 bits, RGB, no filter, no interlace)."""
    height, width = pixels.shape[:2]
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # a row begins with its filter type, 0
    rows[:, 1:] = pixels.reshape(height, 3 * width)

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows.tobytes(), 9))
            + chunk(b"IEND", b""))
