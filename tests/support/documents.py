"""Names and contents of test documents. All are different, so that mix-ups are detected."""

import hashlib


def document_name(number: int) -> str:
    """Return the name of a document."""
    return f"document-{number:05}.pdf"


def document_html(name: str) -> str:
    """Return the HTML of a document."""
    return f"<h1>{name}</h1>"


def is_intact(data: bytes, name: str) -> bool:
    """Return whether a stored file is the complete document of that name.

    It contains the hash of its source.
    """
    source = hashlib.sha256(document_html(name).encode()).hexdigest().encode()
    is_complete = data.startswith(b"%PDF-") and data.rstrip().endswith(b"%%EOF")
    return is_complete and source in data and name.encode() in data
