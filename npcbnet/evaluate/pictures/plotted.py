"""Panels drawn with matplotlib."""
import numpy as np

from npcbnet import pictures
from npcbnet.evaluate.pictures import labels
from npcbnet.evaluate.pictures.panel import axes_of, floats

_SMALL, _NORMAL = 8.5, 10  # points
_GREY = "0.85"


def chart(rows, heights):
    """Rows of panels, each `heights` px high -> pixels (H, W, 3) uint8."""
    with pictures.canvas(pictures.WIDTH, sum(heights), layout="constrained") as figure:
        figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)
        grid = figure.subplots(len(rows), max(map(len, rows)), height_ratios=heights, squeeze=False)
        drawn = []
        for row, beside in zip(rows, grid):
            for axes in beside[len(row):]:
                axes.set_axis_off()
            for panel, axes in zip(row, beside):
                drawn.append((panel, axes, axes_of(panel)))
                _panel(*drawn[-1], 3 if grid.shape[1] == 1 else 2)
        with pictures.missing_letters_as_boxes():
            if any(panel.end_labels for panel, _, _ in drawn):
                figure.canvas.draw()
                for panel, axes, spans in drawn:
                    _end_labels(panel, axes, spans)
            figure.canvas.draw()
            figure.set_layout_engine("none")  # labels inside move nothing
            for panel, axes, spans in drawn:
                _labels(panel, axes, spans)
        return pictures.pixels_of(figure)


def _panel(panel, axes, spans, columns):
    """Axes, grid, series, references and a legend of at most so many columns."""
    from matplotlib.transforms import ScaledTranslation
    _axis(axes.xaxis, spans[0], panel.x_log)
    _axis(axes.yaxis, spans[1], panel.y_log)
    axes.set_xlim(spans[0].low, spans[0].high)
    axes.set_ylim(spans[1].low, spans[1].high)
    axes.set_title(panel.title, fontsize=_NORMAL, fontweight="bold", loc="left", parse_math=False)
    axes.set_xlabel(panel.x_label, fontsize=_SMALL, labelpad=2, parse_math=False)
    axes.set_ylabel(panel.y_label, fontsize=_SMALL, labelpad=2, parse_math=False)
    axes.grid(True, color=_GREY, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=_SMALL, length=3)
    axes.spines[["top", "right"]].set_color(_GREY)
    if panel.places:
        axes.tick_params(axis="y", length=0)
        axes.grid(False, axis="y")
        for label, place in zip(axes.get_yticklabels(), panel.places):
            label.set_parse_math(False)
            label.set_fontweight("bold" if place[2] else "normal")
    for series in panel.series:
        _series(axes, series)
    for side, value, name in panel.references:
        (axes.axvline if side == "x" else axes.axhline)(value, color="0.35", linewidth=1.2, dashes=(6, 3), label=name,
                                                        zorder=1.5)
    handles = [(handle, label) for handle, label in zip(*axes.get_legend_handles_labels())
               if not panel.end_labels or label in [name for _, _, name in panel.references]]
    if panel.legend and handles:
        below = ScaledTranslation(0, -0.4 if panel.x_label else -0.24, axes.figure.dpi_scale_trans)
        legend = axes.legend(*zip(*handles), loc="upper left", bbox_to_anchor=(0, 0),
                             bbox_transform=axes.transAxes + below, ncols=min(len(handles), columns), fontsize=_SMALL,
                             frameon=False, handlelength=4, borderaxespad=0.2, columnspacing=1.4)
        for text in legend.get_texts():
            text.set_parse_math(False)


def _axis(side, span, log):
    """The ticks of one axis."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator
    (side.axes.set_xscale if side.axis_name == "x" else side.axes.set_yscale)("log" if log else "linear")
    side.set_major_locator(FixedLocator(span.ticks))
    side.set_minor_locator(NullLocator())
    side.set_major_formatter(FixedFormatter(span.texts))


def _series(axes, series):
    x, y, look = floats(series.x), floats(series.y), series.look
    name = series.name if series.legend else "_"
    if series.kind == "bars":
        left = floats(series.left) if series.left is not None else np.zeros(len(x))
        axes.barh(y, x - left, series.height, left, label=name, hatch=look.hatch, facecolor=look.colour,
                  edgecolor="black", linewidth=0.8)
    else:
        line = {"points": "none"}.get(series.kind, (0, (100, 0) if not look.dash[1] else look.dash))
        marker = "" if series.kind == "step" else look.marker
        (axes.step if series.kind == "step" else axes.plot)(
            x, y, color=look.colour, linestyle=line, linewidth=1.3, marker=marker, markersize=6, label=name,
            markerfacecolor="white" if look.hollow else look.colour, markeredgecolor=look.colour,
            **({"where": "post"} if series.kind == "step" else {}))
    errors = [floats(error) if error is not None else None for error in (series.x_error, series.y_error)]
    errors = [None if error is None else np.nan_to_num(error) for error in errors]
    if any(error is not None and error.any() for error in errors):
        axes.errorbar(x, y, xerr=errors[0], yerr=errors[1], fmt="none", ecolor=look.colour, elinewidth=0.9, capsize=2.5)


def _labels(panel, axes, spans):
    """Texts beside points, none on another; in rows, behind the ends of bars, dots and their error bars."""
    points, texts = [], []
    corner, size = axes.bbox.p0, axes.bbox.size

    def places(xs, ys):
        return corner + size * np.stack([spans[0].share(xs), spans[1].share(ys)], axis=1)

    for series in panel.series:
        errors = np.nan_to_num(floats(series.x_error or [0] * len(series.x)))
        if series.left is not None:  # a bar may go to the left
            errors = np.nan_to_num(np.maximum(floats(series.left) - floats(series.x), 0))
        for x, y, error, text, place in zip(floats(series.x), floats(series.y), errors, series.labels,
                                            places(series.x, series.y)):
            if text and np.isfinite(place).all():
                if panel.places:
                    axes.annotate(text, (x + error, y), (6, 0), textcoords="offset points", va="center",
                                  fontsize=_SMALL, parse_math=False)
                else:
                    points.append(place)
                    texts.append(axes.text(0, 0, text, transform=None, ha="center", va="center", fontsize=_SMALL,
                                           parse_math=False, zorder=5))
    if not points:
        return
    sizes = [(box.width + 4, box.height + 2) for box in (text.get_window_extent() for text in texts)]
    obstacles = [box for series in panel.series for box in labels.obstacles(series, places)]
    for side, value, _ in panel.references:
        ends = [[span.low, span.high] for span in spans]
        ends["xy".index(side)] = [value, value]
        obstacles += labels.along(*places(*ends))
    for point, text, size, centre in zip(points, texts, sizes,
                                         labels.beside(points, sizes, np.array(axes.bbox.extents), obstacles)):
        text.set_position(centre)
        nearest = np.clip(point, centre - np.array(size) / 2, centre + np.array(size) / 2)
        if np.hypot(*(nearest - point)) > 10:
            axes.annotate("", nearest, point, xycoords="figure pixels", textcoords="figure pixels",
                          arrowprops=dict(arrowstyle="-", color="0.45", linewidth=0.7, shrinkA=4, shrinkB=0))


def _end_labels(panel, axes, spans):
    """Each line's name right of the axes, at the height where it ends, moved apart where they would touch."""
    if not panel.end_labels:
        return
    ends = []
    for series in panel.series:
        points = np.array([spans[0].share(series.x), spans[1].share(series.y)]).T
        points = points[np.isfinite(points).all(axis=1)]
        if series.kind == "line" and series.legend and len(points):
            ends.append((series, points[-1]))
    if not ends:
        return
    gap = 15 / axes.bbox.height
    for (series, point), y in zip(ends, labels.spread([point[1] for _, point in ends], gap, 0, 1)):
        axes.plot([point[0], 1.03], [point[1], y], color="0.55", linewidth=0.6, transform=axes.transAxes, clip_on=False,
                  label="_")
        axes.plot([1.05], [y], color=series.look.colour, marker=series.look.marker, markersize=6, clip_on=False,
                  transform=axes.transAxes, label="_",
                  markerfacecolor="white" if series.look.hollow else series.look.colour)
        axes.text(1.08, y, series.name, transform=axes.transAxes, va="center", fontsize=_SMALL, parse_math=False)
