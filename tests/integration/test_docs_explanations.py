"""The page about failed jobs has the words of the table in the code."""

import re
from pathlib import Path

import pytest

import django_docraptor
from django_docraptor.explanations import CODES, REASONS, Bill, Explanation

pytestmark = pytest.mark.once

PAGE = Path(django_docraptor.__file__).parents[1] / "docs" / "how-to" / "failed-jobs.md"
LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")
BILLS = {
    "no": Bill.NO,
    "probably not": Bill.PROBABLY_NOT,
    "perhaps": Bill.PERHAPS,
    "yes": Bill.YES,
}
Row = tuple[str, str, Bill, str]


def rows_of_the_page() -> list[Row]:
    """Return the rows of both tables as plain text."""
    rows = []
    for line in PAGE.read_text().splitlines():
        cells = LINK.sub(r"\1", line).replace("`", "").strip("| ").split(" | ")
        if len(cells) == 4 and cells[2] in BILLS:
            rows.append((cells[0], cells[1], BILLS[cells[2]], cells[3]))
    return rows


def row(key: str, explanation: Explanation) -> Row:
    """Return the row that an explanation should have."""
    return (key, str(explanation.what), explanation.bill, str(explanation.remedy))


def test_page_has_every_explanation() -> None:
    """In the same words and order; links and code marks aside."""
    by_code = [row(code, explanation) for code, explanation in CODES.items()]
    by_reason = [row(str(r.explanation.title), r.explanation) for r in REASONS]
    assert rows_of_the_page() == [*by_code, *by_reason]
