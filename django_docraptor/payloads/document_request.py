"""DocumentRequest: one document as it is asked for, and what its values may be."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Self
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError

from django_docraptor.payloads.conversion import options_to_json, read_prince, read_time
from django_docraptor.payloads.fields import (
    mapping,
    secret,
    set_fields,
    split_options,
    without_none,
)
from django_docraptor.payloads.prince_options import PrinceOptions
from django_docraptor.payloads.rules import (
    Problems,
    by_field,
    not_among,
    reserved_message,
    shown,
    wrong_extra,
    wrong_fields,
)
from django_docraptor.vocabulary import JSON, MAX_NAME, MAX_TAG, RESERVED, DocumentType


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
    callback_url: str | None = secret()
    hosted_download_limit: int | None = None
    hosted_expires_at: datetime | None = None
    prince_options: PrinceOptions = field(default_factory=PrinceOptions)
    extra: Mapping[str, JSON] = mapping()

    def __post_init__(self) -> None:
        problems = list(wrong_fields(self, prefix=""))
        problems = problems or list(_wrong_values(self))
        problems += wrong_extra(self, prefix="", reserved=RESERVED)
        if problems:
            raise ValidationError(by_field(problems))
        object.__setattr__(self, "extra", dict(self.extra))

    def to_json(self) -> dict[str, Any]:
        """Exactly what is POSTed: options at the top level, nothing that is not set."""
        source = {"document_content": self.content} if self.content else {"document_url": self.url}
        body = {"name": self.name, "type": str(self.document_type), "test": self.test, **source}
        body |= {name: value for name, value in set_fields(self).items() if name not in RESERVED}
        if self.hosted_expires_at is not None:
            body["hosted_expires_at"] = self.hosted_expires_at.isoformat()
        body["prince_options"] = self.prince_options.to_json()
        if not body["prince_options"]:
            del body["prince_options"]
        return {**body, **without_none(self.extra)}

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
        refused = [(name, reserved_message(name)) for name in options if name in RESERVED]
        if refused:
            raise ValidationError(by_field(refused))
        known, extra = split_options(cls, options_to_json(options))
        known["hosted_expires_at"] = read_time(known.get("hosted_expires_at"))
        known["prince_options"] = read_prince(known.get("prince_options"))
        return cls(
            name=name,
            document_type=document_type,
            content=content,
            url=url,
            test=test,
            extra=extra,
            **known,
        )


def unknown_options(request: DocumentRequest) -> Iterator[tuple[str, str]]:
    """What is sent without being known here, as ``prince_options.name``, each with a hint."""
    for prefix, holder in (("", request), ("prince_options.", request.prince_options)):
        known = [one.name for one in fields(holder)]
        for name in holder.extra:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else "It is sent to DocRaptor as it is."
            yield f"{prefix}{name}", hint


def _wrong_values(request: DocumentRequest) -> Problems:
    if not request.name.strip():
        yield "name", "name is blank: give the document a name, such as invoice-17.pdf."
    yield from _too_long(request, "name", MAX_NAME)
    yield from _too_long(request, "tag", MAX_TAG)
    yield from not_among(
        request, "document_type", tuple(str(kind) for kind in DocumentType), prefix=""
    )
    yield from not_among(request, "strict", ("none", "html"), prefix="")
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
        given = "" if name == "callback_url" else f", not {shown(value)}"
        yield name, f"{name} {wrong}{given}."


def _naive_time(value: datetime | None) -> Problems:
    if value is not None and value.utcoffset() is None:
        yield (
            "hosted_expires_at",
            f"hosted_expires_at is {value.isoformat()}, without a time zone: use "
            "django.utils.timezone.now() or make_aware().",
        )
