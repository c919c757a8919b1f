"""Scratch databases, which are created, read without Django, and dropped."""

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pymysql
from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.models import Model

# MariaDB with PyMySQL, and with mysqlclient.
MARIADB_KINDS = ("mariadb", "mysqlclient")


def app_tables() -> list[str]:
    """Return the names of the app's tables, those that refer to others of them first."""
    models = [*apps.get_app_config("django_docraptor").get_models()]

    def depth(model: type[Model]) -> int:
        relations = (field for field in model._meta.concrete_fields if field.is_relation)
        others = {field.related_model for field in relations} - {model}
        return max((1 + depth(other) for other in models if other in others), default=0)

    return [model._meta.db_table for model in sorted(models, key=depth, reverse=True)]


@contextmanager
def connection_time_zone(name: str | None) -> Iterator[None]:
    """Have Django store times in a zone, as with ``DATABASES[…]["TIME_ZONE"]``; ``None`` is UTC."""

    def set_time_zone(name: str | None) -> None:
        # Not django.db.connection: that is a proxy, whose attributes are not the connection's.
        wrapper = connections[DEFAULT_DB_ALIAS]
        wrapper.settings_dict["TIME_ZONE"] = name
        for cached in ("timezone", "timezone_name"):
            wrapper.__dict__.pop(cached, None)
        wrapper.ensure_timezone()
        assert wrapper.timezone_name == (name or "UTC")

    before = connections[DEFAULT_DB_ALIAS].settings_dict["TIME_ZONE"]
    set_time_zone(name)
    try:
        yield
    finally:
        set_time_zone(before)


class Database:
    """One scratch database of one kind.

    Args:
        kind: as in ``TEST_DATABASE``.
        scratch: a directory for files, such as SQLite's.
        port: PostgreSQL's, if it is not the usual one.
    """

    def __init__(self, kind: str, scratch: Path, port: int | None = None) -> None:
        self.kind = kind
        self.port = port
        self.name = f"docraptor_{uuid.uuid4().hex[:12]}"
        self.scratch = scratch

    @property
    def environment(self) -> dict[str, str]:
        """The variables that ``tests.settings`` reads."""
        names = dict.fromkeys(MARIADB_KINDS, "MARIADB_DB") | {"postgresql": "POSTGRES_DB"}
        chosen = {names[self.kind]: self.name} if self.kind in names else {}
        return {"TEST_DATABASE": self.kind, "TEST_SCRATCH": str(self.scratch)} | chosen

    def query(self, sql: str, name: str | None = None) -> list[tuple[Any, ...]]:
        """Run one statement on a new connection; return its rows."""
        connection: Any
        if self.kind == "postgresql":
            connection = psycopg.connect(
                host="127.0.0.1",
                port=self.port,
                user="postgres",
                dbname=name or self.name,
                autocommit=True,
            )
        elif self.kind in MARIADB_KINDS:
            connection = pymysql.connect(
                host="127.0.0.1", user="root", database=name or self.name, autocommit=True
            )
        else:
            path = self.scratch / "db.sqlite3"
            connection = sqlite3.connect(path, timeout=20, isolation_level=None)
        with closing(connection), closing(connection.cursor()) as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []

    def create(self) -> None:
        """Create the database, empty."""
        if self.kind == "postgresql":
            self.query(f"CREATE DATABASE {self.name}", "postgres")
        elif self.kind in MARIADB_KINDS:
            self.query(f"CREATE DATABASE {self.name} CHARACTER SET utf8mb4", "mysql")

    def drop(self) -> None:
        """Drop the database, and disconnect its clients."""
        if self.kind == "postgresql":
            self.query(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)", "postgres")
        elif self.kind in MARIADB_KINDS:
            self.query(f"DROP DATABASE IF EXISTS {self.name}", "mysql")

    def empty(self) -> None:
        """Delete the app's rows."""
        for table in app_tables():
            self.query(f"DELETE FROM {table}")

    def jobs(self) -> list[dict[str, Any]]:
        """Return every job's row, with its ID as 32 hexadecimal digits."""
        columns = [
            *("id", "name", "state", "attempt", "file", "file_size", "sha256", "error_code"),
            *("errors", "created_at", "finished_at", "due_at"),
        ]
        rows = self.query(f"SELECT {', '.join(columns)} FROM django_docraptor_renderjob")
        jobs = [dict(zip(columns, row, strict=True)) for row in rows]
        return [job | {"id": uuid.UUID(str(job["id"])).hex} for job in jobs]


@contextmanager
def scratch_database(kind: str, scratch: Path) -> Iterator[Database]:
    """Yield a database of this kind, which is dropped afterwards."""
    database = Database(kind, scratch)
    database.create()
    try:
        yield database
    finally:
        database.drop()


def writes(sql: str, verb: str = "") -> bool:
    """Return whether a statement writes, or whether it contains an INSERT, UPDATE or DELETE.

    On PostgreSQL one statement may do several of them, as common table expressions.

    Args:
        sql: the statement.
        verb: the one that is looked for.
    """
    verbs = (verb,) if verb else ("INSERT", "UPDATE", "DELETE")
    return sql.startswith(verbs) or (sql.startswith("WITH ") and any(word in sql for word in verbs))


@contextmanager
def rejecting(text: str, error: Exception) -> Iterator[None]:
    """Reject every write with a text, or the digits of a key, in its parameters.

    A table that does not have a character does so.
    """

    def has_text(param: Any) -> bool:
        return text in str(param) or text == getattr(param, "hex", None)

    def reject(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if writes(sql) and any(map(has_text, params)):
            raise error
        return execute(sql, params, many, context)

    with connection.execute_wrapper(reject):
        yield
