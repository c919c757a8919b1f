"""From a job to the request that is sent: content, options, tag and callback URL."""

import traceback
from dataclasses import replace

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils import timezone, translation

from django_docraptor import registry
from django_docraptor.assets import AssetError
from django_docraptor.callbacks import callback_url
from django_docraptor.conf import conf
from django_docraptor.exceptions import ConfigurationError, DocRaptorError
from django_docraptor.models import RenderInput, RenderJob
from django_docraptor.payloads import DocumentRequest
from django_docraptor.preflight import check_content
from django_docraptor.states import Reason

# DocRaptor: "Tag is too long (maximum is 200 characters)".
TAG_LENGTH = 200


class CompositionError(DocRaptorError):
    """A job cannot be turned into a request; nothing was sent."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def compose(job: RenderJob) -> DocumentRequest:
    """What to send for a job, but for the attempt. Raises CompositionError."""
    stored: RenderInput | None = getattr(job, "input", None)  # it may have been dropped
    if stored is None:
        raise CompositionError(
            Reason.INVALID_REQUEST, "The stored input is gone: enqueue the document anew."
        )
    if stored.renewals != job.renewals:  # PostgreSQL locks the newest job, joined to an older input
        stored.refresh_from_db()
    if job.hosted_expires_at is not None and job.hosted_expires_at <= timezone.now():
        raise CompositionError(
            Reason.INVALID_REQUEST,
            f"hosted_expires_at ({job.hosted_expires_at.isoformat()}) has passed: it would be "
            "billed and gone at once. Enqueue the document anew.",
        )
    content = _content(job, stored)
    try:
        request = DocumentRequest.from_options(
            name=job.name,
            document_type=job.document_type,
            content=content,
            url=stored.url,
            test=job.test,
            options=stored.options,
        )
        check_content(request, max_bytes=conf.max_content_bytes, template=_template(job))
    except ValidationError as error:
        raise CompositionError(Reason.INVALID_REQUEST, _spell(error)) from error
    return request


def address(request: DocumentRequest, job: RenderJob) -> DocumentRequest:
    """The same request with the present attempt's tag and callback URL."""
    tag = f"{job.tag} {request.tag or ''}".strip()[:TAG_LENGTH]
    return replace(request, tag=tag, callback_url=callback_url(job.pk, job.attempt) or None)


def _content(job: RenderJob, stored: RenderInput) -> str:
    if not job.document or stored.content:
        return stored.content
    zone = timezone.override(stored.time_zone or None)
    # An order without a language is rendered in the project's.
    language = translation.override(stored.language or settings.LANGUAGE_CODE)
    try:
        with language, zone:
            return registry.get(job.document).render(job, stored)
    except ConfigurationError as error:
        raise CompositionError(Reason.CONFIGURATION, str(error)) from error
    except AssetError as error:  # its sentence says all: a traceback would bury it
        raise CompositionError(Reason.TEMPLATE_ERROR, str(error)) from error
    except Exception as error:
        story = "".join(traceback.format_exception(error))
        raise CompositionError(Reason.TEMPLATE_ERROR, story) from error


def _template(job: RenderJob) -> str:
    """Name of the template, for messages; blank where there is none."""
    recipe = registry.find(job.document) if job.document else None
    return str(getattr(recipe, "template_name", ""))


def _spell(error: ValidationError) -> str:
    return "\n".join(
        f"{field}: {message}"
        for field, messages in error.message_dict.items()
        for message in messages
    )
