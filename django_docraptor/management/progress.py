"""Internal. Progress of a command, for the person at the terminal."""

from django.core.management.base import OutputWrapper


def print_progress(stream: OutputWrapper, text: str) -> None:
    """Write progress to a terminal only: a log has no use for it."""
    if stream.isatty():
        stream.write(text, style_func=str, ending="")
        stream.flush()
