"""The fields of a class of options: how they are declared, and read as a dict.

Knows no class by name and no rule: an option that is ``None`` is not set, and what is no field
goes by way of ``extra``.
"""

from collections.abc import Mapping
from dataclasses import Field, field, fields
from functools import cache
from typing import Any, ClassVar, Protocol

from django_docraptor.vocabulary import JSON


class Options(Protocol):
    """A dataclass of options, with room for those that it does not know."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def extra(self) -> Mapping[str, JSON]: ...


def secret() -> Any:
    """A field that ``repr`` does not show."""
    return field(default=None, repr=False)


def mapping() -> Any:
    """A dict of its own for each holder, left out of its hash."""
    return field(default_factory=dict, hash=False)


# `fields` makes its tuple anew at each call.
@cache
def declared(cls: type[Options]) -> tuple[Field[Any], ...]:
    """The fields of a class."""
    return fields(cls)


def set_fields(holder: Options) -> dict[str, Any]:
    """The options that are set, without ``extra``."""
    values = {known.name: getattr(holder, known.name) for known in declared(type(holder))}
    del values["extra"]
    return without_none(values)


def split_options(
    cls: type[Options], options: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Sort options into a class's own and the others, leaving out those that are not set."""
    names = {known.name for known in declared(cls)}
    known = {name: value for name, value in options.items() if name in names}
    extra = {name: value for name, value in options.items() if name not in names}
    return without_none(known), without_none(extra)


def without_none(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are set."""
    return {name: value for name, value in options.items() if value is not None}
