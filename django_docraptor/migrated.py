"""Internal. Tell a missing migration from a database that is down."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from django.contrib.contenttypes.models import ContentType
from django.db import DEFAULT_DB_ALIAS, DatabaseError, Error, connections, router
from django.db.migrations.executor import MigrationExecutor

from django_docraptor import advice
from django_docraptor.models import RenderJob
from django_docraptor.models.schemas import current_schema

LABEL = "django_docraptor"
# Codes of PostgreSQL and MySQL, and texts of SQLite, for a missing table or column.
MISSING_CODES: Final = ("42P01", "42703", 1146, 1054)
MISSING_TEXTS: Final = ("no such table", "no such column", "has no column named")


def is_migrated() -> bool:
    """Return whether all migrations of the app are applied; also if the database is down.

    Django also records those that a router keeps out of a database, or out of a schema.
    """
    connection = connections[router.db_for_write(RenderJob)]
    try:
        if RenderJob._meta.db_table not in connection.introspection.table_names():
            return False
        executor = MigrationExecutor(connection)
        targets = [node for node in executor.loader.graph.leaf_nodes() if node[0] == LABEL]
        return not executor.migration_plan(targets)
    except Error:
        return True


@contextmanager
def tables_required() -> Iterator[None]:
    """Add what to run to a database's error about a missing table; it stays the same error.

    The database is not asked: its transaction may be broken.
    """
    try:
        yield
    except DatabaseError as error:
        if _is_about_missing_tables(error):
            error.add_note(not_migrated_message())
        raise


def _is_about_missing_tables(error: DatabaseError) -> bool:
    text, cause = str(error), error.__cause__
    codes = [getattr(cause, "sqlstate", None), getattr(cause, "pgcode", None), *error.args[:1]]
    is_missing = any(code in MISSING_CODES for code in codes)
    is_missing = is_missing or any(part in text for part in MISSING_TEXTS)
    return is_missing and any(name in text for name in (f"{LABEL}_", ContentType._meta.db_table))


def not_migrated_message() -> str:
    """Return where the tables are missing, and what to run."""
    place, option = not_migrated_place()
    problem = advice.NOT_MIGRATED % {"place": place}
    return f"{problem} {advice.MIGRATE % {'option': option}}"


def not_migrated_place() -> tuple[str, str]:
    """Return in which database and schema the tables are, and the option of migrate for it."""
    alias = router.db_for_write(RenderJob)
    place = "" if alias == DEFAULT_DB_ALIAS else f" in the database {alias!r}"
    if schema := current_schema():
        place += f" in the schema {schema!r}"
    return place, "" if alias == DEFAULT_DB_ALIAS else f" --database {alias}"
