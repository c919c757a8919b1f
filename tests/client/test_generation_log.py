"""The generation log: warnings are counted, and the first are kept without secrets."""

import pytest

from django_docraptor.client.generation_log import MAX_LINE_LENGTH, MAX_LINES, parse_warnings
from django_docraptor.client.parsing import LogEntry


@pytest.mark.parametrize("value", [None, "", "  \n", 7, ["msg|wrn||x"]])
def test_no_log_is_not_a_log_without_warnings(value: object) -> None:
    """Then it is unknown whether there were any."""
    assert parse_warnings(value) == (None, "")


def test_warnings_and_errors_are_counted() -> None:
    """An error of a document that was made nevertheless is a warning; other lines are none."""
    log = "msg|inf||Loading\nmsg|wrn|a.png|not found\r\nMSG|ERR||no font\nmsg|out||wrn\nnonsense"
    assert parse_warnings(log) == (2, "a.png: not found\nno font")


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("https://a.example/x.css?signature=abc#f|gone", "https://a.example/x.css?…: gone"),
        ("https://anna:pass@a.example/x|401", "https://a.example/x: 401"),
        ("|cannot load https://u:p@h.example/?t=1 twice", "cannot load https://h.example/?… twice"),
        ("data:image/png;base64,AAAA|broken", "data:…: broken"),
    ],
)
def test_secrets_of_urls_are_left_out(line: str, kept: str) -> None:
    """Signatures, tokens and passwords are not stored."""
    assert parse_warnings(f"msg|wrn|{line}") == (1, kept)


def test_text_is_bounded() -> None:
    """Every warning is counted, and a few are kept, cut."""
    count, text = parse_warnings("\n".join([f"msg|wrn||{'x' * 100_000}"] * 500))
    assert count == 500
    assert len(text) <= MAX_LINES * (MAX_LINE_LENGTH + 1)


def test_entry_has_the_warnings() -> None:
    """An entry of the log has them, and an entry without a log has none."""
    entry = LogEntry.from_json({"id": "1", "generation_log": "msg|wrn||no font"})
    assert (entry.warnings, entry.first_warnings) == (1, "no font")
    assert LogEntry.from_json({"id": "1"}).warnings is None
