"""Internal. A large text in UTF-8, a slice at a time: it doesn't exist a second time in memory."""

from collections.abc import Iterator
from typing import Final

# Characters of a text that are encoded at once.
SLICE_LENGTH: Final = 256 * 1024


def slices(text: str) -> Iterator[str]:
    """Yield the text in pieces of ``SLICE_LENGTH`` characters; the last one may be shorter."""
    for start in range(0, len(text), SLICE_LENGTH):
        yield text[start : start + SLICE_LENGTH]


def utf8_size(text: str) -> int:
    """Return the bytes of a text in UTF-8, in which a lone surrogate is replaced by one byte."""
    if text.isascii():
        return len(text)
    return sum(len(piece.encode(errors="replace")) for piece in slices(text))
