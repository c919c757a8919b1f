"""Whether every tag is closed where it should be, which strict "html" asks for."""

from collections import Counter
from dataclasses import dataclass
from typing import Final

from django_docraptor.preflight.reading import MAX_TAG_SHOWN, Reader

VOID: Final = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param"}
    | {"source", "track", "wbr"}
)
# Their end tags may be left out.
OPTIONAL: Final = frozenset(
    {"html", "head", "body", "p", "li", "dt", "dd", "option", "optgroup", "rt", "rp", "caption"}
    | {"colgroup", "thead", "tbody", "tfoot", "tr", "td", "th"}
)


@dataclass(frozen=True, slots=True)
class Misnested:
    """A tag that is not closed, or closed where it is not open."""

    line: int
    column: int
    tag: str
    wrong: str


def misnested(html: str) -> list[Misnested]:
    """Every tag that is not closed where it should be, in the order in which that shows."""
    parser = _NestingParser()
    parser.feed(html)
    parser.close()
    return [*parser.found, *(_unclosed(opened) for opened in parser.open if opened.is_required)]


@dataclass(frozen=True, slots=True)
class _Open:
    tag: str
    line: int
    column: int

    @property
    def is_required(self) -> bool:
        return self.tag not in OPTIONAL


class _NestingParser(Reader):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[_Open] = []
        #: How many of each are open: looking through the stack would take quadratic time.
        self.counts: Counter[str] = Counter()
        self.found: list[Misnested] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            line, offset = self.getpos()
            self.open.append(_Open(tag, line, offset + 1))
            self.counts[tag] += 1

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag that closes itself opens nothing."""

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self.counts[tag]:
            self._stray(tag)
            return
        while (opened := self._pop()).tag != tag:
            if opened.is_required:
                self.found.append(_unclosed(opened, before=f"</{tag[:MAX_TAG_SHOWN]}>"))

    def _stray(self, tag: str) -> None:
        if tag not in ("html", "body"):  # their start tags may be left out
            line, offset = self.getpos()
            wrong = f"</{tag[:MAX_TAG_SHOWN]}> closes no open <{tag[:MAX_TAG_SHOWN]}>"
            self.found.append(Misnested(line, offset + 1, tag, wrong))

    def _pop(self) -> _Open:
        opened = self.open.pop()
        self.counts[opened.tag] -= 1
        return opened


def _unclosed(opened: _Open, before: str = "the end") -> Misnested:
    wrong = f"<{opened.tag[:MAX_TAG_SHOWN]}> is not closed before {before}"
    return Misnested(opened.line, opened.column, opened.tag, wrong)
