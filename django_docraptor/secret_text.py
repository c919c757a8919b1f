"""Internal. Text that error reports do not show: API keys, also as they are sent, and tokens."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

HIDDEN: Final = "'********'"
# Settings that no traceback shows.
SECRET_SETTINGS: Final = ("API_KEY", "HEALTH_TOKEN")


class SecretText(str):
    """A string that shows itself only to those who use it.

    Tracebacks of error reporters, such as Sentry or Django's mails to ADMINS, show the variables of
    each function by their ``repr()``. What is derived from it, such as a slice, is a plain string.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        """Return asterisks."""
        return HIDDEN


class HiddenAccounts(Mapping[str, Any]):
    """The settings of several accounts, whose keys are hidden when they are read.

    It is filled by its attribute: an argument would be a variable that a traceback shows.
    """

    __slots__ = ("values_by_name",)
    values_by_name: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        """Return the settings of an account, with its key hidden."""
        return hide(self.values_by_name[name])

    def __iter__(self) -> Iterator[str]:
        """Return the names."""
        return iter(self.values_by_name)

    def __len__(self) -> int:
        """Return the number of accounts."""
        return len(self.values_by_name)

    def __repr__(self) -> str:
        """Return asterisks."""
        return HIDDEN


def hide(value: Any) -> Any:
    """Return a string as `SecretText`, those of a list, and the secret settings of a dict.

    Anything else is returned unchanged.
    """
    if isinstance(value, str):
        return SecretText(value)
    if isinstance(value, (list, tuple)):
        return tuple(map(hide, value))
    if isinstance(value, Mapping):
        secrets = {}
        for name in SECRET_SETTINGS:  # a comprehension would have a frame of its own
            if name in value:
                secrets[name] = hide(value[name])
        return {**value, **secrets} if secrets else value
    return value
