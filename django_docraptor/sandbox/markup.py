"""What the sandbox asks of HTML: its tables, its relative resources, whether its tags match.

Reads HTML with the standard library; fetches and renders nothing.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source"}
    | {"track", "wbr"}
)
RESOURCES = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src"}
CSS_URL = re.compile(r"url\(\s*['\"]?\s*([^'\")\s]+)", re.IGNORECASE)
ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*:|//|#", re.IGNORECASE)

Attributes = Sequence[tuple[str, str | None]]


@dataclass(slots=True)
class Cell:
    """One cell of a table; `span` columns wide."""

    text: str = ""
    header: bool = False
    span: int = 1


@dataclass(slots=True)
class Table:
    """One table: its name attribute, if any, and its rows."""

    name: str = ""
    rows: list[list[Cell]] = field(default_factory=list)


class _TableReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: list[Table] = []
        self._cell: Cell | None = None

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        if tag == "table":
            self.tables.append(Table(name=dict(attrs).get("name") or ""))
        elif tag == "tr" and self.tables:
            self.tables[-1].rows.append([])
        elif tag in {"td", "th"} and self.tables and self.tables[-1].rows:
            span = dict(attrs).get("colspan") or ""
            self._cell = Cell(header=tag == "th", span=int(span) if span.isdecimal() else 1)
            self.tables[-1].rows[-1].append(self._cell)
        elif tag == "br":
            self.handle_data("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in {"td", "th", "tr", "table"}:
            self._cell = None

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.text += data


class _ResourceReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.urls: list[str] = []
        self.has_base = False
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        values = {name: value or "" for name, value in attrs}
        self._in_style = tag == "style"
        self.has_base = self.has_base or (tag == "base" and bool(values.get("href")))
        if tag in RESOURCES:
            self.urls.append(values.get(RESOURCES[tag], ""))
        self.urls += CSS_URL.findall(values.get("style", ""))

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.urls += CSS_URL.findall(data)


class _BalanceReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.wrong = ""

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Attributes) -> None:
        """A tag that closes itself opens nothing."""

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID or self.wrong:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong = tag


def tables(html: str) -> list[Table]:
    """Return the tables of the document, in order, rows of cells."""
    reader = _TableReader()
    reader.feed(html)
    reader.close()
    return reader.tables


def relative_resources(html: str) -> list[str]:
    """Return the resources with relative URLs, unless the document has a <base>."""
    reader = _ResourceReader()
    reader.feed(html)
    reader.close()
    return [] if reader.has_base else [url for url in reader.urls if url and not _absolute(url)]


def _absolute(url: str) -> bool:
    return ABSOLUTE.match(url.strip()) is not None


def unbalanced_tags(html: str) -> str:
    """Return the first tag that is not closed where it should be, or an empty string."""
    reader = _BalanceReader()
    reader.feed(html)
    reader.close()
    return reader.wrong or (reader.open[-1] if reader.open else "")
