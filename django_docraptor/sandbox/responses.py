"""The shapes of DocRaptor's answers: XML errors, JSON, and the bytes of a document.

Knows formats only; decides nothing.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

from werkzeug.wrappers import Response

from django_docraptor.sandbox.documents import COMPLETED, QUEUED, Document
from django_docraptor.sandbox.output import Output

# ElementTree and browsers refuse these even when escaped.
CONTROLS = dict.fromkeys(set(range(32)) - {9, 10, 13})


class RefusalError(Exception):
    """An answer that is an error; caught where requests are dispatched."""

    def __init__(self, status: int, *reasons: str) -> None:
        super().__init__(f"{status}: {', '.join(reasons)}")
        self.status = status
        self.reasons = reasons


def xml_errors(status: int, reasons: Iterable[str]) -> Response:
    """Return DocRaptor's error document, which is XML even for JSON requests."""
    errors = "".join(f"  <error>{_escape(reason)}</error>\n" for reason in reasons)
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<errors>\n{errors}</errors>\n'
    return Response(text, status, content_type="application/xml; charset=utf-8")


def _escape(text: str) -> str:
    return escape(text.translate(CONTROLS))


def json_answer(data: object, status: int = 200) -> Response:
    """Return JSON."""
    return Response(json.dumps(data), status, content_type="application/json; charset=utf-8")


def html_page(status: int, title: str) -> Response:
    """Return a page as a front-end server writes it."""
    text = f"<html><head><title>{_escape(title)}</title></head><body>{_escape(title)}</body></html>"
    return Response(text, status, content_type="text/html")


def document_bytes(output: Output, name: str) -> Response:
    """Return the bytes of a document, in pieces."""
    response = Response(output.pieces(), content_type=output.content_type)
    response.content_length = output.size
    response.headers["Content-Disposition"] = _attachment(name)
    return response


def _attachment(name: str) -> str:
    """Return the header of a download; RFC 6266 for names that are not ASCII."""
    plain = "".join(char for char in name if char.isprintable() and char not in '"\\')
    ascii_only = plain.encode("ascii", "replace").decode()
    return f"attachment; filename=\"{ascii_only}\"; filename*=UTF-8''{quote(plain)}"


def status_of(document: Document) -> dict[str, Any]:
    """Return the status object: more fields once the document has ended."""
    if document.finished_at is None:
        waiting = document.state == QUEUED
        message = "Waiting to be processed" if waiting else "Being processed"
        return {"status": document.state, "message": message}
    if document.state != COMPLETED:
        return {"status": document.state, "validation_errors": "\n".join(document.reasons)}
    return {
        "status": document.state,
        "message": f"Completed at {document.finished_at:%a %b %d %H:%M:%S +0000 %Y}",
        **hosted_object(document),
    }


def hosted_object(document: Document) -> dict[str, Any]:
    """Return what a caller needs to fetch the document."""
    return {
        "download_id": document.download_id,
        "download_url": document.download_url,
        "number_of_pages": document.pages,
    }


def log_entry(document: Document) -> dict[str, Any]:
    """Return the document's entry in doc_logs.json."""
    options = document.options
    return {
        "id": document.download_id,
        "status_id": document.status_id,
        "name": options.name,
        "document_type": options.document_type,
        "document_url": options.url or None,
        "test": options.test,
        "tag": options.tag or None,
        "success": document.state == COMPLETED,
        "javascript": options.javascript,
        "async": document.asynchronous,
        "strict": options.strict,
        "created_at": _time(document.created_at),
        "generation_time": _seconds(document),
        "input_size": document.input_size,
        "output_size": document.output_size or None,
        "prince_options": options.prince_options,
        "validation_errors": "\n".join(document.reasons) or None,
        "generation_log": None,
    }


def doc_entry(document: Document) -> dict[str, Any]:
    """Return the document's entry in docs.json."""
    entry = log_entry(document)
    return {key: entry[key] for key in ("id", "name", "document_type", "test", "created_at")}


def _time(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _seconds(document: Document) -> float | None:
    if document.finished_at is None or document.started_at is None:
        return None
    return (document.finished_at - document.started_at).total_seconds()
