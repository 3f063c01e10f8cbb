"""A page as blocks, and the two texts they become: Markdown, and HTML that needs no other file.

Blocks: Heading, Text, Caution, Code, Items, Table, Picture. All text is plain: what Markdown or HTML would read as
markup is escaped here, once.
"""
import base64
import html
import os
import re
import struct
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from urllib.parse import quote

from npcbnet.errors import UsageError


@dataclass(frozen=True)
class Heading:
    """A heading of level 1 (the page), 2 (a section, in the table of contents) or 3; anchor: a word, for links."""

    text: str
    level: int
    anchor: str = ""


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Caution:
    """A paragraph that must not be missed."""

    text: str


@dataclass(frozen=True)
class Code:
    """A command."""

    text: str


@dataclass(frozen=True)
class Items:
    """A list of [(term or "", text)]."""

    entries: tuple


@dataclass(frozen=True)
class Table:
    """Cells as texts; numeric: which columns hold numbers; strong: which rows are sums."""

    heads: tuple
    numeric: tuple
    rows: tuple
    strong: tuple = ()


@dataclass(frozen=True)
class Picture:
    """A PNG file and what it shows."""

    path: Path
    caption: str


def markdown(blocks, out):
    """The Markdown text, its pictures linked from the folder `out`."""
    parts = []
    for block in blocks:
        if isinstance(block, Heading):
            parts.append(f"{'#' * block.level} {_md(block.text)}")
        elif isinstance(block, Caution):
            parts.append(f"> **Warning**: {_md(block.text)}")
        elif isinstance(block, Text):
            parts.append(_md(block.text))
        elif isinstance(block, Code):
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", block.text)), default=0))
            parts.append(f"{fence}\n{_shown(block.text)}\n{fence}")
        elif isinstance(block, Items):
            parts.append("\n".join(f"- **{_md(term)}**: {_md(text)}" if term else f"- {_md(text)}"
                                   for term, text in block.entries))
        elif isinstance(block, Table):
            parts.append(_md_table(block))
        else:
            link = quote(os.fsencode(Path(os.path.relpath(block.path, out)).as_posix()))
            parts.append(f"![{_md(block.caption)}]({link})\n\n*{_md(block.caption)}*")
    return "\n\n".join(parts) + "\n"


def _md_table(table):
    lines = [table.heads, tuple("---:" if numeric else "---" for numeric in table.numeric)]
    lines = ["| " + " | ".join(cells) + " |" for cells in (tuple(map(_md, lines[0])), lines[1])]
    for row, strong in zip(table.rows, table.strong or [False] * len(table.rows)):
        cells = [f"**{_md(cell)}**" if strong and cell.strip() else _md(cell) for cell in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def page(blocks, title, language="en"):
    """The HTML text: pictures inside, no scripts, nothing from elsewhere, a table of contents."""
    contents = [block for block in blocks if isinstance(block, Heading) and block.level == 2 and block.anchor]
    links = "".join(f'<li><a href="#{_ht(block.anchor)}">{_ht(block.text)}</a></li>\n' for block in contents)
    body, told = [], False
    for block in blocks:
        if links and not told and isinstance(block, Heading) and block.level == 2:
            body.append(f'<nav aria-label="Contents">\n<h2>Contents</h2>\n<ol>\n{links}</ol>\n</nav>')
            told = True
        body.append(_html_of(block))
    style = resources.files("npcbnet.evaluate.page").joinpath("page.css").read_text(encoding="utf-8")
    return (f'<!DOCTYPE html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n'
            f"<title>{_ht(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
            + "\n".join(body) + "\n</main>\n</body>\n</html>\n")


def _html_of(block):
    """One block."""
    if isinstance(block, Heading):
        anchor = f' id="{_ht(block.anchor)}"' if block.anchor else ""
        return f"<h{block.level}{anchor}>{_ht(block.text)}</h{block.level}>"
    if isinstance(block, Caution):
        return f'<p class="warning" role="note"><strong>Warning</strong>: {_ht(block.text)}</p>'
    if isinstance(block, Text):
        return f"<p>{_ht(block.text)}</p>"
    if isinstance(block, Code):
        return f"<pre><code>{_ht(block.text)}</code></pre>"
    if isinstance(block, Items):
        entries = (f"<li><b>{_ht(term)}</b>: {_ht(text)}</li>" if term else f"<li>{_ht(text)}</li>"
                   for term, text in block.entries)
        return "<ul>\n" + "\n".join(entries) + "\n</ul>"
    if isinstance(block, Table):
        return _html_table(block)
    data, width, height = _png(block.path)
    return (f'<figure>\n<img src="data:image/png;base64,{data}" width="{width}" height="{height}" '
            f'alt="{_ht(block.caption)}">\n<figcaption>{_ht(block.caption)}</figcaption>\n</figure>')


def _html_table(table):
    longest = [max((len(cell) for cell in column), default=0) for column in zip(*table.rows)] or [0] * len(table.heads)
    kinds = [' class="number"' if numeric else ' class="words"' if length > 40 else ""
             for numeric, length in zip(table.numeric, longest)]
    head = "".join(f'<th scope="col"{kind}>{_ht(text)}</th>' for kind, text in zip(kinds, table.heads))
    rows = []
    for row, strong in zip(table.rows, table.strong or [False] * len(table.rows)):
        cells = "".join(f"<td{kind}>{_ht(cell)}</td>" for kind, cell in zip(kinds, row))
        rows.append(f'<tr class="sum">{cells}</tr>' if strong else f"<tr>{cells}</tr>")
    kind = "table long" if len(rows) > 30 else "table"
    return (f'<div class="{kind}" role="region" aria-label="table" tabindex="0">\n<table>\n'
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody>\n</table>\n</div>")


def _png(path):
    """A PNG file as base64 text, its width and its height in px."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the picture {path}: {error.strerror or error}; draw it again") from error
    if data[:8] != b"\x89PNG\r\n\x1a\n" or len(data) < 24:
        raise UsageError(f"{path} is no PNG picture; draw it again")
    return base64.b64encode(data).decode("ascii"), *struct.unpack(">II", data[16:24])


def _shown(text):
    """The text without control characters, in one line."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in str(text)).split())


def _ht(text):
    """Text that cannot leave its element or attribute in HTML."""
    return html.escape(_shown(text))


def _md(text):
    """Text that Markdown shows as it is, in a paragraph, a list or a table's cell."""
    text = re.sub(r"([\\`*_\[\]#|~])", r"\\\1", _shown(text).replace("&", "&amp;").replace("<", "&lt;"))
    text = re.sub(r"^([-+](?!\d)|[=>])", r"\\\1", text)  # the marks of a list, a heading, a quotation
    return re.sub(r"^(\d+)([.)])(?!\d)", r"\1\\\2", text)
