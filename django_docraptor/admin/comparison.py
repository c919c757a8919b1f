"""Internal. Compare two versions of a document's HTML, line by line, in bounded time.

No request and no database here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

from django.utils.html import format_html
from django.utils.safestring import SafeString

# Bytes and lines of HTML that are compared line by line; rows that are shown.
MAX_BYTES: Final = 1024 * 1024
MAX_LINES: Final = 4_000
MAX_ROWS: Final = 400
# Equal lines shown around a change; characters of a line that is shown.
CONTEXT_LINES: Final = 2
MAX_LINE: Final = 500
# What two lines must have in common, for the difference to be marked.
MIN_COMMON: Final = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffRow:
    """A row of a comparison: a line before and after, or equal lines that are left out.

    Args:
        skipped: number of equal lines in place of this row; 0 for a row with lines.
    """

    before_number: int = 0
    before: str = ""
    after_number: int = 0
    after: str = ""
    is_changed: bool = False
    skipped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What differs between two versions.

    Args:
        changed: number of lines that have changed; ``None`` if too much has to be compared.
        rows: what to show.
        is_truncated: there are more rows.
    """

    changed: int | None
    rows: list[DiffRow]
    is_truncated: bool = False


# The lines from one index to another, before and after, and whether they are equal.
Block = tuple[bool, int, int, int, int]


def compare(before: str, after: str) -> Comparison:
    """Return what differs between two versions of HTML."""
    if before == after:
        return Comparison(changed=0, rows=[])
    if max(len(before), len(after)) > MAX_BYTES:
        return Comparison(changed=None, rows=[])
    old, new = before.splitlines(), after.splitlines()
    if old == new:  # only the line endings differ
        return Comparison(changed=0, rows=[])
    blocks = _blocks(old, new)
    if blocks is None:
        return Comparison(changed=None, rows=[])
    changed = sum(max(b - a, d - c) for is_equal, a, b, c, d in blocks if not is_equal)
    rows: list[DiffRow] = []
    for row in _rows(old, new, blocks):
        if len(rows) == MAX_ROWS:
            return Comparison(changed=changed, rows=rows, is_truncated=True)
        rows.append(row)
    return Comparison(changed=changed, rows=rows)


def _blocks(old: list[str], new: list[str]) -> list[Block] | None:
    """Return the equal and changed blocks; ``None`` if there are too many lines to compare."""
    shortest = min(len(old), len(new))
    start = next((i for i in range(shortest) if old[i] != new[i]), shortest)
    rest = shortest - start
    end = next((i for i in range(rest) if old[-1 - i] != new[-1 - i]), rest)
    old_part, new_part = old[start : len(old) - end], new[start : len(new) - end]
    if max(len(old_part), len(new_part)) > MAX_LINES:
        return None
    matcher = SequenceMatcher(None, old_part, new_part)
    blocks = [(True, 0, start, 0, start)] if start else []
    blocks += [
        (tag == "equal", a + start, b + start, c + start, d + start)
        for tag, a, b, c, d in matcher.get_opcodes()
    ]
    if end:
        blocks.append((True, len(old) - end, len(old), len(new) - end, len(new)))
    return blocks


def _rows(old: list[str], new: list[str], blocks: list[Block]) -> Iterator[DiffRow]:
    for index, (is_equal, a, b, c, d) in enumerate(blocks):
        if not is_equal:
            yield from _changed_rows(old, new, a, b, c, d)
            continue
        head = CONTEXT_LINES if index else 0
        tail = CONTEXT_LINES if index < len(blocks) - 1 else 0
        skipped = b - a - head - tail
        if skipped <= 1:
            head, tail, skipped = b - a, 0, 0
        yield from _equal_rows(old, a, c, head)
        if skipped:
            yield DiffRow(skipped=skipped)
        yield from _equal_rows(old, b - tail, d - tail, tail)


def _equal_rows(old: list[str], a: int, c: int, count: int) -> Iterator[DiffRow]:
    for offset in range(count):
        line = format_html("{}", old[a + offset][:MAX_LINE])
        yield DiffRow(
            before_number=a + offset + 1, before=line, after_number=c + offset + 1, after=line
        )


def _changed_rows(
    old: list[str], new: list[str], a: int, b: int, c: int, d: int
) -> Iterator[DiffRow]:
    for offset in range(max(b - a, d - c)):
        has_before, has_after = a + offset < b, c + offset < d
        before = old[a + offset] if has_before else ""
        after = new[c + offset] if has_after else ""
        marked = _marked(before, after) if has_before and has_after else (before, after)
        yield DiffRow(
            before_number=a + offset + 1 if has_before else 0,
            before=format_html("{}", marked[0]),
            after_number=c + offset + 1 if has_after else 0,
            after=format_html("{}", marked[1]),
            is_changed=True,
        )


def _marked(before: str, after: str) -> tuple[SafeString, SafeString]:
    """Return two lines with what differs between them marked."""
    before, after = before[:MAX_LINE], after[:MAX_LINE]
    shortest = min(len(before), len(after))
    start = next((i for i in range(shortest) if before[i] != after[i]), shortest)
    rest = shortest - start
    end = next((i for i in range(rest) if before[-1 - i] != after[-1 - i]), rest)
    if start + end < MIN_COMMON * max(len(before), len(after)):  # another line, not a change of it
        return format_html("{}", before), format_html("{}", after)
    return _mark("del", before, start, end), _mark("ins", after, start, end)


def _mark(tag: str, line: str, start: int, end: int) -> SafeString:
    stop = len(line) - end
    middle = line[start:stop]
    template = f"{{}}<{tag}>{{}}</{tag}>{{}}" if middle else "{}{}{}"
    return format_html(template, line[:start], middle, line[stop:])
