"""PENDING → SUBMITTING → QUEUED: the step that costs money.

The intent is committed before the wire is touched; what cannot be proved unsent is never sent
again blindly.
"""

import time
from dataclasses import dataclass, field

from django.db import router, transaction
from django.db.models import Case, DateTimeField, When
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
    delay,
    describe,
    fail,
    pause_account,
    poll_interval,
    put_off,
)
from django_docraptor.lifecycle.composition import CompositionError, address, compose
from django_docraptor.lifecycle.outlook import hold_paused
from django_docraptor.lifecycle.remote import call_all, client_for
from django_docraptor.models import Account, RenderJob, after, logger
from django_docraptor.payloads import DocumentRequest
from django_docraptor.states import ACCOUNT_PAUSE, LEASE, UNCONFIRMED_LOOKS, Kind, Reason, State

BATCH = 16
# Seconds after which a run leaves the rest to the next one, so that no worker is held for long.
BUDGET = 20.0


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
    hold_paused()
    claimed, stop = 0, time.monotonic() + BUDGET
    pending = RenderJob.objects.filter(state=State.PENDING).due()
    for account in pending.order_by().values_list("account", flat=True).distinct():
        while jobs := admit(account, limit):
            claimed += len(jobs)
            send(jobs)
            if time.monotonic() > stop or account in Account.paused():
                break
    return claimed


def admit(name: str, limit: int) -> list[RenderJob]:
    """Claim pending jobs of an account for its free slots, one process at a time."""
    with transaction.atomic(using=router.db_for_write(RenderJob)):
        account = Account.admit(name)
        pending = RenderJob.objects.filter(state=State.PENDING, account=name)
        if account.is_open:
            pending.due().update(due_at=account.circuit_open_until, lease_token="")
            return []
        free = conf.max_in_flight - RenderJob.objects.in_flight(name).count()
        wanted = min(free, 1 if account.is_half_open else limit)
        return (
            pending.unlocked().claim(limit=wanted, lease=LEASE[State.PENDING]) if wanted > 0 else []
        )


def send(jobs: list[RenderJob]) -> None:
    """Compose, commit the intents, make the create calls, write what came of them."""
    prepared = {item.job.pk: item for item in map(prepare, jobs) if item}
    calls = call_all(
        lambda job: prepared[job.pk].create(),
        [item.job for item in prepared.values()],
    )
    for job, answer in calls:
        if isinstance(answer, DocRaptorError):
            not_accepted(job, answer)
        else:
            accepted(job, answer)


def prepare(job: RenderJob) -> Prepared | None:
    """Commit the intent to send the next attempt, or fail the job if it cannot be composed."""
    try:
        client_for(job.account)
        request = compose(job)
    except CompositionError as error:
        fail(job, error.reason, str(error))
        return None
    except ConfigurationError as error:
        put_off(job, error, seconds=ACCOUNT_PAUSE, counted=False)
        return None
    intended = job.move(
        State.SUBMITTING,
        kind=Kind.SUBMITTING,
        leased=True,
        durable=True,
        lease_token=job.lease_token,
        failures=job.failures,
        attempt=job.attempt + 1,
        sent_at=Now(),
        due_at=after(LEASE[State.SUBMITTING]),
        callback_at=None,
        status_id="",
        download_id="",
        fetch_attempts=0,
        deadline_at=after(conf.deadline),
    )
    return Prepared(job, address(request, job)) if intended else None


def accepted(job: RenderJob, status_id: str) -> None:
    """Write the status_id, however late: the attempt guards it, not the lease."""
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
            Account.resume(job.account)
            return
    note_late_answer(job, status_id)


def note_late_answer(job: RenderJob, status_id: str) -> None:
    """An answer for an attempt that the job has left behind: it may be a second bill."""
    logger.warning("Job %s: a late answer for attempt %s was left aside", job.pk, job.attempt)
    now = RenderJob.objects.filter(pk=job.pk).first()
    if now is not None:
        now.record(
            Kind.LATE_ANSWER,
            note=f"DocRaptor accepted attempt {job.attempt} after the job had moved on.",
            detail={"attempt": job.attempt, "status_id": status_id},
        )


def not_accepted(job: RenderJob, error: DocRaptorError) -> None:
    """Sort a failed create. What is neither certainly unsent nor certainly refused is unknown."""
    if isinstance(error, (ServerError, UnknownOutcomeError, NotSentError)):
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
