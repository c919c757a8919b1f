"""Internal. Times by the database's clock, in the form in which Django stores times."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import functions
from django.db.models.sql.compiler import SQLCompiler


class Now(functions.Now):
    """The database's current time, whatever the time zone of its session.

    Django's ``Now`` is the session's local time on MariaDB and MySQL, and UTC on SQLite, although
    Django stores times in the connection's time zone: UTC, or ``DATABASES[…]["TIME_ZONE"]``.
    """

    def as_mysql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, tuple[str | int, ...]]:
        """Return UTC, which does not depend on the session, moved to the connection's zone."""
        minutes = offset_minutes(connection)
        if not minutes:
            return "UTC_TIMESTAMP(6)", ()
        return f"(UTC_TIMESTAMP(6) + INTERVAL {minutes} MINUTE)", ()

    def as_sqlite(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, tuple[str | int, ...]]:
        """Return UTC, moved to the connection's zone."""
        minutes = offset_minutes(connection)
        moved = f", '{minutes:+} minutes'" if minutes else ""
        template = f"STRFTIME('%%%%Y-%%%%m-%%%%d %%%%H:%%%%M:%%%%f', 'NOW'{moved})"
        sql, params = self.as_sql(compiler, connection, template=template, **context)
        return str(sql), tuple(params)


def offset_minutes(connection: BaseDatabaseWrapper) -> int:
    """Return how far the times that Django stores are ahead of UTC at present."""
    zone = connection.timezone or UTC
    offset = datetime.now(UTC).astimezone(zone).utcoffset() or timedelta()
    return int(offset.total_seconds() // 60)


def seconds_from_now(seconds: float) -> Any:
    """Return the time in ``seconds`` from now, as a database expression.

    It goes by the database's clock, because the clocks of hosts may differ.
    """
    return Now() + timedelta(seconds=seconds)
