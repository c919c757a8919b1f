"""Internal. Validation shared by all options classes.

Validators are pure functions that yield ``(field, message)`` pairs. Validation for a single class
is in that class's module.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import date
from numbers import Number
from typing import Any, Final, get_args

from django_docraptor.docraptor_api import RESERVED_OPTIONS
from django_docraptor.payloads.fields import SECRET_NAME, Options, declared_fields
from django_docraptor.payloads.utf8 import slices

FieldErrors = Iterator[tuple[str, str]]
# What messages show. Anything else may contain a password at any depth, or show one in its repr.
SHOWN_TYPES: Final = (str, Number, date, type(None))


def group_by_field(errors: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Group messages by field, as ValidationError expects."""
    messages: dict[str, list[str]] = {}
    for name, message in errors:
        messages.setdefault(name, []).append(message)
    return messages


def short_repr(value: object) -> str:
    """Return a truncated repr for messages: the value may be a whole document."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def shown_value(name: str, value: object) -> str:
    """Return a value for messages, or only its type if it may be, or contain, a secret.

    Args:
        name: of its option.
        value: of any type.
    """
    is_plain = isinstance(value, SHOWN_TYPES) and SECRET_NAME.search(name) is None
    return short_repr(value) if is_plain else f"a value of type {type(value).__name__}"


def field_errors(options: Options, *, prefix: str) -> FieldErrors:
    """Report values of the wrong type and invalid text."""
    for option in declared_fields(type(options)):
        value = getattr(options, option.name)
        if value is option.default:  # defaults are valid, and most values are defaults
            continue
        expected = Mapping if option.name == "extra" else option.type
        label = prefix + option.name
        if not _is_instance(value, expected):
            # Secrets must not appear in logs or forms.
            given = shown_value(option.name, value) if option.repr else "the given value"
            yield option.name, f"{label} must be {_type_name(expected)}, not {given}."
        elif isinstance(value, str):
            yield from ((option.name, f"{label} {problem}") for problem in _text_errors(value))


def _is_instance(value: object, expected: Any) -> bool:
    if isinstance(value, bool):  # bool is a subclass of int
        return expected is bool or bool in get_args(expected)
    return isinstance(value, expected)


def _type_name(expected: Any) -> str:
    types = get_args(expected) if isinstance(expected, type(int | None)) else (expected,)
    return " or ".join("None" if type_ is type(None) else type_.__name__ for type_ in types)


def _text_errors(value: str) -> Iterator[str]:
    if "\x00" in value:
        yield "contains a NUL character, which documents and databases do not accept."
    try:
        for piece in slices(value):
            piece.encode()
    except UnicodeEncodeError:
        yield "contains a lone surrogate: the text was decoded with the wrong encoding."


def choice_errors(
    options: Options, name: str, choices: tuple[object, ...], *, prefix: str
) -> FieldErrors:
    """Report a value that is set but not a valid choice."""
    value = getattr(options, name)
    if value is not None and value not in choices:
        listed = ", ".join(str(choice) for choice in choices)
        yield name, f"{prefix}{name} must be one of {listed}, not {short_repr(value)}."


def extra_errors(
    options: Options, *, prefix: str, reserved: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Report names and values that are not allowed in ``extra``."""
    if not isinstance(options.extra, Mapping) or not options.extra:
        return []
    known = {option.name for option in declared_fields(type(options))}
    return list(_extra_item_errors(options.extra, prefix, reserved, known))


def _extra_item_errors(
    extra: Mapping[Any, Any], prefix: str, reserved: Mapping[str, str], known: set[str]
) -> FieldErrors:
    for name, value in extra.items():
        if not isinstance(name, str) or not name:
            shown = shown_value("", name)
            yield (
                "extra",
                f"{prefix}extra contains the name {shown}, but option names must be non-empty "
                "strings.",
            )
        elif name in reserved:
            yield "extra", reserved_message(name)
        elif name in known:
            yield "extra", f"{prefix}{name} must be passed directly, not in extra."
        elif not _is_json(value):
            yield (
                "extra",
                f"{prefix}{name} is {shown_value(name, value)}, which cannot be stored as JSON.",
            )
        else:
            problems = (problem for text in _texts(value) for problem in _text_errors(text))
            yield from (("extra", f"{prefix}{name} {problem}") for problem in problems)


def reserved_message(name: str) -> str:
    """Return why a name is not an option, and what to use instead."""
    return f"{name!r} is not an option: {RESERVED_OPTIONS[name]}."


def _is_json(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _texts(value: object) -> Iterator[str]:
    """Yield every string in a JSON value, including keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from (text for item in value.items() for part in item for text in _texts(part))
    elif isinstance(value, list | tuple):
        yield from (text for part in value for text in _texts(part))
