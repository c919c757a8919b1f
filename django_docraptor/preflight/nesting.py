"""Internal. Check that tags are nested correctly, as required by strict "html"."""

from collections import Counter
from dataclasses import dataclass
from typing import Final

from django_docraptor.preflight.parser import MAX_TAG_NAME_LENGTH, TolerantParser

VOID: Final = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param"}
    | {"source", "track", "wbr"}
)
# Elements with optional end tags.
OPTIONAL: Final = frozenset(
    {"html", "head", "body", "p", "li", "dt", "dd", "option", "optgroup", "rt", "rp", "caption"}
    | {"colgroup", "thead", "tbody", "tfoot", "tr", "td", "th"}
)


@dataclass(frozen=True, slots=True)
class MisnestedTag:
    """A tag that is not closed, or closed where it is not open."""

    line: int
    column: int
    name: str
    message: str


def find_misnested_tags(html: str) -> list[MisnestedTag]:
    """Return every misnested tag, in the order of detection."""
    parser = _NestingParser()
    parser.feed(html)
    parser.close()
    return [*parser.misnested, *(_unclosed_tag(tag) for tag in parser.open if tag.is_required)]


@dataclass(frozen=True, slots=True)
class _OpenTag:
    name: str
    line: int
    column: int

    @property
    def is_required(self) -> bool:
        return self.name not in OPTIONAL


class _NestingParser(TolerantParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[_OpenTag] = []
        #: Number of open tags by name; searching the stack would take quadratic time.
        self.counts: Counter[str] = Counter()
        self.misnested: list[MisnestedTag] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            line, offset = self.getpos()
            self.open.append(_OpenTag(tag, line, offset + 1))
            self.counts[tag] += 1

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Ignore self-closing tags."""

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self.counts[tag]:
            self._report_stray(tag)
            return
        while (open_tag := self._pop()).name != tag:
            if open_tag.is_required:
                end_tag = f"</{tag[:MAX_TAG_NAME_LENGTH]}>"
                self.misnested.append(_unclosed_tag(open_tag, before=end_tag))

    def _report_stray(self, tag: str) -> None:
        if tag not in ("html", "body"):  # elements with optional start tags
            line, offset = self.getpos()
            name = tag[:MAX_TAG_NAME_LENGTH]
            message = f"</{name}> has no matching <{name}>"
            self.misnested.append(MisnestedTag(line, offset + 1, tag, message))

    def _pop(self) -> _OpenTag:
        open_tag = self.open.pop()
        self.counts[open_tag.name] -= 1
        return open_tag


def _unclosed_tag(tag: _OpenTag, before: str = "the end of the document") -> MisnestedTag:
    message = f"<{tag.name[:MAX_TAG_NAME_LENGTH]}> is not closed before {before}"
    return MisnestedTag(tag.line, tag.column, tag.name, message)
