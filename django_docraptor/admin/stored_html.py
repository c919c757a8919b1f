"""Internal. The HTML of a job as it was sent, on a page of its own, in a sandboxed frame.

The HTML is untrusted: it runs no scripts, has no origin, and loads images and styles of other sites
only if the user says so.
"""

import uuid
from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext as _
from django.views.decorators.clickjacking import xframe_options_sameorigin

from django_docraptor.admin.inputs import may_read
from django_docraptor.models import RenderInput, RenderJob
from django_docraptor.responses.preview_policy import OFFLINE_POLICY, PREVIEW_POLICY

if TYPE_CHECKING:
    from django_docraptor.admin.job_page import JobPageAdmin

# The parameter with which images and styles of other sites are loaded.
EXTERNAL = "external"
TEMPLATE = "stored_html.html"


def html_view(model_admin: "JobPageAdmin", request: HttpRequest, key: uuid.UUID) -> HttpResponse:
    """Show the stored HTML in a frame, or why there is none.

    Raises:
        PermissionDenied: the user may not read the document.
    """
    job = _readable_job(model_admin, request, key)
    is_external, frame_url = EXTERNAL in request.GET, model_admin.page_url("html_frame", key)
    return model_admin.render_page(
        request,
        TEMPLATE,
        _("HTML as sent: %(name)s") % {"name": job.name},
        original=job,
        problem=_problem(job),
        frame_url=f"{frame_url}?{EXTERNAL}" if is_external else frame_url,
        external_url="" if is_external else f"?{EXTERNAL}",
        return_url=model_admin.page_url("change", key),
    )


@xframe_options_sameorigin
def html_frame_view(
    model_admin: "JobPageAdmin", request: HttpRequest, key: uuid.UUID
) -> HttpResponse:
    """Return the stored HTML itself, for the frame.

    Raises:
        PermissionDenied: the user may not read the document.
        Http404: no HTML is stored.
    """
    job = _readable_job(model_admin, request, key)
    content = RenderInput.objects.filter(pk=job.pk).values_list("content", flat=True).first()
    if not content:
        raise Http404
    response = HttpResponse(content.encode("utf-8", "replace"))
    policy = PREVIEW_POLICY if EXTERNAL in request.GET else OFFLINE_POLICY
    response["Content-Security-Policy"] = f"{policy}; frame-ancestors 'self'"
    response["X-Content-Type-Options"] = "nosniff"
    response["Referrer-Policy"] = "no-referrer"
    add_never_cache_headers(response)
    return response


def _readable_job(model_admin: "JobPageAdmin", request: HttpRequest, key: uuid.UUID) -> RenderJob:
    job = model_admin.permitted_job(request, key, model_admin.has_view_permission)
    if not may_read(request, job):
        raise PermissionDenied
    return job


def _problem(job: RenderJob) -> str:
    """Return why there is no HTML to show, or ""."""
    rows = RenderInput.objects.filter(pk=job.pk)
    stored = rows.exclude(content="").exists()
    if stored:
        return ""
    url = rows.values_list("url", flat=True).first()
    if url is None:
        return _("The input is no longer stored.")
    if url:
        return _("DocRaptor fetches the HTML from a URL. It is not stored here.")
    return _(
        "A worker renders the HTML for each attempt, and it is not stored. To keep it, enqueue the "
        "document with snapshot=True."
    )
