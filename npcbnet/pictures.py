"""PNG pictures of a run: what conversion does to images, how the losses fell, who leaves early.

matplotlib (the `plot` extra) draws them where it is installed; npcbnet.drawing does, without text, where it is not.
Every function writes one PNG file atomically and returns its path. Shades, dashes, hatches and markers tell things
apart on a black-and-white print. A run with nothing to show (no image was hard) gets a small picture that says so.
"""
import textwrap
import warnings
from contextlib import contextmanager
from itertools import cycle

import numpy as np

from npcbnet import drawing
from npcbnet.errors import ShapeError
from npcbnet.files import atomic_write

WIDTH = drawing.WIDTH
MOST_COLUMNS = 12
_DPI, _SMALL, _NORMAL = 100, 8.5, 10  # px an inch; font sizes in points
_LINE, _LEFT = 16, 80  # px: a title's line, the room for labels on the left
_SIDE = 112  # px, the longest side of an image
_FLOOR = 1e-8  # nats; smaller entropies fall into the histogram's first bar, which says so
_BINS = 50


def conversion_strips(path, images, converted, prototypes, titles):
    """Columns of image -> converted image -> target, for the first 12 images.

    images (N, C, H, W) uint8; converted (N, C, H, W) float 0..1; prototypes (N, C, H, W) float 0..1, each image's
    target, or None; titles: N short strings. Raises ShapeError where these are not equally many.
    """
    rows = [("hard image", images), ("converted", converted)]
    if prototypes is not None:
        rows.append(("target", prototypes))
    columns = min(len(images), MOST_COLUMNS)
    if any(len(row) != len(images) for _, row in rows) or len(titles) != len(images):
        raise ShapeError(f"conversion_strips: {[len(row) for _, row in rows]} images in the rows and {len(titles)} "
                         "titles; all must be equally many")
    stacked = [row[:columns] for _, row in rows]
    titles = [*titles[:columns], *[""] * (columns * (len(rows) - 1))]
    return save(path, sheet(stacked, columns, titles, [label for label, _ in rows]))


def image_grid(path, images, titles=None, columns=10):
    """Images (N, C, H, W), uint8 or float 0..1, row by row, `columns` a row, each under its title."""
    if titles is not None and len(titles) != len(images):
        raise ShapeError(f"image_grid: {len(images)} images but {len(titles)} titles")
    return save(path, sheet([images], max(1, min(columns, len(images))), titles))


def loss_curves(path, histories):
    """For each stage of training its losses over the epochs, and below them what was measured on validation data.

    histories: {stage: [{"epoch": 1, "loss": 0.5, NAME: VALUE, ...}, ...]}. A NAME with "loss" in it joins the losses;
    others are drawn if all of their values lie in 0..1. None and NaN leave gaps.
    """
    stages = [(stage, *_series(history)) for stage, history in histories.items() if history]
    if not stages:
        return save(path, nothing("no training to show"))
    return save(path, _plot_losses(stages) if has_matplotlib() else drawing.losses_chart(stages))


def exit_histogram(path, before, after, threshold):
    """How many images leave at the early exit, before conversion and after: those whose entropy is below the threshold.

    before (N,), and after (N,) or None: entropies in nats at the early exit, of the original and of the converted
    images; threshold in nats. NaN never leaves.
    """
    sets = [("original images", np.asarray(before, np.float64)), ("converted images", after)]
    sets = [(name, np.asarray(values, np.float64)) for name, values in sets if values is not None and len(values)]
    if not sets:
        return save(path, nothing("no images to show"))
    values = np.concatenate([values for _, values in sets])
    values = values[np.isfinite(values)].clip(_FLOOR)
    low = 10 ** np.floor(np.log10(values.min(initial=max(threshold, _FLOOR))))
    high = max(values.max(initial=low), 1.25 * threshold, 10 * low)
    edges = np.geomspace(low, high, _BINS + 1)
    edges[[0, -1]] = low, high  # exactly, whatever geomspace rounds to
    bars = [(name, np.histogram(entropy.clip(low, None), edges)[0] / len(entropy), float(np.mean(entropy < threshold)))
            for name, entropy in sets]
    clipped = any((entropy < low).any() for _, entropy in sets)
    plot = _plot_exits if has_matplotlib() else drawing.exits_chart
    return save(path, plot(bars, edges, threshold, clipped))


def save(path, pixels):
    """Write pixels (H, W, 3) uint8 as a PNG file, atomically; return its path."""
    with atomic_write(path) as file:
        file.write(drawing.png(pixels))
    return path


def has_matplotlib():
    """Is matplotlib installed, and does it load?"""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        return False
    return True


@contextmanager
def canvas(width, height, **options):
    """A white matplotlib figure of so many px, in matplotlib's own style whatever the user's is."""
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    with style.context("default"):
        figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor="white", **options)
        FigureCanvasAgg(figure)
        yield figure


@contextmanager
def missing_letters_as_boxes():
    """No warning for each class name that the font cannot write."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        yield


def pixels_of(figure):
    """Draw the figure -> (H, W, 3) uint8."""
    with missing_letters_as_boxes():
        figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


def nothing(text):
    """A small framed picture with `text` in it."""
    return with_text(drawing.frame(300, 60), [(text, 150, 30, "center", "center")])


def with_text(pixels, texts):
    """Write texts [(string, x, y, ha, va)], x and y in px, on pixels (H, W, 3); without matplotlib write nothing."""
    if not texts or not has_matplotlib():
        return pixels
    height, width = pixels.shape[:2]
    with canvas(width, height) as figure:
        figure.figimage(pixels)
        for text, x, y, ha, va in texts:
            figure.text(x / width, 1 - y / height, text, ha=ha, va=va, fontsize=_SMALL, linespacing=1.1,
                        parse_math=False)
        return pixels_of(figure)


def sheet(stacks, columns, titles=None, labels=None):
    """A montage of all images of `stacks`, in rows of `columns`: a title above each image, a label left of each row."""
    if not len(stacks[0]):
        return nothing("no images to show")
    left = _LEFT if labels and has_matplotlib() else 0
    pitch = (WIDTH - left) // columns
    pictures = np.concatenate([drawing.tiles(stack, min(_SIDE, pitch - drawing.GAP)) for stack in stacks])
    if not titles or not has_matplotlib():
        titles, bands, gap = [], None, drawing.GAP
    else:
        gap = min(max(drawing.GAP, pitch - pictures.shape[2]), 4 * drawing.GAP)
        titles = [_wrapped(str(title), pictures.shape[2] + gap - 3) for title in titles]
        bands = [_LINE * max(map(len, titles[start:start + columns])) for start in range(0, len(titles), columns)]
    pixels, corners = drawing.montage(pictures, columns, left=left, bands=bands, gap=gap)
    middle = pictures.shape[2] / 2
    texts = [("\n".join(title), x + middle, y - 2, "center", "bottom") for title, (x, y) in zip(titles, corners)]
    texts += [(label, left - 2, y + pictures.shape[1] / 2, "right", "center")
              for label, (_, y) in zip(labels or (), corners[::columns])]
    return with_text(pixels, texts)


def _wrapped(title, width):
    """The title's lines, at most four, none wider than `width` px."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path
    font = FontProperties(family="DejaVu Sans", size=_SMALL * _DPI / 72)
    with missing_letters_as_boxes():
        for letters in range(max(2, min(len(title), 60)), 1, -1):
            lines = textwrap.wrap(title, letters, max_lines=4, placeholder="…")
            if all(text_to_path.get_text_width_height_descent(line, font, False)[0] <= width for line in lines):
                break
    return lines


def _series(history):
    """One stage's history -> losses {name: (epochs, values)} and metrics, likewise, all float arrays."""
    epochs = np.array([entry.get("epoch", i) for i, entry in enumerate(history, 1)], np.float64)
    names = dict.fromkeys(name for entry in history for name in entry if name != "epoch")
    losses, metrics = {}, {}
    for name in names:
        found = [entry.get(name) for entry in history]
        if any(isinstance(value, (str, bool, list, tuple, dict)) for value in found):
            continue
        values = np.array([np.nan if value is None else value for value in found], np.float64)
        known = values[np.isfinite(values)]
        if "loss" in name and len(known):
            losses[name] = epochs, values
        elif len(known) and 0 <= known.min() and known.max() <= 1:
            metrics[name] = epochs, values
    return losses, metrics


def _plot_losses(stages):
    """The panels of loss_curves, at most four stages side by side; no row of metrics where there are none."""
    columns = -(-len(stages) // -(-len(stages) // 4))
    rows = []  # of panels: (their part of a stage, the stages)
    for start in range(0, len(stages), columns):
        beside = stages[start:start + columns]
        rows += [(1, beside), (2, beside)] if any(stage[2] for stage in beside) else [(1, beside)]
    with canvas({1: 560, 2: 860}.get(columns, WIDTH), 240 * len(rows), layout="constrained") as figure:
        panels = figure.subplots(len(rows), columns, squeeze=False)
        for axes in panels.flat:
            axes.set_axis_off()
        for (part, beside), panels_beside in zip(rows, panels):
            for stage, axes in zip(beside, panels_beside):
                if part == 1:
                    axes.set_title(stage[0], fontsize=_NORMAL, fontweight="bold", parse_math=False)
                if stage[part]:
                    _plot_series(axes, stage[part], shares=part == 2)
        return pixels_of(figure)


def _plot_series(axes, series, shares):
    """Curves {name: (epochs, values)} with markers and dashes of their own; shares: values in 0..1, not losses."""
    from matplotlib.ticker import MaxNLocator, PercentFormatter
    axes.set_axis_on()
    styles = cycle((("-", "o", "black"), ("--", "s", "C3"), (":", "^", "C0"), ("-.", "D", "C2")))
    for (name, (epochs, values)), (dash, marker, colour) in zip(series.items(), styles):
        axes.plot(epochs, values, dash, marker=marker, color=colour, markersize=4, linewidth=1.3,
                  markevery=max(1, len(epochs) // 10), label=name.replace("_", " "))
    last = max(epochs[-1] for epochs, _ in series.values())
    axes.set_xlim((0.5, 1.5) if last <= 1 else (1 - 0.04 * (last - 1), last + 0.04 * (last - 1)))
    axes.set_xticks([tick for tick in MaxNLocator(5, integer=True).tick_values(1, last) if 1 <= tick <= last])
    axes.grid(True, color="0.85", linewidth=0.6)
    axes.tick_params(labelsize=_SMALL)
    axes.set_xlabel("epoch", fontsize=_SMALL, labelpad=1)
    log_limits = None if shares else drawing.log_limits(series)
    if log_limits:
        _log_axis(axes, *log_limits)
    else:
        low, high = drawing.limits(series, shares)
        ticks = MaxNLocator(5).tick_values(low, high)
        axes.set_yticks([tick for tick in ticks if low <= tick <= (min(high, 1) if shares else high)])
        axes.set_ylim(low, high)
    if shares:
        axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    if len(series) == 1:
        axes.set_ylabel(next(iter(series)).replace("_", " "), fontsize=_SMALL)
    else:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), fontsize=_SMALL, frameon=False, handlelength=3.5)


def _log_axis(axes, low, high):
    """A logarithmic y axis from 10**low to 10**high with at least two plain numbers on it."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
    low, high = 10.0 ** low, 10.0 ** high
    for steps in ((1,), (1, 2, 5)):
        decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.log10(high))
        ticks = [tick for tick in np.outer(decades, steps).ravel() if low <= tick <= high]
        if len(ticks) >= 2:
            break
    else:
        ticks = [tick for tick in MaxNLocator(4).tick_values(low, high) if low <= tick <= high]
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))


def _plot_exits(bars, edges, threshold, clipped):
    """The bars of exit_histogram with axes and legend."""
    from matplotlib.ticker import PercentFormatter
    with canvas(WIDTH, 420, layout="constrained") as figure:
        axes = figure.subplots()
        for name, shares, below in bars:
            look = (dict(fill=True, facecolor="0.88", edgecolor="0.45", hatch="///", linewidth=0.8)
                    if name.startswith("original") else dict(color="black", linewidth=2))
            axes.stairs(shares, edges, label=f"{name}: {100 * below:.2f} % below T", **look)
        axes.axvline(max(threshold, edges[0]), color="C3", linestyle="--", linewidth=2,
                     label=f"threshold T = {threshold:.3g} nats")
        axes.set_xscale("log")
        axes.set_xlim(edges[0], edges[-1])
        note = "; the first bar holds all below 10⁻⁸" if clipped else ""
        axes.set_xlabel(f"entropy at the early exit, nats{note}", fontsize=_NORMAL)
        axes.set_ylabel("share of the images", fontsize=_NORMAL)
        axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
        axes.tick_params(labelsize=_NORMAL)
        axes.grid(True, axis="y", color="0.85", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncol=3, fontsize=_NORMAL, frameon=False)
        return pixels_of(figure)
