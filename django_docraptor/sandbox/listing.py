"""The paginated lists `docs.json` and `doc_logs.json`: JSON arrays, latest first."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django_docraptor.sandbox.documents import COMPLETED, Document
from django_docraptor.sandbox.options import parse_time
from django_docraptor.sandbox.responses import ApiError, doc_entry, log_entry

MAX_PER_PAGE = 100


def list_docs(documents: list[Document], query: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return a page of the completed documents."""
    found = [document for document in documents if document.state == COMPLETED]
    return [doc_entry(document) for document in _page(found, query)]


def list_doc_logs(documents: list[Document], query: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return a page of all documents created between `search[start]` and `search[end]`."""
    start, end = _time(query, "search[start]"), _time(query, "search[end]")
    found = [
        document
        for document in documents
        if (start is None or start <= document.created_at)
        and (end is None or document.created_at <= end)
    ]
    return [log_entry(document) for document in _page(found, query)]


def _page(documents: list[Document], query: Mapping[str, str]) -> list[Document]:
    size = min(_positive_integer(query, "per_page", MAX_PER_PAGE), MAX_PER_PAGE)
    first = (_positive_integer(query, "page", 1) - 1) * size
    return documents[first : first + size]


def _positive_integer(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else default


def _time(query: Mapping[str, str], name: str) -> datetime | None:
    text = query.get(name, "")
    try:
        return parse_time(text) if text else None
    except ValueError as error:
        raise ApiError(400, f"{name} is not a valid time") from error
