"""Internal. Who may try a failed document again, how often, and what they must know before."""

from typing import Final

from django.http import HttpRequest

from django_docraptor.models import RenderJob
from django_docraptor.outcomes import Outcome, retry_outcome
from django_docraptor.responses.permissions import has_permission
from django_docraptor.states import EventKind, State

RETRY_PERMISSION: Final = "django_docraptor.retry_renderjob"
# What each owner may do for one job; then a person of the site decides.
MAX_OWNER_RETRIES: Final = 3


def may_retry(request: HttpRequest, job: RenderJob) -> bool:
    """Return whether to offer a retry.

    Owners get it if it cannot be billed twice, if it can help, and at most three times. Users with
    the permission always get it: they may have corrected the reason.
    """
    if job.state != State.FAILED or job.erased_at is not None:
        return False
    return has_permission(request, RETRY_PERMISSION) or _may_retry_as_owner(request, job)


def bill_of_retry(request: HttpRequest, job: RenderJob) -> Outcome | None:
    """Return what the user must have read before a retry that is billed.

    ``None`` if it is free, or goes on with what was accepted; and for owners, who only get what
    they have asked for.
    """
    outcome = retry_outcome(job)
    is_asked = outcome is not None and outcome.is_billed and not _may_retry_as_owner(request, job)
    return outcome if is_asked else None


def _may_retry_as_owner(request: HttpRequest, job: RenderJob) -> bool:
    """Return whether the user is the owner of a failed job that another try can help for free."""
    explanation = job.explanation
    is_free = job.test or job.resume_state is not None or not job.may_have_been_billed
    is_owner = job.owner_id is not None and job.owner_id == request.user.pk
    can_help = is_owner and is_free and explanation is not None and explanation.can_help
    return can_help and owner_retries_left(job) > 0


def owner_retries_left(job: RenderJob) -> int:
    """Return how often the owner may still retry a job."""
    details = job.events.filter(kind=EventKind.RETRIED).values_list("detail", flat=True)
    used = sum(bool(detail.get("by_owner")) for detail in details)
    return max(0, MAX_OWNER_RETRIES - used)
