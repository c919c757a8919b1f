"""What is sent to DocRaptor: frozen, typed, and checked before it costs anything.

Knows DocRaptor's options, their names, types and limits, and which of them a project may write
where. Knows nothing of HTTP, settings or the database. A name that is not in the lists below is
passed through: DocRaptor's published list lags behind the service.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, Self, get_args
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError

JSON = str | int | float | bool | None | list[Any] | dict[str, Any]

# DocRaptor: "Name is too long (maximum is 200 characters)", and the same for the tag.
MAX_NAME: Final = 200
MAX_TAG: Final = 200

# Names that a caller cannot give among the options, and what to do instead.
RESERVED: Final[Mapping[str, str]] = {
    "name": "give it as the document's name",
    "type": "give it as document_type",
    "document_type": "give it beside the options, not among them",
    "content": "give it beside the options, not among them",
    "document_content": "give it as content",
    "url": "give it beside the options, not among them",
    "document_url": "give it as url",
    "test": "give it beside the options, or set DOCRAPTOR['TEST_MODE']",
    "async": "choose the call instead",
    "doc": "write the options at the top level",
    "user_credentials": "the API key is sent in a header and must never be part of a document",
    "extra": "write unknown options beside the known ones",
}


class DocumentType(StrEnum):
    """What DocRaptor can make."""

    PDF = "pdf"
    XLS = "xls"
    XLSX = "xlsx"


def _secret() -> Any:
    """A field that ``repr`` does not show."""
    return field(default=None, repr=False)


def _mapping() -> Any:
    return field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrinceOptions:
    """DocRaptor's ``prince_options``: every documented one, ``None`` meaning "not sent".

    Args:
        http_timeout: seconds for each resource, 1 to 60; DocRaptor's default is 10.
        key_bits: 40 or 128.
        input: ``html``, ``xml`` or ``auto``.
        extra: options that DocRaptor knows and this class does not, sent as they are.

    Raises:
        ValidationError: under ``prince_options``, one message for each wrong option.
    """

    baseurl: str | None = None
    no_xinclude: bool | None = None
    no_network: bool | None = None
    no_parallel_downloads: bool | None = None
    http_user: str | None = None
    http_password: str | None = _secret()
    http_proxy: str | None = _secret()
    http_timeout: int | None = None
    insecure: bool | None = None
    media: str | None = None
    no_author_style: bool | None = None
    no_default_style: bool | None = None
    no_embed_fonts: bool | None = None
    no_subset_fonts: bool | None = None
    no_compress: bool | None = None
    encrypt: bool | None = None
    key_bits: int | None = None
    user_password: str | None = _secret()
    owner_password: str | None = _secret()
    disallow_print: bool | None = None
    disallow_copy: bool | None = None
    disallow_annotate: bool | None = None
    disallow_modify: bool | None = None
    allow_assembly: bool | None = None
    allow_copy_for_accessibility: bool | None = None
    debug: bool | None = None
    input: str | None = None
    version: str | None = None
    javascript: bool | None = None
    max_passes: int | None = None
    css_dpi: int | None = None
    profile: str | None = None
    pdf_title: str | None = None
    iframes: bool | None = None
    page_margin: str | None = None
    pdf_forms: bool | None = None
    extra: Mapping[str, JSON] = _mapping()

    def __post_init__(self) -> None:
        problems = list(_wrong_fields(self, prefix="prince_options."))
        problems = problems or list(_wrong_prince_values(self))
        problems += _wrong_extra(self, prefix="prince_options.", reserved={})
        if problems:
            raise ValidationError({"prince_options": [message for _, message in problems]})
        object.__setattr__(self, "extra", dict(self.extra))

    def to_json(self) -> dict[str, Any]:
        """The options that are set, as DocRaptor takes them."""
        return {**_set_fields(self), **_without_none(self.extra)}

    @classmethod
    def from_json(cls, options: Mapping[str, Any]) -> Self:
        """Build from a dict; names that are not fields become ``extra``."""
        known, extra = _split(cls, options)
        return cls(**known, extra=extra)


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRequest:
    """One document as it is asked for.

    Args:
        name: at most 200 characters; becomes the name of the file.
        document_type: ``pdf``, ``xls`` or ``xlsx``.
        content: HTML or XML. Exactly one of ``content`` and ``url`` is given.
        url: http or https address from which DocRaptor fetches the HTML.
        test: free and watermarked. Always sent: DocRaptor's own default differs between documents.
        pipeline: version of DocRaptor's engine, such as ``"10.1"``.
        strict: ``none`` or ``html``.
        tag: at most 200 characters, shown in DocRaptor's log.
        hosted_download_limit: downloads of a hosted document, at least one.
        hosted_expires_at: aware time at which a hosted document goes away.
        extra: top-level options that DocRaptor knows and this class does not, sent as they are.

    Raises:
        ValidationError: one message for each wrong field, under its name.
    """

    name: str
    document_type: str = DocumentType.PDF
    content: str = field(default="", repr=False)
    url: str = field(default="", repr=False)
    test: bool = True
    pipeline: str | None = None
    strict: str | None = None
    ignore_resource_errors: bool | None = None
    ignore_console_messages: bool | None = None
    tag: str | None = None
    help: bool | None = None
    javascript: bool | None = None
    referrer: str | None = None
    callback_url: str | None = _secret()
    hosted_download_limit: int | None = None
    hosted_expires_at: datetime | None = None
    prince_options: PrinceOptions = field(default_factory=PrinceOptions)
    extra: Mapping[str, JSON] = _mapping()

    def __post_init__(self) -> None:
        problems = list(_wrong_fields(self, prefix=""))
        problems = problems or list(_wrong_request_values(self))
        problems += _wrong_extra(self, prefix="", reserved=RESERVED)
        if problems:
            raise ValidationError(_by_field(problems))
        object.__setattr__(self, "extra", dict(self.extra))

    def to_json(self) -> dict[str, Any]:
        """Exactly what is POSTed: options at the top level, nothing that is not set."""
        source = {"document_content": self.content} if self.content else {"document_url": self.url}
        body = {"name": self.name, "type": str(self.document_type), "test": self.test, **source}
        body |= {name: value for name, value in _set_fields(self).items() if name not in RESERVED}
        if self.hosted_expires_at is not None:
            body["hosted_expires_at"] = self.hosted_expires_at.isoformat()
        body["prince_options"] = self.prince_options.to_json()
        if not body["prince_options"]:
            del body["prince_options"]
        return {**body, **_without_none(self.extra)}

    @classmethod
    def from_options(
        cls,
        *,
        name: str,
        document_type: str = DocumentType.PDF,
        content: str = "",
        url: str = "",
        test: bool = True,
        options: Mapping[str, Any],
    ) -> Self:
        """Build from a flat dict of options, as a project writes them.

        Args:
            options: for example ``{"javascript": True, "prince_options": {"media": "print"}}``.
                Unknown names are passed through; ``None`` means "not set".

        Raises:
            ValidationError: as the class, and for names that are not options.
        """
        refused = [(name, _reserved_message(name)) for name in options if name in RESERVED]
        if refused:
            raise ValidationError(_by_field(refused))
        known, extra = _split(cls, options_to_json(options))
        known["hosted_expires_at"] = _read_time(known.get("hosted_expires_at"))
        known["prince_options"] = _read_prince(known.get("prince_options"))
        return cls(
            name=name,
            document_type=document_type,
            content=content,
            url=url,
            test=test,
            extra=extra,
            **known,
        )


def merge_options(*mappings: Mapping[str, Any]) -> dict[str, Any]:
    """Put options on top of each other: later ones win, ``prince_options`` option by option.

    ``None`` wins too, which is how a document takes back what the settings' defaults say.
    """
    merged: dict[str, Any] = {}
    for options in mappings:
        below = merged.get("prince_options")
        merged |= options
        if options.get("prince_options") is not None:
            merged["prince_options"] = _as_dict(below) | _as_dict(options["prince_options"])
    return merged


def options_to_json(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as JSON can store them; `DocumentRequest.from_options` reads the result.

    Times become ISO 8601 with their offset, `PrinceOptions` a dict.

    Raises:
        ValidationError: under the option's name, if its value is not JSON.
    """
    return {name: _to_json(name, value) for name, value in options.items()}


# What is wrong with a value. Each function yields pairs of a field's name and a message.

Problems = Iterator[tuple[str, str]]


def _by_field(problems: list[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, message in problems:
        found.setdefault(name, []).append(message)
    return found


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


# `fields` makes its tuple anew at each call.
_FIELDS: Final[Mapping[type, tuple[Field[Any], ...]]] = {
    cls: fields(cls) for cls in (PrinceOptions, DocumentRequest)
}


def _declared(cls: type[PrinceOptions | DocumentRequest]) -> tuple[Field[Any], ...]:
    return _FIELDS.get(cls) or fields(cls)


def _wrong_fields(holder: PrinceOptions | DocumentRequest, *, prefix: str) -> Problems:
    for known in _declared(type(holder)):
        value = getattr(holder, known.name)
        if value is known.default:  # most are, and what the class says is right
            continue
        expected = Mapping if known.name == "extra" else known.type
        label = prefix + known.name
        if not _is_a(value, expected):
            # A secret's value is for nobody's log or form.
            shown = _shown(value) if known.repr else "what was given"
            yield known.name, f"{label} must be {_type_name(expected)}, not {shown}."
        elif isinstance(value, str):
            yield from ((known.name, f"{label} {wrong}") for wrong in _wrong_text(value))


def _is_a(value: object, expected: Any) -> bool:
    if isinstance(value, bool):  # which is an int to isinstance
        return expected is bool or bool in get_args(expected)
    return isinstance(value, expected)


def _type_name(expected: Any) -> str:
    kinds = get_args(expected) if isinstance(expected, type(int | None)) else (expected,)
    return " or ".join("None" if kind is type(None) else kind.__name__ for kind in kinds)


def _wrong_text(value: str) -> Iterator[str]:
    if "\x00" in value:
        yield "has a NUL character, which no document and no database takes: remove it."
    try:
        value.encode()
    except UnicodeEncodeError:
        yield "has a lone surrogate, which is not text: decode the source with its own encoding."


def _wrong_prince_values(options: PrinceOptions) -> Problems:
    if options.http_timeout is not None and not 1 <= options.http_timeout <= 60:
        wrong = f"must be from 1 to 60 seconds, not {options.http_timeout}."
        yield "http_timeout", f"prince_options.http_timeout {wrong}"
    yield from _not_among(options, "key_bits", (40, 128))
    yield from _not_among(options, "input", ("html", "xml", "auto"))
    for name in ("css_dpi", "max_passes"):
        value = getattr(options, name)
        if value is not None and value < 1:
            yield name, f"prince_options.{name} must be at least 1, not {value}."


def _not_among(holder: object, name: str, choices: tuple[object, ...]) -> Problems:
    value = getattr(holder, name)
    if value is not None and value not in choices:
        prefix = "prince_options." if isinstance(holder, PrinceOptions) else ""
        listed = ", ".join(str(choice) for choice in choices)
        yield name, f"{prefix}{name} is {_shown(value)}: choose one of {listed}."


def _wrong_request_values(request: DocumentRequest) -> Problems:
    if not request.name.strip():
        yield "name", "name is blank: give the document a name, such as invoice-17.pdf."
    yield from _too_long(request, "name", MAX_NAME)
    yield from _too_long(request, "tag", MAX_TAG)
    yield from _not_among(request, "document_type", tuple(str(kind) for kind in DocumentType))
    yield from _not_among(request, "strict", ("none", "html"))
    yield from _wrong_source(request)
    for name in ("url", "callback_url"):
        yield from _wrong_url(name, getattr(request, name))
    limit = request.hosted_download_limit
    if limit is not None and limit < 1:
        yield "hosted_download_limit", f"hosted_download_limit must be at least 1, not {limit}."
    yield from _naive_time(request.hosted_expires_at)


def _too_long(request: DocumentRequest, name: str, limit: int) -> Problems:
    value = getattr(request, name) or ""
    if len(value) > limit:
        yield (
            name,
            f"{name} has {len(value)} characters and begins {value[:40]!r}: DocRaptor takes at "
            f"most {limit}, shorten it.",
        )


def _wrong_source(request: DocumentRequest) -> Problems:
    if request.content and request.url:
        yield "content", "content and url are both given: leave one of them out."
    if not request.content and not request.url:
        yield "content", "content is blank and there is no url: give one of them."
    if request.content and not request.content.strip():
        yield "content", "content is only white space: give the document something to show."


def _wrong_url(name: str, value: str | None) -> Problems:
    if not value:
        return
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        good = False
    if not good:
        wrong = "must be a full address that begins with http:// or https://"
        shown = "" if name == "callback_url" else f", not {_shown(value)}"
        yield name, f"{name} {wrong}{shown}."


def _naive_time(value: datetime | None) -> Problems:
    if value is not None and value.utcoffset() is None:
        yield (
            "hosted_expires_at",
            f"hosted_expires_at is {value.isoformat()}, without a time zone: use "
            "django.utils.timezone.now() or make_aware().",
        )


def _wrong_extra(
    holder: PrinceOptions | DocumentRequest, *, prefix: str, reserved: Mapping[str, str]
) -> list[tuple[str, str]]:
    if not isinstance(holder.extra, Mapping) or not holder.extra:
        return []
    known = {one.name for one in _declared(type(holder))}
    return list(_wrong_extra_items(holder.extra, prefix, reserved, known))


def _wrong_extra_items(
    extra: Mapping[Any, Any], prefix: str, reserved: Mapping[str, str], known: set[str]
) -> Problems:
    for name, value in extra.items():
        if not isinstance(name, str) or not name:
            yield "extra", f"{prefix}extra has the name {_shown(name)}: names are strings."
        elif name in reserved:
            yield "extra", _reserved_message(name)
        elif name in known:
            yield "extra", f"{prefix}extra has {name!r}: give it as {name}, not as extra."
        elif not _is_json(value):
            yield "extra", f"{prefix}{name} is {_shown(value)}, which JSON cannot hold."
        else:
            wrong = (problem for text in _texts(value) for problem in _wrong_text(text))
            yield from (("extra", f"{prefix}{name} {problem}") for problem in wrong)


def _reserved_message(name: str) -> str:
    return f"{name!r} is no option: {RESERVED[name]}."


def _is_json(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _texts(value: object) -> Iterator[str]:
    """Every string in a JSON value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from (text for item in value.items() for part in item for text in _texts(part))
    elif isinstance(value, list | tuple):
        yield from (text for part in value for text in _texts(part))


# Reading and writing dicts of options.


def _without_none(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _set_fields(holder: PrinceOptions | DocumentRequest) -> dict[str, Any]:
    values = {known.name: getattr(holder, known.name) for known in _declared(type(holder))}
    del values["extra"]
    return _without_none(values)


def _split(
    cls: type[PrinceOptions | DocumentRequest], options: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    names = {known.name for known in _declared(cls)}
    known = {name: value for name, value in options.items() if name in names}
    extra = {name: value for name, value in options.items() if name not in names}
    return _without_none(known), _without_none(extra)


def _as_dict(options: Any) -> Any:
    if isinstance(options, PrinceOptions):
        return options.to_json()
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise ValidationError({"prince_options": [_not_a_dict(options)]})
    return dict(options)


def _not_a_dict(value: object) -> str:
    return f"prince_options must be a dict or PrinceOptions, not {_shown(value)}."


def _read_prince(options: Any) -> PrinceOptions:
    return _no_prince_options() if options is None else PrinceOptions.from_json(_as_dict(options))


@lru_cache(maxsize=1)
def _no_prince_options() -> PrinceOptions:
    return PrinceOptions()


def _read_time(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        message = f"hosted_expires_at is {_shown(value)}: write it in ISO 8601 with an offset."
        raise ValidationError({"hosted_expires_at": [message]}) from None


def _to_json(name: str, value: Any) -> Any:
    try:
        return json.loads(json.dumps(value, default=_default, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        message = f"{name} is {_shown(value)}, which JSON cannot hold: {error}."
        raise ValidationError({name: [message]}) from None


def _default(value: object) -> Any:
    if isinstance(value, PrinceOptions):
        return value.to_json()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, datetime) and value.utcoffset() is not None:
        return value.isoformat()
    kind = "a time without a time zone" if isinstance(value, datetime) else type(value).__name__
    raise TypeError(f"{_shown(value)} is {kind}")
