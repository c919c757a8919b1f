"""Types of the commands' arguments: argparse puts the option's name before what they raise."""

import argparse

from django_docraptor.conf import LONGEST


def number(text: str) -> float:
    """A number that is not negative. Raises ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} must be a number, 0 or more")
    return value


def seconds(text: str) -> float:
    """A number of seconds that a process can sleep. Raises ArgumentTypeError."""
    value, most = number(text), LONGEST.total_seconds()
    if value > most:
        raise argparse.ArgumentTypeError(f"{text} seconds: no more than {most:.0f}")
    return value
