"""Internal. Compose the request for a job: content, options, tag and callback URL."""

import errno
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils import timezone, translation
from django.views.decorators.debug import sensitive_variables

from django_docraptor import registry
from django_docraptor.account_settings import ProviderError
from django_docraptor.assets import AssetError
from django_docraptor.callback_urls import callback_url
from django_docraptor.conf import conf
from django_docraptor.exceptions import ConfigurationError, DocRaptorError
from django_docraptor.job_specs import check_engine_options
from django_docraptor.lifecycle.isolation import PASSING_ERRORS
from django_docraptor.models import RenderInput, RenderJob
from django_docraptor.models.text import TEMPLATE_NOTE
from django_docraptor.page_urls import is_page, signed_url, unsigned_url
from django_docraptor.payloads import DocumentRequest, merge_options, options_to_json
from django_docraptor.payloads.secrets import decrypt_secrets
from django_docraptor.preflight import check_content
from django_docraptor.preflight.errors import template_location
from django_docraptor.states import ErrorCode
from django_docraptor.time_zones import text_to_zone

# Exceptions of queues that end a task in time, by name: no queue is imported here.
TIME_LIMIT_ERRORS: Final = frozenset(
    {"billiard.exceptions.SoftTimeLimitExceeded", "rq.timeouts.JobTimeoutException"}
)
# What the worker lacked for the moment: memory, file handles, or space on its disk.
MISSING_RESOURCES: Final = frozenset(
    {
        errno.EAGAIN,
        errno.EDQUOT,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOSPC,
        errno.ESTALE,
    }
)


class CompositionError(DocRaptorError):
    """The request of a job cannot be composed; nothing was sent.

    Args:
        retryable: whether it may succeed later.
    """

    def __init__(self, error_code: ErrorCode, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = error_code.value
        self.error_code = error_code
        self.retryable = retryable


def renew_input(job: RenderJob) -> bool:
    """Decide again about a job that a signal enqueued in the middle of a transaction.

    Nothing is done if that happened after the commit.

    Returns:
        Whether the job is to be sent by this claim.

    Raises:
        CompositionError: as from `compose_request`.
    """
    job_input = _read_input(job)
    document = registry.find(job.document)
    if job_input is None or job_input.recheck is None or document is None:
        return True
    with _errors_of_document():
        try:
            return document.renew(job, job_input)
        except ValidationError as error:
            if not hasattr(error, "error_dict"):  # not about the fields of a spec
                raise
            raise CompositionError(ErrorCode.INVALID_REQUEST, _format_errors(error)) from error


def _read_input(job: RenderJob) -> RenderInput | None:
    """Return the input that belongs to the job as it was read; ``None`` if it was pruned."""
    job_input: RenderInput | None = getattr(job, "input", None)
    # PostgreSQL returns the latest version of a locked job, but an older one of its joined input.
    if job_input is not None and job_input.revision != job.revision:
        job_input.refresh_from_db()
    return job_input


def compose_request(job: RenderJob) -> DocumentRequest:
    """Compose the request for a job, without the parts of the attempt.

    Raises:
        CompositionError: the job's error code, and what is wrong.
    """
    job_input = _read_input(job)
    if job_input is None:
        raise CompositionError(
            ErrorCode.INVALID_REQUEST,
            "The stored input no longer exists. Enqueue the document again.",
        )
    if job.hosted_expires_at is not None and job.hosted_expires_at <= timezone.now():
        raise CompositionError(
            ErrorCode.INVALID_REQUEST,
            f"hosted_expires_at ({job.hosted_expires_at.isoformat()}) has passed: the document "
            "would be billed and expire at once. Enqueue it again with a later time.",
        )
    with _errors_of_document():
        return _compose(job, job_input)


@sensitive_variables("options")
def _compose(job: RenderJob, job_input: RenderInput) -> DocumentRequest:
    content = _render_content(job, job_input)
    try:
        options = _read_options(job, job_input)
        request = DocumentRequest.from_options(
            name=job.name,
            document_type=job.document_type,
            content=content,
            url=unsigned_url(job_input.url) if is_page(job_input.url) else job_input.url,
            test=job.test,
            options=options,
        )
        check_engine_options(request)
        check_content(
            request,
            max_bytes=conf.max_content_bytes,
            template=_template_name(job),
            ignore=registry.preflight_ignore(job.document),
            is_signed=is_page(job_input.url),
            passed=job_input.preflight_digest,
        )
    except ValidationError as error:
        raise CompositionError(ErrorCode.INVALID_REQUEST, _format_errors(error)) from error
    return request


@sensitive_variables()
def _read_options(job: RenderJob, job_input: RenderInput) -> dict[str, Any]:
    """Return the stored options, and those that are computed here and never stored."""
    options = decrypt_secrets(job_input.options)
    secret_options = registry.secret_options(job, job_input)
    return merge_options(options, options_to_json(secret_options))


def add_tag_and_callback(request: DocumentRequest, job: RenderJob) -> DocumentRequest:
    """Return the request with the current attempt's tag, callback URL and signed page."""
    tag, url = f"{job.tag} {request.tag or ''}".strip(), request.url
    if is_page(job.input.url):
        url = signed_url(job.input.url, job.pk, job.attempt)
    callback = callback_url(job.pk, job.attempt, job.account)
    return replace(request, tag=tag, url=url, callback_url=callback or None)


def _render_content(job: RenderJob, job_input: RenderInput) -> str:
    if not job.document or job_input.content or job_input.url:
        return job_input.content
    return render_current_content(job, job_input)


def render_current_content(job: RenderJob, job_input: RenderInput) -> str:
    """Return the HTML that the job's document gives now, whether or not other HTML is stored.

    Raises:
        CompositionError: what the document, its template or its source raises.
    """
    zone = job_input.time_zone
    # Without a stored language, LANGUAGE_CODE is used.
    language = translation.override(job_input.language or settings.LANGUAGE_CODE)
    with (
        _errors_of_document(),
        language,
        timezone.override(text_to_zone(zone) if zone else None),
    ):
        return registry.get(job.document).render(job, job_input)


@contextmanager
def _errors_of_document() -> Iterator[None]:
    """Report what a document class, its template or its source raises.

    So does what the checks of its content raise: it concerns no other job.

    Raises:
        CompositionError: whatever was raised.
    """
    try:
        yield
    except CompositionError:
        raise
    except ProviderError as error:  # that of the accounts: no verdict on a document
        raise CompositionError(ErrorCode.CONFIGURATION_ERROR, str(error), retryable=True) from error
    except ConfigurationError as error:
        raise CompositionError(ErrorCode.CONFIGURATION_ERROR, str(error)) from error
    except AssetError as error:  # its message is sufficient; a traceback would bury it
        raise CompositionError(
            ErrorCode.TEMPLATE_ERROR, str(error), retryable=is_passing(error)
        ) from error
    except Exception as error:
        traceback_text = "".join(traceback.format_exception(error)) + _template_note(error)
        raise CompositionError(
            ErrorCode.TEMPLATE_ERROR, traceback_text, retryable=is_passing(error)
        ) from error


def _template_note(error: Exception) -> str:
    """Return the line of a template at which an error was raised, as a line for the traceback."""
    with suppress(Exception):  # what a template engine keeps in its frames may be anything
        if location := template_location(error):
            return TEMPLATE_NOTE.format(file=location.file, line=location.line)
    return ""


def is_passing(error: BaseException | None) -> bool:
    """Return whether an error is a fault that passes, or has one as its stated cause."""
    seen: list[BaseException] = []  # `raise error from error` is its own cause
    while error is not None and error not in seen:
        names = {f"{cls.__module__}.{cls.__qualname__}" for cls in type(error).__mro__}
        is_missing = isinstance(error, OSError) and error.errno in MISSING_RESOURCES
        if isinstance(error, (*PASSING_ERRORS, MemoryError)) or is_missing:
            return True
        if names & TIME_LIMIT_ERRORS:
            return True
        seen.append(error)
        error = error.__cause__
    return False


def _template_name(job: RenderJob) -> str:
    """Return the template's name for messages, or an empty string."""
    document = registry.find(job.document) if job.document else None
    return str(getattr(document, "template_name", ""))


def _format_errors(error: ValidationError) -> str:
    return "\n".join(
        f"{field}: {message}"
        for field, messages in error.message_dict.items()
        for message in messages
    )
