"""Internal. Parse DocRaptor's responses: a missing or malformed field never hides the others.

Knows the shape of response bodies, nothing about HTTP. Raises ValueError for an unusable body.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from django_docraptor.client.generation_log import parse_warnings

# Limits of the database columns.
MAX_ID_LENGTH = 200
MAX_COUNT = 2**31 - 1
# Years that a time of the service may have.
YEARS = range(1970, 9000)
STATUS_COMPLETED, STATUS_WORKING = "completed", "working"
# A former official client also handled "killed".
FAILED_STATUSES = ("failed", "killed")
KNOWN_STATUSES = (STATUS_COMPLETED, STATUS_WORKING, *FAILED_STATUSES, "queued")
# DocRaptor's texts of a refusal that concerns its load, not the document, whatever the status code
# is: nothing was accepted.
NOT_ACCEPTED_TEXTS = ("too many simultaneous", "[document queueing error]")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteStatus:
    """DocRaptor's status of one document.

    Args:
        status: ``queued``, ``working``, ``completed``, ``failed``, or an unknown value.
        download_id: blank until completed.
        download_url: a bearer secret: anyone who has it can download the document. Not shown by
            ``repr``.
        message: human-readable, such as ``Completed at …``.
        number_of_pages: of a PDF; ``None`` if not reported.
        validation_errors: reasons for a failure, one per line.
    """

    status: str
    download_id: str = field(default="", repr=False)
    download_url: str = field(default="", repr=False)
    message: str = ""
    number_of_pages: int | None = None
    validation_errors: str = ""

    @classmethod
    def from_json(cls, data: Mapping[str, Any], *, status: str = "") -> Self:
        """Parse a status.

        Args:
            data: the JSON object.
            status: used if the response has none.

        Raises:
            ValueError: there is no status.
        """
        status = _parse_text(data.get("status")).strip().lower() or status
        if not status:
            raise ValueError("it has no status")
        url = _parse_text(data.get("download_url"))
        return cls(
            status=status,
            download_id=_parse_id(data.get("download_id")) or _parse_id(_last_segment(url)),
            download_url=url,
            message=_parse_text(data.get("message")),
            number_of_pages=parse_count(data.get("number_of_pages")),
            validation_errors=_parse_reasons(data.get("validation_errors")),
        )

    @property
    def is_completed(self) -> bool:
        """Whether the document is finished."""
        return self.status == STATUS_COMPLETED

    @property
    def is_failed(self) -> bool:
        """Whether DocRaptor could not generate the document."""
        return self.status in FAILED_STATUSES

    @property
    def failure_reason(self) -> str:
        """Why the document failed, as far as DocRaptor says so."""
        default = f"DocRaptor returned the status {self.status!r} without a reason."
        return self.validation_errors or self.message or default


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One entry of DocRaptor's log of attempts, or of its list of documents.

    ``success`` and ``test`` are ``None`` if not reported; ``created_at`` is aware. ``warnings`` is
    the number of warnings in the generation log, ``None`` without one, and ``first_warnings`` the
    first of them, one per line.
    """

    id: str = ""
    tag: str = ""
    status_id: str = ""
    success: bool | None = None
    name: str = ""
    created_at: datetime | None = None
    document_type: str = ""
    test: bool | None = None
    validation_errors: str = ""
    warnings: int | None = None
    first_warnings: str = ""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Parse one entry; missing fields stay blank."""
        warnings, first_warnings = parse_warnings(data.get("generation_log"))
        return cls(
            id=_parse_id(data.get("id")),
            tag=_parse_text(data.get("tag")),
            status_id=_parse_id(data.get("status_id")),
            success=_parse_bool(data.get("success")),
            name=_parse_text(data.get("name")),
            created_at=parse_time(data.get("created_at")),
            document_type=_parse_text(data.get("document_type")),
            test=_parse_bool(data.get("test")),
            validation_errors=_parse_reasons(data.get("validation_errors")),
            warnings=warnings,
            first_warnings=first_warnings,
        )


class LogPage(list[LogEntry]):
    """A page of a listing.

    Args:
        entries: newest first, if the service keeps its word.
        served_at: the time of the response by the service's own clock, its header ``Date``;
            ``None`` if that is missing or invalid.
    """

    def __init__(
        self, entries: Iterable[LogEntry] = (), *, served_at: datetime | None = None
    ) -> None:
        """Create a page."""
        super().__init__(entries)
        self.served_at = served_at


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedDocument:
    """A document written to the target: size in bytes, SHA-256 in hex, and response metadata."""

    size: int
    sha256: str
    content_type: str = ""
    number_of_pages: int | None = None


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON object.

    Raises:
        ValueError: it is truncated or not an object.
    """
    data = _parse_json(body)
    if not isinstance(data, dict):
        raise ValueError("it is not a JSON object")
    return data


def parse_listing(body: bytes) -> list[LogEntry]:
    """Parse a JSON list of objects, bare or under a single key.

    Strict about the list: a missing entry counts as proof that the attempt does not exist.

    Raises:
        ValueError: it is anything else.
    """
    data = _parse_json(body)
    if isinstance(data, dict):
        lists = [value for value in data.values() if isinstance(value, list)]
        data = lists[0] if len(lists) == 1 else None
    if not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
        raise ValueError("it is not a list of objects")
    return [LogEntry.from_json(_unwrap(entry)) for entry in data]


def require_id(data: Mapping[str, Any], name: str) -> str:
    """Return the ID under this name.

    Raises:
        ValueError: it is missing, or none that can be stored and sent.
    """
    value = _parse_id(data.get(name))
    if not value:
        raise ValueError(f"it has no valid {name}")
    return value


def parse_count(value: object) -> int | None:
    """Return the value as a non-negative integer that fits the column, or ``None``."""
    if isinstance(value, str) and value.isascii() and value.strip().isdigit():
        value = int(value) if len(value) < 20 else None
    if isinstance(value, int) and not isinstance(value, bool):
        return value if 0 <= value <= MAX_COUNT else None
    return None


def _parse_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("it is not valid JSON or is truncated") from None


def _unwrap(entry: dict[str, Any]) -> Mapping[str, Any]:
    """Unwrap Rails' optional root element: ``{"doc_log": {…}}``."""
    (first, *others) = entry.values() or [None]
    return first if isinstance(first, dict) and not others else entry


def _parse_text(value: object) -> str:
    if isinstance(value, list):
        return "\n".join(_parse_text(item) for item in value if not isinstance(item, list | dict))
    if value is None or isinstance(value, dict):
        return ""
    return str(value)


def _parse_reasons(value: object) -> str:
    """Return the reasons, one per line, also if they stand under the names of fields."""
    if isinstance(value, dict):
        named = ((name, _parse_text(item)) for name, item in value.items())
        return "\n".join(f"{name}: {text}" for name, text in named if text)
    return _parse_text(value)


def is_usable_id(identifier: str) -> bool:
    """Return whether an ID can be stored, and sent as one segment of a path."""
    is_text = identifier.isprintable() and bool(identifier.strip())
    # "." and ".." survive quoting and would be resolved as path segments.
    return is_text and len(identifier) <= MAX_ID_LENGTH and identifier not in (".", "..")


def _parse_id(value: object) -> str:
    """Return the ID, or blank if it is none that we can use, whole and unchanged, in a call.

    JSON's ``false`` and ``NaN`` are no IDs; two documents with such a one would be taken for one.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    identifier = str(value).strip()
    return identifier if is_usable_id(identifier) else ""


def _parse_bool(value: object) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return value if isinstance(value, bool) else None


def _last_segment(url: str) -> str:
    try:
        return unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2])
    except ValueError:
        return ""


def parse_time(value: object) -> datetime | None:
    """Return the time, aware and UTC if it names no other zone, or ``None``.

    A time outside of YEARS is none: nothing could be added to it, or subtracted from it.
    """
    if not isinstance(value, str):
        return None
    for parse in (datetime.fromisoformat, parsedate_to_datetime, _parse_ruby_time):
        try:
            time = parse(value.strip())
        except (ValueError, TypeError, OverflowError):
            continue
        if time.year not in YEARS:
            return None
        return time if time.tzinfo else time.replace(tzinfo=UTC)
    return None


def _parse_ruby_time(value: str) -> datetime:
    """Parse ``Mon Jun 06 18:33:17 +0000 2011`` or ``2011-06-06 18:33:17 UTC``."""
    try:
        return datetime.strptime(value, "%a %b %d %H:%M:%S %z %Y")
    except ValueError:
        return datetime.strptime(value.replace("UTC", "+0000"), "%Y-%m-%d %H:%M:%S %z")


def is_not_accepted(messages: Iterable[str]) -> bool:
    """Return whether DocRaptor's messages say that it is too busy for the request."""
    text = "\n".join(messages).lower()
    return any(words in text for words in NOT_ACCEPTED_TEXTS)
