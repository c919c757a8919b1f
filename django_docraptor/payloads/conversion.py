"""Internal. Convert and merge options. ``prince_options`` may be a `PrinceOptions` or a dict.

The only rule checked here is that values are JSON-serializable.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.core.exceptions import ValidationError

from django_docraptor.payloads.prince_options import PrinceOptions
from django_docraptor.payloads.validation import short_repr, shown_value


def merge_options(*mappings: Mapping[str, Any]) -> dict[str, Any]:
    """Merge options: later ones win, and ``prince_options`` and ``extra`` are merged key by key.

    ``None`` wins, too, so a document can unset a default from the settings.
    """
    merged: dict[str, Any] = {}
    for options in mappings:
        base = merged.get("prince_options")
        merged = _merge_extra(merged, options)
        if options.get("prince_options") is not None:
            nested = _as_dict(options["prince_options"])
            merged["prince_options"] = _merge_extra(_as_dict(base), nested)
    return merged


def _merge_extra(base: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two dicts; so are their ``extra``."""
    merged = {**base, **options}
    extras = base.get("extra"), options.get("extra")
    if isinstance(extras[0], Mapping) and isinstance(extras[1], Mapping):
        merged["extra"] = {**extras[0], **extras[1]}
    return merged


def options_to_json(options: Mapping[str, Any]) -> dict[str, Any]:
    """Convert options to JSON-serializable values, as read by `DocumentRequest.from_options`.

    Datetimes become ISO 8601 with an offset, `PrinceOptions` become dicts.

    Raises:
        ValidationError: under the option's name, if its value cannot be stored as JSON.
    """
    return {name: _to_json(name, value) for name, value in options.items()}


def _to_json(name: str, value: Any) -> Any:
    try:
        return json.loads(json.dumps(value, default=_encode, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        message = f"{name} is {shown_value(name, value)}, which cannot be stored as JSON: {error}."
        raise ValidationError({name: [message]}) from None


def _encode(value: object) -> Any:
    if isinstance(value, PrinceOptions):
        return value.to_options()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, datetime) and value.utcoffset() is not None:
        return value.isoformat()
    description = "a naive datetime" if isinstance(value, datetime) else type(value).__name__
    raise TypeError(f"a value is {description}")


def parse_prince_options(options: Any) -> PrinceOptions:
    """Return `PrinceOptions` from a `PrinceOptions`, a dict or ``None``."""
    return _no_prince_options() if options is None else PrinceOptions.from_json(_as_dict(options))


@lru_cache(maxsize=1)
def _no_prince_options() -> PrinceOptions:
    return PrinceOptions()


def _as_dict(options: Any) -> Any:
    if isinstance(options, PrinceOptions):
        return options.to_options()
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise ValidationError({"prince_options": [_not_a_dict(options)]})
    return dict(options)


def _not_a_dict(value: object) -> str:
    # Not even a text is shown: it may be a dict of passwords as JSON.
    return f"prince_options must be a dict or PrinceOptions, not {type(value).__name__}."


def parse_expiry(value: Any) -> Any:
    """Parse an ISO 8601 string; other values are validated by the field."""
    if not isinstance(value, str):
        return value
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        message = (
            "hosted_expires_at must be an ISO 8601 datetime with a UTC offset, not "
            f"{short_repr(value)}."
        )
        raise ValidationError({"hosted_expires_at": [message]}) from None
