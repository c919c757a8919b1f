"""UNCONFIRMED → QUEUED, PENDING or FAILED: find out what became of a create call.

DocRaptor has no idempotency key, but its log shows every attempt with its tag. One listing serves
all unconfirmed attempts of an account.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django_docraptor.client import LogEntry
from django_docraptor.conf import conf
from django_docraptor.exceptions import CallError, DocRaptorError, UnauthorizedError
from django_docraptor.lifecycle.backoff import alone, fail, hold, pause, put_off
from django_docraptor.lifecycle.remote import client_for
from django_docraptor.lifecycle.submission import accepted
from django_docraptor.models import RenderJob, after
from django_docraptor.states import (
    DOCUMENT_LIFE,
    LEASE,
    MAX_RESUBMITS,
    UNCONFIRMED_LOOKS,
    Kind,
    Reason,
    State,
)

BATCH = 100
PAGES = 50
MARGIN = timedelta(minutes=5)
HOLD, RESUBMIT = "hold", "resubmit"


def reconcile(limit: int = BATCH) -> int:
    """Look the due unconfirmed attempts up in DocRaptor's log. Returns how many were claimed."""
    unconfirmed = RenderJob.objects.filter(state=State.UNCONFIRMED)
    jobs = unconfirmed.claim(limit=limit, lease=LEASE[State.UNCONFIRMED])
    for account in {job.account for job in jobs}:
        settle([job for job in jobs if job.account == account], account)
    return len(jobs)


def settle(jobs: list[RenderJob], account: str) -> None:
    """Settle what the account's log can settle; the rest looks again, or follows the policy."""
    log: dict[str, LogEntry] = {}
    since = min(job.sent_at for job in jobs if job.sent_at) - MARGIN
    error: DocRaptorError | None = None
    try:
        for entries in pages(account, since=since):
            log |= {entry.tag.partition(" ")[0]: entry for entry in entries if entry.tag}
            if all(job.tag in log for job in jobs):
                break
    except DocRaptorError as trouble:
        error = trouble
    for job in jobs:
        with alone(job, unavailable):
            if entry := log.get(job.tag):
                found(job, entry)
            elif error is not None:  # only a complete listing can tell that something is absent
                unavailable(job, error)
            else:
                absent(job)


def pages(account: str, *, since: datetime) -> Iterator[list[LogEntry]]:
    """Every attempt in the account's log since then.

    Raises:
        DocRaptorError: the listing is not complete.
    """
    client = client_for(account)
    for page in range(1, PAGES + 1):
        entries = client.list_doc_logs(start=since, page=page, per_page=100)
        if not entries:
            return
        yield entries
    raise CallError(
        f"DocRaptor's log has more than {PAGES * 100:,} entries since {since}.", retryable=True
    )


def found(job: RenderJob, entry: LogEntry) -> None:
    """It was accepted: take it up where it is."""
    if entry.status_id:
        accepted(job, entry.status_id)
    elif entry.success:
        message = "DocRaptor's log shows this attempt as made, but without a status_id to fetch it."
        fail(job, Reason.SUBMIT_UNCONFIRMED, message)
    else:
        message = "DocRaptor's log shows this attempt as failed, and says no more."
        fail(job, Reason.RENDER_FAILED, message)


def absent(job: RenderJob) -> None:
    """Not in a complete listing: look again, and after the longest life of a document decide."""
    window = 2 * max(conf.deadline, DOCUMENT_LIFE)
    if job.age < window:
        looks = [look for look in (*UNCONFIRMED_LOOKS, window) if look > job.age]
        job.set(failures=0, lease_token="", due_at=after(min(looks) - job.age + 0.1))
    elif may_resubmit(job):
        job.move(
            State.PENDING,
            kind=Kind.NEVER_ACCEPTED,
            leased=True,
            note=f"Not in DocRaptor's log {job.age:.0f} s after it was sent: sent anew.",
            due_at=after(0),
        )
    else:
        hold(job, f"Not in DocRaptor's log {job.age:.0f} s after it was sent.")


def may_resubmit(job: RenderJob) -> bool:
    """Whether policy and history allow another attempt without a person's word."""
    policy = conf.unconfirmed or (RESUBMIT if job.test else HOLD)
    if policy == HOLD or job.callback_at is not None:
        return False
    return job.events.filter(kind=Kind.NEVER_ACCEPTED).count() < MAX_RESUBMITS


def unavailable(job: RenderJob, error: DocRaptorError) -> None:
    """No listing: try again within the window, then leave it to a person."""
    if isinstance(error, UnauthorizedError):
        pause(job, error)
    elif isinstance(error, CallError) and not error.retryable:
        hold(job, f"DocRaptor's log cannot be read: {error}.")
    elif job.age > 4 * conf.deadline:
        hold(job, f"DocRaptor's log could not be read for {job.age:.0f} s: {error}.")
    else:
        put_off(job, error)
