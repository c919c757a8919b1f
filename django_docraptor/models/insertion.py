"""Internal. Insert new jobs, one or many. Knows nothing about their content.

A job, its input and its first event are stored together or not at all. On PostgreSQL, those of a
single job are one statement: three round trips less, and in autocommit no transaction around them.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from django_docraptor.models.clock import Now, as_datetime
from django_docraptor.models.events import RenderEvent
from django_docraptor.models.inputs import RenderInput
from django_docraptor.models.jobs import RenderJob
from django_docraptor.models.measurements import publish_insertions
from django_docraptor.models.prepared import insert_rows, insert_sql
from django_docraptor.models.statements import Sql, combines_writes, database_now
from django_docraptor.states import EventKind

Pair = tuple[RenderJob, RenderInput]


def insert_jobs(pairs: Iterable[Pair], *, batch_size: int = 1000, savepoint: bool = False) -> None:
    """Insert jobs with their inputs and first events, all or none.

    Args:
        pairs: the jobs with their inputs.
        batch_size: rows of one statement.
        savepoint: whether an error leaves the caller's transaction usable.
    """
    pairs = list(pairs)
    using = router.db_for_write(RenderJob)
    connection = connections[using]
    at_once = len(pairs) == 1 and combines_writes(using)
    block: AbstractContextManager[Any] = nullcontext()
    if not at_once or (connection.in_atomic_block and savepoint):
        block = transaction.atomic(using=using, savepoint=savepoint)
    with block:
        if len(pairs) == 1:
            _insert_one(*pairs[0], connection, at_once=at_once)
        else:
            _insert_many(pairs, batch_size)
    publish_insertions((job for job, _job_input in pairs), using=using)


def _insert_one(
    job: RenderJob, job_input: RenderInput, connection: BaseDatabaseWrapper, *, at_once: bool
) -> None:
    """Insert a job with its input and first event, by one statement if the database can."""
    event = RenderEvent(job_id=job.pk, kind=EventKind.ENQUEUED, to_state=job.state)
    statements = [insert_sql(row, connection) for row in (job, job_input, event)]
    insert = _insert_at_once if at_once else _insert_in_turn
    with connection.cursor() as cursor:
        created_at = insert(cursor, statements, connection)
    if created_at is None:
        del job.created_at  # loaded on access
    else:
        job.created_at = as_datetime(created_at, connection.timezone)
    for row in (job, job_input):
        row._state.adding, row._state.db = False, connection.alias


def _insert_at_once(cursor: Any, statements: list[Sql], connection: BaseDatabaseWrapper) -> Any:
    """Run the statements as one, and return when the job was created."""
    job, job_input, event = (sql for sql, _ in statements)
    created_at = connection.ops.quote_name("created_at")
    parts = f"job AS ({job} RETURNING {created_at}), input AS ({job_input}), event AS ({event})"
    sql = f"WITH {parts} SELECT {created_at} FROM job"  # noqa: S608
    cursor.execute(sql, [param for _, params in statements for param in params])
    return cursor.fetchone()[0]


def _insert_in_turn(cursor: Any, statements: list[Sql], connection: BaseDatabaseWrapper) -> Any:
    """Run one statement after the other, and return when the job was created, if it is known."""
    (sql, params), *others = statements
    created_at = None
    if connection.features.can_return_columns_from_insert:
        cursor.execute(f"{sql} RETURNING {connection.ops.quote_name('created_at')}", params)
        (created_at,) = cursor.fetchone()
    else:
        cursor.execute(sql, params)
    for statement in others:
        cursor.execute(*statement)
    return created_at


def _insert_many(pairs: list[Pair], batch_size: int) -> None:
    """Insert by a statement for each model, in the caller's transaction.

    The database's clock is read once: what is stored is known here, too.
    """
    if not pairs:
        return
    using = router.db_for_write(RenderJob)
    now = database_now(using=using)
    for job, _job_input in pairs:
        job.created_at = now
        if isinstance(job.due_at, Now):  # not one that is to be sent later
            job.due_at = now
    jobs, inputs = zip(*pairs, strict=True)
    events = [
        RenderEvent(job_id=job.pk, kind=EventKind.ENQUEUED, to_state=job.state, at=now)
        for job in jobs
    ]
    for rows in (jobs, inputs, events):
        insert_rows(rows, connections[using], batch_size=batch_size)
