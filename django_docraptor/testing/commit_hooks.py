"""Internal. Run the functions of ``transaction.on_commit()`` in a test's own transaction.

That is never committed, so Django keeps them until the test ends.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import update_wrapper
from typing import Any

from django.db import connections, router

from django_docraptor.models import RenderJob

logger = logging.getLogger(__name__)


class _Once:
    """A function that runs once, by us or by Django's ``captureOnCommitCallbacks()``."""

    def __init__(self, hook: Callable[[], object]) -> None:
        update_wrapper(self, hook, assigned=("__module__", "__name__", "__qualname__"), updated=())
        self.hook = hook
        self.has_run = False

    def __call__(self) -> None:
        if not self.has_run:
            self.has_run = True
            self.hook()

    def __eq__(self, other: object) -> bool:
        """Compare what has not run yet; ``on_commit_once()`` asks for that."""
        return not self.has_run and self.hook == other


@contextmanager
def once_each() -> Iterator[None]:
    """Let each function that is registered meanwhile run once, however many ask it to."""
    with ExitStack() as stack:
        for connection in connections.all(initialized_only=True):
            stack.enter_context(_once_each(connection))
        yield


@contextmanager
def _once_each(connection: Any) -> Iterator[None]:
    register = connection.on_commit

    def on_commit(hook: Any, robust: bool = False) -> None:
        register(_Once(hook) if callable(hook) else hook, robust)

    connection.on_commit = on_commit
    try:
        yield
    finally:
        connection.on_commit = register


def run_commit_hooks() -> bool:
    """Run what this test's transaction has registered, and what that registers.

    Returns:
        Whether there was anything.
    """
    found = False
    for connection in connections.all(initialized_only=True):
        while hooks := _take_hooks(connection):
            found = True
            for hook, is_robust in hooks:
                try:
                    hook()
                except Exception:
                    if not is_robust:
                        raise
                    logger.exception("A function of transaction.on_commit() failed")
    return found


def _take_hooks(connection: Any) -> list[tuple[Callable[[], object], bool]]:
    """Remove the functions of this test; those of ``setUpTestData()`` belong to all tests."""
    if not connection.in_atomic_block:
        return []
    own = set(connection.savepoint_ids)
    entries = connection.run_on_commit
    connection.run_on_commit = [entry for entry in entries if not own <= entry[0]]
    return [
        (hook, is_robust)
        for savepoints, hook, is_robust in entries
        if own <= savepoints and not getattr(hook, "has_run", False)
    ]


def refuse_open_transaction() -> None:
    """Check that the jobs' database has no open transaction but a test's own.

    Raises:
        RuntimeError: it has.
    """
    connection = connections[router.db_for_write(RenderJob)]
    if not all(getattr(block, "_from_testcase", False) for block in connection.atomic_blocks):
        raise RuntimeError(
            "render() was called inside transaction.atomic(), before its jobs exist for a worker. "
            "Call it after the block."
        )
