"""Internal. Argument types for the commands; argparse prefixes their errors with the option's name.

They raise ArgumentTypeError.
"""

import argparse
import re
from calendar import monthrange
from datetime import MINYEAR, date, datetime, time
from typing import Any

from django.utils.dateparse import parse_date, parse_datetime
from django.utils.timezone import is_naive, make_aware

from django_docraptor.models import seconds_from_now
from django_docraptor.setting_values import MAX_DURATION

# Seconds per unit of an age.
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
AGE = r"(\d{1,9})([smhd])"


def non_negative_number(text: str) -> float:
    """Parse a non-negative number."""
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a non-negative number")
    return value


def seconds(text: str) -> float:
    """Parse a number of seconds, limited to what ``time.sleep()`` accepts."""
    value, maximum = non_negative_number(text), MAX_DURATION.total_seconds()
    if value > maximum:
        raise argparse.ArgumentTypeError(
            f"{text} seconds is too long; the maximum is {maximum:.0f}"
        )
    return value


def positive_integer(text: str) -> int:
    """Parse a number of rows."""
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer greater than zero")
    return int(text)


def age(text: str) -> float:
    """Parse a duration such as ``2h``; return seconds."""
    match = re.fullmatch(AGE, text, re.ASCII)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration, such as 90m, 2h or 3d")
    return seconds(str(int(match[1]) * UNITS[match[2]]))


def moment(text: str) -> Any:
    """Parse a time in the past: a date or a time in ISO format, or an age such as ``2h``.

    A time without offset is in the site's time zone; an age goes by the database's clock.

    Returns:
        A datetime or a database expression.
    """
    if re.fullmatch(AGE, text, re.ASCII):
        return seconds_from_now(-age(text))
    try:
        day = parse_date(text)
        value = datetime.combine(day, time.min) if day else parse_datetime(text)
    except ValueError:  # a day or an hour that does not exist
        value = None
    if value is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a date or time in ISO format, such as 2026-01-31 or "
            "2026-01-31T08:00, nor an age, such as 90m, 2h or 3d"
        )
    return make_aware(value) if is_naive(value) else value


def month(text: str) -> tuple[date, date]:
    """Parse a month, such as ``2026-11``.

    Returns:
        Its first and its last day.
    """
    if match := re.fullmatch(r"(\d{4})-(\d{2})", text, re.ASCII):
        year, number = int(match[1]), int(match[2])
        if year >= MINYEAR and 1 <= number <= 12:
            return date(year, number, 1), date(year, number, monthrange(year, number)[1])
    raise argparse.ArgumentTypeError(f"{text!r} is not a month, such as 2026-11")
