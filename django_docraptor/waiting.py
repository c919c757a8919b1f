"""Wait for a job by looking at its row, in a thread or in an event loop.

Looking is all: nothing here drives the engine, which workers do.
"""

import asyncio
import time
from collections.abc import Iterator

from django.db import router, transaction

from django_docraptor.models import RenderJob

# Seconds between two looks: the first one, the longest one, and how fast the pause grows.
FIRST, LONGEST, GROWTH = 0.1, 2.0, 1.5


def job_done(job: RenderJob, *, timeout: float) -> RenderJob:
    """The job once it is final: completed, failed or cancelled.

    Args:
        timeout: seconds; 0 looks once.

    Raises:
        TimeoutError: it is not final yet. It goes on being made.
        RuntimeError: inside a transaction, where no worker can see the job.
    """
    for pause in _pauses(timeout):
        now = RenderJob.objects.get(pk=job.pk)
        if now.is_final:
            return now
        if in_transaction():
            raise RuntimeError(
                "Waiting inside a transaction would wait for ever: no worker sees the job before "
                "the commit. Call job_done() after the atomic block."
            )
        time.sleep(pause)
    raise _not_yet(job, timeout)


async def ajob_done(job: RenderJob, *, timeout: float) -> RenderJob:
    """As :func:`job_done`, without blocking the event loop."""
    for pause in _pauses(timeout):
        now = await RenderJob.objects.aget(pk=job.pk)
        if now.is_final:
            return now
        await asyncio.sleep(pause)
    raise _not_yet(job, timeout)


def in_transaction() -> bool:
    """Whether this thread's work on jobs is still to be committed."""
    return bool(transaction.get_connection(router.db_for_write(RenderJob)).in_atomic_block)


def _pauses(timeout: float) -> Iterator[float]:
    """Pauses that grow until the timeout is used up; a last one of no time for a last look."""
    end, pause = time.monotonic() + timeout, FIRST
    while (left := end - time.monotonic()) > 0:
        yield min(pause, left)
        pause = min(pause * GROWTH, LONGEST)
    yield 0


def _not_yet(job: RenderJob, timeout: float) -> TimeoutError:
    return TimeoutError(f"Job {job.pk} was not done after {timeout:g} s. It goes on being made.")
