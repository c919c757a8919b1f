"""Internal. *View* and *Download*: which links to its document a job has in the admin."""

from typing import Any

from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from django_docraptor.admin.downloads import is_readable
from django_docraptor.models import RenderJob
from django_docraptor.responses.files import is_viewable
from django_docraptor.states import State


def has_document(job: RenderJob) -> bool:
    """Return whether the job has its document here, or still at its public URL."""
    is_there = job.state == State.COMPLETED and (not job.hosted or job.is_public)
    return is_there and job.erased_at is None


def file_links(job: RenderJob) -> list[tuple[str, Any]]:
    """Return URLs and labels of the document, for a user who may download it."""
    if not has_document(job) or not is_readable(job):
        return []
    links: list[tuple[str, Any]] = [(job.get_absolute_url(), _("Download"))]
    if is_viewable(job):
        page = reverse("django_docraptor:status", args=[job.pk])
        links.insert(0, (f"{page}?inline=1", _("View")))
    return links
