"""Internal. Declare option fields and read them as dicts, for any options class.

``None`` means *not set*; unknown options go to ``extra``.
"""

import re
from collections.abc import Mapping
from dataclasses import Field, field, fields
from functools import cache
from typing import Any, ClassVar, Final, Protocol

from django_docraptor.docraptor_api import JSONValue

# Names of options that look like secrets, such as those that this package does not know.
SECRET_NAME: Final = re.compile(r"password|passwd|secret|token|credential|api_?key", re.IGNORECASE)


class Options(Protocol):
    """A dataclass of options, with ``extra`` for unknown ones."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def extra(self) -> Mapping[str, JSONValue]:
        """Options unknown to the class."""


def secret_field() -> Any:
    """Return a field hidden from ``repr``."""
    return field(default=None, repr=False)


def mapping_field() -> Any:
    """Return a dict field excluded from the hash."""
    return field(default_factory=dict, hash=False)


# `dataclasses.fields` builds a new tuple on every call.
@cache
def declared_fields(cls: type[Options]) -> tuple[Field[Any], ...]:
    """Return the fields of an options class."""
    return fields(cls)


@cache
def option_names(cls: type[Options]) -> frozenset[str]:
    """Return the names of a class's options, without ``extra``."""
    return frozenset(option.name for option in declared_fields(cls)) - {"extra"}


def provided_options(options: Options) -> dict[str, Any]:
    """Return the options that are set, without ``extra``."""
    values = {
        option.name: getattr(options, option.name) for option in declared_fields(type(options))
    }
    del values["extra"]
    return drop_none(values)


def split_options(cls: type[Options], options: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """Split options into known and unknown ones, dropping unset ones.

    Returns:
        The known ones, and as ``extra`` the others with those of the key ``"extra"``.
    """
    names = option_names(cls)
    known = {name: value for name, value in options.items() if name in names}
    others = {
        name: value for name, value in options.items() if name not in names and name != "extra"
    }
    given: Any = options.get("extra")
    if given is not None and not isinstance(given, Mapping):
        return drop_none(known), given  # the class says what is wrong with it
    return drop_none(known), drop_none({**others, **(given or {})})


def drop_none(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are not ``None``."""
    return {name: value for name, value in options.items() if value is not None}
