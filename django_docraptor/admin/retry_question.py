"""Internal. What the confirmation of one job's retry says: can it help, and what has changed.

Renders the document of the current data. Nothing is sent, and what hooks write is rolled back.
"""

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_docraptor import registry
from django_docraptor.admin.comparison import Comparison, compare
from django_docraptor.admin.inputs import may_read
from django_docraptor.admin.reasons import split_errors
from django_docraptor.documents import Document, QuerysetDocument
from django_docraptor.documents.adapter import DocumentAdapter
from django_docraptor.exceptions import DocRaptorError
from django_docraptor.lifecycle.composition import (
    compose_request,
    render_current_content,
)
from django_docraptor.lifecycle.reuse import request_hash
from django_docraptor.models import RenderInput, RenderJob
from django_docraptor.previews.rendering import discarded_changes


class Content(Enum):
    """What a retry sends. The value is the sentence for it."""

    RESUMED = gettext_lazy(
        "DocRaptor has accepted the HTML already. It is not sent again, whatever has changed."
    )
    STORED = gettext_lazy("A retry sends the stored HTML again, whatever has changed since.")
    CURRENT = gettext_lazy("A retry renders the document again, from the current data.")
    PAGE = gettext_lazy("DocRaptor fetches the page again, as it is then.")
    GONE = gettext_lazy("The input is no longer stored, so a retry fails.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryQuestion:
    """What a person reads before a retry.

    Args:
        content: what is sent.
        help: whether a retry can help.
        comparison: of the stored HTML with that of the current data; ``None`` without one.
        is_hidden: the user may not read the document, so that only the number is shown.
        is_same: whether the retry sends exactly what failed; ``None`` if unknown.
        error: why the current data cannot be rendered.
    """

    content: Content
    help: str
    comparison: Comparison | None = None
    is_hidden: bool = False
    is_same: bool | None = None
    error: str = ""
    traceback: str = ""


# Said instead of an error that quotes the document.
HIDDEN = gettext_lazy("The error is hidden: you do not have permission to read this document.")


def retry_question(request: HttpRequest, job: RenderJob) -> RetryQuestion:
    """Return what to say before a failed job is retried."""
    job_input = RenderInput.objects.filter(pk=job.pk).first()
    content = content_of_retry(job, job_input)
    question = RetryQuestion(content=content, help=help_text(job, content))
    document = document_class(job)
    if job_input is None or document is None:
        return question
    is_hidden = not may_read(request, job)
    try:
        if content is Content.STORED:
            comparison = compare(job_input.content, current_html(job, job_input))
            return replace(question, comparison=comparison, is_hidden=is_hidden)
        if content is Content.CURRENT:
            return _compare_hashes(question, job, job_input)
    except DocRaptorError as error:
        words, traceback = (str(HIDDEN), "") if is_hidden else split_errors(str(error))
        help_ = question.help if content is Content.STORED else str(WILL_FAIL)
        return replace(question, help=help_, error=words, traceback=traceback)
    return question


def _compare_hashes(
    question: RetryQuestion, job: RenderJob, job_input: RenderInput
) -> RetryQuestion:
    """Add whether the retry would send what has failed. Only the hash of that is stored."""
    current = current_hash(job, job_input)
    if not job.request_hash or job.explanation is None or job.explanation.can_help:
        return question
    is_same = current == job.request_hash
    return replace(question, is_same=is_same, help=str(SAME if is_same else CHANGED))


def content_of_retry(job: RenderJob, job_input: RenderInput | None) -> Content:
    """Return what a retry of a job sends."""
    if job.resume_state is not None:
        return Content.RESUMED
    if job_input is None:
        return Content.GONE
    if job_input.url:
        return Content.PAGE
    return Content.STORED if job_input.content else Content.CURRENT


def help_text(job: RenderJob, content: Content) -> str:
    """Return whether a retry can help, as far as the reason of the failure tells."""
    explanation = job.explanation
    if content is Content.GONE:
        return str(GONE)
    if explanation is not None and explanation.can_help:
        return _("It may: nothing has to be corrected first.")
    return str(SAME if content is Content.STORED else ONLY_IF_CORRECTED)


WILL_FAIL = gettext_lazy("No: the document cannot be rendered now, either.")
GONE = gettext_lazy("No: enqueue the document again.")
SAME = gettext_lazy("Hardly: exactly what failed is sent again.")
CHANGED = gettext_lazy("Perhaps: something else than what failed is sent.")
ONLY_IF_CORRECTED = gettext_lazy("Only if the reason has been corrected.")


def document_class(job: RenderJob) -> type[Document[Any]] | None:
    """Return a job's document class, if its template can be rendered for a page of the admin.

    A report may have a million rows.
    """
    adapter = registry.find(job.document)
    if not isinstance(adapter, DocumentAdapter) or issubclass(adapter.document, QuerysetDocument):
        return None
    return adapter.document


def current_html(job: RenderJob, job_input: RenderInput) -> str:
    """Return the HTML that a job's document gives now.

    Raises:
        CompositionError: whatever the template, its data or a hook raises.
    """
    document = document_class(job)
    if document is None:
        return ""
    with discarded_changes(document):
        return render_current_content(job, job_input)


def current_hash(job: RenderJob, job_input: RenderInput) -> str:
    """Return the hash of the request that a job would send now.

    Raises:
        CompositionError: as above; or the content is refused.
    """
    document = document_class(job)
    if document is None:
        return ""
    job.input = job_input
    with discarded_changes(document):
        return request_hash(compose_request(job))
