"""Two versions of a document's HTML, line by line."""

import pytest

from django_docraptor.admin import comparison
from django_docraptor.admin.comparison import compare


def lines(*changes: str, count: int = 60) -> str:
    """Return so many lines, some of them replaced by their number."""
    text = [f"<td>{number}</td>" for number in range(1, count + 1)]
    for change in changes:
        number, _, value = change.partition("=")
        text[int(number) - 1] = value
    return "\n".join(text)


def test_same_versions_have_no_changes() -> None:
    """Nothing, or only the line endings, has changed."""
    assert compare(lines(), lines()).changed == 0
    assert compare(lines(), lines().replace("\n", "\r\n")).changed == 0
    assert compare("", "").rows == []


def test_changed_lines_are_shown_with_their_numbers_and_context() -> None:
    """Equal lines are left out, but for two around each change."""
    found = compare(lines(), lines("42=<td>42 x</td>"))
    assert found.changed == 1
    skipped = [row.skipped for row in found.rows if row.skipped]
    assert skipped == [39, 16]
    (changed,) = [row for row in found.rows if row.is_changed]
    assert (changed.before_number, changed.after_number) == (42, 42)
    assert changed.before == "&lt;td&gt;42&lt;/td&gt;"
    assert changed.after == "&lt;td&gt;42<ins> x</ins>&lt;/td&gt;"
    assert [row.before_number for row in found.rows if row.before_number] == [40, 41, 42, 43, 44]


def test_added_and_removed_lines_have_no_counterpart() -> None:
    """A line that is only in one version has no number in the other."""
    found = compare("a\nb\nc", "a\nc\nd")
    assert found.changed == 2
    changed = [(row.before_number, row.after_number) for row in found.rows if row.is_changed]
    assert changed == [(2, 0), (0, 3)]


def test_single_equal_line_is_shown() -> None:
    """A line is no longer than the note that says that it was left out."""
    found = compare("a\nb\nc\nd\ne\nf\ng", "x\nb\nc\nd\ne\nf\ny")
    assert not any(row.skipped for row in found.rows)
    assert [row.before_number for row in found.rows] == [1, 2, 3, 4, 5, 6, 7]


def test_html_is_escaped() -> None:
    """Both versions are untrusted, also where they differ."""
    found = compare("<script>a</script>", "<script>b</script>")
    for row in found.rows:
        assert "<script>" not in row.before + row.after
    assert "<del>a</del>" in found.rows[0].before


def test_other_lines_are_not_marked() -> None:
    """What has little in common is another line."""
    (row,) = compare("<p>abc</p>", "xyz").rows
    assert "<del>" not in row.before
    assert "<ins>" not in row.after


def test_rows_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """More changes than fit are counted, and not shown."""
    found = compare("\n".join("a" * 600), "\n".join("b" * 600))
    assert (found.changed, len(found.rows), found.is_truncated) == (600, 400, True)


def test_line_is_cut() -> None:
    """A document on one line does not fill the page."""
    (row,) = compare("a" * 100_000, "a" * 90_000 + "b").rows
    assert len(row.before) < 1000


@pytest.mark.parametrize("name", ["MAX_BYTES", "MAX_LINES"])
def test_too_much_is_not_compared(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A comparison takes a bounded time."""
    monkeypatch.setattr(comparison, name, 10)
    found = compare("a\n" * 100, "b\n" * 100)
    assert (found.changed, found.rows) == (None, [])


def test_long_documents_with_one_change_are_compared() -> None:
    """What is equal at both ends is not counted."""
    before = lines(count=20_000)
    assert compare(before, before.replace("<td>7000</td>", "<td>x</td>")).changed == 1
