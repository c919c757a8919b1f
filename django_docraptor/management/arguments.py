"""Internal. Argument types for the commands; argparse prefixes their errors with the option's name.

They raise ArgumentTypeError.
"""

import argparse

from django_docraptor.conf import MAX_DURATION


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
