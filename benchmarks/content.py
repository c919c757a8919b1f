"""What the documents say: no two are alike, so that a mix-up shows."""

import hashlib


def name_of(number: int) -> str:
    """The name of a document."""
    return f"document-{number:05}.pdf"


def content_of(name: str) -> str:
    """The HTML of a document."""
    return f"<h1>{name}</h1>"


def is_own(data: bytes, name: str) -> bool:
    """Whether a stored file is the whole document of that name: it names its source's hash."""
    source = hashlib.sha256(content_of(name).encode()).hexdigest().encode()
    whole = data.startswith(b"%PDF-") and data.rstrip().endswith(b"%%EOF")
    return whole and source in data and name.encode() in data
