"""Internal. Text that error reports do not show: the API key as it is and as it is sent, tokens."""

from typing import Any, Final

HIDDEN: Final = "'********'"


class SecretText(str):
    """A string that shows itself only to those who use it.

    Tracebacks of error reporters, such as Sentry or Django's mails to ADMINS, show the variables of
    each function by their ``repr()``. What is derived from it, such as a slice, is a plain string.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        """Return asterisks."""
        return HIDDEN


def hide(value: Any) -> Any:
    """Return a string as `SecretText`, and anything else unchanged."""
    return SecretText(value) if isinstance(value, str) else value
