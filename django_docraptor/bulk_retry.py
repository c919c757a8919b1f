"""Internal. Retry many failed jobs, in batches: for the command and the admin.

What a retry does, and what it costs, is the rule of ``shortcuts.retry``.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from django.db import Error as AnyDatabaseError
from django.db import router, transaction
from django.db.models import Q

from django_docraptor import wakeups
from django_docraptor.lifecycle.transitions import retry_from_start
from django_docraptor.models import RenderJob, RenderJobQuerySet
from django_docraptor.models.clock import Now
from django_docraptor.runners import Step
from django_docraptor.shortcuts import AnyUser, describe_actor, retry
from django_docraptor.states import State

logger = logging.getLogger(__name__)

# Jobs per transaction.
BATCH_SIZE: Final = 100


@dataclass(frozen=True, slots=True)
class RetryCounts:
    """What retrying jobs would do.

    Args:
        resumed: jobs that go on with the attempt that DocRaptor has accepted, and are not billed.
        free: test documents that start again.
        billed: documents that start again and are billed.
        billed_again: those of ``billed`` whose earlier attempt may have been billed already.
    """

    resumed: int = 0
    free: int = 0
    billed: int = 0
    billed_again: int = 0

    @property
    def total(self) -> int:
        """The number of jobs."""
        return self.resumed + self.free + self.billed


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What a batch has done.

    Args:
        retried: number of jobs that go on.
        failed: number of jobs that could not be retried.
    """

    retried: int = 0
    failed: int = 0


def count_retries(
    jobs: RenderJobQuerySet, *, from_start: bool = False, limit: int | None = None
) -> RetryCounts:
    """Return what retrying the failed jobs among these would do.

    Args:
        jobs: any jobs.
        from_start: start all of them again.
        limit: only so many, the oldest.
    """
    resumed = free = billed = billed_again = 0
    rows = _oldest_failed(jobs).only("state", "error_code", "status_id", "download_id", "test")
    for job in rows[:limit].iterator():
        if job.resume_state is not None and not from_start:
            resumed += 1
        elif job.test:
            free += 1
        else:
            billed += 1
            billed_again += job.may_have_been_billed
    return RetryCounts(resumed, free, billed, billed_again)


def retry_in_batches(
    jobs: RenderJobQuerySet,
    *,
    from_start: bool = False,
    limit: int | None = None,
    by: AnyUser | None = None,
) -> Iterator[BatchResult]:
    """Retry the failed jobs among these, the oldest first, each once.

    Each batch is one transaction, so a run that is interrupted has done a part, and another goes
    on: what was retried is no longer failed.

    Args:
        jobs: any jobs.
        from_start: start all of them again, also those that could resume; each is billed.
        limit: only so many.
        by: who retries.

    Yields:
        What each batch has done.
    """
    rows = _oldest_failed(jobs).filter(finished_at__lte=Now()).defer("errors", "message")
    after, left = Q(), limit
    while left is None or left > 0:
        size = BATCH_SIZE if left is None else min(BATCH_SIZE, left)
        batch = list(rows.filter(after)[:size])
        if not batch:
            return
        last = batch[-1]
        later = Q(created_at__gt=last.created_at)
        after = later | Q(created_at=last.created_at, pk__gt=last.pk)
        left = None if left is None else left - len(batch)
        yield _retry_batch(batch, from_start=from_start, by=by)


def _oldest_failed(jobs: RenderJobQuerySet) -> RenderJobQuerySet:
    return jobs.filter(state=State.FAILED).order_by("created_at", "pk")


def _retry_batch(batch: list[RenderJob], *, from_start: bool, by: AnyUser | None) -> BatchResult:
    """Retry jobs in one transaction; one by one if that fails, so that the others go on."""
    try:
        with transaction.atomic(using=router.db_for_write(RenderJob)):
            retried = sum(_retry_one(job, from_start=from_start, by=by) for job in batch)
    except AnyDatabaseError:
        logger.exception("A batch of %d jobs could not be retried together", len(batch))
        if len(batch) == 1:
            return BatchResult(failed=1)
        keys = [job.pk for job in batch]
        single = [
            _retry_batch([job], from_start=from_start, by=by)
            for job in RenderJob.objects.filter(pk__in=keys, state=State.FAILED)
        ]
        retried = sum(result.retried for result in single)
    return BatchResult(retried, len(batch) - retried)


def _retry_one(job: RenderJob, *, from_start: bool, by: AnyUser | None) -> bool:
    if not from_start:
        return retry(job, by=by)
    moved = retry_from_start(job, describe_actor(by))
    if moved:
        wakeups.notify_on_commit(Step.SUBMIT)
    return moved
