"""Internal. Wait for a job by polling its row, in a thread or in an event loop.

Nothing here runs the engine; workers do.
"""

import asyncio
import time
from collections.abc import Iterator

from django.db import router, transaction

from django_docraptor.models import RenderJob

# Seconds between two queries: the first delay, the longest, and the growth factor.
FIRST_DELAY, MAX_DELAY, DELAY_GROWTH = 0.1, 2.0, 1.5


def wait_for_job(job: RenderJob, *, timeout: float) -> RenderJob:
    """Wait until a job is completed, failed or cancelled.

    Args:
        job: the job.
        timeout: seconds; 0 checks once.

    Returns:
        The job, reloaded.

    Raises:
        TimeoutError: the job is not final yet; it continues in the background.
        RuntimeError: called inside a transaction, whose job no worker can see.
    """
    for delay in _poll_delays(timeout):
        current = RenderJob.objects.get(pk=job.pk)
        if current.is_final:
            return current
        if in_transaction():
            raise RuntimeError(
                "wait_for_job() was called inside a transaction: no worker can see the job before "
                "the commit. Call it after the atomic block."
            )
        time.sleep(delay)
    raise _timeout_error(job, timeout)


async def await_for_job(job: RenderJob, *, timeout: float) -> RenderJob:
    """Wait for a job without blocking the event loop: see :func:`wait_for_job`."""
    for delay in _poll_delays(timeout):
        current = await RenderJob.objects.aget(pk=job.pk)
        if current.is_final:
            return current
        await asyncio.sleep(delay)
    raise _timeout_error(job, timeout)


def in_transaction() -> bool:
    """Return whether this thread has an open transaction on the jobs' database."""
    return bool(transaction.get_connection(router.db_for_write(RenderJob)).in_atomic_block)


def _poll_delays(timeout: float) -> Iterator[float]:
    """Yield growing delays until the timeout is used up, then 0 for a last check."""
    deadline, delay = time.monotonic() + timeout, FIRST_DELAY
    while (remaining := deadline - time.monotonic()) > 0:
        yield min(delay, remaining)
        delay = min(delay * DELAY_GROWTH, MAX_DELAY)
    yield 0


def _timeout_error(job: RenderJob, timeout: float) -> TimeoutError:
    return TimeoutError(
        f"Job {job.pk} was not finished after {timeout:g} s. It continues in the background."
    )
