"""Parse HTML with the standard library: tables, relative URLs and malformed tags."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID_ELEMENTS = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source"}
    | {"track", "wbr"}
)
# Their content has elements of its own.
FOREIGN_ELEMENTS = frozenset({"svg", "math"})
OTHER_ELEMENTS = """
a abbr acronym address article aside audio b bdi bdo big blockquote body button canvas caption
center cite code colgroup data datalist dd del details dfn dialog dir div dl dt em fieldset
figcaption figure font footer form frame frameset h1 h2 h3 h4 h5 h6 head header hgroup html i
iframe ins kbd label legend li main map mark marquee menu meter nav noframes noscript object ol
optgroup option output p param picture pre progress q rp rt ruby s samp script search section
select slot small span strike strong style sub summary sup table tables tbody td template textarea
tfoot th thead time title tr tt u ul var video
"""
KNOWN_ELEMENTS = VOID_ELEMENTS | FOREIGN_ELEMENTS | frozenset(OTHER_ELEMENTS.split())
URL_ATTRIBUTES = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src"}
CSS_URL = re.compile(r"url\(\s*['\"]?\s*([^'\")\s]+)", re.IGNORECASE)
# Without a base URL, a protocol-relative URL names no scheme and so no server.
ABSOLUTE_URL = re.compile(r"[a-z][a-z0-9+.-]*:|#", re.IGNORECASE)

Attributes = Sequence[tuple[str, str | None]]


@dataclass(slots=True)
class Cell:
    """A cell of a table, `span` columns wide."""

    text: str = ""
    header: bool = False
    span: int = 1


@dataclass(slots=True)
class Table:
    """A table: its name attribute, if any, and its rows."""

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


class _UrlReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.urls: list[str] = []
        self.has_base = False
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        values = {name: value or "" for name, value in attrs}
        self._in_style = tag == "style"
        self.has_base = self.has_base or (tag == "base" and bool(values.get("href")))
        if tag in URL_ATTRIBUTES:
            self.urls.append(values.get(URL_ATTRIBUTES[tag], ""))
        self.urls += CSS_URL.findall(values.get("style", ""))

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.urls += CSS_URL.findall(data)


class _FaultReader(HTMLParser):
    """Find the first fault, in the words of libxml2, which DocRaptor quotes."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open_tags: list[str] = []
        self.fault = ""

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        self._check_tag(tag)
        if tag not in VOID_ELEMENTS:
            self.open_tags.append(tag)

    def handle_startendtag(self, tag: str, attrs: Attributes) -> None:
        self._check_tag(tag)

    def _check_tag(self, tag: str) -> None:
        is_foreign = not FOREIGN_ELEMENTS.isdisjoint(self.open_tags)
        # A custom element's name has a hyphen.
        if not (tag in KNOWN_ELEMENTS or "-" in tag or is_foreign):
            self.fault = self.fault or f"Tag {tag} invalid"

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID_ELEMENTS or self.fault:
            return
        if not self.open_tags:
            self.fault = f"Unexpected end tag : {tag}"
        elif (opened := self.open_tags.pop()) != tag:
            self.fault = f"Opening and ending tag mismatch: {opened} and {tag}"


def extract_tables(html: str) -> list[Table]:
    """Return the tables of the document, in order."""
    reader = _TableReader()
    reader.feed(html)
    reader.close()
    return reader.tables


def find_relative_urls(html: str) -> list[str]:
    """Return the relative URLs of resources, unless the document has a <base>."""
    reader = _UrlReader()
    reader.feed(html)
    reader.close()
    if reader.has_base:
        return []
    return [url for url in reader.urls if url and not _is_absolute(url)]


def _is_absolute(url: str) -> bool:
    return ABSOLUTE_URL.match(url.strip()) is not None


def first_fault(html: str) -> str:
    """Return the first unknown, misplaced or unclosed tag as a sentence, or an empty string."""
    reader = _FaultReader()
    reader.feed(html)
    reader.close()
    if reader.open_tags and not reader.fault:
        return f"Premature end of data in tag {reader.open_tags[-1]}"
    return reader.fault
