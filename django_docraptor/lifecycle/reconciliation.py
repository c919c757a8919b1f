"""Internal. UNCONFIRMED → QUEUED, PENDING or FAILED: find out whether a create was accepted.

DocRaptor has no idempotency keys, but its log lists every attempt with its tag. One listing is
enough for all unconfirmed attempts of an account.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial

from django_docraptor.client import LogEntry
from django_docraptor.conf import conf
from django_docraptor.exceptions import CallError, DocRaptorError, UnauthorizedError
from django_docraptor.lifecycle.clients import client_for
from django_docraptor.lifecycle.isolation import save_outcome
from django_docraptor.lifecycle.postponement import pause_account_and_postpone, postpone
from django_docraptor.lifecycle.transitions import (
    fail,
    fail_unconfirmed,
    mark_accepted,
    resubmit_unconfirmed,
)
from django_docraptor.models import RenderJob, seconds_from_now
from django_docraptor.states import (
    LEASE_SECONDS,
    LOG_CHECK_AGES,
    MAX_RENDER_SECONDS,
    MAX_RESUBMITS,
    ErrorCode,
    EventKind,
    State,
)

BATCH_SIZE = 100
MAX_PAGES = 50
CLOCK_MARGIN = timedelta(minutes=5)
# Values of DOCRAPTOR["UNCONFIRMED"].
FAIL, RESUBMIT = "fail", "resubmit"


def reconcile(limit: int = BATCH_SIZE) -> int:
    """Look up due unconfirmed attempts in DocRaptor's log.

    Returns:
        The number of claimed jobs.
    """
    unconfirmed = RenderJob.objects.filter(state=State.UNCONFIRMED)
    jobs = unconfirmed.claim(limit=limit, lease=LEASE_SECONDS[State.UNCONFIRMED])
    for account in {job.account for job in jobs}:
        reconcile_account([job for job in jobs if job.account == account], account)
    return len(jobs)


def reconcile_account(jobs: list[RenderJob], account: str) -> None:
    """Settle the jobs that the account's log lists.

    The others are checked again, or follow the policy.
    """
    log: dict[str, LogEntry] = {}
    since = min(job.sent_at for job in jobs if job.sent_at) - CLOCK_MARGIN
    error: DocRaptorError | None = None
    try:
        for entries in iter_log_pages(account, since=since):
            log |= {entry.tag.partition(" ")[0]: entry for entry in entries if entry.tag}
            if all(job.tag in log for job in jobs):
                break
    except DocRaptorError as caught:
        error = caught
    for job in jobs:
        settle_job = partial(settle, entry=log.get(job.tag), error=error)
        save_outcome(job, settle_job, handle_log_error)


def settle(job: RenderJob, *, entry: LogEntry | None, error: DocRaptorError | None) -> None:
    """Act on what the log says, or does not say, about an attempt."""
    if entry:
        handle_log_entry(job, entry)
    elif error is not None:  # only a complete listing proves that an attempt is missing
        handle_log_error(job, error)
    else:
        handle_missing_entry(job)


def iter_log_pages(account: str, *, since: datetime) -> Iterator[list[LogEntry]]:
    """Yield the pages of the account's log since a time.

    Raises:
        DocRaptorError: the listing is incomplete.
    """
    client = client_for(account)
    for page in range(1, MAX_PAGES + 1):
        entries = client.list_doc_logs(start=since, page=page, per_page=100)
        if not entries:
            return
        yield entries
    raise CallError(
        f"DocRaptor's log has more than {MAX_PAGES * 100:,} entries since {since}.", retryable=True
    )


def handle_log_entry(job: RenderJob, entry: LogEntry) -> None:
    """Settle an attempt that the log lists: continue with its status_id, or fail the job."""
    if entry.status_id:
        mark_accepted(job, entry.status_id)
    elif entry.success:
        message = (
            "DocRaptor's log lists this attempt as successful but without a status_id, so it "
            "cannot be downloaded."
        )
        fail(job, ErrorCode.SUBMIT_UNCONFIRMED, message)
    else:
        message = "DocRaptor's log lists this attempt as failed without a reason."
        fail(job, ErrorCode.RENDER_FAILED, message)


def handle_missing_entry(job: RenderJob) -> None:
    """Handle an attempt that a complete listing does not contain.

    Check again, and decide when even the longest render must have ended.
    """
    window = 2 * max(conf.deadline, MAX_RENDER_SECONDS)
    if job.attempt_age < window:
        schedule_log_check(job, window)
    elif may_resubmit(job):
        resubmit_unconfirmed(job)
    else:
        age = f"{job.attempt_age:.0f} s"
        fail_unconfirmed(job, f"DocRaptor's log did not list this attempt {age} after it was sent.")


def schedule_log_check(job: RenderJob, window: float) -> None:
    """Check the log again at the attempt's next age in LOG_CHECK_AGES, or when the window ends."""
    ages = [age for age in (*LOG_CHECK_AGES, window) if age > job.attempt_age]
    due_at = seconds_from_now(min(ages) - job.attempt_age + 0.1)
    job.update_leased(failures=0, lease_token="", due_at=due_at)


def may_resubmit(job: RenderJob) -> bool:
    """Return whether policy and history allow another attempt without a person's decision."""
    policy = conf.unconfirmed or (RESUBMIT if job.test else FAIL)
    if policy == FAIL or job.callback_at is not None:
        return False
    return job.events.filter(kind=EventKind.NEVER_ACCEPTED).count() < MAX_RESUBMITS


def handle_log_error(job: RenderJob, error: DocRaptorError) -> None:
    """Handle a failed listing: postpone, and finally leave the decision to a person."""
    if isinstance(error, UnauthorizedError):
        pause_account_and_postpone(job, error)
    elif isinstance(error, CallError) and not error.retryable:
        fail_unconfirmed(job, f"DocRaptor's log cannot be read: {error}.")
    elif job.attempt_age > 4 * conf.deadline:
        reason = f"DocRaptor's log could not be read for {job.attempt_age:.0f} s: {error}."
        fail_unconfirmed(job, reason)
    else:
        postpone(job, error)
