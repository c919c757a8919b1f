"""What DocRaptor says, read tolerantly: a field that is missing or odd never hides the others.

Knows the shapes of the answers and nothing of HTTP. A useless answer is a ValueError.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self
from urllib.parse import unquote, urlsplit

# What the columns hold in which the answers are kept.
MAX_ID = 200
MAX_NUMBER = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteStatus:
    """What DocRaptor says about one document.

    Args:
        status: ``queued``, ``working``, ``completed``, ``failed``, or a word that is new to us.
        download_id: blank until completed.
        download_url: a bearer secret: whoever has it gets the document. Not shown by ``repr``.
        message: for people, such as ``Completed at …``.
        number_of_pages: of a PDF, ``None`` if not said.
        validation_errors: the reasons of a failure, one a line.
    """

    status: str
    download_id: str = field(default="", repr=False)
    download_url: str = field(default="", repr=False)
    message: str = ""
    number_of_pages: int | None = None
    validation_errors: str = ""

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any], *, status: str = "") -> Self:
        """Read an answer. Raises ValueError if it has no status and none is given."""
        said = _text(answer.get("status")).strip().lower() or status
        if not said:
            raise ValueError("it has no status")
        url = _text(answer.get("download_url"))
        return cls(
            status=said,
            download_id=_id(answer.get("download_id")) or _id(_last_part(url)),
            download_url=url,
            message=_text(answer.get("message")),
            number_of_pages=whole_number(answer.get("number_of_pages")),
            validation_errors=_text(answer.get("validation_errors")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One line of DocRaptor's log of attempts, or of its list of documents.

    ``success`` and ``test`` are ``None`` where the line does not say; ``created_at`` is aware.
    """

    tag: str = ""
    status_id: str = ""
    success: bool | None = None
    name: str = ""
    created_at: datetime | None = None
    document_type: str = ""
    test: bool | None = None
    validation_errors: str = ""

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> Self:
        """Read one line; what is missing stays blank."""
        return cls(
            tag=_text(answer.get("tag")),
            status_id=_id(answer.get("status_id")),
            success=_flag(answer.get("success")),
            name=_text(answer.get("name")),
            created_at=_time(answer.get("created_at")),
            document_type=_text(answer.get("document_type")),
            test=_flag(answer.get("test")),
            validation_errors=_text(answer.get("validation_errors")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """What was written to the target: size in bytes, SHA-256 in hex, and what was said of it."""

    size: int
    sha256: str
    content_type: str = ""
    number_of_pages: int | None = None


def read_object(body: bytes) -> dict[str, Any]:
    """A JSON object. Raises ValueError if it is cut, or anything else."""
    answer = _read(body)
    if not isinstance(answer, dict):
        raise ValueError("it is not a JSON object")
    return answer


def read_listing(body: bytes) -> list[LogEntry]:
    """A JSON list of objects, bare or under one name. Raises ValueError if it is anything else.

    Strict about the list itself: an attempt is called absent because a listing lacks it.
    """
    answer = _read(body)
    if isinstance(answer, dict):
        lists = [value for value in answer.values() if isinstance(value, list)]
        answer = lists[0] if len(lists) == 1 else None
    if not isinstance(answer, list) or not all(isinstance(line, dict) for line in answer):
        raise ValueError("it is not a list of objects")
    return [LogEntry.from_answer(_unwrapped(line)) for line in answer]


def read_id(answer: Mapping[str, Any], name: str) -> str:
    """The id of that name. Raises ValueError if there is none, or one that cannot be kept."""
    value = _id(answer.get(name))
    if not value:
        raise ValueError(f"it has no {name} of at most {MAX_ID} characters")
    return value


def whole_number(value: object) -> int | None:
    """The value as a number that is not negative and can be kept, or ``None``."""
    if isinstance(value, str) and value.isascii() and value.strip().isdigit():
        value = int(value) if len(value) < 20 else None
    if isinstance(value, int) and not isinstance(value, bool):
        return value if 0 <= value <= MAX_NUMBER else None
    return None


def _read(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON, or cut") from None


def _unwrapped(line: dict[str, Any]) -> Mapping[str, Any]:
    """``{"doc_log": {…}}``, as Rails writes it if told to, as ``{…}``."""
    (first, *others) = line.values() or [None]
    return first if isinstance(first, dict) and not others else line


def _text(value: object) -> str:
    if isinstance(value, list):
        return "\n".join(_text(one) for one in value if not isinstance(one, list | dict))
    if value is None or isinstance(value, dict):
        return ""
    return str(value)


def _id(value: object) -> str:
    """Blank for one that is too long: half of it would be another one's."""
    said = _text(value).strip()
    return said if len(said) <= MAX_ID else ""


def _flag(value: object) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return value if isinstance(value, bool) else None


def _last_part(url: str) -> str:
    try:
        return unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2])
    except ValueError:
        return ""


def _time(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    for read in (datetime.fromisoformat, parsedate_to_datetime, _ruby_time):
        try:
            found = read(value.strip())
        except (ValueError, TypeError):
            continue
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    return None


def _ruby_time(value: str) -> datetime:
    """As in ``Completed at Mon Jun 06 18:33:17 +0000 2011``, or with the zone at the end."""
    try:
        return datetime.strptime(value, "%a %b %d %H:%M:%S %z %Y")
    except ValueError:
        return datetime.strptime(value.replace("UTC", "+0000"), "%Y-%m-%d %H:%M:%S %z")
