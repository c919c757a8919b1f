"""What is wrong with a value, for any class of options: pure functions and their messages.

A rule yields pairs of a field's name and a message. What only one class asks for is beside that
class.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from django_docraptor.payloads.fields import Options, declared
from django_docraptor.vocabulary import RESERVED

Problems = Iterator[tuple[str, str]]


def by_field(problems: list[tuple[str, str]]) -> dict[str, list[str]]:
    """The messages of each field, as a ValidationError takes them."""
    found: dict[str, list[str]] = {}
    for name, message in problems:
        found.setdefault(name, []).append(message)
    return found


def shown(value: object) -> str:
    """A value in a message: cut, since it may be a whole document."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def wrong_fields(holder: Options, *, prefix: str) -> Problems:
    """Values of another type than the field's, and text that is none."""
    for known in declared(type(holder)):
        value = getattr(holder, known.name)
        if value is known.default:  # most are, and what the class says is right
            continue
        expected = Mapping if known.name == "extra" else known.type
        label = prefix + known.name
        if not _is_a(value, expected):
            # A secret's value is for nobody's log or form.
            given = shown(value) if known.repr else "what was given"
            yield known.name, f"{label} must be {_type_name(expected)}, not {given}."
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


def not_among(holder: Options, name: str, choices: tuple[object, ...], *, prefix: str) -> Problems:
    """A value that is set and none of the choices."""
    value = getattr(holder, name)
    if value is not None and value not in choices:
        listed = ", ".join(str(choice) for choice in choices)
        yield name, f"{prefix}{name} is {shown(value)}: choose one of {listed}."


def wrong_extra(
    holder: Options, *, prefix: str, reserved: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Names and values that cannot be sent among the unknown options."""
    if not isinstance(holder.extra, Mapping) or not holder.extra:
        return []
    known = {one.name for one in declared(type(holder))}
    return list(_wrong_extra_items(holder.extra, prefix, reserved, known))


def _wrong_extra_items(
    extra: Mapping[Any, Any], prefix: str, reserved: Mapping[str, str], known: set[str]
) -> Problems:
    for name, value in extra.items():
        if not isinstance(name, str) or not name:
            yield "extra", f"{prefix}extra has the name {shown(name)}: names are strings."
        elif name in reserved:
            yield "extra", reserved_message(name)
        elif name in known:
            yield "extra", f"{prefix}extra has {name!r}: give it as {name}, not as extra."
        elif not _is_json(value):
            yield "extra", f"{prefix}{name} is {shown(value)}, which JSON cannot hold."
        else:
            wrong = (problem for text in _texts(value) for problem in _wrong_text(text))
            yield from (("extra", f"{prefix}{name} {problem}") for problem in wrong)


def reserved_message(name: str) -> str:
    """Why a name is no option, and what to do instead."""
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
