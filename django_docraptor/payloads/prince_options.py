"""Internal. PrinceOptions: the options of Prince, DocRaptor's renderer, and their validation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from django.core.exceptions import ValidationError

from django_docraptor.docraptor_api import JSONValue
from django_docraptor.payloads.fields import (
    drop_none,
    mapping_field,
    provided_options,
    secret_field,
    split_options,
)
from django_docraptor.payloads.validation import (
    FieldErrors,
    choice_errors,
    extra_errors,
    field_errors,
)

# Prefix in messages: all options are reported under one field.
PREFIX: Final = "prince_options."


@dataclass(frozen=True, slots=True, kw_only=True)
class PrinceOptions:
    """DocRaptor's ``prince_options``: every documented one; ``None`` means *not sent*.

    Args:
        http_timeout: seconds for each resource, 1 to 60; DocRaptor's default is 10.
        key_bits: 40 or 128.
        input: ``html``, ``xml`` or ``auto``.
        extra: options unknown to this class, sent unchanged.

    Raises:
        ValidationError: under ``prince_options``, one message for each invalid option.
    """

    baseurl: str | None = None
    no_xinclude: bool | None = None
    no_network: bool | None = None
    no_parallel_downloads: bool | None = None
    http_user: str | None = None
    http_password: str | None = secret_field()
    http_proxy: str | None = secret_field()
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
    user_password: str | None = secret_field()
    owner_password: str | None = secret_field()
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
    extra: Mapping[str, JSONValue] = mapping_field()

    def __post_init__(self) -> None:
        """Validate the options, and copy ``extra``."""
        errors = list(field_errors(self, prefix=PREFIX))
        errors = errors or list(_value_errors(self))
        errors += extra_errors(self, prefix=PREFIX, reserved={})
        if errors:
            raise ValidationError({"prince_options": [message for _, message in errors]})
        object.__setattr__(self, "extra", dict(self.extra))

    def to_json(self) -> dict[str, Any]:
        """Return the options that are set, as sent to DocRaptor."""
        return {**provided_options(self), **drop_none(self.extra)}

    def to_options(self) -> dict[str, Any]:
        """Return the options that are set, as `from_json` reads them."""
        extra = {"extra": dict(self.extra)} if self.extra else {}
        return {**provided_options(self), **extra}

    @classmethod
    def from_json(cls, options: Mapping[str, Any]) -> Self:
        """Build from a dict; names that are not fields become ``extra``, beside those in it.

        Raises:
            ValidationError: as for the class.
        """
        known, extra = split_options(cls, options)
        return cls(**known, extra=extra)


def _value_errors(options: PrinceOptions) -> FieldErrors:
    if options.http_timeout is not None and not 1 <= options.http_timeout <= 60:
        problem = f"must be between 1 and 60 seconds, not {options.http_timeout}."
        yield "http_timeout", f"{PREFIX}http_timeout {problem}"
    yield from choice_errors(options, "key_bits", (40, 128), prefix=PREFIX)
    yield from choice_errors(options, "input", ("html", "xml", "auto"), prefix=PREFIX)
    for name in ("css_dpi", "max_passes"):
        value = getattr(options, name)
        if value is not None and value < 1:
            yield name, f"{PREFIX}{name} must be at least 1, not {value}."
