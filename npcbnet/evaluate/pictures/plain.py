"""Panels drawn with Pillow alone, where matplotlib is not installed: the same marks and texts, plainer."""
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from npcbnet import pictures
from npcbnet.evaluate.pictures import labels
from npcbnet.evaluate.pictures.panel import axes_of, floats

_GREY, _DARK = (217, 217, 217), (110, 110, 110)
_LETTERS = str.maketrans({"µ": "u", "×": "x", "–": "-", "±": "+-", "→": "->", "…": "...", "é": "e", "²": "2",
                          "↓": "v"})
_MARKERS = {  # corners around (0, 0)
    "s": ((-1, -1), (1, -1), (1, 1), (-1, 1)), "D": ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
    "^": ((0, -1.2), (1.2, 1), (-1.2, 1)), "v": ((0, 1.2), (1.2, -1), (-1.2, -1)),
    "<": ((-1.2, 0), (1, -1.2), (1, 1.2)), ">": ((1.2, 0), (-1, -1.2), (-1, 1.2)),
    "P": ((-.4, -1.2), (.4, -1.2), (.4, -.4), (1.2, -.4), (1.2, .4), (.4, .4), (.4, 1.2), (-.4, 1.2), (-.4, .4),
          (-1.2, .4), (-1.2, -.4), (-.4, -.4)),
    "X": ((-1.2, -.6), (-.6, -1.2), (0, -.6), (.6, -1.2), (1.2, -.6), (.6, 0), (1.2, .6), (.6, 1.2), (0, .6),
          (-.6, 1.2), (-1.2, .6), (-.6, 0)),
    "*": tuple((r * np.sin(t), -r * np.cos(t)) for r, t in zip([1.5, .6] * 5, np.arange(10) * np.pi / 5)),
    "d": ((0, -1.4), (.8, 0), (0, 1.4), (-.8, 0)),
    **{name: tuple((1.2 * np.sin(2 * np.pi * i / n), -1.2 * np.cos(2 * np.pi * i / n)) for i in range(n))
       for name, n in (("p", 5), ("h", 6))},
    "o": tuple((1.1 * np.sin(t), -1.1 * np.cos(t)) for t in np.arange(16) * np.pi / 8),
}


def plain(text):
    """A text in the letters that Pillow's own font has."""
    return str(text).translate(_LETTERS).encode("ascii", "replace").decode()


def font(size=12):
    """Pillow's own font; old versions have one size alone."""
    try:
        return ImageFont.load_default(size)
    except TypeError:
        return ImageFont.load_default()


def with_text(pixels, texts):
    """Write texts [(string, x, y, ha, va)], x and y in px, on pixels (H, W, 3) uint8, as pictures.with_text does."""
    image = Image.fromarray(pixels)
    draw, places = ImageDraw.Draw(image), {"left": 0, "center": 0.5, "right": 1, "top": 0, "bottom": 1}
    for text, x, y, across, down in texts:
        text = "\n".join(map(plain, str(text).split("\n")))
        x0, y0, x1, y1 = draw.multiline_textbbox((0, 0), text, font=font(11))
        draw.multiline_text((x - places[across] * (x1 - x0), y - y0 - places[down] * (y1 - y0)), text, "black",
                            font=font(11), align=across if across in ("left", "right") else "center")
    return np.asarray(image)


def chart(rows, heights):
    """Rows of panels, each `heights` px high -> pixels (H, W, 3) uint8."""
    parts = []
    for row, height in zip(rows, heights):
        width = pictures.WIDTH // max(map(len, rows))
        sheets = [_Sheet(panel, width, height) for panel in row]
        for sheet in sheets:  # names on the left stand for the marks of all panels of a row
            sheet.end_at(min(other.box[3] for other in sheets))
        drawn = [sheet.pixels() for sheet in sheets]
        drawn.append(np.full((height, pictures.WIDTH - width * len(row), 3), 255, np.uint8))
        parts.append(np.hstack(drawn))
    return np.vstack(parts)


class _Sheet:
    """One panel; box: where its axes are, px."""

    def __init__(self, panel, width, height):
        self.image = Image.new("RGB", (width, height), "white")
        self.draw, self.font, self.panel = ImageDraw.Draw(self.image), font(), panel
        self.across, self.up = axes_of(panel)
        self.lines = [series for series in panel.series if series.legend and series.kind != "bars"]
        entries = [] if panel.end_labels or not panel.legend else [s for s in panel.series if s.legend]
        wide = max((self.size(text)[0] for text in self.up.texts), default=0)
        right = max((self.size(s.name)[0] for s in self.lines), default=0) + 44 if panel.end_labels else 14
        columns = max(1, (width - 20) // (60 + max((self.size(s.name)[0] for s in entries), default=1)))
        below = 40 + 18 * -(-len(entries) // columns) + 16 * len(panel.references) * panel.legend
        self.box = (wide + 14, 42, max(width - right, wide + 40), max(height - below, 60))
        self.legend = columns, entries

    def end_at(self, y):
        """Let the axes end at y px."""
        self.box = (*self.box[:3], y)

    def pixels(self):
        """Draw it: (H, W, 3) uint8."""
        self._frame()
        for series in self.panel.series:
            (self._bars if series.kind == "bars" else self._points)(series)
        self._texts(*self.legend)
        return np.asarray(self.image)

    def size(self, text):
        """Width and height of a text in px."""
        left, top, right, bottom = self.draw.textbbox((0, 0), plain(text), font=self.font)
        return right - left, max(bottom - top, 9)

    def text(self, x, y, text, place=(0, 0.5)):
        """A text whose point at the shares `place` of its size is (x, y)."""
        width, height = self.size(text)
        top = self.draw.textbbox((0, 0), plain(text), font=self.font)[1]
        self.draw.text((x - place[0] * width, y - place[1] * height - top), plain(text), "black", font=self.font)

    def places(self, xs, ys):
        """Values -> px (N, 2)."""
        x0, y0, x1, y1 = self.box
        return np.stack([x0 + self.across.share(xs) * (x1 - x0), y1 - self.up.share(ys) * (y1 - y0)], axis=1)

    def _frame(self):
        x0, y0, x1, y1 = self.box
        self.text(x0, 12, self.panel.title)
        self.text(x0 if not self.panel.places else 4, 30, self.panel.y_label)
        for tick, text in zip(self.across.ticks, self.across.texts):
            x = x0 + self.across.share([tick])[0] * (x1 - x0)
            self.draw.line((x, y0, x, y1), _GREY)
            self.text(x, y1 + 9, text, (0.5, 0.5))
        for tick, text in zip(self.up.ticks, self.up.texts):
            y = y1 - self.up.share([tick])[0] * (y1 - y0)
            if not self.panel.places:
                self.draw.line((x0, y, x1, y), _GREY)
            self.text(x0 - 6, y, text, (1, 0.5))
        self.draw.rectangle(self.box, outline="black")
        for side, value, _ in self.panel.references:
            if side == "x":
                x = x0 + self.across.share([value])[0] * (x1 - x0)
                self._dashed((x, y0), (x, y1), (8, 4), _DARK)
            else:
                y = y1 - self.up.share([value])[0] * (y1 - y0)
                self._dashed((x0, y), (x1, y), (8, 4), _DARK)

    def _dashed(self, start, end, dash, colour):
        start, end = np.asarray(start, np.float64), np.asarray(end, np.float64)
        length = np.hypot(*(end - start))
        on, off = (dash[0], sum(dash[1:])) if sum(dash[1:]) else (max(length, 1), 1)
        for begin in np.arange(0, max(length, 1e-9), on + off):
            ends = [start + (end - start) * min(at, length) / max(length, 1e-9) for at in (begin, begin + on)]
            self.draw.line([tuple(point) for point in ends], colour, 2)

    def _marker(self, x, y, look, size=4):
        if not look.marker:
            return
        corners = [(x + size * a, y + size * b) for a, b in _MARKERS.get(look.marker, _MARKERS["o"])]
        self.draw.polygon(corners, "white" if look.hollow else look.colour, look.colour)

    def _points(self, series):
        points = self.places(series.x, series.y)
        if series.kind == "step":
            points = labels.stepped(points)
        if series.kind != "points":
            for start, end in zip(points, points[1:]):
                if np.isfinite([start, end]).all():
                    self._dashed(start, end, series.look.dash, series.look.colour)
        if series.kind == "step":
            return
        for start, end in labels.error_bars(series, self.places):
            self.draw.line([tuple(start), tuple(end)], "black")
        known = points[np.isfinite(points).all(axis=1)]
        for x, y in known:
            self._marker(x, y, series.look)

    def _bars(self, series):
        left = series.left if series.left is not None else [0] * len(series.x)
        texts = [*series.labels, *[""] * len(series.x)]
        lows, highs = (self.places(xs, floats(series.y) + side * series.height / 2)
                       for xs, side in ((left, -1), (series.x, 1)))
        for (x0, ya), (x1, yb), text in zip(lows, highs, texts):
            if not np.isfinite([x0, x1, ya, yb]).all():
                continue
            box = [round(min(x0, x1)), round(min(ya, yb)), round(max(x0, x1)), round(max(ya, yb))]
            self.draw.rectangle(box, series.look.colour, "black")
            for x in range(box[0] + 4, box[2], 6) if series.look.hatch else ():
                lean = min(6, box[2] - x)
                self.draw.line((x, box[3], x + lean, box[1]), "black")
            self.text(box[2] + 5, (box[1] + box[3]) / 2, text)

    def _texts(self, columns, entries):
        """Labels beside points, names at the ends of lines, the legend."""
        x0, y0, x1, y1 = self.box
        labelled = [(point, text) for series in self.panel.series if series.kind != "bars"
                    for point, text in zip(self.places(series.x, series.y), series.labels)
                    if text and np.isfinite(point).all() and not self.panel.places]
        for series in self.panel.series if self.panel.places else ():
            ends = floats(series.x) + np.nan_to_num(floats(series.x_error or [0] * len(series.x)))
            for (x, y), text in zip(self.places(ends, series.y), series.labels if series.kind != "bars" else ()):
                if np.isfinite([x, y]).all():
                    self.text(x + 8, y, text)
        sizes = [np.add(self.size(text), (4, 2)) for _, text in labelled]
        obstacles = [box for series in self.panel.series for box in labels.obstacles(series, self.places)]
        centres = labels.beside([point for point, _ in labelled], sizes, np.array(self.box), obstacles)
        for (point, text), size, centre in zip(labelled, sizes, centres):
            nearest = np.clip(point, centre - size / 2, centre + size / 2)
            if np.hypot(*(nearest - point)) > 10:
                self.draw.line([tuple(point), tuple(nearest)], _DARK)
            self.text(*centre, text, (0.5, 0.5))
        if self.panel.end_labels:
            ends = [(series, points[-1]) for series in self.lines if series.kind == "line"
                    for points in [self.places(series.x, series.y)]
                    for points in [points[np.isfinite(points).all(axis=1)]] if len(points)]
            heights = labels.spread([point[1] for _, point in ends], 15, y0, y1)
            for (series, point), y in zip(ends, heights):
                self.draw.line([tuple(point), (x1 + 12, y)], _DARK)
                self._marker(x1 + 18, y, series.look)
                self.text(x1 + 30, y, series.name)
        self.text((x0 + x1) / 2, y1 + 26, self.panel.x_label, (0.5, 0.5))
        self._legend(columns, entries, y1 + 44)

    def _legend(self, columns, entries, top):
        for i, series in enumerate(entries):
            x = 10 + i % columns * ((self.image.width - 20) // columns)
            y = top + i // columns * 18
            if series.kind == "bars":
                self.draw.rectangle((x, y - 5, x + 34, y + 5), series.look.colour, "black")
                for hatch in range(x + 4, x + 34, 6) if series.look.hatch else ():
                    self.draw.line((hatch, y + 5, hatch + 5, y - 5), "black")
            elif series.kind != "points":
                self._dashed((x, y), (x + 34, y), series.look.dash, series.look.colour)
            if series.kind in ("points", "line"):
                self._marker(x + 17, y, series.look)
            self.text(x + 42, y, series.name)
        y = top + 18 * -(-len(entries) // columns)
        for i, (_, _, name) in enumerate(self.panel.references if self.panel.legend else ()):
            self._dashed((10, y + 16 * i), (44, y + 16 * i), (8, 4), _DARK)
            self.text(52, y + 16 * i, name)
