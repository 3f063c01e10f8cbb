"""Pictures of the CBNet paper that are no charts: easy and hard images (Fig. 1), CBNet as blocks (Fig. 2)."""
import math
import re
import textwrap

import numpy as np

from npcbnet import drawing, pictures
from npcbnet.errors import ShapeError
from npcbnet.evaluate.pictures.sheets import stacked, with_text
from npcbnet.evaluate.reading import grouped, number, short

_MOST = 10  # blocks beside each other
_PITCH, _BLOCK, _TALLEST, _BAND = 84, 62, 90, 170  # px: of a block and its arrow, a block, its height, a row of blocks
_SIDE = 72  # px of an image


def easy_and_hard(rows, images, path):
    """Fig. 1: for each data set a row of easy images over a row of hard ones, titled with class and entropy (nats).

    images: uint8 (C, H, W) each, one a row of `rows`, in their order. Raises ShapeError where they are not as many.
    """
    if len(images) != len(rows):
        raise ShapeError(f"easy_and_hard: {len(rows)} rows but {len(images)} images; each row needs its own")
    sheets, texts = [], pictures.has_matplotlib()
    for dataset, group in grouped([{**row, "at": at} for at, row in enumerate(rows)], "dataset").items():
        for easy, kind in ((True, "easy"), (False, "hard")):
            chosen = [row for row in group if bool(row.get("easy")) == easy][:_MOST]
            if not chosen:
                continue
            tiles = drawing.tiles(np.stack([images[row["at"]] for row in chosen]), _SIDE)
            pixels, corners = drawing.montage(tiles, len(chosen), left=118, bands=[36 if texts else 4], gap=14)
            middle = tiles.shape[2] / 2
            marks = [(_title(row), x + middle, y - 2, "center", "bottom") for row, (x, y) in zip(chosen, corners)]
            label = "\n".join(textwrap.wrap(str(dataset), 16, max_lines=3, placeholder="…"))
            marks.append((f"{label}\n{kind}", 6, corners[0][1] + tiles.shape[1] / 2, "left", "center"))
            sheets.append(with_text(pixels, marks if texts else marks[-1:]))
    if not sheets:
        return pictures.save(path, pictures.nothing("no images to show"))
    return pictures.save(path, stacked(sheets))


def cbnet_blocks(rows, path):
    """Fig. 2: image -> converter -> converted image -> lightweight DNN -> label, a block a layer.

    A block is as high as the logarithm of its output's size; in it stand its multiply-adds, below it layer and size.
    """
    sheets = []
    for dataset, group in grouped(rows, "dataset").items():
        parts = grouped(group, "part")
        chain = [("image", None)]
        for i, (part, layers) in enumerate(parts.items()):
            chain += [(short(part), layer) for layer in layers]
            chain.append(("converted image" if i + 1 < len(parts) else "label", None))
        largest = max([_size(row) for row in group], default=1)
        lines = [chain[start:start + _MOST + 1] for start in range(0, len(chain), _MOST + 1)]
        sheets += [_blocks(line, largest, short(dataset) if i == 0 else "", i + 1 < len(lines))
                   for i, line in enumerate(lines)]
    return pictures.save(path, stacked(sheets) if sheets else pictures.nothing("no layers to show"))


def _title(row):
    """Class and entropy."""
    entropy = number(row, "entropy")
    name = textwrap.shorten(str(row.get("class_name") or row.get("label")), 13, placeholder="…")
    return name + ("" if entropy is None else f"\n{entropy:.2g}")


def _size(row):
    """How many numbers "5x30x30" or "784" stands for; 1 where the text has no number."""
    return math.prod(min(int(part), 10**6) or 1 for part in re.findall(r"\d{1,9}", str(row.get("size")))[:4])


def _short(count):
    """112500 -> "112 k"."""
    return f"{count / 1e6:.1f} M" if count >= 999_500 else f"{count / 1e3:.0f} k" if count >= 9_950 else \
        f"{count / 1e3:.1f} k" if count >= 1_000 else f"{count:.0f}"


def _blocks(line, largest, title, more):
    """One row of blocks with arrows between them -> pixels (H, W, 3)."""
    pixels = np.full((_BAND + (24 if title else 0), pictures.WIDTH, 3), 255, np.uint8)
    texts, middle, below = [(title, 8, 12, "left", "center")] if title else [], _TALLEST // 2 + 22, None
    middle += 24 if title else 0
    for i, (part, row) in enumerate(line):
        x = 34 + i * _PITCH
        share = 0.75 if row is None else math.log(1 + _size(row)) / math.log(1 + largest)
        half = max(int(_TALLEST * share / 2), 11)
        _box(pixels, x, middle - half, x + _BLOCK, middle + half, hatched=part == "converter" and row is not None,
             shade=255 if row is None else 235 if part == "converter" else 200)
        below = middle + _TALLEST // 2 + 6
        if row is None:
            texts.append((part.replace(" ", "\n"), x + _BLOCK / 2, middle, "center", "center"))
        else:
            name = "\n".join(textwrap.wrap(str(row.get("layer")), 11, max_lines=2, placeholder="…"))
            texts.append((f"{name}\n{textwrap.shorten(str(row.get('size') or ''), 12, placeholder='…')}",
                          x + _BLOCK / 2, below, "center", "top"))
            if number(row, "macs"):
                texts.append((_short(row["macs"]), x + _BLOCK / 2, middle, "center", "center"))
        if row is not None and (i == 0 or line[i - 1][0] != part):
            texts.append((part, x, middle - _TALLEST // 2 - 10, "left", "center"))
        if i + 1 < len(line) or more:
            _arrow(pixels, x + _BLOCK + 4, x + _PITCH - 4, middle)
    return with_text(pixels, texts)


def _box(pixels, x0, y0, x1, y1, hatched, shade):
    """A framed box; hatched but for a white band in its middle where a text may stand."""
    box = pixels[y0:y1, x0:x1]
    box[:] = shade
    if hatched:
        rows, columns = np.ogrid[y0:y1, x0:x1]
        box[((rows + columns) % 8 < 1) & (abs(rows - (y0 + y1) / 2) > 9)] = 130
    box[[0, -1]] = box[:, [0, -1]] = 0


def _arrow(pixels, x0, x1, y):
    """A horizontal arrow."""
    pixels[y - 1:y + 1, x0:x1] = 0
    for back in range(6):
        pixels[y - 1 - back // 2:y + 1 + back // 2, x1 - back - 1] = 0
