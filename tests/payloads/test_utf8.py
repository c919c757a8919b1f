"""A large text is checked and measured a slice at a time, with the same result as at once."""

import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_docraptor import preflight
from django_docraptor.lifecycle.submission import size_in_memory
from django_docraptor.payloads import DocumentRequest, utf8

# Two bytes per character in memory; what loads nothing is skipped.
PAGE = "<h1>17.00 €</h1>\n" + "<p>" + "A" * 4_000_000 + "</p>\n"
TEXTS = st.text(st.characters(), max_size=10) | st.just("a\udc80€\U0001f600 " * 3)


@pytest.fixture
def _short_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(utf8, "SLICE_LENGTH", 3)


@pytest.mark.usefixtures("_short_slices")
@given(TEXTS)
def test_slices_are_the_text(text: str) -> None:
    """Joined, the pieces are the text, and its size is that of all of it."""
    assert "".join(utf8.slices(text)) == text
    assert utf8.utf8_size(text) == len(text.encode(errors="replace"))


def _compose() -> DocumentRequest:
    return DocumentRequest(name="a.pdf", content=PAGE)


@pytest.mark.parametrize(
    "function",
    [
        _compose,
        lambda: preflight.check_content(_compose(), max_bytes=10_000_000),
        lambda: size_in_memory(PAGE),
    ],
    ids=["request", "preflight", "size"],
)
def test_large_text_is_not_copied(function: Callable[[], object]) -> None:
    """What a worker does to a document before it is sent takes a fraction of its memory."""
    function()  # imports, and compiles patterns
    tracemalloc.start()
    try:
        function()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < len(PAGE) / 2
