"""Formats of DocRaptor's responses: XML errors, JSON, and files. No logic here."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

from werkzeug.wrappers import Response

from django_docraptor.sandbox.documents import COMPLETED, QUEUED, Document
from django_docraptor.sandbox.output import Output

# ElementTree and browsers reject these characters even if escaped.
CONTROL_CHARACTERS = dict.fromkeys(set(range(32)) - {9, 10, 13})


class ApiError(Exception):
    """An error response; caught in `Application.handle`."""

    def __init__(self, status: int, *reasons: str) -> None:
        """Respond with this HTTP status and these texts."""
        super().__init__(f"{status}: {', '.join(reasons)}")
        self.status = status
        self.reasons = reasons


def xml_error_response(status: int, reasons: Iterable[str]) -> Response:
    """Return DocRaptor's error document, which is XML even for JSON requests."""
    errors = "".join(f"  <error>{_escape(reason)}</error>\n" for reason in reasons)
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<errors>\n{errors}</errors>\n'
    return Response(text, status, content_type="application/xml; charset=utf-8")


def _escape(text: str) -> str:
    return escape(text.translate(CONTROL_CHARACTERS))


def marketing_page() -> Response:
    """Return what DocRaptor's web site shows for an unknown address: a page for people."""
    text = (
        "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8><title>DocRaptor: HTML to PDF"
        "</title></head><body><h1>Page not found</h1><p>This is the sandbox's stand-in for"
        " DocRaptor's web site. Only the API's own paths and methods exist here.</p></body></html>"
    )
    return Response(text, 404, content_type="text/html; charset=utf-8")


def json_response(data: object, status: int = 200) -> Response:
    """Return a JSON response."""
    return Response(json.dumps(data), status, content_type="application/json; charset=utf-8")


def html_response(status: int, title: str) -> Response:
    """Return an HTML error page like those of a front-end server."""
    text = f"<html><head><title>{_escape(title)}</title></head><body>{_escape(title)}</body></html>"
    return Response(text, status, content_type="text/html")


def cdn_response(status: int, phrase: str) -> Response:
    """Return the page of a content delivery network that stands before the service."""
    text = (
        f"<!DOCTYPE html>\n<html lang=en-US><head><title>{status} {_escape(phrase)} | "
        "api.docraptor.com</title></head><body><h1>Sorry, you have been blocked</h1>"
        f"<p>Error code {status}</p><p>Ray ID: <code>8f2c0d5e7a1b4c3d</code></p></body></html>"
    )
    response = Response(text, status, content_type="text/html; charset=UTF-8")
    response.headers["CF-RAY"] = "8f2c0d5e7a1b4c3d-FRA"
    return response


def file_response(output: Output, name: str) -> Response:
    """Return a document as a streamed download."""
    response = Response(output.chunks(), content_type=output.content_type)
    response.content_length = output.size
    response.headers["Content-Disposition"] = _content_disposition(name)
    return response


def _content_disposition(name: str) -> str:
    """Return the Content-Disposition header (RFC 6266)."""
    plain = "".join(char for char in name if char.isprintable() and char not in '"\\')
    ascii_only = plain.encode("ascii", "replace").decode()
    return f"attachment; filename=\"{ascii_only}\"; filename*=UTF-8''{quote(plain)}"


def status_data(document: Document) -> dict[str, Any]:
    """Return the JSON of a status call, with more fields once the document has finished."""
    if document.finished_at is None:
        is_queued = document.state == QUEUED
        message = "Waiting to be processed" if is_queued else "Being processed"
        return {"status": document.state, "message": message}
    if document.state != COMPLETED:
        return {"status": document.state, "validation_errors": "\n".join(document.reasons)}
    finished_at = document.finished_at + document.clock_offset
    return {
        "status": document.state,
        "message": f"Completed at {finished_at:%a %b %d %H:%M:%S +0000 %Y}",
        **download_data(document),
    }


def download_data(document: Document) -> dict[str, Any]:
    """Return the JSON that a client needs to download the document."""
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
        "name": options.given_name,
        "document_type": options.document_type,
        "document_url": options.url or None,
        "ip_address": document.ip_address,
        "test": options.test,
        "tag": options.tag or None,
        "success": document.state == COMPLETED,
        "javascript": options.javascript,
        "async": document.asynchronous,
        "strict": options.strict,
        "created_at": _format_time(document.logged_at),
        "generation_time": _generation_seconds(document),
        "input_size": document.input_size,
        "output_size": document.output_size,
        "prince_options": options.prince_options,
        "validation_errors": "\n".join(document.reasons) or None,
        "generation_log": "\n".join(_generation_log(document)),
    }


def doc_entry(document: Document) -> dict[str, Any]:
    """Return the document's entry in docs.json."""
    entry = log_entry(document)
    return {key: entry[key] for key in ("id", "name", "document_type", "test", "created_at")}


def _generation_log(document: Document) -> list[str]:
    """Return Prince's messages: type, place and text, separated by bars."""
    if document.started_at is None:
        return []
    lines = ["msg|inf||Loading document..."]
    lines += [f"msg|wrn||{warning}" for warning in document.warnings]
    if document.state == COMPLETED:
        return [*lines, "msg|inf||Converting document..."]
    return [*lines, *(f"msg|err||{reason}" for reason in document.reasons)]


def _format_time(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _generation_seconds(document: Document) -> float | None:
    if document.finished_at is None or document.started_at is None:
        return None
    return (document.finished_at - document.started_at).total_seconds()
