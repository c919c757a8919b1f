"""Internal. What an operation on a job means for the bill, and for access to a hosted document.

The admin asks with these texts, and so does the status page before a retry that is billed. Knows
neither users nor pages.
"""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from django_docraptor.models import RenderJob
from django_docraptor.states import State

Text = Any  # a lazy translation or a str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The effect of an operation on a job and on the bill."""

    code: str
    title: Text
    text: Text
    style: str
    is_billed: bool = False


NOT_BILLED = Outcome(
    code="not_billed",
    title=_("Not billed"),
    text=_(
        "DocRaptor has accepted the attempt. The job continues from there, without creating a new "
        "document. If DocRaptor no longer has it, the job fails again, and you decide about a new "
        "one."
    ),
    style="success",
)
FREE = Outcome(
    code="free",
    title=_("Free"),
    text=_("Test documents are rendered again with a watermark, free of charge."),
    style="success",
)
BILLED = Outcome(
    code="billed",
    title=_("Billed"),
    text=_("Each document is sent to DocRaptor again and billed as a new one."),
    style="warning",
    is_billed=True,
)
MAY_BE_BILLED_TWICE = Outcome(
    code="may_be_billed_twice",
    title=_("May be billed twice"),
    text=_(
        "Each document is sent to DocRaptor again and billed as a new one. The earlier attempt may "
        "have been billed already, even though no document was received."
    ),
    style="error",
    is_billed=True,
)
NOT_SENT = Outcome(
    code="not_sent",
    title=_("Not billed"),
    text=_("Nothing has been sent to DocRaptor for this attempt yet."),
    style="success",
)
CANCELLED_FREE = Outcome(
    code="cancelled_free",
    title=_("Free"),
    text=_("DocRaptor may still finish a test document, at no cost. The result is discarded."),
    style="success",
)
MAY_BE_BILLED = Outcome(
    code="may_be_billed",
    title=_("May be billed"),
    text=_(
        "DocRaptor cannot cancel a document it has accepted. It may still finish and bill it; the "
        "result is discarded."
    ),
    style="warning",
)
MAY_BECOME_PUBLIC = Outcome(
    code="may_become_public",
    title=_("May become public"),
    text=_(
        "DocRaptor cannot cancel a document it has accepted. It may still finish the document, "
        "bill it (unless it is a test document) and publish it. This site would not know the "
        "public URL and could not expire it. To remove the document, let the job complete, then "
        "expire it."
    ),
    style="error",
)
ALREADY_BILLED = Outcome(
    code="already_billed",
    title=_("Already billed"),
    text=_("DocRaptor has already finished and billed this document. The result is discarded."),
    style="error",
)

EXPIRED = Outcome(
    code="expired",
    title=_("No longer public"),
    text=_(
        "DocRaptor deletes the document. Its public URL stops working and cannot be restored. "
        "Copies that were already downloaded are not affected."
    ),
    style="error",
)


SENT_FREE = Outcome(
    code="sent_free",
    title=_("Free"),
    text=_("Test documents are sent now, free of charge."),
    style="success",
)
SENT = Outcome(
    code="sent",
    title=_("Billed"),
    text=_(
        "Each document passes the limit for which it is held: it is sent to DocRaptor and billed."
    ),
    style="warning",
    is_billed=True,
)


def retry_outcome(job: RenderJob) -> Outcome | None:
    """Return the outcome of retrying, or ``None`` if the job has not failed, or was erased."""
    if job.state != State.FAILED or job.erased_at is not None:
        return None
    if job.resume_state is not None:
        return NOT_BILLED
    if job.test:
        return FREE
    return MAY_BE_BILLED_TWICE if job.may_have_been_billed else BILLED


def cancel_outcome(job: RenderJob) -> Outcome | None:
    """Return the outcome of cancelling, or ``None`` if the job is finished."""
    if job.is_final:
        return None
    if job.state == State.PENDING:
        return NOT_SENT
    if job.hosted:
        return MAY_BECOME_PUBLIC
    if job.test:
        return CANCELLED_FREE
    return ALREADY_BILLED if job.state == State.DOWNLOADING else MAY_BE_BILLED


def release_outcome(job: RenderJob) -> Outcome | None:
    """Return the outcome of letting a job go, or ``None`` if it is not held."""
    if job.state != State.PENDING or job.held_at is None:
        return None
    return SENT_FREE if job.test else SENT


def expire_outcome(job: RenderJob) -> Outcome | None:
    """Return the outcome of expiring a hosted document, or ``None`` if it is not public."""
    return EXPIRED if job.is_public else None
