"""The pictures of a page, drawn into a folder."""
from pathlib import Path


def draw(figures, folder):
    """Draw what there are rows for -> {section: [(path, caption)]}, as page.document.write takes it.

    figures: (section, function of rows and a path, rows, file's name without .png, caption) each.
    """
    made = {}
    for section, function, rows, name, caption in figures:
        if rows:
            made.setdefault(section, []).append((function(rows, Path(folder, f"{name}.png")), caption))
    return made
