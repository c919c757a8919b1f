"""The bytes of a finished document, and how they are handed out in pieces.

A padded document keeps its padding as a number, so that a large one costs no memory.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

CONTENT_TYPES = {
    "pdf": "application/pdf",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
PIECE = 64 * 1024
SPACES = b" " * PIECE


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A finished document: `head`, then `padding` spaces, then `tail`."""

    document_type: str
    head: bytes
    padding: int = 0
    tail: bytes = b""
    # Pages of a PDF; None for a spreadsheet.
    pages: int | None = None

    @property
    def content_type(self) -> str:
        """The media type."""
        return CONTENT_TYPES[self.document_type]

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self.head) + self.padding + len(self.tail)

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes in pieces of at most 64 KiB."""
        yield from _split(self.head)
        for _ in range(self.padding // PIECE):
            yield SPACES
        yield SPACES[: self.padding % PIECE]
        yield from _split(self.tail)

    def sha256(self) -> str:
        """Return the hash of all bytes."""
        digest = hashlib.sha256()
        for piece in self.pieces():
            digest.update(piece)
        return digest.hexdigest()


def _split(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), PIECE):
        yield data[start : start + PIECE]
