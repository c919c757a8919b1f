"""PENDING → SUBMITTING → QUEUED: the step that costs money.

The intent is committed before the wire is touched; what cannot be proved unsent is never sent
again blindly.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from django.db import router, transaction
from django.db.models import Case, DateTimeField, Q, When
from django.db.models.functions import Now

from django_docraptor.conf import conf
from django_docraptor.exceptions import (
    CallError,
    ConfigurationError,
    DocRaptorError,
    NotSentError,
    ResponseError,
    Sent,
    ServerError,
    UnauthorizedError,
    UnknownOutcomeError,
)
from django_docraptor.lifecycle.backoff import (
    alone,
    delay,
    describe,
    fail,
    hold,
    pause_account,
    poll_interval,
    put_off,
)
from django_docraptor.lifecycle.composition import CompositionError, address, compose
from django_docraptor.lifecycle.remote import call_all, client_for
from django_docraptor.models import Account, RenderJob, after, logger
from django_docraptor.models.queries import RenderJobQuerySet
from django_docraptor.payloads import DocumentRequest
from django_docraptor.states import ACCOUNT_PAUSE, LEASE, UNCONFIRMED_LOOKS, Kind, Reason, State

BATCH = 16
# Seconds after which a run leaves the rest to the next one, so that no worker is held for long.
BUDGET = 5.0
# Of attempts thought lost: that DocRaptor has not called back for them.
NOT_PROVEN = Q(callback_at__isnull=True)


@dataclass
class Admission:
    """Jobs that were claimed for free slots; whether there may be more; what the account told."""

    jobs: list[RenderJob]
    may_be_more: bool = False
    is_troubled: bool = False


@dataclass
class Prepared:
    """A job whose intent is committed, with what is to be sent."""

    job: RenderJob
    request: DocumentRequest
    intended_at: float = field(default_factory=time.monotonic)

    def create(self) -> str:
        """Make the create call; returns the status_id.

        Raises:
            NotSentError: also if this process stood still since the intent (a frozen machine): by
                now another attempt may have been sent.
            CallError: the call failed.
        """
        if time.monotonic() - self.intended_at > conf.deadline:
            raise NotSentError("The worker stood still between intent and call: nothing was sent.")
        client = client_for(self.job.account)
        create = client.create_hosted_async_doc if self.job.hosted else client.create_async_doc
        return create(self.request)


def submit(limit: int = BATCH) -> int:
    """Send the best pending jobs while slots are free. Returns how many were claimed."""
    claimed, stop = 0, time.monotonic() + BUDGET
    pending = RenderJob.objects.filter(state=State.PENDING).due()
    for account in pending.order_by().values_list("account", flat=True).distinct():
        while (admission := admit(account, limit)).jobs:
            claimed += len(admission.jobs)
            send(admission)
            if not admission.may_be_more or time.monotonic() > stop:
                break
    return claimed


def admit(name: str, limit: int) -> Admission:
    """Claim pending jobs of an account for its free slots, one process at a time."""
    with transaction.atomic(using=router.db_for_write(RenderJob)):
        Account.lock(name)
        pending = RenderJob.objects.filter(state=State.PENDING).governed(name)
        # Behind the account's lock, and locked where there are row locks: nobody else is at them.
        best = pending.select_related("input").unlocked("self").best(limit)
        if not best:
            return Admission([])
        account: Any = best[0]  # every row tells it
        if account.open_until:
            pending.put_off(account.open_until)
            return Admission([])
        free = conf.max_in_flight - account.in_flight
        wanted = min(free, 1 if account.is_half_open else limit)
        lapsed = next((job for job in best if job.lease_token), None)
        if lapsed is not None and wanted > 0:
            return Admission(try_alone(pending, lapsed), True, account.is_troubled)
        jobs = pending.take(best[: max(0, wanted)], lease=LEASE[State.PENDING], is_alone=True)
    return Admission(jobs, len(jobs) == wanted, account.is_troubled)


def try_alone(pending: RenderJobQuerySet, job: RenderJob) -> list[RenderJob]:
    """Claim a job whose last claim has lapsed: its worker died, or hung, while it was rendered.

    So that a template that kills its worker costs no other job, and is given up in the end.
    """
    failures = job.failures + 1
    if failures >= conf.max_attempts:
        message = f"{failures} workers died, or hung, while they rendered it."
        fail(job, Reason.TEMPLATE_ERROR, message)
        return []
    return pending.take([job], lease=LEASE[State.PENDING], is_alone=True, failures=failures)


def send(admission: Admission) -> None:
    """Compose, commit the intents, make the create calls, write what came of them."""
    prepared = {item.job.pk: item for item in prepare(admission.jobs)}
    calls = call_all(
        lambda job: prepared[job.pk].create(),
        [item.job for item in prepared.values()],
    )
    is_troubled = admission.is_troubled
    for job, answer in calls:
        with alone(job, not_accepted):
            if isinstance(answer, DocRaptorError):
                is_troubled |= not_accepted(job, answer)
            elif accepted(job, answer) and is_troubled:
                Account.resume(job.account)
                is_troubled = False


def prepare(jobs: list[RenderJob]) -> list[Prepared]:
    """Commit the intents to send the jobs' next attempts; fail those that cannot be composed."""
    composed: dict[RenderJob, DocumentRequest] = {}
    stop = time.monotonic() + BUDGET
    for job in jobs:
        if composed and time.monotonic() > stop:  # slow templates: do not outlive the claim
            job.set(lease_token="", due_at=Now())
        elif request := compose_or_fail(job):
            composed[job] = request
    with transaction.atomic(using=router.db_for_write(RenderJob), durable=True):
        return [Prepared(job, address(composed[job], job)) for job in intend(composed)]


def compose_or_fail(job: RenderJob) -> DocumentRequest | None:
    """What to send for a job; ``None`` if there is nothing to send, which the row then says."""
    if job.attempt and job.callback_at:
        hold(job, "The attempt was thought lost, and was to be sent anew.")
        return None
    try:
        client_for(job.account)
        return compose(job)
    except CompositionError as error:
        fail(job, error.reason, str(error))
    except ConfigurationError as error:
        put_off(job, error, seconds=ACCOUNT_PAUSE, counted=False)
    return None


def intend(jobs: Iterable[RenderJob]) -> Iterator[RenderJob]:
    """Write the intents to send the next attempts. Yields the jobs that were still ours."""
    for (attempt, failures), alike in groupby(jobs, lambda job: (job.attempt, job.failures)):
        yield from RenderJob.move_all(
            list(alike),
            State.SUBMITTING,
            kind=Kind.SUBMITTING,
            only=NOT_PROVEN,
            failures=failures,
            attempt=attempt + 1,
            sent_at=Now(),
            due_at=after(LEASE[State.SUBMITTING]),
            callback_at=None,
            status_id="",
            download_id="",
            fetch_attempts=0,
            deadline_at=after(conf.deadline),
        )


def accepted(job: RenderJob, status_id: str) -> bool:
    """Write the status_id, however late: the attempt guards it, not the lease.

    Returns whether the job took it.
    """
    called_back = When(callback_at__isnull=False, then=Now())
    first_poll = after(poll_interval(0))
    for state in (State.SUBMITTING, State.UNCONFIRMED):
        job.state = state
        if job.move(
            State.QUEUED,
            kind=Kind.ACCEPTED,
            detail={"status_id": status_id},
            status_id=status_id,
            submitted_at=Now(),
            deadline_at=after(conf.deadline),
            due_at=Case(called_back, default=first_poll, output_field=DateTimeField()),
            error_code="",
            errors="",
        ):
            return True
    note_late_answer(job, status_id)
    return False


def note_late_answer(job: RenderJob, status_id: str) -> None:
    """An answer for an attempt that the job has left behind: it may be a second bill."""
    now = RenderJob.objects.filter(pk=job.pk).first()
    if now is not None and now.status_id == status_id:  # DocRaptor's log had told before
        return
    logger.warning("Job %s: a late answer for attempt %s was left aside", job.pk, job.attempt)
    if now is not None:
        now.record(
            Kind.LATE_ANSWER,
            note=f"DocRaptor accepted attempt {job.attempt} after the job had moved on.",
            detail={"attempt": job.attempt, "status_id": status_id},
        )


def not_accepted(job: RenderJob, error: DocRaptorError) -> bool:
    """Sort a failed create. What is neither certainly unsent nor certainly refused is unknown.

    Returns whether it counts against the service.
    """
    is_fault = isinstance(error, (ServerError, UnknownOutcomeError, NotSentError))
    if is_fault:
        Account.fault(job.account, str(error))
    if isinstance(error, UnauthorizedError):
        pause_account(job, error)
        back_to_pending(job, error, ACCOUNT_PAUSE, counted=False)
    elif not isinstance(error, CallError):
        fail(job, Reason.CONFIGURATION, str(error))
    elif error.sent == Sent.NO and error.retryable:
        not_now(job, error)
    elif error.sent == Sent.NO or _is_refusal(error):
        fail(job, Reason.REJECTED, error.message)
    else:
        unconfirmed(job, error)
    return is_fault


def _is_refusal(error: CallError) -> bool:
    return isinstance(error, ResponseError) and error.sent == Sent.YES and not error.retryable


def not_now(job: RenderJob, error: CallError) -> None:
    """Certainly not accepted: wait, a bounded number of times."""
    if job.failures + 1 < conf.max_attempts:
        back_to_pending(job, error, error.retry_after or delay(job.failures))
    else:
        fail(job, Reason.ATTEMPTS_SPENT, f"Gave up after {conf.max_attempts} tries: {error}")


def back_to_pending(
    job: RenderJob, error: CallError, seconds: float, *, counted: bool = True
) -> None:
    """The next attempt will be no second bill: this one was not accepted."""
    job.move(
        State.PENDING,
        kind=Kind.REFUSED,
        leased=True,
        note=str(error),
        detail=describe(error),
        failures=job.failures + counted,
        due_at=after(seconds),
        errors=str(error),
    )


def unconfirmed(job: RenderJob, error: CallError) -> None:
    """DocRaptor may have accepted it: look it up before anything is sent again."""
    job.move(
        State.UNCONFIRMED,
        kind=Kind.UNCONFIRMED,
        leased=True,
        note=str(error),
        detail=describe(error),
        due_at=after(UNCONFIRMED_LOOKS[0]),
        errors=str(error),
    )
