"""One line of an error says what happened."""

import traceback

import pytest

from django_docraptor.models.text import summary_line

DEADLOCK = "deadlock detected\nDETAIL:  Process 1 waits for ShareLock.\nHINT:  See server log."


def traceback_of(error: Exception) -> str:
    """Return the traceback of an error, as it is stored."""
    try:
        raise error
    except Exception as caught:  # noqa: BLE001 - any error
        return "".join(traceback.format_exception(caught))


def chained() -> Exception:
    """Return an error with a cause."""
    error = ValueError("no rate for CHF")
    error.__cause__ = KeyError("CHF")
    return error


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("", ""),
        (" \n", ""),
        ("Unclosed tag.\nLine 7.", "Unclosed tag."),
        (traceback_of(RuntimeError("no such total")), "RuntimeError: no such total"),
        (traceback_of(RuntimeError()), "RuntimeError"),
        (traceback_of(RuntimeError(DEADLOCK)), "RuntimeError: deadlock detected"),
        (traceback_of(chained()), "ValueError: no rate for CHF"),
        (traceback_of(SyntaxError("bad", ("a.py", 1, 1, "x = ", 1, 2))), "SyntaxError: bad"),
        (f"Gave up after 3 tries.\n\n{traceback_of(OSError('gone'))}", "OSError: gone"),
        (traceback_of(ExceptionGroup("both", [ValueError("a")])), "ExceptionGroup: both"),
        ("Traceback (most recent call last):", "Traceback (most recent call last):"),
        ("Traceback (most recent call last):\n  File cut", "  File cut"),
    ],
)
def test_traceback_is_summarized_by_its_exception(text: str, summary: str) -> None:
    """A traceback is summarized by the line of its exception, and any other text by its first."""
    assert summary_line(text).startswith(summary)
    assert bool(summary_line(text)) is bool(summary)
