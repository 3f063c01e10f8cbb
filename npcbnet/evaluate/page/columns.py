"""What a page is made of: sections with their columns, and those that both papers' pages have."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A column: the rows' key, its heading ({unit} becomes ms or µs), how its values are written, and a note."""

    key: str
    heading: str
    form: str = "text"  # text | name | whole | percent | time | seconds | number | printed | times | kilobytes | truth
    note: str = ""


@dataclass(frozen=True)
class Section:
    """A section: the report's key, its title, one explaining text, its columns; a table a data set if `split`."""

    key: str
    title: str
    text: str
    columns: tuple
    split: bool = True
    source: str = ""  # the report's key, where the section has another name
    shown: object = None  # a function that makes the rows that are shown of the report's

    def rows(self, report):
        """The rows that its table shows."""
        rows = [row for row in report.get(self.source or self.key) or () if isinstance(row, dict)]
        return self.shown(rows) if self.shown else rows


MODEL = Column("model", "model", "name")
LATENCY = Column("latency_ms", "time, {unit}", "time", "time of one image alone (batch 1), with the exits it takes")
P95 = Column("latency_p95_ms", "95 %, {unit}", "time", "95 of 100 calls take no longer")
ACCURACY = Column("accuracy", "accuracy, %", "percent", "of all test images")
PAPER_ACCURACY = Column("paper_accuracy", "paper: accuracy, %", "percent")
MACS = Column("macs", "multiply-adds", "whole", "of one image; where images leave early, the mean over the test set")
EXITS = Column("exit_rate", "early exits, %", "percent", "images that leave at the early exit, entropy below T; "
                "of a CBNet's after conversion")

CLAIMS = Section("claims", "What holds", (
    "The paper's claims, and whether they hold in a runtime in which every model is fast."), (
    Column("claim", "claim"), Column("paper", "in the paper"), Column("ours", "here"), Column("holds", "holds"),
    Column("why", "why")), split=False)
