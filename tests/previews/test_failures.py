"""What is shown of an error."""

from pathlib import Path

import pytest
from django.core.exceptions import ValidationError

from django_docraptor.exceptions import ConfigurationError
from django_docraptor.preflight.locations import Location
from django_docraptor.previews.failures import PreviewError, describe_failure, excerpt


def test_lines_around_the_location_are_shown(tmp_path: Path) -> None:
    """Two lines before and after; the one at fault is marked, and a long one is cut."""
    file = tmp_path / "a.html"
    file.write_text("\n".join(f"line {number}" for number in range(1, 9)) + "x" * 500)
    lines = excerpt("Template", Location(str(file), 7)).lines
    assert [(number, is_current) for number, _text, is_current in lines] == [
        *[(5, False), (6, False), (7, True), (8, False)],
    ]
    assert max(len(text) for _number, text, _is_current in lines) == 200


@pytest.mark.parametrize("file", ["", "none.html", "\x00", ".", "x" * 5000])
def test_file_that_cannot_be_read_has_no_lines(file: str) -> None:
    """A template that is not a file has its name alone."""
    assert excerpt("Template", Location(file, 1)).lines == []


@pytest.mark.parametrize("line", [0, 10**9])
def test_line_outside_of_the_file_is_not_shown(tmp_path: Path, line: int) -> None:
    """A file that has become shorter shows nothing."""
    file = tmp_path / "a.html"
    file.write_text("one line")
    assert excerpt("Template", Location(str(file), line)).lines == []


def test_fields_are_named() -> None:
    """Each invalid field has a message."""
    failure = describe_failure(ValidationError({"name": ["blank"], "tag": ["long"]}))
    assert failure.messages == ("name: blank", "tag: long")
    assert describe_failure(ValidationError("wrong")).messages == ("wrong",)


@pytest.mark.parametrize("error", [PreviewError("No."), ConfigurationError("No.")])
def test_own_errors_have_no_traceback(error: Exception) -> None:
    """Our messages say everything."""
    failure = describe_failure(error)
    assert (failure.messages, failure.traceback) == (("No.",), "")
