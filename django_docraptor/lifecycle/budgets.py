"""Internal. Budgets: take a place for each billed document, and give back what is not billed.

A budget belongs to an account, a document class or an owner, and counts by day and by month. Places
are taken in the transaction that commits the intents, so that no process sends one too many. A
document needs a place in each of its budgets. Without a budget, nothing is read.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final

from django.db import DatabaseError, connections, router, transaction
from django.db.models import Q

from django_docraptor.budget_limits import Limit, Pair, limits_of, scopes_of
from django_docraptor.exceptions import BudgetExceededError, ConfigurationError
from django_docraptor.models import BudgetUse, RenderEvent, RenderJob
from django_docraptor.models.clock import Now
from django_docraptor.models.conflicts import repeat_conflicts
from django_docraptor.models.statements import database_now
from django_docraptor.signals import budget_reached, send_to_all
from django_docraptor.states import EventKind, HoldReason

logger = logging.getLogger(__name__)

HARD, SOFT = "hard", "soft"
# Detail of a release: what the job was held for.
HELD_FOR: Final = "held_for"


@dataclass(frozen=True, slots=True)
class Reached:
    """A budget that has no place left.

    Args:
        limit: the one whose period ends last.
        ends_at: when the next period begins.
    """

    limit: Limit
    ends_at: datetime

    def __str__(self) -> str:
        scope, period, count = self.limit.scope, self.limit.period, self.limit.hard
        documents = "1 document" if count == 1 else f"{count} documents"
        return (
            f"The budget of the {scope.kind} {scope.name!r} allows {documents} a {period}, and all "
            f"of them are used. The next {period} begins at "
            f"{self.ends_at:%Y-%m-%d %H:%M %Z}"
        )


@dataclass
class Places:
    """The places that a batch of documents needs.

    Args:
        limits: of each job; those without one need no place.
        refused: the jobs for which there was none.
        now: when the places were taken: the jobs' ``sent_at``, so that both are in one period.
    """

    limits: Mapping[RenderJob, tuple[Limit, ...]]
    refused: dict[RenderJob, Reached] = field(default_factory=dict)
    now: datetime | None = None
    _rows: dict[Pair, BudgetUse] = field(default_factory=dict)

    def take(self, jobs: Iterable[RenderJob]) -> list[RenderJob]:
        """Take a place for each job, in a transaction, and return those that have one.

        A job that a person has released takes one even if none is left.
        """
        jobs, released = list(jobs), None
        self.refused, self.now = {}, database_now(using=router.db_for_write(BudgetUse))
        pairs = {limit.pair for limits in self.limits.values() for limit in limits}
        self._rows = BudgetUse.lock(pairs, self.now)
        passed = []
        for job in jobs:
            limits = self.limits.get(job, ())
            reached = find_reached(limits, self._rows)
            if reached is not None:
                if released is None:
                    released = released_keys(jobs, HoldReason.BUDGET)
                if job.pk not in released:
                    self.refused[job] = reached
                    continue
            _add(limits, self._rows, 1)
            passed.append(job)
        return passed

    def save(self, passed: Iterable[RenderJob], begun: Iterable[RenderJob]) -> None:
        """Write which places are taken, in the same transaction: those of jobs that were begun."""
        sent = {job.pk for job in begun}
        for job in passed:
            if job.pk not in sent:
                _add(self.limits.get(job, ()), self._rows, -1)
        limits = {limit for limits in self.limits.values() for limit in limits}
        _save(limits, self._rows)


def find_reached(limits: Iterable[Limit], rows: Mapping[Pair, BudgetUse]) -> Reached | None:
    """Return the limit that is reached, if one is: the one that holds the document longest."""
    full = [
        Reached(limit, row.ends_at)
        for limit in limits
        if limit.hard is not None and ((row := rows[limit.pair]).used or 0) >= limit.hard
    ]
    return max(full, key=lambda reached: reached.ends_at, default=None)


def _add(limits: Iterable[Limit], rows: Mapping[Pair, BudgetUse], number: int) -> None:
    for limit in limits:
        row = rows[limit.pair]
        row.used = (row.used or 0) + number


def _save(limits: Iterable[Limit], rows: Mapping[Pair, BudgetUse]) -> None:
    using = router.db_for_write(BudgetUse)
    for limit in limits:
        row = rows[limit.pair]
        row.hard, row.soft = limit.hard, limit.soft
        for level, number in ((SOFT, limit.soft), (HARD, limit.hard)):
            told_at = f"{level}_told_at"
            if number is None or (row.used or 0) < number or getattr(row, told_at) is not None:
                continue
            setattr(row, told_at, Now())
            tell = partial(_tell, limit, level, number, row.used or 0, row.ends_at)
            transaction.on_commit(_named(tell), using=using, robust=True)
    BudgetUse.save_all(rows.values())


def _named(tell: Callable[[], None]) -> Callable[[], None]:
    """Return a function: Django's robust hooks need a name, which a partial does not have."""
    return lambda: tell()


def _tell(limit: Limit, level: str, number: int, used: int, ends_at: datetime) -> None:
    """Tell people once that a budget has reached a limit."""
    logger.log(
        logging.ERROR if level == HARD else logging.WARNING,
        "The %s budget of the %s %r is reached: %s of %s documents of this %s are used",
        level,
        limit.scope.kind,
        limit.scope.name,
        used,
        number,
        limit.period,
    )
    failures = send_to_all(
        budget_reached,
        BudgetUse,
        subject=f"Budget of the {limit.scope.kind} {limit.scope.name!r}",
        scope=limit.scope.kind,
        name=limit.scope.name,
        period=limit.period,
        level=level,
        limit=number,
        used=used,
        ends_at=ends_at,
    )
    for receiver, error in failures:
        logger.error("Receiver %r of budget_reached failed", receiver, exc_info=error)


def has_budget(job: RenderJob) -> bool:
    """Return whether the job's attempts take places."""
    try:
        return not job.test and bool(limits_of(job.account, job.document, job.owner_id))
    except ConfigurationError:  # it may have had one when it was sent
        return True


def give_back_place(job: RenderJob) -> None:
    """Give the place of a job's attempt back, which DocRaptor does not bill."""
    if job.sent_at is not None:
        BudgetUse.give_back(scopes_of(job.account, job.document, job.owner_id), job.sent_at)


def released_keys(jobs: Iterable[RenderJob], reason: HoldReason) -> set[Any]:
    """Return the keys of the jobs that a person has released, and that were not sent since.

    Args:
        jobs: the jobs.
        reason: what they were held for: who lets one pass has not decided about another.
    """
    attempts = {job.pk: job.attempt for job in jobs}
    released = RenderEvent.objects.filter(is_release(reason), job__in=list(attempts))
    rows = released.order_by().values_list("job_id", "attempt")
    return {key for key, attempt in rows if attempts[key] == attempt}


def is_release(reason: HoldReason) -> Q:
    """Return a condition for the events that say that a person has released a job."""
    return Q(kind=EventKind.RELEASED, **{f"detail__{HELD_FOR}": reason.value})


# Calls without a job


def take_place(account: str, document: str = "", owner_id: Any = None) -> Callable[[], None] | None:
    """Take a place for a synchronous call.

    Returns:
        What gives it back; ``None`` if it needs none.

    Raises:
        BudgetExceededError: there is none, or the caller's transaction would hide it from others.
        ConfigurationError: a budget cannot be told.
    """
    limits, using = limits_of(account, document, owner_id), router.db_for_write(BudgetUse)
    if not limits:
        return None
    connection = connections[using]
    if connection.in_atomic_block or not connection.get_autocommit():
        raise BudgetExceededError(
            "There is a budget, and within a transaction other processes would not see that its "
            "place is taken. Nothing was sent. Make the call outside of the transaction, or "
            "enqueue the document."
        )

    def take() -> datetime:
        with transaction.atomic(using=using):
            now = database_now(using=using)
            rows = BudgetUse.lock({limit.pair for limit in limits}, now)
            if reached := find_reached(limits, rows):
                raise BudgetExceededError(f"{reached}. Nothing was sent.", ends_at=reached.ends_at)
            _add(limits, rows, 1)
            _save(limits, rows)
        return now

    taken_at, scopes = repeat_conflicts(take, using=using), scopes_of(account, document, owner_id)

    def give_back() -> None:
        try:
            BudgetUse.give_back(scopes, taken_at)
        except DatabaseError:  # the call's own error matters more
            logger.warning("The place of a synchronous call stays taken", exc_info=True)

    return give_back
