"""Internal. Which of many jobs the user may download, in few queries."""

from collections.abc import Iterable
from copy import copy
from typing import Final

from django.http import HttpRequest

from django_docraptor import registry
from django_docraptor.admin.inputs import may_read
from django_docraptor.models import RenderJob
from django_docraptor.responses.many_documents import load_sources
from django_docraptor.states import State

# Attribute that tells whether the current user may read the job's document.
READABLE_ATTRIBUTE: Final = "_docraptor_readable"


def mark_readable(request: HttpRequest, jobs: Iterable[RenderJob]) -> None:
    """Mark the completed jobs that their documents let the user download.

    A rule of a document may read the source: the sources are loaded together, on copies, because
    they are shown only to users who may view them.
    """
    completed = [job for job in jobs if job.state == State.COMPLETED and job.erased_at is None]
    copies = [copy(job) for job in completed]
    load_sources(job for job in copies if registry.has_download_rule(job.document))
    for job, copied in zip(completed, copies, strict=True):
        setattr(job, READABLE_ATTRIBUTE, may_read(request, copied))


def is_readable(job: RenderJob) -> bool:
    """Return whether the job was marked as one that the user may download."""
    return getattr(job, READABLE_ATTRIBUTE, False)
