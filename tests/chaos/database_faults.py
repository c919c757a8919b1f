"""Database errors at random while the site writes.

Each stands for a database that restarts, fails over or closes a connection: before a statement,
after one, or after a commit whose answer is lost.
"""

import random
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from tests.chaos.injected import count_fault, has_ended
from tests.support.databases import writes

# Only the app's tables: Django's own sessions and migrations are not what is tested.
TABLES = "django_docraptor_"

Execute = Callable[..., Any]


def install() -> None:
    """Break some writes of every connection that is opened from now on."""
    if any(settings.DATABASE_FAILURE_RATES.values()):
        connection_created.connect(_break_connection, dispatch_uid="chaos")


def _break_connection(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Break a connection once, however often it is opened again.

    A wrapper that is added at the end while a block has added its own would be removed in its
    place when the block ends.
    """
    if _break_write not in connection.execute_wrappers:
        connection.execute_wrappers.insert(0, _break_write)
        _break_commits(connection)


def _break_write(
    execute: Execute, sql: str, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    if not writes(sql) or TABLES not in sql:
        return execute(sql, params, many, context)
    connection = context["connection"]
    if _is_due("database.refused"):
        raise OperationalError("database.refused: injected")
    if _is_due("database.cut"):
        _cut(connection)
        # The driver reports it, in its own words.
        return execute(sql, params, many, context)
    result = execute(sql, params, many, context)
    if _is_due("database.cut_after_write"):
        # In a transaction, the write is lost; outside of one, it has happened.
        _cut(connection)
        raise OperationalError("database.cut_after_write: injected")
    return result


def _cut(connection: BaseDatabaseWrapper) -> None:
    if connection.connection is not None:
        connection.connection.close()


def _break_commits(connection: BaseDatabaseWrapper) -> None:
    commit = connection._commit

    def commit_and_lose_the_answer() -> None:
        commit()
        if _is_due("database.commit_answer_lost"):
            raise OperationalError("database.commit_answer_lost: injected")

    connection._commit = commit_and_lose_the_answer  # type: ignore[method-assign]


def _is_due(kind: str) -> bool:
    if has_ended() or random.random() >= settings.DATABASE_FAILURE_RATES.get(kind, 0):
        return False
    count_fault(kind)
    return True
