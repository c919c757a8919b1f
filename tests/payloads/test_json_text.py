"""The JSON of a request in pieces: the same bytes as ``json.dumps``."""

import json
import tracemalloc
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_docraptor.payloads import utf8
from django_docraptor.payloads.json_text import json_bytes, json_pieces

OPTIONS: tuple[dict[str, Any], ...] = (
    {"ensure_ascii": False, "allow_nan": False},
    {"sort_keys": True, "separators": (",", ":")},
)
BODIES = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"])),
        st.integers(),
        st.lists(st.booleans()),
        st.dictionaries(st.sampled_from("ab"), st.none()),
    ),
)


@pytest.fixture
def _short_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(utf8, "SLICE_LENGTH", 3)


def _peak(function: Callable[[], object]) -> int:
    """Return the most bytes that Python allocates meanwhile."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.usefixtures("_short_slices")
@pytest.mark.parametrize("options", OPTIONS, ids=["sent", "hashed"])
@given(body=BODIES)
def test_pieces_are_what_json_dumps_returns(options: dict[str, Any], body: dict[str, Any]) -> None:
    """Wherever a text is cut, quotes, control characters and other scripts are encoded alike."""
    assert json_bytes(body, **options) == json.dumps(body, **options).encode()


@pytest.mark.usefixtures("_short_slices")
@pytest.mark.parametrize("value", ["\ud800", "ab\ud83d\ude00c"])
def test_lone_surrogate_is_an_error_as_before(value: str) -> None:
    """A text that UTF-8 does not have is refused, also if it is cut."""
    with pytest.raises(UnicodeEncodeError):
        json_bytes({"text": value}, ensure_ascii=False)
    assert json_bytes({"text": value}) == json.dumps({"text": value}).encode()


def test_infinite_number_is_an_error() -> None:
    """A number that JSON does not have is refused."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_bytes({"number": float("inf")}, allow_nan=False)


@pytest.mark.parametrize("text", ["x", "€"])
def test_body_is_the_only_copy_of_a_large_content(text: str) -> None:
    """While it is made, no text of all the JSON is in memory; to hash it, nothing is."""
    body = {"document_content": text * 8_000_000}
    size = len(json_bytes(body, ensure_ascii=False))
    assert _peak(lambda: json_bytes(body, ensure_ascii=False)) < 1.5 * size
    assert _peak(lambda: deque(json_pieces(body), maxlen=0)) < 0.5 * size
