"""Internal. Retry many failed jobs, in batches: for the command and the admin.

What a retry does, and what it costs, is the rule of ``shortcuts.retry``.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from django.db import Error as AnyDatabaseError
from django.db import router, transaction
from django.db.models import Count, Q

from django_docraptor import wakeups
from django_docraptor.instrumentation import log_fields
from django_docraptor.lifecycle.transitions import retry_from_start, retry_together
from django_docraptor.models import RenderJob, RenderJobQuerySet
from django_docraptor.models.clock import Now
from django_docraptor.models.querysets import IS_RESUMABLE
from django_docraptor.runners import Step
from django_docraptor.shortcuts import AnyUser, describe_actor, retry
from django_docraptor.states import POSSIBLY_BILLED_CODES

logger = logging.getLogger(__name__)

ANY = Q(pk__isnull=False)
# Jobs per transaction.
BATCH_SIZE: Final = 1000
# What decides about a retry; the rest of the rows is not read.
COLUMNS: Final = (
    *("state", "attempt", "lease_token", "error_code", "status_id", "download_id"),
    *("created_at", "group_id"),
)


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
    rows = _oldest_failed(jobs).filter(finished_at__lte=Now())
    rows = rows.order_by() if limit is None else rows[:limit]
    is_billed = Q(test=False)
    may_be_billed = is_billed & Q(attempt__gt=0, error_code__in=sorted(POSSIBLY_BILLED_CODES))
    conditions = {"total": ANY, "production": is_billed, "billed_before": may_be_billed}
    counts = rows.aggregate(
        **{name: _count(condition) for name, condition in conditions.items()},
        **{f"{name}_resumed": _count(c & IS_RESUMABLE) for name, c in conditions.items()},
    )
    resumed = {name: 0 if from_start else counts[f"{name}_resumed"] for name in conditions}
    billed = counts["production"] - resumed["production"]
    return RetryCounts(
        resumed=resumed["total"],
        free=counts["total"] - resumed["total"] - billed,
        billed=billed,
        billed_again=counts["billed_before"] - resumed["billed_before"],
    )


def _count(condition: Q) -> Count:
    return Count("pk", filter=condition)


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
    rows = _oldest_failed(jobs).filter(finished_at__lte=Now()).only(*COLUMNS)
    rows = rows.annotate(read_at=Now())
    after, left = Q(), limit
    while left is None or left > 0:
        size = BATCH_SIZE if left is None else min(BATCH_SIZE, left)
        batch = list(rows.filter(after)[:size])
        if not batch:
            return
        last = batch[-1]
        later = Q(created_at__gt=last.created_at) | Q(pk__gt=last.pk)
        after = Q(created_at__gte=last.created_at) & later  # the first condition is for the index
        left = None if left is None else left - len(batch)
        yield _retry_batch(jobs, batch, from_start=from_start, by=by)


def _oldest_failed(jobs: RenderJobQuerySet) -> RenderJobQuerySet:
    return jobs.failed().order_by("created_at", "pk")


def _retry_batch(
    jobs: RenderJobQuerySet, batch: list[RenderJob], *, from_start: bool, by: AnyUser | None
) -> BatchResult:
    """Retry a batch in one transaction; one by one if that fails, so that the others go on."""
    read_at = vars(batch[0])["read_at"]
    try:
        with transaction.atomic(using=router.db_for_write(RenderJob)):
            retry_together(batch, describe_actor(by), read_at=read_at, from_start=from_start)
            for step in (Step.SUBMIT, Step.DISPATCH):
                wakeups.notify_on_commit(step)
    except AnyDatabaseError as error:
        message = "A batch of %d jobs is retried one by one, because it could not be together: %r"
        logger.warning(message, len(batch), error)
        # What has failed again, or would no longer be selected, was not what was asked for.
        same = jobs.filter(pk__in=[job.pk for job in batch], finished_at__lte=read_at)
        retried = _retry_one_by_one(_oldest_failed(same), from_start=from_start, by=by)
        return BatchResult(retried, len(batch) - retried)
    return BatchResult(retried=len(batch))


def _retry_one_by_one(jobs: RenderJobQuerySet, *, from_start: bool, by: AnyUser | None) -> int:
    """Retry jobs, each in a transaction of its own; return how many were."""
    retried = 0
    for job in jobs:
        try:
            with transaction.atomic(using=router.db_for_write(RenderJob)):
                retried += _retry_one(job, from_start=from_start, by=by)
        except AnyDatabaseError:
            logger.exception("Job %s could not be retried", job.pk, extra=log_fields(job))
    return retried


def _retry_one(job: RenderJob, *, from_start: bool, by: AnyUser | None) -> bool:
    if not from_start:
        return retry(job, by=by)
    moved = retry_from_start(job, describe_actor(by))
    if moved:
        wakeups.notify_on_commit(Step.SUBMIT)
    return moved
