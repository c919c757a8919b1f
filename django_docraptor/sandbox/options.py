"""The options of a create: how they are read from a body, and what makes them invalid.

Knows DocRaptor's option names and reasons; no HTTP, no state.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django_docraptor.sandbox.markup import relative_resources, unbalanced_tags

DOCUMENT_TYPES = ("pdf", "xls", "xlsx")
MAX_LENGTH = 200
FORM_KEY = re.compile(r"doc\[(\w+)\](?:\[(\w+)\])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the caller asked for; unknown options are dropped, as the service does."""

    name: str
    document_type: str
    content: str
    url: str
    test: bool
    tag: str
    strict: str
    ignore_resource_errors: bool
    javascript: bool
    referrer: str
    callback_url: str
    asynchronous: bool
    hosted_download_limit: int | None
    hosted_expires_at: datetime | None
    prince_options: dict[str, Any]

    @property
    def content_sha256(self) -> str:
        """The hash of the document's source, to prove which bytes arrived."""
        return hashlib.sha256(self.content.encode("utf-8", "surrogatepass")).hexdigest()


def from_json(data: Mapping[str, Any]) -> Options:
    """Read options at the top level or, the old form, inside `doc`."""
    doc = data.get("doc")
    return _options({**data, **doc} if isinstance(doc, dict) else data)


def from_form(form: Mapping[str, str]) -> Options:
    """Read options from form fields named `doc[name]` and `doc[prince_options][media]`."""
    data: dict[str, Any] = {}
    for key, value in form.items():
        if found := FORM_KEY.fullmatch(key):
            outer, inner = found.groups()
            target = data.setdefault(outer, {}) if inner else data
            target[inner or outer] = value
        else:
            data[key] = value
    return _options(data)


def _options(data: Mapping[str, Any]) -> Options:
    prince = data.get("prince_options")
    return Options(
        name=_text(data, "name"),
        document_type=_text(data, "document_type") or _text(data, "type"),
        content=_text(data, "document_content"),
        url=_text(data, "document_url"),
        # The documents disagree on the default; the dear one finds callers who forgot it.
        test=_flag(data, "test", False),
        tag=_text(data, "tag"),
        strict=_text(data, "strict") or "none",
        ignore_resource_errors=_flag(data, "ignore_resource_errors", True),
        javascript=_flag(data, "javascript", False),
        referrer=_text(data, "referrer"),
        callback_url=_text(data, "callback_url"),
        asynchronous=_flag(data, "async", False),
        hosted_download_limit=_number(data, "hosted_download_limit"),
        hosted_expires_at=_time(data, "hosted_expires_at"),
        prince_options=prince if isinstance(prince, dict) else {},
    )


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    return "" if value is None else str(value)


def _flag(data: Mapping[str, Any], key: str, default: bool) -> bool:
    value = data.get(key)
    if isinstance(value, str):
        return value.lower() in {"true", "1"}
    return default if value is None else bool(value)


def _number(data: Mapping[str, Any], key: str) -> int | None:
    text = _text(data, key)
    return int(text) if text.isascii() and text.isdigit() else None


def _time(data: Mapping[str, Any], key: str) -> datetime | None:
    try:
        return parse_time(_text(data, key))
    except ValueError:
        return None


def parse_time(text: str) -> datetime:
    """Read an ISO 8601 time, or DocRaptor's `2015-01-01 00:00:00 UTC`; without offset it is UTC."""
    time = datetime.fromisoformat(re.sub(r" ?(UTC|Z)$", "+00:00", text.strip()))
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def invalid_reasons(options: Options) -> list[str]:
    """Return why the service would refuse these options, in its own words; [] if it would not."""
    return [
        *_name_reasons(options.name),
        *_type_reasons(options.document_type),
        *_tag_reasons(options.tag),
        *_content_reasons(options),
    ]


def _name_reasons(name: str) -> list[str]:
    reasons = [] if name.strip() else ["Name can't be blank"]
    if len(name) > MAX_LENGTH:
        reasons.append(f"Name is too long (maximum is {MAX_LENGTH} characters)")
    return reasons


def _type_reasons(document_type: str) -> list[str]:
    if not document_type:
        return ["Document type can't be blank"]
    if document_type not in DOCUMENT_TYPES:
        return ["Document type is not included in the list"]
    if document_type == "xls":
        return ["The sandbox makes no xls documents. Please use xlsx."]
    return []


def _tag_reasons(tag: str) -> list[str]:
    if len(tag) > MAX_LENGTH:
        return [f"Tag is too long (maximum is {MAX_LENGTH} characters)"]
    return []


def _content_reasons(options: Options) -> list[str]:
    if not options.content:
        return [] if options.url else ["Document content can't be blank"]
    reasons = []
    if not options.prince_options.get("baseurl") and relative_resources(options.content):
        reasons.append("File system access is not allowed")
    if options.strict == "html" and (tag := unbalanced_tags(options.content)):
        reasons.append(f"Document Malformed: <{tag}> is not closed properly")
    return reasons
