"""The bytes of a finished document, in chunks.

Padding is stored as a number, so that large documents need no memory.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

CONTENT_TYPES = {
    "pdf": "application/pdf",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
CHUNK_BYTES = 64 * 1024
SPACES = b" " * CHUNK_BYTES


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

    def chunks(self) -> Iterator[bytes]:
        """Yield the document in chunks of at most 64 KiB."""
        yield from _split(self.head)
        for _ in range(self.padding // CHUNK_BYTES):
            yield SPACES
        yield SPACES[: self.padding % CHUNK_BYTES]
        yield from _split(self.tail)

    def sha256(self) -> str:
        """Return the hash of the whole document."""
        digest = hashlib.sha256()
        for chunk in self.chunks():
            digest.update(chunk)
        return digest.hexdigest()


def _split(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), CHUNK_BYTES):
        yield data[start : start + CHUNK_BYTES]
