"""Internal. Run a function once after the current transaction commits."""

from collections.abc import Callable

from django.db import transaction


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
