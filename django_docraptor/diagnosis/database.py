"""Internal. Probes of the database in which the jobs are."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS, Error, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper

from django_docraptor import advice
from django_docraptor.diagnosis.results import Result, as_sentence, fail, ok, warn
from django_docraptor.durations import format_duration
from django_docraptor.migrated import is_migrated, not_migrated_place
from django_docraptor.models import RenderJob
from django_docraptor.models.checks import check_character_sets
from django_docraptor.models.clock import offset_minutes
from django_docraptor.models.statements import database_now

VENDORS: Final = {"postgresql": "PostgreSQL", "mysql": "MySQL", "sqlite": "SQLite"}
DATABASE_REMEDY: Final = (
    "Check DATABASES (HOST, PORT, NAME, USER, PASSWORD), and whether the database server runs."
)
# Seconds by which two clocks may differ: those of hosts that are synchronized differ by less. From
# the second on, a time zone is the likelier reason.
MAX_DIFFERENCE: Final = 5.0
ZONE_SECONDS: Final = 900.0


def jobs_connection() -> BaseDatabaseWrapper:
    """Return the connection of the database in which the jobs are."""
    return connections[router.db_for_write(RenderJob)]


def describe_database() -> str:
    """Return the database's product and version."""
    connection = jobs_connection()
    version = ".".join(map(str, connection.get_database_version()))
    is_mariadb = getattr(connection, "mysql_is_mariadb", False)
    product = "MariaDB" if is_mariadb else VENDORS.get(connection.vendor, connection.vendor)
    return f"{product} {version}"


def vendor_name() -> str:
    """Return the kind of database, without asking it."""
    return str(jobs_connection().vendor)


def probe_connection() -> Iterator[Result]:
    """Look whether the database responds."""
    connection = jobs_connection()
    try:
        _select(connection, "SELECT 1")
    except Error as error:
        message = f"The database {connection.alias!r} cannot be read: {as_sentence(error)}"
        yield fail("database", message, DATABASE_REMEDY)
        return
    alias = "" if connection.alias == DEFAULT_DB_ALIAS else f", alias {connection.alias!r}"
    yield ok("database", f"{describe_database()}, {connection.settings_dict['NAME']}{alias}.")


def probe_migrations() -> Iterator[Result]:
    """Look whether the tables are those of this version."""
    if is_migrated():
        yield ok("migrations", "The tables are up to date.")
        return
    place, option = not_migrated_place()
    problem = advice.NOT_MIGRATED % {"place": place}
    yield fail("migrations", problem, advice.MIGRATE % {"option": option})


def probe_isolation() -> Iterator[Result]:
    """Look at the isolation level, or at the mode of SQLite's transactions."""
    connection = jobs_connection()
    if connection.vendor == "sqlite":
        yield from _sqlite_mode(connection)
        return
    queries = {
        "postgresql": "SHOW transaction_isolation",
        "mysql": "SELECT @@session.tx_isolation"
        if getattr(connection, "mysql_is_mariadb", False)
        else "SELECT @@session.transaction_isolation",
    }
    if connection.vendor not in queries:
        yield warn("isolation", f"{connection.vendor} is not supported: the engine is untested.")
        return
    level = str(_select(connection, queries[connection.vendor])).replace("-", " ").lower()
    yield isolation_result(level, connection.alias)


def isolation_result(level: str, alias: str) -> Result:
    """Return what an isolation level means for the engine."""
    if level == "read committed":
        return ok("isolation", "READ COMMITTED.")
    return warn(
        "isolation",
        f"{level.upper()}: the engine repeats what the database refuses, which takes time.",
        f'If nothing else needs it, remove it from DATABASES[{alias!r}]["OPTIONS"].',
    )


def _sqlite_mode(connection: BaseDatabaseWrapper) -> Iterator[Result]:
    options = connection.settings_dict.get("OPTIONS", {})
    mode = str(options.get("transaction_mode") or "DEFERRED").upper()
    journal = str(_select(connection, "PRAGMA journal_mode")).upper()
    message = f"Transactions are {mode}, the journal mode is {journal}."
    if mode == "IMMEDIATE":
        yield ok("isolation", message)
        return
    yield warn(
        "isolation",
        f"{message} SQLite raises “database is locked” when two processes write.",
        f'In DATABASES[{connection.alias!r}], set "OPTIONS": {{"transaction_mode": "IMMEDIATE", '
        '"timeout": 20, "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"}.',
    )


def probe_character_set() -> Iterator[Result]:
    """Look whether the database has every character."""
    connection = jobs_connection()
    if connection.vendor == "mysql":
        messages = check_character_sets(None, databases=[connection.alias])
        for message in messages:
            yield warn("character set", message.msg, message.hint or "")
        if not messages:
            yield ok("character set", "utf8mb4.")
        return
    encoding = "UTF8"
    if connection.vendor == "postgresql":
        encoding = str(_select(connection, "SHOW server_encoding"))
    if encoding == "UTF8":
        yield ok("character set", "UTF-8.")
        return
    yield warn(
        "character set",
        f"The database has the encoding {encoding}: texts with other characters are stored without "
        "them, or refused.",
        "Create the database anew, with ENCODING 'UTF8', and load a dump of this one.",
    )


def probe_time_zone() -> Iterator[Result]:
    """Tell in which zone the database's session is, and in which Django stores times."""
    connection = jobs_connection()
    minutes = offset_minutes(connection)
    stored = f"UTC{minutes // 60:+03}:{minutes % 60:02}" if minutes else "UTC"
    queries = {"postgresql": "SHOW timezone", "mysql": "SELECT @@session.time_zone"}
    query = queries.get(connection.vendor)
    session = f" The session's time zone is {_select(connection, query)}." if query else ""
    yield ok("time zone", f"Times are stored in {stored}.{session}")


def probe_clock() -> Iterator[Result]:
    """Compare this machine's clock with that of the database, by which the engine goes."""
    yield clock_result(seconds_ahead(datetime.now(UTC)))


def clock_result(difference: float) -> Result:
    """Return what it means that this machine's clock is so many seconds ahead."""
    if abs(difference) <= MAX_DIFFERENCE:
        return ok("clock", "This machine and the database have the same time.")
    side = "ahead of" if difference > 0 else "behind"
    message = f"This machine's clock is {format_duration(abs(difference))} {side} the database's."
    remedy = "Synchronize both with a time server (NTP)."
    if abs(difference) < ZONE_SECONDS:
        return warn("clock", message, remedy)
    return fail(
        "clock",
        message,
        f"{remedy} If both are right, look at TIME_ZONE in DATABASES, and at the session's zone.",
    )


def seconds_ahead(moment: datetime) -> float:
    """Return by how much a time that was just read is ahead of the database's clock."""
    started = time.monotonic()
    now = database_now(using=router.db_for_write(RenderJob))
    return (moment - now).total_seconds() + (time.monotonic() - started) / 2


def _select(connection: BaseDatabaseWrapper, sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]
