"""The paginated lists `docs.json` and `doc_logs.json`: JSON arrays, latest first."""

import contextlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django_docraptor.sandbox.documents import COMPLETED, Document
from django_docraptor.sandbox.log_faults import LogView
from django_docraptor.sandbox.responses import ApiError, doc_entry, log_entry
from django_docraptor.sandbox.settings import Settings

MAX_PER_PAGE = 100
# The only form that DocRaptor documents: 2015-01-01 00:00:00 UTC.
TIME_FORM = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", re.ASCII)
EARLIEST = datetime.min.replace(tzinfo=UTC)
LATEST = datetime.max.replace(tzinfo=UTC)


class UnreadableTimeError(ValueError):
    """A time that the log does not understand."""


def list_docs(view: LogView, query: Mapping[str, str], settings: Settings) -> list[dict[str, Any]]:
    """Return a page of the completed documents."""
    found = [document for document in view.documents if document.state == COMPLETED]
    return [doc_entry(document) for document in _page(found, query, view.offset)]


def list_doc_logs(
    view: LogView, query: Mapping[str, str], settings: Settings
) -> list[dict[str, Any]]:
    """Return a page of all documents created between `search[start]` and `search[end]`.

    Raises:
        ApiError: 400 for a time in another form than DocRaptor's, if the settings say so.
    """
    try:
        start, end = _period(view, query, settings)
    except UnreadableTimeError as error:
        if settings.other_time_forms == "reject":
            raise ApiError(400, str(error)) from error
        return []
    if view.window == "empty":
        return []
    found = [document for document in view.documents if start <= document.logged_at <= end]
    return [_log_line(document, view) for document in _page(found, query, view.offset)]


def _log_line(document: Document, view: LogView) -> dict[str, Any]:
    line = log_entry(document)
    return line | {"generation_log": view.pad(line["generation_log"])}


def _page(documents: list[Document], query: Mapping[str, str], offset: int) -> list[Document]:
    size = min(_positive_integer(query, "per_page", MAX_PER_PAGE), MAX_PER_PAGE)
    page = _positive_integer(query, "page", 1) - 1
    first = max(page * (size + offset), 0)
    return documents[first : first + size]


def _positive_integer(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else default


def _period(
    view: LogView, query: Mapping[str, str], settings: Settings
) -> tuple[datetime, datetime]:
    """Return the first and the last moment that are asked for, or that the view shows instead."""
    start, end = (
        _read_time(name, query.get(name, ""), settings) for name in ("search[start]", "search[end]")
    )
    if view.window == "all":
        return EARLIEST, LATEST
    return (start + view.delay if start else EARLIEST), (end + view.delay if end else LATEST)


def _read_time(name: str, text: str, settings: Settings) -> datetime | None:
    """Return the time, or None if there is none or it is ignored."""
    if not text:
        return None
    if TIME_FORM.fullmatch(text):
        # The form may be right although there is no such day or hour.
        with contextlib.suppress(ValueError):
            return datetime.fromisoformat(text.removesuffix(" UTC")).replace(tzinfo=UTC)
    if settings.other_time_forms == "ignore":
        return None
    raise UnreadableTimeError(f"{name} is not a valid time")
