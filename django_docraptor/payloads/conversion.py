"""Options as a project writes them, as JSON stores them, and on top of each other.

Knows `PrinceOptions` as one way to write ``prince_options``; a dict is the other. Knows no rule
but that a value must be JSON.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.core.exceptions import ValidationError

from django_docraptor.payloads.prince_options import PrinceOptions
from django_docraptor.payloads.rules import shown


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


def _to_json(name: str, value: Any) -> Any:
    try:
        return json.loads(json.dumps(value, default=_default, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        message = f"{name} is {shown(value)}, which JSON cannot hold: {error}."
        raise ValidationError({name: [message]}) from None


def _default(value: object) -> Any:
    if isinstance(value, PrinceOptions):
        return value.to_json()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, datetime) and value.utcoffset() is not None:
        return value.isoformat()
    kind = "a time without a time zone" if isinstance(value, datetime) else type(value).__name__
    raise TypeError(f"{shown(value)} is {kind}")


def read_prince(options: Any) -> PrinceOptions:
    """The options from either way to write them, or none."""
    return _no_prince_options() if options is None else PrinceOptions.from_json(_as_dict(options))


@lru_cache(maxsize=1)
def _no_prince_options() -> PrinceOptions:
    return PrinceOptions()


def _as_dict(options: Any) -> Any:
    if isinstance(options, PrinceOptions):
        return options.to_json()
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise ValidationError({"prince_options": [_not_a_dict(options)]})
    return dict(options)


def _not_a_dict(value: object) -> str:
    return f"prince_options must be a dict or PrinceOptions, not {shown(value)}."


def read_time(value: Any) -> Any:
    """The time from its ISO 8601; anything else is left for the field's own rule."""
    if not isinstance(value, str):
        return value
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        message = f"hosted_expires_at is {shown(value)}: write it in ISO 8601 with an offset."
        raise ValidationError({"hosted_expires_at": [message]}) from None
