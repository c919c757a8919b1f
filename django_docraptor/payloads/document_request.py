"""Internal. DocumentRequest: the parameters of one document and their validation."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Self
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError

from django_docraptor.docraptor_api import (
    MAX_NAME_LENGTH,
    MAX_TAG_LENGTH,
    RESERVED_OPTIONS,
    DocumentType,
    JSONValue,
)
from django_docraptor.payloads.conversion import options_to_json, parse_expiry, parse_prince_options
from django_docraptor.payloads.fields import (
    drop_none,
    mapping_field,
    option_names,
    provided_options,
    secret_field,
    split_options,
)
from django_docraptor.payloads.option_names import misspelt_names
from django_docraptor.payloads.prince_options import PrinceOptions
from django_docraptor.payloads.validation import (
    FieldErrors,
    choice_errors,
    extra_errors,
    field_errors,
    group_by_field,
    reserved_message,
    short_repr,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRequest:
    """The request for one document.

    Args:
        name: file name, at most 200 characters.
        document_type: ``pdf``, ``xls`` or ``xlsx``.
        content: HTML or XML. Exactly one of ``content`` and ``url`` is given.
        url: http or https URL from which DocRaptor fetches the HTML.
        test: free and watermarked. Always sent: DocRaptor's own default differs between documents.
        pipeline: version of DocRaptor's engine, such as ``"10.1"``.
        strict: ``none`` or ``html``.
        tag: at most 200 characters, short_repr in DocRaptor's log.
        hosted_download_limit: number of downloads of a hosted document, at least 1.
        hosted_expires_at: aware datetime at which a hosted document expires.
        extra: top-level options unknown to this class, sent unchanged.

    Raises:
        ValidationError: one message for each invalid field, under its name.
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
    callback_url: str | None = secret_field()
    hosted_download_limit: int | None = None
    hosted_expires_at: datetime | None = None
    prince_options: PrinceOptions = field(default_factory=PrinceOptions)
    extra: Mapping[str, JSONValue] = mapping_field()

    def __post_init__(self) -> None:
        """Validate the fields, and copy ``extra``."""
        errors = list(field_errors(self, prefix=""))
        errors = errors or list(_value_errors(self))
        errors += extra_errors(self, prefix="", reserved=RESERVED_OPTIONS)
        if errors:
            raise ValidationError(group_by_field(errors))
        object.__setattr__(self, "extra", dict(self.extra))

    def to_json(self) -> dict[str, Any]:
        """Return the JSON body to POST: options at the top level, unset ones omitted."""
        source = {"document_content": self.content} if self.content else {"document_url": self.url}
        body = {"name": self.name, "type": str(self.document_type), "test": self.test, **source}
        body |= {
            name: value
            for name, value in provided_options(self).items()
            if name not in RESERVED_OPTIONS
        }
        if self.hosted_expires_at is not None:
            body["hosted_expires_at"] = self.hosted_expires_at.isoformat()
        body["prince_options"] = self.prince_options.to_json()
        if not body["prince_options"]:
            del body["prince_options"]
        return {**body, **drop_none(self.extra)}

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
            name: as for the class.
            document_type: as for the class.
            content: as for the class.
            url: as for the class.
            test: as for the class.
            options: for example ``{"javascript": True, "prince_options": {"media": "print"}}``.
                Unknown names are passed through, unless they are almost an option's; those in
                ``extra`` are, as they are. ``None`` means *not set*.

        Raises:
            ValidationError: as for the class, and for names that are not options.
        """
        options = options_to_json(options)
        own, prince = option_names(DocumentRequest), option_names(PrinceOptions)
        errors = [*_reserved_names(options), *misspelt_names(options, own=own, prince=prince)]
        if errors:
            raise ValidationError(group_by_field(errors))
        known, extra = split_options(cls, options)
        known["hosted_expires_at"] = parse_expiry(known.get("hosted_expires_at"))
        known["prince_options"] = parse_prince_options(known.get("prince_options"))
        return cls(
            name=name,
            document_type=document_type,
            content=content,
            url=url,
            test=test,
            extra=extra,
            **known,
        )


def _reserved_names(options: Mapping[str, Any]) -> FieldErrors:
    for name in options:
        if name in RESERVED_OPTIONS and name != "extra":
            yield name, reserved_message(name)


def unknown_options(request: DocumentRequest) -> Iterator[tuple[str, str]]:
    """Yield unknown options, such as ``prince_options.name``, each with a hint."""
    for prefix, options in (("", request), ("prince_options.", request.prince_options)):
        known = [option.name for option in fields(options)]
        for name in options.extra:
            matches = difflib.get_close_matches(name, known, n=1)
            hint = (
                f"Did you mean {matches[0]!r}?" if matches else "It is sent to DocRaptor unchanged."
            )
            yield f"{prefix}{name}", hint


def _value_errors(request: DocumentRequest) -> FieldErrors:
    if not request.name.strip():
        yield "name", "name must not be blank: use a file name such as invoice-17.pdf."
    yield from _length_errors(request, "name", MAX_NAME_LENGTH)
    yield from _length_errors(request, "tag", MAX_TAG_LENGTH)
    document_types = tuple(str(document_type) for document_type in DocumentType)
    yield from choice_errors(request, "document_type", document_types, prefix="")
    yield from choice_errors(request, "strict", ("none", "html"), prefix="")
    yield from _content_errors(request)
    for name in ("url", "callback_url"):
        yield from _url_errors(name, getattr(request, name))
    limit = request.hosted_download_limit
    if limit is not None and limit < 1:
        yield "hosted_download_limit", f"hosted_download_limit must be at least 1, not {limit}."
    yield from _expiry_errors(request.hosted_expires_at)


def _length_errors(request: DocumentRequest, name: str, limit: int) -> FieldErrors:
    value = getattr(request, name) or ""
    if len(value) > limit:
        yield (
            name,
            f"{name} has {len(value)} characters (it begins {value[:40]!r}), but DocRaptor accepts "
            f"at most {limit}.",
        )


def _content_errors(request: DocumentRequest) -> FieldErrors:
    if request.content and request.url:
        yield "content", "Pass either content or url, not both."
    if not request.content and not request.url:
        yield "content", "Either content or url is required."
    if request.content.isspace():
        yield "content", "content consists of whitespace only."


def _url_errors(name: str, value: str | None) -> FieldErrors:
    if not value:
        return
    try:
        parts = urlsplit(value)
        is_absolute = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_absolute = False
    if not is_absolute:
        # A callback URL contains a token.
        given = "" if name == "callback_url" else f", not {short_repr(value)}"
        yield name, f"{name} must be an absolute http:// or https:// URL{given}."


def _expiry_errors(value: datetime | None) -> FieldErrors:
    if value is not None and value.utcoffset() is None:
        yield (
            "hosted_expires_at",
            f"hosted_expires_at must be an aware datetime, not {value.isoformat()}: use "
            "django.utils.timezone.now() or make_aware().",
        )
