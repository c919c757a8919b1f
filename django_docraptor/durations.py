"""Internal. Durations as text for people, such as "31 days"."""

from collections.abc import Callable
from typing import Final

from django.utils.translation import ngettext


def _in_days(count: int) -> str:
    return ngettext("%(count)d day", "%(count)d days", count)


def _in_hours(count: int) -> str:
    return ngettext("%(count)d hour", "%(count)d hours", count)


def _in_minutes(count: int) -> str:
    return ngettext("%(count)d minute", "%(count)d minutes", count)


def _in_seconds(count: int) -> str:
    return ngettext("%(count)d second", "%(count)d seconds", count)


UNITS: Final[tuple[tuple[int, Callable[[int], str]], ...]] = (
    (86_400, _in_days),
    (3_600, _in_hours),
    (60, _in_minutes),
)


def format_duration(seconds: float) -> str:
    """Return a duration in the largest unit of which it has two, in the active language.

    Args:
        seconds: a number of seconds; less than zero counts as zero.
    """
    for size, in_unit in UNITS:
        if seconds >= 2 * size:
            return _with_count(in_unit, seconds / size)
    return _with_count(_in_seconds, max(seconds, 0.0))


def _with_count(in_unit: Callable[[int], str], number: float) -> str:
    count = round(number)
    return in_unit(count) % {"count": count}
