"""Internal. Durations as text for people, such as "31 days", and their percentiles."""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from django.utils.translation import ngettext

T = TypeVar("T")


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


def format_whole(minutes: int) -> str:
    """Return a duration in the largest unit that divides it, in the active language."""
    size, in_unit = next(unit for unit in UNITS if minutes * 60 % unit[0] == 0)
    return _with_count(in_unit, minutes * 60 / size)


def percentile(values: Sequence[T], percent: int) -> T:
    """Return the value that so many percent of the values do not exceed (nearest rank).

    Args:
        values: sorted, at least one.
        percent: from 1 to 100.
    """
    return values[max(0, -(-len(values) * percent // 100) - 1)]


def _with_count(in_unit: Callable[[int], str], number: float) -> str:
    count = round(number)
    return in_unit(count) % {"count": count}
