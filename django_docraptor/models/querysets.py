"""Internal. Filters for jobs, and claiming: each row is claimed by one worker only.

Knows nothing about transitions or events: a claim changes ``due_at``, never the state.
"""

import random
import secrets
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Self

from django.contrib.contenttypes.models import ContentType
from django.db import connections, models, router, transaction
from django.db.models import Case, Count, Exists, F, Func, IntegerField, OuterRef, Q, Subquery, When
from django.db.models.functions import Length

from django_docraptor.models.accounts import Account
from django_docraptor.models.clock import Now, seconds_from_now
from django_docraptor.models.pauses import EVERY_KEY, NO_KEY, Pause
from django_docraptor.models.sources import source_key
from django_docraptor.models.synchronous_calls import SynchronousCall
from django_docraptor.states import (
    ACTIVE_STATES,
    CIRCUIT_THRESHOLD,
    RESUME_STATES,
    UNCONFIRMED_SLOT_SECONDS,
    State,
)

if TYPE_CHECKING:
    from django_docraptor.models.jobs import RenderJob

# Share of the claimed jobs that is chosen by waiting time instead of priority.
FAIR_SHARE = 1 / 8
# Earlier than any `due_at`.
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Characters up to which the content of an input is loaded together with its job.
SMALL_CONTENT = 64 * 1024
# States in which a job occupies, or may occupy, one of DocRaptor's slots.
SLOT_STATES = (State.SUBMITTING, State.UNCONFIRMED, State.QUEUED, State.WORKING)
# States in which jobs wait while their account is paused. Not SUBMITTING: the outcome of a create
# in progress must be recorded.
PAUSABLE_STATES = ACTIVE_STATES - {State.SUBMITTING}
# A failed job whose retry resumes the attempt that DocRaptor has accepted.
IS_RESUMABLE = Q(state=State.FAILED, error_code__in=sorted(RESUME_STATES)) & (
    (Q(status_id__isnull=False) & ~Q(status_id=""))
    | Q(
        error_code__in=sorted(c for c, state in RESUME_STATES.items() if state != State.QUEUED),
        download_id__gt="",
    )
)
# Columns that may be large.
TEXT_COLUMNS = ("errors", "generation_log", "message")
# Rows changed by one statement.
POSTPONE_BATCH_SIZE = 1000


def _count_subquery(rows: models.QuerySet[Any]) -> Subquery:
    """Return the number of rows as a subquery; an aggregate would be grouped."""
    count = Func(F("pk"), function="COUNT", output_field=IntegerField())
    return Subquery(rows.annotate(count=count).values("count"))


def set_small_contents(jobs: "list[RenderJob]") -> None:
    """Set the small contents that ``with_input`` has loaded on the jobs' inputs."""
    for job in jobs:
        content = vars(job).pop("small_content", None)
        if content is not None:
            job.input.content = content


def take_within(jobs: "list[RenderJob]", characters: int) -> "list[RenderJob]":
    """Return the first jobs whose stored contents have so many characters in all, at least one.

    Args:
        jobs: as `RenderJobQuerySet.with_input` returns them.
        characters: in memory, each takes a byte or more.
    """
    totals = accumulate(getattr(job, "content_length", None) or 0 for job in jobs)
    count = sum(total <= characters for total in totals)
    return jobs[: max(1, count)]


def claimable_together(jobs: "list[RenderJob]") -> "list[RenderJob]":
    """Return which of the due jobs one worker claims at once.

    A job whose previous claim lapsed may have killed its worker. It is claimed alone, so that it
    takes no other job with it, and mostly when there is no other.
    """
    lapsed = [job for job in jobs if job.lease_token]
    others = [job for job in jobs if not job.lease_token]
    is_its_turn = not others or (bool(lapsed) and random.random() < FAIR_SHARE)  # noqa: S311
    return lapsed[:1] if is_its_turn else others


def pick_urgent(
    read: "Callable[[Sequence[str], int], list[RenderJob]]", limit: int
) -> "list[RenderJob]":
    """Return the most urgent jobs, of which one in eight is the one that has waited longest.

    Args:
        read: returns the first jobs in an order, and up to a number.
        limit: how many.
    """
    fair_count = sum(random.random() < FAIR_SHARE for _ in range(limit))  # noqa: S311
    by_priority = read(("-priority", "due_at"), limit)
    if not fair_count or len(by_priority) < limit:
        return by_priority
    by_waiting_time = read(("due_at",), fair_count)
    return list(dict.fromkeys([*by_waiting_time, *by_priority]))[:limit]


def claim_columns(job: "RenderJob", lease: float) -> dict[str, Any]:
    """Return what a claim writes, by the job as it was read, for ``lease`` seconds."""
    return {
        "lease_token": secrets.token_hex(16),
        "due_at": seconds_from_now(lease),
        "lapsed_claims": job.lapsed_claims + 1 if job.lease_token else 0,
    }


class RenderJobQuerySet(models.QuerySet["RenderJob"]):
    """Filters and claiming for jobs. Internal."""

    def active(self) -> Self:
        """Return the jobs that are not in a final state."""
        # The second condition says the same: it is that of the indexes of unfinished jobs.
        return self.filter(state__in=ACTIVE_STATES, due_at__isnull=False)

    def held(self) -> Self:
        """Return the jobs that wait for a person or a period, by the index of ``due_at``."""
        return self.filter(state=State.PENDING, due_at__gt=Now(), held_at__isnull=False)

    def running(self) -> Self:
        """Return the unfinished jobs that are not held."""
        return self.active().filter(held_at__isnull=True)

    def due(self) -> Self:
        """Return the jobs whose ``due_at`` has passed."""
        return self.filter(due_at__lte=Now())

    def count_in_flight(self, *accounts: str, calls: Q = Q()) -> int:  # noqa: B008 - immutable
        """Return how many slots of one or several accounts are, or are about to be, occupied.

        Args:
            accounts: their names.
            calls: which synchronous calls count; by default all.
        """
        return sum(rows.count() for rows in self._slot_querysets(calls, account__in=accounts))

    def in_flight_by_account(self, accounts: Collection[str]) -> models.QuerySet[Any, Any]:
        """Return accounts with parts of :meth:`count_in_flight` of each, to be added up."""
        parts = self._slot_querysets(Q(), account__in=accounts)
        sent, *others = (rows.values_list("account").annotate(Count("pk")) for rows in parts)
        counts: models.QuerySet[Any, Any] = sent.union(*others, all=True)
        return counts

    def postponed(self, seconds: float) -> Self:
        """Return the unfinished jobs that have failed again and again for so many seconds."""
        failing = self.active().filter(failing_since__lt=seconds_from_now(-seconds))
        return failing.order_by("failing_since")

    def _slot_querysets(self, calls: Q, **accounts: Any) -> tuple[models.QuerySet[Any], ...]:
        """Return the jobs that DocRaptor has or may have, those to be sent, and other calls.

        Separately, each reads a small range of an index: neither finished nor waiting jobs are
        read.
        """
        rows = self.model.objects.filter(**accounts).order_by()
        occupies_slot = ~Q(state=State.UNCONFIRMED) | Q(
            sent_at__gt=seconds_from_now(-UNCONFIRMED_SLOT_SECONDS)
        )
        claimed = rows.filter(state=State.PENDING, due_at__gt=Now()).exclude(lease_token="")
        # All of them have a `due_at`; without this range, SQLite scans the whole table.
        sent = rows.filter(occupies_slot, state__in=SLOT_STATES, due_at__gt=EPOCH)
        made = SynchronousCall.objects.active().filter(calls, **accounts).order_by()
        return sent, claimed, made

    def with_account_limits(self, account: Any, key_hash: Any, sharing: Sequence[Any]) -> Self:
        """Return an account's jobs, annotated with what limits further submissions.

        ``in_flight``: number of occupied slots of its key, which ``sharing`` names have, if they
        are several; ``is_paused``: no creates with this key;
        ``circuit_open_until``: no creates before this time; ``is_half_open``: a single create may
        test the service; ``needs_resume``: a successful call must resume the account.
        """
        names = {"account__in": sharing} if len(sharing) > 1 else {"account": account}
        sent, claimed, calls = map(_count_subquery, self._slot_querysets(Q(), **names))
        account_rows = Account.objects.filter(pk=account)
        has_failed = Exists(account_rows.filter(failures__gt=0))
        pauses = Pause.objects.filter(account=account)
        was_paused = Q(is_replaced=False) | Q(key_hash__in=(key_hash, NO_KEY))
        return self.filter(account=account).annotate(
            in_flight=sent + claimed + calls,
            is_paused=Exists(pauses.active_for(key_hash)),
            circuit_open_until=Subquery(
                account_rows.filter(circuit_open_until__gt=Now()).values("circuit_open_until")
            ),
            is_half_open=Exists(account_rows.filter(failures__gte=CIRCUIT_THRESHOLD)),
            needs_resume=has_failed
            | Exists(pauses.filter(was_paused, creates_only=False).exclude(key_hash__in=EVERY_KEY)),
        )

    def for_source(self, source: models.Model) -> Self:
        """Return the jobs of one source object."""
        content_type = ContentType.objects.get_for_model(source)
        return self.filter(content_type=content_type, object_id=source_key(source))

    def with_key_prefix(self, prefix: str) -> Self:
        """Return the jobs whose idempotency key begins with a text, by the index of the keys."""
        rows = self.filter(idempotency_key__startswith=prefix)
        match connections[router.db_for_write(self.model)].vendor:
            case "mysql":  # Django's startswith is LIKE BINARY there, which no index serves
                return rows.filter(idempotency_key__istartswith=prefix)
            case "sqlite":  # nor does one serve LIKE with ESCAPE
                last = f"{prefix}{chr(0x10FFFF)}"
                return rows.filter(idempotency_key__gte=prefix, idempotency_key__lt=last)
        return rows

    def with_input(self) -> Self:
        """Return the jobs with their inputs, for :func:`set_small_contents`.

        Each has ``content_length``, the characters of its content. Large content stays in the
        database until it is read, so that a batch of it does not fill the memory.
        """
        small = Case(When(content_length__lte=SMALL_CONTENT, then=F("input__content")))
        jobs = self.select_related("input").defer("input__content")
        return jobs.annotate(content_length=Length("input__content")).annotate(small_content=small)

    def without_texts(self) -> Self:
        """Return the jobs without the columns that may be large, which a list does not need."""
        return self.defer(*TEXT_COLUMNS)

    def failed(self) -> Self:
        """Return the jobs that have failed, and can be retried: not those that were erased."""
        return self.filter(state=State.FAILED, erased_at=None)

    def resumable(self) -> Self:
        """Return the failed jobs whose retry is not billed: those with a ``resume_state``."""
        return self.failed().filter(IS_RESUMABLE)

    def not_started(self) -> Self:
        """Return the pending jobs that were never sent and that no worker has claimed."""
        return self.filter(state=State.PENDING, attempt=0, lease_token="")

    def lock_unerased(self, key: Any) -> bool:
        """Lock a row in the current transaction, so that it is not erased before its end.

        Returns:
            Whether it is there, and was not erased.
        """
        rows = self.filter(pk=key, erased_at=None).select_for_update()
        return bool(list(rows.values_list("pk")))

    def public(self) -> Self:
        """Return the hosted jobs whose document is public, as far as is known here."""
        not_expired = Q(hosted_expires_at=None) | Q(hosted_expires_at__gt=Now())
        return self.filter(not_expired, hosted=True).exclude(public_url="")

    def latest_first(self) -> Self:
        """Order by request time, latest first; for finished jobs."""
        return self.order_by("-created_at", "-finished_at", "-pk")

    def lock_available(self, *of: str) -> Self:
        """Lock the rows and skip those that another transaction has locked, if possible.

        Some databases cannot skip locked rows; then nothing is locked. Call it within a
        transaction. So a worker never waits for a long transaction of the project.

        Args:
            of: ``"self"`` if the query joins other tables.
        """
        features = connections[router.db_for_write(self.model)].features
        if not features.has_select_for_update_skip_locked:
            return self
        of = of if features.has_select_for_update_of else ()
        return self.select_for_update(skip_locked=True, of=of)

    def due_with_pauses(self) -> Self:
        """Return the due jobs; each has ``is_account_paused``: a key of its account is paused."""
        paused = Pause.objects.active().filter(account=OuterRef("account"), creates_only=False)
        return self.due_now().annotate(is_account_paused=Exists(paused))

    def due_now(self) -> Self:
        """Return the due jobs with the database's time, see ``RenderJob.claimed_at``."""
        return self.due().annotate(database_now=Now())

    def claim_jobs(self, jobs: list["RenderJob"], *, lease: float) -> list["RenderJob"]:
        """Claim the given jobs that are still due, for ``lifecycle.accounts.claim``.

        One conditional UPDATE gives concurrent workers different rows, without row locks.

        Args:
            jobs: the jobs as they were read: one, or several whose previous claim did not lapse.
            lease: seconds.

        Returns:
            The claimed jobs.
        """
        if not jobs:
            return []
        claim = claim_columns(jobs[0], lease)
        keys = [job.pk for job in jobs]
        # A single row need not be read again: the UPDATE compares it with what was read.
        unchanged = jobs[0].unchanged_q if len(jobs) == 1 else Q(lease_token="")
        due = self.filter(pk__in=keys).due().filter(unchanged)
        claimed_count = due.update(**claim)
        if claimed_count == len(jobs) == 1:
            jobs[0]._apply(claim)
            return jobs
        if not claimed_count:
            return []
        claimed_rows = self.model.objects.filter(pk__in=keys, lease_token=claim["lease_token"])
        return list(claimed_rows.annotate(database_now=Now()).order_by("-priority", "created_at"))

    def postpone(self, until: datetime) -> None:
        """Postpone a batch of due jobs, skipping locked rows."""
        with transaction.atomic(using=router.db_for_write(self.model)):
            rows = self.due().order_by()
            keys = list(
                rows.lock_available("self").values_list("pk", flat=True)[:POSTPONE_BATCH_SIZE]
            )
            self.model.objects.filter(pk__in=keys).due().update(due_at=until, lease_token="")
