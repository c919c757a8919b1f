"""Internal. System checks of the database: run by ``migrate`` and ``check --database``.

Check IDs continue those of ``django_docraptor.checks``.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final

from django.apps import AppConfig, apps
from django.core.checks import CheckMessage, Tags, Warning, register
from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper

from django_docraptor.models.jobs import RenderJob

# The character set of MariaDB and MySQL that has every character.
WHOLE: Final = "utf8mb4"
CONSEQUENCE: Final = (
    "Texts of DocRaptor are stored without the characters that it lacks, such as emoji, and a "
    "document whose name or HTML has one cannot be enqueued."
)
COLUMNS: Final = """
    SELECT table_name, column_name, character_set_name, column_type, is_nullable
    FROM information_schema.columns
    WHERE table_schema = DATABASE() AND character_set_name IS NOT NULL
    ORDER BY table_name, ordinal_position
"""


def _warning(number: int, message: str, hint: str) -> Warning:
    return Warning(message, hint=hint, id=f"django_docraptor.W{number:03}")


@register(Tags.database)
def check_character_sets(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check that tables and connections of MariaDB and MySQL have every character."""
    messages: list[CheckMessage] = []
    for alias in databases or ():
        connection = connections[alias]
        if connection.vendor == "mysql" and router.allow_migrate_model(alias, RenderJob):
            messages += [*_connection_messages(connection), *_table_messages(connection)]
    return messages


def _connection_messages(connection: BaseDatabaseWrapper) -> Iterator[CheckMessage]:
    ((charset,),) = _select(connection, "SELECT @@character_set_client")
    if charset == WHOLE:
        return
    yield _warning(
        12,
        f"The connection {connection.alias!r} has the character set {charset}. {CONSEQUENCE}",
        f'In DATABASES[{connection.alias!r}]["OPTIONS"], remove "charset" and any SET NAMES, or '
        f'set "charset": "{WHOLE}".',
    )


def _table_messages(connection: BaseDatabaseWrapper) -> Iterator[CheckMessage]:
    models = apps.get_app_config("django_docraptor").get_models()
    tables = {model._meta.db_table for model in models}
    columns = [row for row in _select(connection, COLUMNS) if row[0] in tables]
    if not columns:
        yield from _database_messages(connection)
    narrow = [row for row in columns if row[2] != WHOLE]
    for (table, charset), rows in groupby(narrow, key=lambda row: (row[0], row[2])):
        # Column by column: CONVERT TO would also change how keys are compared.
        changes = ", ".join(_modification(connection, *row[1:]) for row in rows)
        yield _warning(
            12,
            f"The table {table} has columns with the character set {charset}. {CONSEQUENCE}",
            f"Stop the workers, and run: ALTER TABLE {connection.ops.quote_name(table)} {changes};",
        )


def _database_messages(connection: BaseDatabaseWrapper) -> Iterator[CheckMessage]:
    """Report the character set that the tables will have, before they are created."""
    ((name, charset),) = _select(connection, "SELECT DATABASE(), @@character_set_database")
    if charset != WHOLE:
        yield _warning(
            12,
            f"The database {name} has the character set {charset}, and so will new tables. "
            f"{CONSEQUENCE}",
            f"Before you migrate, run: ALTER DATABASE {connection.ops.quote_name(name)} "
            f"CHARACTER SET {WHOLE};",
        )


def _modification(
    connection: BaseDatabaseWrapper, name: str, _charset: str, column_type: str, is_nullable: str
) -> str:
    null = "NULL" if is_nullable == "YES" else "NOT NULL"
    return (
        f"MODIFY {connection.ops.quote_name(name)} {_text(column_type)} CHARACTER SET {WHOLE} "
        f"{null}"
    )


def _select(connection: BaseDatabaseWrapper, sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def _text(value: str | bytes) -> str:
    """Return a type's text, which MySQL's driver may return as bytes."""
    return value.decode() if isinstance(value, bytes) else value
