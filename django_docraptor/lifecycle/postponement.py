"""Internal. Retry a step later: the job stays in its state, and its history says why."""

from typing import Any

from django_docraptor.exceptions import CallError, UnauthorizedError
from django_docraptor.lifecycle.pacing import backoff_delay
from django_docraptor.models import Account, RenderJob, seconds_from_now
from django_docraptor.states import ACCOUNT_PAUSE_SECONDS, EventKind


def postpone(
    job: RenderJob, error: Exception, *, delay: float | None = None, counted: bool = True
) -> bool:
    """Retry the current step later and record the error.

    Args:
        delay: seconds to wait; by default they grow with the consecutive failures.
        counted: whether this is one more consecutive failure.

    Returns:
        Whether the claim was still valid.
    """
    seconds = backoff_delay(job.failures) if delay is None else delay
    updated = job.update_leased(
        failures=job.failures + counted,
        lease_token="",
        due_at=seconds_from_now(seconds),
        errors=str(error),
    )
    if updated:
        job.record_event(EventKind.STEP_FAILED, note=str(error), detail=error_details(error))
    return updated


def pause_account(job: RenderJob, error: UnauthorizedError) -> None:
    """Pause all calls of the job's account after a 401, which concerns the account, not the job."""
    Account.pause(job.account, ACCOUNT_PAUSE_SECONDS, str(error))


def pause_account_and_postpone(job: RenderJob, error: UnauthorizedError) -> None:
    """Pause the account after a 401 and postpone the job, without counting a failure."""
    pause_account(job, error)
    postpone(job, error, delay=ACCOUNT_PAUSE_SECONDS, counted=False)


def error_details(error: Exception) -> dict[str, Any]:
    """Return the details of an error for the job's history."""
    details: dict[str, Any] = {"error": getattr(error, "code", type(error).__name__)}
    if isinstance(error, CallError):
        details |= {"sent": error.sent.value}
        details |= {"status": error.status} if error.status else {}
        details |= {"request_id": error.request_id} if error.request_id else {}
        details |= {"body": error.body} if error.body else {}
    return details
