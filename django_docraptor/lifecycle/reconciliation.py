"""Internal. UNCONFIRMED → QUEUED, PENDING or FAILED: find out whether a create was accepted.

DocRaptor has no idempotency keys, but its log lists every attempt with its tag. One reading of the
log is enough for all unconfirmed attempts of an account. `evidence` says what proves that DocRaptor
did not accept an attempt; here is what follows.
"""

import time
from datetime import timedelta
from functools import partial

from django_docraptor.billing import EVIDENCE, PROOF
from django_docraptor.client import LogEntry
from django_docraptor.conf import conf
from django_docraptor.exceptions import CallError, DocRaptorError
from django_docraptor.lifecycle import patience
from django_docraptor.lifecycle.account_log import AccountLog
from django_docraptor.lifecycle.account_refusals import concerns_account, is_account_refusal
from django_docraptor.lifecycle.accounts import claim, connect, release
from django_docraptor.lifecycle.claims import without_killers
from django_docraptor.lifecycle.clients import KeyedClient
from django_docraptor.lifecycle.evidence import (
    DAY,
    decision_age,
    elapsed_since,
    later_attempt,
    latest_arrival,
    missing_evidence,
    reaches_past,
    sent_time,
    settled_age,
)
from django_docraptor.lifecycle.isolation import save_outcome
from django_docraptor.lifecycle.leases import lease_for
from django_docraptor.lifecycle.postponement import (
    count_failure,
    pause_account_and_postpone,
    postpone,
    return_or_fail_refused,
)
from django_docraptor.lifecycle.probes import send_probe
from django_docraptor.lifecycle.transitions import (
    fail,
    fail_unconfirmed,
    mark_accepted,
    resubmit_unconfirmed,
)
from django_docraptor.models import RenderJob, seconds_from_now
from django_docraptor.models.due_accounts import first_due_by_account
from django_docraptor.states import (
    LOG_CHECK_AGES,
    MAX_LOG_CHECK_INTERVAL,
    MAX_RESUBMITS,
    PROBE_RETRY_SECONDS,
    ErrorCode,
    EventKind,
    State,
)

BATCH_SIZE = 100
# Seconds after which a run leaves the remaining jobs to the next one.
RUN_SECONDS = 5.0
# How far a listing is read back before an attempt that it need only show.
LISTING_MARGIN = timedelta(minutes=5)
# DocRaptor's header Date has no fractions, and its clock need not tick with the database's.
CLOCK_SECONDS = 5.0
# Values of DOCRAPTOR["UNCONFIRMED"].
FAIL, RESUBMIT = "fail", "resubmit"
# What a decision to send again rests on. An outage, in which neither the create nor the log
# worked, does not count towards MAX_RESUBMITS.
NO_PROOF, OUTAGE = "none", "unreadable"


def reconcile(limit: int = BATCH_SIZE) -> int:
    """Look up due unconfirmed attempts in DocRaptor's log.

    Returns:
        The number of claimed jobs.
    """
    claimed, stop = 0, time.monotonic() + RUN_SECONDS
    # Each account has its own claim, which need not last while the logs of the others are read.
    for account in first_due_by_account(State.UNCONFIRMED):
        lease = lease_for(State.UNCONFIRMED)
        while jobs := claim([State.UNCONFIRMED], account=account, limit=limit, lease=lease):
            claimed += len(jobs)
            remaining = without_killers(jobs)
            if remaining and (keyed := connect(account)):
                reconcile_account(remaining, keyed)
            else:
                for job in remaining:
                    release(job)
            if not jobs[0].lapsed_claims or time.monotonic() > stop:
                break
    return claimed


def reconcile_account(jobs: list[RenderJob], keyed: KeyedClient) -> None:
    """Settle the jobs that the account's log lists, or that it proves not to be accepted.

    The others are checked again, or follow the policy.
    """
    log = AccountLog(keyed)
    log.read(partial(is_enough, jobs))
    if unlisted := [job for job in jobs if is_old(job) and log.find(job.tag) is None]:
        if log.error is None:
            log.confirm(partial(is_enough, unlisted))
        search_log([job for job in unlisted if not missing_evidence(job, log)], log)
    for job in jobs:
        save_outcome(job, partial(settle, log=log), handle_unexpected_error)
    waiting = [job.sent_at for job in jobs if job.sent_at and needs_probe(job, log)]
    if waiting:
        send_probe(
            keyed,
            needed_after=max(waiting) + latest_arrival(),
            valid_seconds=settled_age().total_seconds() + PROBE_RETRY_SECONDS,
        )


def is_enough(jobs: list[RenderJob], log: AccountLog) -> bool:
    """Return whether the log was read far enough: each job is found, or the log is past it."""
    return all(
        log.find(job.tag) or reaches_past(job, log, margin=DAY if is_old(job) else LISTING_MARGIN)
        for job in jobs
    )


def is_old(job: RenderJob) -> bool:
    """Return whether an attempt is old enough to be decided if it is not listed."""
    return job.attempt_age >= decision_age()


def search_log(jobs: list[RenderJob], log: AccountLog) -> None:
    """Search a filtered listing for attempts that seem to be missing: it may know better."""
    times = [time for job in jobs if (time := sent_time(job, log)) is not None]
    if not times:
        return
    try:
        log.find_in_period([job.tag for job in jobs], min(times) - DAY, max(times) + DAY)
    except DocRaptorError as error:
        log.error = error


def settle(job: RenderJob, *, log: AccountLog) -> None:
    """Act on what the log says, or does not say, about an attempt."""
    entry = log.find(job.tag)
    if entry is None and log.error is not None and concerns_account(log.error):
        pause_account_and_postpone(job, log.error)
    elif entry is not None:
        handle_log_entry(job, entry)
    elif not is_old(job):
        check_later(job, log.error, log=log)
    elif missing := missing_evidence(job, log):
        handle_doubt(job, log, missing)
    else:
        handle_proof(job, log.policy)


def handle_log_entry(job: RenderJob, entry: LogEntry) -> None:
    """Settle an attempt that the log lists: continue with its status_id, or fail the job.

    An unfinished attempt may be listed without success, so only a reason is a verdict.
    """
    if entry.success is False and is_account_refusal(entry.validation_errors):
        return_or_fail_refused(job, entry.validation_errors)
    elif entry.success is False and entry.validation_errors:
        code = ErrorCode.RENDER_FAILED if entry.status_id else ErrorCode.REJECTED
        fail(job, code, entry.validation_errors)
    elif entry.status_id:
        mark_accepted(job, entry.status_id)
    elif not is_old(job):
        check_later(job)
    elif entry.success is False:
        message = "DocRaptor's log lists this attempt as failed without a reason."
        fail(job, ErrorCode.RENDER_FAILED, message)
    else:
        message = "DocRaptor's log lists this attempt without a status_id: it cannot be downloaded."
        fail(job, ErrorCode.SUBMIT_UNCONFIRMED, message)


def handle_proof(job: RenderJob, policy: str | None) -> None:
    """Handle an attempt that DocRaptor certainly did not accept."""
    reason = (
        f"DocRaptor's log proves {job.attempt_age:.0f} s after this attempt that it is missing."
    )
    if may_resubmit(job, policy):
        resubmit_unconfirmed(job, reason, evidence=PROOF)
    else:
        fail_unconfirmed(job, reason, is_proven=True)


def handle_doubt(job: RenderJob, log: AccountLog, missing: str) -> None:
    """Handle an attempt that is neither listed nor proven to be missing.

    A free document is sent again; during an outage later, because the log may be readable soon.
    Others are checked again until patience ends, and then follow the policy.
    """
    is_outage = isinstance(log.error, CallError) and log.error.retryable
    is_over = patience.is_over(job.failing_seconds)
    is_free = job.test and job.attempt_age >= decision_age() * (2 if is_outage else 1)
    reason = (
        f"DocRaptor's log did not settle within {job.attempt_age:.0f} s whether it accepted this "
        f"attempt: {missing.rstrip('.')}."
    )
    if not may_resubmit(job, log.policy, is_outage=is_outage):
        is_over |= log.error is None  # a proof would change nothing
    elif is_free or (is_over and log.policy == RESUBMIT):
        resubmit_unconfirmed(job, reason, evidence=OUTAGE if is_outage else NO_PROOF)
        return
    if is_over:
        fail_unconfirmed(job, reason)
    else:
        check_later(job, log.error, log=log, note=reason)


def may_resubmit(job: RenderJob, policy: str | None, *, is_outage: bool = False) -> bool:
    """Return whether policy and history allow another attempt without a person's decision.

    Args:
        job: an unconfirmed job.
        policy: the account's ``UNCONFIRMED``.
        is_outage: the log cannot be read, either: the attempts are bounded by time instead.
    """
    if policy == FAIL or job.callback_at is not None:
        return False
    details = job.events.filter(kind=EventKind.NEVER_ACCEPTED).values_list("detail", flat=True)
    outages = sum(detail.get(EVIDENCE) == OUTAGE for detail in details)
    if is_outage:
        return not patience.is_over(outages * decision_age())
    return bool(len(details) - outages < MAX_RESUBMITS)


def handle_unexpected_error(job: RenderJob, error: DocRaptorError) -> None:
    """Check the log again, until patience ends, after an outcome that could not be saved."""
    if patience.is_over(job.failing_seconds):
        fail_unconfirmed(job, str(error))
    else:
        check_later(job, error)


def check_later(
    job: RenderJob,
    error: DocRaptorError | None = None,
    *,
    log: AccountLog | None = None,
    note: str = "",
) -> None:
    """Check the log again. The time without an outcome goes on, also if the log can be read.

    Args:
        job: an unconfirmed job.
        error: why the log was not read as far as needed.
        log: as far as it was read.
        note: what people read meanwhile; "" leaves the last error.
    """
    delay = seconds_to_next_check(job, log)
    if error is None:
        columns = count_failure(job) | ({"errors": note} if note else {})
        job.update_leased(**columns, lease_token="", due_at=seconds_from_now(delay))
    elif is_old(job):
        postpone(job, error, delay=delay)
    else:
        postpone(job, error)


def seconds_to_next_check(job: RenderJob, log: AccountLog | None) -> float:
    """Return when to check the log again: at certain ages, and when evidence may be complete."""
    age = job.attempt_age
    delays = [planned - age for planned in (*LOG_CHECK_AGES, decision_age()) if planned > age]
    if is_old(job):
        delays.append(max(age / 4, PROBE_RETRY_SECONDS))
    if log is not None and log.error is None:
        later = later_attempt(job, log)
        if later is not None:
            seconds = (settled_age() - elapsed_since(later.attempt, job)).total_seconds()
            delays.append(seconds + CLOCK_SECONDS)
        elif needs_probe(job, log):
            delays.append(PROBE_RETRY_SECONDS)
    delays = [delay for delay in delays if delay > 0] or [PROBE_RETRY_SECONDS]
    return min(*delays, MAX_LOG_CHECK_INTERVAL) + 0.1


def needs_probe(job: RenderJob, log: AccountLog) -> bool:
    """Return whether a job waits only for a later attempt in the log."""
    return (
        conf.probe
        and not job.test
        and job.state == State.UNCONFIRMED
        and log.error is None
        and log.find(job.tag) is None
        and job.attempt_age >= latest_arrival().total_seconds()
        and later_attempt(job, log) is None
        and may_resubmit(job, log.policy)
    )
