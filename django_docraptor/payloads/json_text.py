"""Internal. The JSON of a request, in pieces: a large text exists once more at most, not thrice."""

import json
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

from django_docraptor.payloads import utf8


def json_pieces(body: Mapping[str, Any], **options: Any) -> Iterator[bytes]:
    """Yield what ``json.dumps`` returns, in UTF-8; a long text at the top level comes in slices.

    Args:
        body: an object of JSON, with names that are texts.
        options: as for ``json.dumps``.

    Raises:
        UnicodeEncodeError: a text has a lone surrogate, and ``ensure_ascii`` is off.
        ValueError: a number is not finite, and ``allow_nan`` is off.
    """
    encoder = json.JSONEncoder(**options)
    names = sorted(body) if encoder.sort_keys else body
    yield b"{"
    for number, name in enumerate(names):
        separator = encoder.item_separator if number else ""
        yield f"{separator}{encoder.encode(name)}{encoder.key_separator}".encode()
        value = body[name]
        if isinstance(value, str) and len(value) > utf8.SLICE_LENGTH:
            yield from _text_pieces(value, encoder)
        else:
            yield encoder.encode(value).encode()
    yield b"}"


def _text_pieces(text: str, encoder: json.JSONEncoder) -> Iterator[bytes]:
    yield b'"'
    for piece in utf8.slices(text):
        yield encoder.encode(piece)[1:-1].encode()
    yield b'"'


def json_bytes(body: Mapping[str, Any], **options: Any) -> bytes:
    """Return what ``json.dumps`` returns, in UTF-8. Arguments and errors as in `json_pieces`."""
    buffer = BytesIO()
    for piece in json_pieces(body, **options):
        buffer.write(piece)
    return buffer.getvalue()
