"""What the tests of both papers' pages share: hostile texts, a strict reader of HTML, a page written and read again."""
import json
from html.parser import HTMLParser

import numpy as np

from npcbnet import drawing
from npcbnet.evaluate.caenet import sections as caenet_sections
from npcbnet.evaluate.cbnet import sections as cbnet_sections
from npcbnet.evaluate.page import document
from npcbnet.evaluate.page.markup import Heading, Table
from npcbnet.evaluate.reading import facts_of
from npcbnet.report import clean

EVIL = ["<script>alert(1)</script>", "a|b\\|c", "one\ntwo\r\n| x |", "] (x) [y](http://z)", '"><img src=x onerror=a>',
        "`` ` ``", "&lt;b&gt;", "\u202egnp.exe\x00\x1b[31m", "# heading", "- item", "1. one", "--- | ---", "-->",
        "*a*_b_"]
VOID = {"meta", "img", "link", "br", "hr", "input"}


class Parsed(HTMLParser):
    """Elements of a page; every tag must be closed in order, and nothing may be fetched from elsewhere."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.seen, self.words, self.ids, self.links, self.images = [], [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.seen.append(tag)
        assert not [name for name in attrs if name.startswith("on") or name in ("style", "srcset", "background")]
        if tag not in VOID:
            self.open.append(tag)
        if "id" in attrs:
            self.ids.append(attrs["id"])
        if "href" in attrs:
            self.links.append(attrs["href"])
        if "src" in attrs:
            self.images.append(attrs)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        """All that a reader sees, in one line."""
        return " ".join(" ".join(self.words).split())


def edition_of(report):
    """The sections of the paper that a report is of."""
    return caenet_sections if facts_of(report).get("paper") == "caenet" else cbnet_sections


def written(tmp_path, report, pictures=None):
    """Write the page -> strict JSON, Markdown, parsed HTML."""
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")
    files = document.write(tmp_path / "out", report, edition_of(report), pictures)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["report.html", "report.json", "report.md"]
    texts = [path.read_text(encoding="utf-8") for path in files]
    parsed = Parsed(texts[2])
    assert "script" not in parsed.seen and "link" not in parsed.seen and "iframe" not in parsed.seen
    assert all(link.startswith("#") and link[1:] in parsed.ids for link in parsed.links)
    assert all(image["src"].startswith("data:image/png;base64,") and image["alt"] for image in parsed.images)
    assert len(set(parsed.ids)) == len(parsed.ids) and "url(" not in texts[2] and "@import" not in texts[2]
    check_tables(texts[1])
    return json.loads(texts[0], parse_constant=refuse), texts[1], parsed


def check_tables(markdown):
    """Every line of a table has as many cells as the line above it."""
    before = None
    for line in markdown.splitlines():
        count = line.replace("\\\\", "").replace("\\|", "").count("|") if line.startswith("|") else None
        assert before is None or count is None or count == before, line
        before = count


def picture(path):
    """A small PNG file."""
    path.write_bytes(drawing.png(np.arange(7 * 13 * 3, dtype=np.uint8).reshape(7, 13, 3)))
    return path


def table_of(report, key, dataset=None):
    """The first table of a section as dicts by heading."""
    blocks = document.blocks_of(clean(report), edition_of(report), {})
    start = next(i for i, block in enumerate(blocks) if isinstance(block, Heading) and block.anchor == key)
    table = next(block for block in blocks[start:] if isinstance(block, Table))
    return [dict(zip(table.heads, row)) for row in table.rows]
