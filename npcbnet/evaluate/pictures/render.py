"""Rows of panels as a PNG file, with matplotlib where it is installed."""
import numpy as np

from npcbnet import pictures
from npcbnet.evaluate.pictures import plain, plotted
from npcbnet.evaluate.pictures.panel import floats


def write(path, rows, heights=None):
    """Draw rows of panels into one PNG file; heights: px of each row. Returns the path.

    A panel without a finite value is left out; a chart without any says so.
    """
    heights = heights or [300] * len(rows)
    kept = [(tuple(filter(_shows, row)), height) for row, height in zip(rows, heights)]
    kept = [(row, height) for row, height in kept if row]
    if not kept:
        return pictures.save(path, pictures.nothing("no figures to show"))
    drawn = plotted if pictures.has_matplotlib() else plain
    return pictures.save(path, drawn.chart([row for row, _ in kept], [height for _, height in kept]))


def _shows(panel):
    """Does a panel have a point to show?"""
    return panel is not None and any(np.isfinite(floats(series.x) + floats(series.y)).any() for series in panel.series)
