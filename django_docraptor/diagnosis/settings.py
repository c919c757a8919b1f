"""Internal. Probe of the settings: what the system checks of this app say."""

from collections.abc import Iterator
from typing import Final

from django.core.checks import ERROR, WARNING, CheckMessage, run_checks

from django_docraptor.diagnosis.results import Result, fail, ok, warn

PREFIX: Final = "django_docraptor."
# Checks of what another probe looks at more closely.
COVERED: Final = ("E023", "W002", "W004", "W012")


def probe_settings() -> Iterator[Result]:
    """Run the system checks of this app."""
    messages = [message for message in run_checks() if _is_told(message)]
    for message in messages:
        number = str(message.id).removeprefix(PREFIX)
        make = fail if message.level >= ERROR else warn
        yield make("settings", f"{number}: {message.msg}", message.hint or "")
    if not messages:
        yield ok("settings", "The system checks of django_docraptor find nothing.")


def _is_told(message: CheckMessage) -> bool:
    identifier = str(message.id)
    number = identifier.removeprefix(PREFIX)
    return identifier.startswith(PREFIX) and message.level >= WARNING and number not in COVERED
