"""PrinceOptions: the options of the engine behind DocRaptor, and what their values may be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from django.core.exceptions import ValidationError

from django_docraptor.payloads.fields import (
    mapping,
    secret,
    set_fields,
    split_options,
    without_none,
)
from django_docraptor.payloads.rules import (
    Problems,
    not_among,
    reserved_message,
    wrong_extra,
    wrong_fields,
)
from django_docraptor.vocabulary import JSON

# What a message calls an option: all are reported under one field.
PREFIX: Final = "prince_options."


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
    http_password: str | None = secret()
    http_proxy: str | None = secret()
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
    user_password: str | None = secret()
    owner_password: str | None = secret()
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
    extra: Mapping[str, JSON] = mapping()

    def __post_init__(self) -> None:
        problems = list(wrong_fields(self, prefix=PREFIX))
        problems = problems or list(_wrong_values(self))
        problems += wrong_extra(self, prefix=PREFIX, reserved={})
        if problems:
            raise ValidationError({"prince_options": [message for _, message in problems]})
        object.__setattr__(self, "extra", dict(self.extra))

    def to_json(self) -> dict[str, Any]:
        """The options that are set, as DocRaptor takes them."""
        return {**set_fields(self), **without_none(self.extra)}

    @classmethod
    def from_json(cls, options: Mapping[str, Any]) -> Self:
        """Build from a dict; names that are not fields become ``extra``.

        Raises:
            ValidationError: as the class, and for ``extra`` itself.
        """
        if "extra" in options:
            raise ValidationError({"prince_options": [reserved_message("extra")]})
        known, extra = split_options(cls, options)
        return cls(**known, extra=extra)


def _wrong_values(options: PrinceOptions) -> Problems:
    if options.http_timeout is not None and not 1 <= options.http_timeout <= 60:
        wrong = f"must be from 1 to 60 seconds, not {options.http_timeout}."
        yield "http_timeout", f"{PREFIX}http_timeout {wrong}"
    yield from not_among(options, "key_bits", (40, 128), prefix=PREFIX)
    yield from not_among(options, "input", ("html", "xml", "auto"), prefix=PREFIX)
    for name in ("css_dpi", "max_passes"):
        value = getattr(options, name)
        if value is not None and value < 1:
            yield name, f"{PREFIX}{name} must be at least 1, not {value}."
