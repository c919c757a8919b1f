"""Internal. Call a document class's hook for a finished job."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils import timezone, translation

from django_docraptor.documents.adapter import DocumentAdapter, SourceGoneError
from django_docraptor.instrumentation import log_fields
from django_docraptor.models import RenderInput, RenderJob
from django_docraptor.states import State
from django_docraptor.time_zones import text_to_zone

if TYPE_CHECKING:
    from typing import Any

    from django_docraptor.documents.declaration import Document

logger = logging.getLogger(__name__)


def call_hook(document_class: "type[Document[Any]]", job: RenderJob) -> bool:
    """Call ``on_completed()``, or ``on_failed()`` for a failed job.

    The document has the source as it is now, in the job's language and time zone.

    Returns:
        Whether it was called: not if the source no longer exists.
    """
    with ExitStack() as stack:
        try:
            document = stack.enter_context(loaded(document_class, job))
        except SourceGoneError:
            name = hook_name(job)
            logger.info(
                "Job %s: %s was not called, since the source is gone",
                job.pk,
                name,
                extra=log_fields(job),
            )
            return False
        if job.state == State.FAILED:
            document.on_failed(job)
        else:
            document.on_completed(job)
    return True


@contextmanager
def loaded(document_class: "type[Document[Any]]", job: RenderJob) -> "Iterator[Document[Any]]":
    """Provide a job's document with its source as it is now, in the job's language and time zone.

    Raises:
        SourceGoneError: the source no longer exists.
    """
    stored = RenderInput.objects.filter(pk=job.pk).defer("content", "options").first()
    document = DocumentAdapter(document_class).load(job, stored)
    zone = text_to_zone(stored.time_zone) if stored and stored.time_zone else None
    language = (stored.language if stored else "") or settings.LANGUAGE_CODE
    with translation.override(language), timezone.override(zone):
        yield document


def hook_name(job: RenderJob) -> str:
    """Return the name of a finished job's hook, for messages."""
    return "on_failed()" if job.state == State.FAILED else "on_completed()"
