"""Internal. Times by the database's clock, in the form in which Django stores times."""

from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import functions
from django.db.models.expressions import DatabaseDefault
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_naive, make_aware

if TYPE_CHECKING:
    from django.db.models.sql.compiler import SQLCompiler


class Now(functions.Now):
    """The database's current time, whatever the time zone of its session.

    Django's ``Now`` is the session's local time on MariaDB and MySQL, and UTC on SQLite, although
    Django stores times in the connection's time zone: UTC, or ``DATABASES[…]["TIME_ZONE"]``.
    """

    def as_mysql(
        self, compiler: "SQLCompiler", connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, tuple[str | int, ...]]:
        """Return UTC, which does not depend on the session, moved to the connection's zone."""
        minutes = offset_minutes(connection)
        if not minutes:
            return "UTC_TIMESTAMP(6)", ()
        return f"(UTC_TIMESTAMP(6) + INTERVAL {minutes} MINUTE)", ()

    def as_sqlite(
        self, compiler: "SQLCompiler", connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, tuple[str | int, ...]]:
        """Return UTC, moved to the connection's zone.

        SQLite compares texts: with the six digits that Django stores, a time is not later than the
        same one with three.
        """
        minutes = offset_minutes(connection)
        moved = f", '{minutes:+} minutes'" if minutes else ""
        template = f"(STRFTIME('%%%%Y-%%%%m-%%%%d %%%%H:%%%%M:%%%%f', 'NOW'{moved}) || '000')"
        sql, params = self.as_sql(compiler, connection, template=template, **context)
        return str(sql), tuple(params)


class InsertionTimeField(models.DateTimeField):  # type: ignore[type-arg]
    """A time that is the database's present when a row is inserted, unless it is given.

    Each INSERT of Django says so itself. The default in the table, which Django would use on
    MariaDB and MySQL, keeps the zone's offset of the day on which the table was made.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"db_default": Now()} | kwargs)

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        """Return the object's time, or else the present as an expression."""
        value = super().pre_save(model_instance, add)
        return Now() if isinstance(value, DatabaseDefault) else value

    def deconstruct(self) -> Any:
        """Return a plain field with the default: all that a migration needs to know."""
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.DateTimeField", args, kwargs


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


def earliest_due() -> Any:
    """Return the time at which a row may be due at the earliest: now, or its ``not_before``."""
    is_later = models.When(not_before__gt=Now(), then=models.F("not_before"))
    return models.Case(is_later, default=Now(), output_field=models.DateTimeField())


def as_datetime(value: Any, zone: tzinfo | None) -> Any:
    """Convert a database's value for a time (text, aware or naive datetime) to an aware one.

    For queries of our own; Django converts what its models read.
    """
    time = parse_datetime(value) if isinstance(value, str) else value
    return make_aware(time, zone) if time is not None and is_naive(time) else time
