"""Internal. Carry out what follows an error: retry the step later, or fail the job.

``patience`` decides; the job's history says why.
"""

import re
from typing import Any, Final

from django_docraptor.lifecycle import patience
from django_docraptor.lifecycle.accounts import pause_after, pause_refused
from django_docraptor.lifecycle.patience import Stage
from django_docraptor.lifecycle.transitions import (
    error_details,
    fail,
    return_refused,
    return_to_pending,
)
from django_docraptor.models import RenderEvent, RenderJob, seconds_from_now
from django_docraptor.models.clock import Now
from django_docraptor.models.jobs import NO_FAILURES
from django_docraptor.states import ErrorCode, EventKind, State

# Consecutive failures of which each one is told.
MAX_TOLD_FAILURES: Final = 16
# What differs in the texts of two errors that are alike.
REQUEST_ID: Final = re.compile(r"\brequest [^\s)]+\)")


def postpone_or_fail(job: RenderJob, stage: Stage, error: Exception, **changes: Any) -> None:
    """Retry the current step later, or fail the job if time is over.

    Args:
        stage: what was tried.
        error: what went wrong. A create whose outcome is unknown is not for this function.
        changes: other columns to set in either case.
    """
    decision = patience.decide_for(job, stage, error)
    text = patience.describe(stage, error)
    if isinstance(decision, patience.GiveUp):
        fail(job, _error_code(job, decision), patience.describe_end(job, stage, error), **changes)
        return
    columns = changes | count_failure(job, is_refusal=patience.is_refusal(stage, error))
    if job.state == State.SUBMITTING:
        is_repeated = not is_told(job, text, columns["failures"])
        return_to_pending(
            job, error, text, delay=decision.delay, is_repeated=is_repeated, **columns
        )
    else:
        _postpone(job, error, text, decision.delay, columns)


def postpone(
    job: RenderJob,
    error: Exception,
    *,
    delay: float | None = None,
    counted: bool = True,
    **changes: Any,
) -> bool:
    """Retry the current step later, whatever the time is, and record the error.

    Args:
        delay: seconds to wait, unless the service wants more; by default they grow with the
            consecutive failures.
        counted: whether this is one more consecutive failure; otherwise it ends their row.
        changes: other columns to set.

    Returns:
        Whether the claim was still valid.
    """
    seconds = patience.backoff_delay(job.failures) if delay is None else delay
    seconds = max(seconds, patience.retry_after(error))
    columns = count_failure(job) if counted else dict(NO_FAILURES)
    return _postpone(job, error, str(error), seconds, changes | columns)


def pause_account_and_postpone(job: RenderJob, error: Exception, **changes: Any) -> None:
    """Pause the account after an error that concerns it, and release the job, without counting.

    The job stays due: a process with another key goes on at once.
    """
    pause_after(job.account, error)
    postpone(job, error, delay=0, counted=False, **changes)


def return_or_fail_refused(job: RenderJob, reason: str) -> None:
    """Send a job again later whose accepted attempt failed because of the account.

    Nothing was made or billed, and the document need not be at fault. The account is paused; the
    job fails if DocRaptor has refused its attempts for RETRY_FOR since a person last retried it.
    """
    retried = RenderEvent.last_retry_of(job)
    first = job.events.filter(kind=EventKind.REFUSED, id__gt=retried).order_by("id").first()
    age = (job.claimed_at - first.at).total_seconds() if first and job.claimed_at else 0.0
    pause_refused(job.account, reason)
    if patience.is_over(age):
        fail(job, ErrorCode.RENDER_FAILED, reason)
    else:
        return_refused(job, reason)


def _postpone(
    job: RenderJob, error: Exception, text: str, delay: float, columns: dict[str, Any]
) -> bool:
    is_event = is_told(job, text, columns["failures"])
    updated = job.update_leased(
        lease_token="", due_at=seconds_from_now(delay), errors=text, **columns
    )
    if updated and is_event:
        detail = error_details(error, columns["failures"])
        job.record_event(EventKind.STEP_FAILED, note=text, detail=detail)
    return updated


def is_told(job: RenderJob, text: str, failures: int) -> bool:
    """Return whether a failure is an event of the history; the others are only counted.

    An outage of days is hundreds of failures: the first ones are told, then each at twice the
    number. A failure that is not counted, because of a pause, is told once.

    Args:
        job: before it is postponed.
        text: of the error.
        failures: consecutive failures, with this one; 0 if it is not counted.
    """
    if failures:
        return failures <= MAX_TOLD_FAILURES or failures.bit_count() == 1
    is_first = job.state == State.SUBMITTING and job.attempt == 1
    return is_first or REQUEST_ID.sub("", text) != REQUEST_ID.sub("", job.errors)


def count_failure(job: RenderJob, *, is_refusal: bool = False) -> dict[str, Any]:
    """Return the columns of one more failure. Another failure ends a row of refusals."""
    return {
        "failures": job.failures + 1,
        "failing_since": job.failing_since or Now(),
        "refused_since": (job.refused_since or Now()) if is_refusal else None,
    }


def _error_code(job: RenderJob, decision: patience.GiveUp) -> ErrorCode:
    """Return the error code: a refusal after a retry has asked for the status shows more."""
    if decision.code_if_asked_again and has_asked_again(job):
        return decision.code_if_asked_again
    return decision.code


def has_asked_again(job: RenderJob) -> bool:
    """Return whether the latest retry of this attempt began with a status call.

    A first refusal never shows that DocRaptor no longer has an attempt: it fails the job in a way
    that a retry resumes, and that retry asks again. Only then another retry starts, and pays for, a
    new attempt.
    """
    retried = job.events.filter(kind=EventKind.RETRIED, attempt=job.attempt).last()
    return retried is not None and retried.to_state == State.QUEUED
