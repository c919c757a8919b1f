"""Internal. Whether a refusal shows that DocRaptor no longer has an attempt.

Only then a retry starts, and pays for, a new one. A first refusal never shows it: it fails the job
in a way that a retry resumes, and that retry asks again.
"""

from django_docraptor.exceptions import CallError, DocRaptorError, NotFoundError
from django_docraptor.models import RenderJob
from django_docraptor.states import ErrorCode, EventKind, State

# DocRaptor's text of a 403 that concerns the account's other documents, not this one.
BUSY_TEXT = "too many simultaneous"


def code_of_refused_status(job: RenderJob, error: DocRaptorError) -> ErrorCode:
    """Return the error code of a job whose status DocRaptor does not return."""
    # A retryable one is not DocRaptor's own answer: the page of a proxy, or of a wrong address.
    is_unknown = isinstance(error, NotFoundError) and not error.retryable
    is_gone = is_unknown and _has_asked_again(job)
    return ErrorCode.DOCUMENT_GONE if is_gone else ErrorCode.STATUS_UNAVAILABLE


def code_of_refused_download(job: RenderJob, error: CallError) -> ErrorCode:
    """Return the error code of a job whose file DocRaptor does not give out."""
    is_verdict = not error.retryable and BUSY_TEXT not in error.message.lower()
    is_gone = is_verdict and _has_asked_again(job)
    return ErrorCode.DOCUMENT_GONE if is_gone else ErrorCode.DOWNLOAD_REFUSED


def _has_asked_again(job: RenderJob) -> bool:
    """Return whether the latest retry of this attempt began with a status call."""
    retried = job.events.filter(kind=EventKind.RETRIED, attempt=job.attempt).last()
    return retried is not None and retried.to_state == State.QUEUED
