"""Internal. Begin a transaction only if one is needed; run a function once after the commit."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from django.db import connections, transaction

from django_docraptor.models.statements import combines_writes


def savepoint_if_nested(using: str) -> AbstractContextManager[None]:
    """Return a savepoint within a transaction, which an error would end; outside, nothing."""
    is_nested = connections[using].in_atomic_block
    return transaction.atomic(using=using) if is_nested else nullcontext()


def durable_transaction(using: str, *, statements: int) -> AbstractContextManager[None]:
    """Return a transaction that is committed at its end, and that refuses to be part of another.

    One statement that writes a row with its history is such a transaction by itself, if nothing has
    begun another.

    Args:
        using: alias of the database.
        statements: how many calls of ``update_with_child`` it contains.
    """
    connection = connections[using]
    is_single = statements == 1 and combines_writes(using)
    if is_single and connection.get_autocommit() and not connection.in_atomic_block:
        return nullcontext()
    return transaction.atomic(using=using, durable=True)


def on_commit_once(hook: Callable[[], object], *, using: str) -> None:
    """Register a hook, unless an equal one is registered. In autocommit it runs now.

    Django drops a hook when its savepoint rolls back. A hook that is still registered belongs to
    an enclosing or released savepoint, so it runs whenever the caller's rows are committed.

    Args:
        hook: comparable; it must not raise.
        using: alias of the database.
    """
    connection = transaction.get_connection(using)
    if not any(registered == hook for _, registered, *_ in connection.run_on_commit):
        transaction.on_commit(hook, using=using, robust=True)
