"""Let the database's clock differ from this process's, as the clocks of two hosts do.

SQLite reads the clock of the process, in whole milliseconds, so that a test which compares the two
would fail by chance. With a difference it fails each time, and so does the app where it asks the
wrong one.
"""

import os
from functools import cache
from typing import Any, Final

from django.apps import AppConfig

# Seconds; negative: the database is late.
DIFFERENCE: Final = float(os.environ.get("TEST_DATABASE_CLOCK", "-0.05"))


class DatabaseClock(AppConfig):
    """Moves SQLite's present, as the app reads it, in each process that has these settings."""

    name = "tests.support"
    label = "database_clock"

    def ready(self) -> None:
        """Replace what ``Now`` is on SQLite."""
        _move_clock()


@cache  # Apps are ready again whenever a test changes which ones are installed.
def _move_clock() -> None:
    from django_docraptor.models.clock import Now

    original = Now.as_sqlite

    def moved(self: Now, *args: Any, **context: Any) -> tuple[str, tuple[str | int, ...]]:
        sql, params = original(self, *args, **context)
        return sql.replace("'NOW'", f"'NOW', '{DIFFERENCE:+.3f} seconds'"), params

    Now.as_sqlite = moved  # type: ignore[method-assign]
