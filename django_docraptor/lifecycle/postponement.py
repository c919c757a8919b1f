"""Internal. Retry a step later: the job stays in its state, and its history says why."""

from typing import Any

from django_docraptor.exceptions import CallError
from django_docraptor.lifecycle.accounts import pause_after
from django_docraptor.lifecycle.pacing import backoff_delay
from django_docraptor.models import RenderJob, seconds_from_now
from django_docraptor.states import EventKind


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


def pause_account_and_postpone(job: RenderJob, error: Exception) -> None:
    """Pause the account after an error that concerns it, and release the job, without counting.

    The job stays due: a process with another key goes on at once.
    """
    pause_after(job.account, error)
    postpone(job, error, delay=0, counted=False)


def error_details(error: Exception) -> dict[str, Any]:
    """Return the details of an error for the job's history."""
    details: dict[str, Any] = {"error": getattr(error, "code", type(error).__name__)}
    if isinstance(error, CallError):
        details |= {"sent": error.sent.value}
        details |= {"status": error.status} if error.status else {}
        details |= {"request_id": error.request_id} if error.request_id else {}
        details |= {"body": error.body} if error.body else {}
    return details
