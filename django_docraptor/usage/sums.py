"""Internal. Sum the history up: by the tick, and before jobs are deleted."""

import logging
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from itertools import takewhile
from operator import itemgetter
from typing import Any, Final

from django.db import DatabaseError, router, transaction
from django.db.models import BooleanField, ExpressionWrapper, QuerySet

from django_docraptor.billing import COUNTERS, Usage
from django_docraptor.models import RenderEvent, RenderJob, UsageDay, UsageMark
from django_docraptor.models.conflicts import repeat_conflicts
from django_docraptor.models.prepared import prepared
from django_docraptor.models.usage import (
    FOLD_AFTER_SECONDS,
    SETTLE_SECONDS,
    first_unsettled,
    is_settled,
)
from django_docraptor.usage.histories import JOBS_AT_ONCE, Days, Key, jobs_of, owner_key, used_by

logger = logging.getLogger(__name__)

# Events that are summed up by one transaction, and seconds after which a run leaves the others to
# the next one.
BATCH_SIZE: Final = 2000
RUN_SECONDS = 2.0

# Whether the jobs that are being deleted are already counted.
_are_counted: ContextVar[bool] = ContextVar("are_counted", default=False)


def fold(*, seconds: float | None = None) -> int:
    """Sum up the history that is older than some minutes, unless it was just done.

    It may run at any time, in any number of processes, and may be killed. An error of the database
    is logged: the engine's work does not depend on it.

    Args:
        seconds: how long to go on; default: ``RUN_SECONDS``.

    Returns:
        The number of events.
    """
    if not _first_unsettled(FOLD_AFTER_SECONDS).fetch():
        return 0
    using = router.db_for_write(UsageDay)
    stop = time.monotonic() + (RUN_SECONDS if seconds is None else seconds)
    count = 0
    try:
        while batch := repeat_conflicts(partial(_fold_batch, using), using=using):
            count += batch
            if time.monotonic() > stop:
                break
    except DatabaseError:
        logger.exception("The usage could not be summed up; the next tick tries again")
    return count


_first_unsettled = prepared(RenderEvent)(first_unsettled)


def _fold_batch(using: str) -> int:
    with transaction.atomic(using=using):
        mark = UsageMark.lock(wait=False)
        if mark is None:
            return 0
        keys = _settled_after(mark)
        if not keys:
            return 0
        events = RenderEvent.objects.filter(pk__gt=mark, pk__lte=keys[-1])
        _add(used_by(jobs_of(events), after=mark, until=keys[-1]))
        UsageMark.objects.filter(pk=UsageMark.KEY).update(event_id=keys[-1])
    return len(keys)


def _settled_after(mark: int) -> list[int]:
    """Return the numbers of the events that follow, up to the first that is too recent."""
    events = RenderEvent.objects.filter(pk__gt=mark).order_by("pk")
    rows = events.annotate(is_settled=ExpressionWrapper(is_settled(SETTLE_SECONDS), BooleanField()))
    following = rows.values_list("pk", "is_settled")[:BATCH_SIZE]
    return [key for key, _ in takewhile(itemgetter(1), following)]


def _add(days: Days) -> None:
    """Add to the rows. The caller has locked them all, by the mark."""
    known = {_key_of(row): row for row in _rows_of(days)}
    new = []
    for key, used in days.items():
        if (row := known.get(key)) is None:
            new.append(UsageDay(**key._asdict(), **_columns(used)))
            continue
        for name, value in _columns(Usage.of(row) + used).items():
            setattr(row, name, value)
    UsageDay.objects.bulk_update(
        [row for key, row in known.items() if key in days], COUNTERS, batch_size=JOBS_AT_ONCE
    )
    UsageDay.objects.bulk_create(new, batch_size=JOBS_AT_ONCE)


def _rows_of(days: Days) -> QuerySet[UsageDay]:
    """Return the rows that exist, and perhaps others, as they are now.

    At REPEATABLE READ, MariaDB and MySQL show the transaction's first snapshot, unless they lock.
    """
    owners, dates = {key.owner for key in days}, {key.day for key in days}
    return UsageDay.objects.filter(owner__in=owners, day__in=dates).select_for_update()


def _key_of(row: UsageDay) -> Key:
    return Key(row.day, row.account, row.document, row.owner, row.test)


def _columns(used: Usage) -> dict[str, int]:
    return {name: getattr(used, name) for name in COUNTERS}


# Before jobs are deleted


@contextmanager
def counted() -> Iterator[None]:
    """Delete jobs that the caller has counted, all at once."""
    token = _are_counted.set(True)
    try:
        yield
    finally:
        _are_counted.reset(token)


def count_row(job: RenderJob, *, using: str) -> None:
    """Count what a job has used before Django deletes it: by itself, or in a cascade.

    Args:
        job: the job.
        using: alias of the database that it is deleted from.
    """
    if not _are_counted.get() and using == router.db_for_write(RenderJob):
        count_before_deletion([job.pk])


def count_before_deletion(jobs: Collection[Any]) -> None:
    """Sum up what the history of jobs says, in the transaction that deletes them with it.

    Of most jobs everything is summed up already: then nothing is locked.
    """
    events = RenderEvent.objects.filter(job__in=jobs)
    if not events.filter(pk__gt=UsageMark.current()).exists():
        return
    with transaction.atomic(using=router.db_for_write(UsageDay), savepoint=False):
        _add(used_by(jobs, after=UsageMark.lock(wait=True) or 0))


def forget_owner(owner: Any) -> int:
    """Delete the figures of an owner. The totals stay: they do not say whose the documents were.

    Call it after the owner's jobs were deleted, or have no owner any more.

    Args:
        owner: the user, or the user's primary key.

    Returns:
        The number of deleted rows.
    """
    key = str(owner_key(owner))
    with transaction.atomic(using=router.db_for_write(UsageDay)):
        UsageMark.lock(wait=True)  # a run that still knows the owner has ended
        return UsageDay.objects.filter(owner=key).delete()[0]
