"""Internal. Repeat what the database refused because of another transaction.

At READ COMMITTED, an UPDATE waits for the other transaction and then compares the row again. At
REPEATABLE READ and SERIALIZABLE, PostgreSQL refuses it instead (40001), and expects it to be
repeated. A refused statement or transaction has changed nothing.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import DatabaseError, connections

R = TypeVar("R")

# SQLSTATEs: serialization failure, deadlock. Codes of MySQL and MariaDB: deadlock, changed record.
CONFLICT_STATES = frozenset({"40001", "40P01"})
CONFLICT_CODES = frozenset({1213, 1020})
# Repetitions, and the most seconds before each: about two seconds in all.
MAX_REPETITIONS = 25
FIRST_DELAY, MAX_DELAY = 0.005, 0.2


class RowsChangedError(DatabaseError):
    """Another process has changed some of the rows that one statement was to change."""


def is_conflict(error: BaseException) -> bool:
    """Return whether the database refused a statement because of another transaction."""
    cause = error.__cause__
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    code = error.args[0] if error.args else None
    return isinstance(error, DatabaseError) and (
        state in CONFLICT_STATES or (isinstance(code, int) and code in CONFLICT_CODES)
    )


def repeat_conflicts(
    write: Callable[[], R], *, using: str, reset: Callable[[], object] = lambda: None
) -> R:
    """Run a statement or transaction, and again if it met a conflict.

    Within a transaction of the caller it runs once: only the whole transaction can be repeated.

    Args:
        write: what to run.
        using: alias of the database.
        reset: undoes what ``write`` has changed in memory.
    """
    for number in range(MAX_REPETITIONS):
        if connections[using].in_atomic_block:
            break
        try:
            return write()
        except DatabaseError as error:
            if not is_conflict(error):
                raise
        reset()
        time.sleep(random.uniform(0, min(MAX_DELAY, FIRST_DELAY * 2.0**number)))  # noqa: S311
    return write()


@contextmanager
def repeated_statements(using: str) -> Iterator[None]:
    """Repeat each single statement of the block that meets a conflict."""

    def run(execute: Callable[..., Any], *args: Any) -> Any:
        return repeat_conflicts(lambda: execute(*args), using=using)

    with connections[using].execute_wrapper(run):
        yield
