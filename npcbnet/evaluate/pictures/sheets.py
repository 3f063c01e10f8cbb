"""Pictures that are no charts: texts on pixels, one picture below another."""
import numpy as np

from npcbnet import pictures
from npcbnet.evaluate.pictures import plain


def with_text(pixels, texts):
    """Write texts [(string, x, y, ha, va)] on pixels, with matplotlib or without."""
    return (pictures if pictures.has_matplotlib() else plain).with_text(pixels, texts)


def stacked(sheets):
    """Pictures below each other, on white."""
    width = max(sheet.shape[1] for sheet in sheets)
    return np.vstack([np.pad(sheet, ((0, 0), (0, width - sheet.shape[1]), (0, 0)), constant_values=255)
                      for sheet in sheets])
