"""The options of a create call: parsing and validation.

Option names and error messages are DocRaptor's.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django_docraptor.sandbox import recorded
from django_docraptor.sandbox.markup import find_relative_urls, first_fault

DOCUMENT_TYPES = ("pdf", "xls", "xlsx")
MAX_TEXT_LENGTH = 200
FORM_KEY = re.compile(r"doc\[(\w+)\](?:\[(\w+)\])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options of one create call. Unknown options are ignored, as DocRaptor does."""

    # None: the call did not name the document, which DocRaptor accepts.
    given_name: str | None
    document_type: str
    content: str
    url: str
    test: bool
    tag: str
    strict: str
    ignore_resource_errors: bool
    javascript: bool
    referrer: str
    # Added to the User-Agent with which the sandbox fetches `url`.
    user_agent_token: str
    callback_url: str
    asynchronous: bool
    hosted: bool
    hosted_download_limit: int | None
    hosted_expires_at: datetime | None
    prince_options: dict[str, Any]

    @property
    def name(self) -> str:
        """The document's name; empty if it has none."""
        return self.given_name or ""

    @property
    def content_sha256(self) -> str:
        """SHA-256 of the document's source, so that a test can check which bytes arrived."""
        return hashlib.sha256(self.content.encode("utf-8", "surrogatepass")).hexdigest()


def options_from_json(data: Mapping[str, Any]) -> Options:
    """Parse options at the top level or inside `doc` (the old format)."""
    doc = data.get("doc")
    return _parse_options({**data, **doc} if isinstance(doc, dict) else data)


def options_from_form(form: Mapping[str, str]) -> Options:
    """Parse form fields named `doc[name]` and `doc[prince_options][media]`."""
    data: dict[str, Any] = {}
    for key, value in form.items():
        if found := FORM_KEY.fullmatch(key):
            outer, inner = found.groups()
            target = data.setdefault(outer, {}) if inner else data
            target[inner or outer] = value
        else:
            data[key] = value
    return _parse_options(data)


def _parse_options(data: Mapping[str, Any]) -> Options:
    prince = data.get("prince_options")
    return Options(
        given_name=None if data.get("name") is None else str(data["name"]),
        document_type=_string(data, "document_type") or _string(data, "type"),
        content=_string(data, "document_content"),
        url=_string(data, "document_url"),
        # DocRaptor's documentation is inconsistent about the default. False (billed) reveals
        # clients that forgot to set it.
        test=_boolean(data, "test", False),
        tag=_string(data, "tag"),
        strict=_string(data, "strict") or "none",
        ignore_resource_errors=_boolean(data, "ignore_resource_errors", True),
        javascript=_boolean(data, "javascript", False),
        referrer=_string(data, "referrer"),
        user_agent_token=_string(data, "user_agent_token"),
        callback_url=_string(data, "callback_url"),
        asynchronous=_boolean(data, "async", False),
        hosted=_boolean(data, "hosted", False),
        hosted_download_limit=_integer(data, "hosted_download_limit"),
        hosted_expires_at=_time(data, "hosted_expires_at"),
        prince_options=prince if isinstance(prince, dict) else {},
    )


def _string(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    return "" if value is None else str(value)


def _boolean(data: Mapping[str, Any], key: str, default: bool) -> bool:
    value = data.get(key)
    if isinstance(value, str):
        return value.lower() in {"true", "1"}
    return default if value is None else bool(value)


def _integer(data: Mapping[str, Any], key: str) -> int | None:
    text = _string(data, key)
    return int(text) if text.isascii() and text.isdigit() else None


def _time(data: Mapping[str, Any], key: str) -> datetime | None:
    try:
        return parse_time(_string(data, key))
    except ValueError:
        return None


def parse_time(text: str) -> datetime:
    """Parse an ISO 8601 time, or DocRaptor's format `2015-01-01 00:00:00 UTC`.

    Without an offset, it is UTC.

    Raises:
        ValueError: the text is not a time.
    """
    time = datetime.fromisoformat(re.sub(r" ?(UTC|Z)$", "+00:00", text.strip()))
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def validation_errors(options: Options) -> list[str]:
    """Return DocRaptor's error messages for these options; empty if they are valid."""
    return [
        *_name_errors(options.given_name),
        *_type_errors(options.document_type),
        *_tag_errors(options.tag),
        *_content_errors(options),
    ]


def _name_errors(name: str | None) -> list[str]:
    """Return the errors of a name, which may be missing but not blank."""
    if name is None:
        return []
    errors = [] if name.strip() else [recorded.NAME_BLANK]
    return errors if len(name) <= MAX_TEXT_LENGTH else [*errors, recorded.NAME_TOO_LONG]


def _type_errors(document_type: str) -> list[str]:
    if not document_type:
        return [recorded.TYPE_BLANK]
    if document_type not in DOCUMENT_TYPES:
        return [recorded.TYPE_UNKNOWN]
    if document_type == "xls":
        return ["The sandbox does not support xls. Please use xlsx."]
    return []


def _tag_errors(tag: str) -> list[str]:
    return [recorded.TAG_TOO_LONG] if len(tag) > MAX_TEXT_LENGTH else []


def _content_errors(options: Options) -> list[str]:
    if not options.content:
        return [] if options.url else ["Document content can't be blank"]
    errors = []
    if not options.prince_options.get("baseurl") and find_relative_urls(options.content):
        errors.append(recorded.FILE_ACCESS)
    if options.strict == "html" and (fault := first_fault(options.content)):
        errors.append(recorded.malformed(fault))
    return errors
