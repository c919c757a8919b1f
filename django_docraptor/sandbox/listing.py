"""The paginated lists `docs.json` and `doc_logs.json`: JSON arrays, latest first."""

import contextlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django_docraptor.sandbox.documents import COMPLETED, Document
from django_docraptor.sandbox.responses import ApiError, doc_entry, log_entry
from django_docraptor.sandbox.settings import Settings

MAX_PER_PAGE = 100
# The only form that DocRaptor documents: 2015-01-01 00:00:00 UTC.
TIME_FORM = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", re.ASCII)
EARLIEST = datetime.min.replace(tzinfo=UTC)
LATEST = datetime.max.replace(tzinfo=UTC)


class UnreadableTimeError(ValueError):
    """A time that the log does not understand."""


def list_docs(
    documents: list[Document], query: Mapping[str, str], settings: Settings
) -> list[dict[str, Any]]:
    """Return a page of the completed documents."""
    found = [document for document in documents if document.state == COMPLETED]
    return [doc_entry(document) for document in _page(found, query)]


def list_doc_logs(
    documents: list[Document], query: Mapping[str, str], settings: Settings
) -> list[dict[str, Any]]:
    """Return a page of all documents created between `search[start]` and `search[end]`.

    Raises:
        ApiError: 400 for a time in another form than DocRaptor's, if the settings say so.
    """
    try:
        start, end = _period(query, settings)
    except UnreadableTimeError as error:
        if settings.other_time_forms == "reject":
            raise ApiError(400, str(error)) from error
        return []
    found = [document for document in documents if start <= document.created_at <= end]
    return [log_entry(document) for document in _page(found, query)]


def _page(documents: list[Document], query: Mapping[str, str]) -> list[Document]:
    size = min(_positive_integer(query, "per_page", MAX_PER_PAGE), MAX_PER_PAGE)
    first = (_positive_integer(query, "page", 1) - 1) * size
    return documents[first : first + size]


def _positive_integer(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else default


def _period(query: Mapping[str, str], settings: Settings) -> tuple[datetime, datetime]:
    """Return the first and the last moment that are asked for."""
    start, end = (
        _read_time(name, query.get(name, ""), settings) for name in ("search[start]", "search[end]")
    )
    return start or EARLIEST, end or LATEST


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
