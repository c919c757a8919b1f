"""Internal. Pages for people: the download, and the status page with its retry button."""

import uuid
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from django_docraptor.health import is_slow, is_told
from django_docraptor.models import RenderJob
from django_docraptor.models.clock import Now
from django_docraptor.responses import (
    download_response,
    errors_as_json,
    may_download,
    state_response,
    wants_json,
)
from django_docraptor.responses.permissions import has_permission
from django_docraptor.responses.return_urls import safe_return_url
from django_docraptor.shortcuts import retry
from django_docraptor.states import State

# The status page refreshes after a fifth of the job's age, within these bounds (seconds).
MIN_REFRESH, MAX_REFRESH, REFRESH_FRACTION = 1, 30, 0.2


@login_not_required
@require_safe
@never_cache
@errors_as_json
def download(request: HttpRequest, pk: uuid.UUID) -> HttpResponseBase:
    """Return the finished file to users who may download it, and 404 to all others.

    Of an unfinished one, clients that ask for JSON get the state.
    """
    job = get_object_or_404(RenderJob, pk=pk)
    if not may_download(request, job):
        raise Http404
    if job.state == State.COMPLETED:
        return download_response(job)
    if wants_json(request):
        return state_response(request, job)
    raise Http404


@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@errors_as_json
def document_status(request: HttpRequest, pk: uuid.UUID) -> HttpResponseBase:
    """Show a job's status to users who may download it; a POST retries a failed job.

    Works without JavaScript: the page refreshes itself at growing intervals. When the job is
    complete, ``?inline=1`` shows the document; otherwise the download starts. Anonymous users are
    sent to the login page whether or not the document exists, because they come from e-mails.
    Clients that ask for JSON get the state, or the refusal, as JSON.
    """
    if not request.user.is_authenticated:
        if wants_json(request):
            raise PermissionDenied
        return redirect_to_login(request.get_full_path())
    job = get_object_or_404(RenderJob.objects.annotate(database_now=Now()), pk=pk)
    if not may_download(request, job):
        raise Http404
    if request.method == "POST":
        if may_retry(request, job):
            retry(job, by=request.user)
        if not wants_json(request):
            return HttpResponseRedirect(request.get_full_path())
    if wants_json(request):
        return state_response(request, job, wants_file=False)
    if job.state == State.COMPLETED and request.GET.get("inline"):
        return download_response(job, as_attachment=False)
    return render(request, "django_docraptor/status.html", _status_context(request, job))


def may_retry(request: HttpRequest, job: RenderJob) -> bool:
    """Return whether to offer a retry. Owners get it only if it cannot be billed twice."""
    if job.state != State.FAILED:
        return False
    is_free = job.test or job.resume_state is not None or not job.may_have_been_billed
    is_owner = job.owner_id == request.user.pk
    return (is_free and is_owner) or has_permission(request, "django_docraptor.retry_renderjob")


def _status_context(request: HttpRequest, job: RenderJob) -> dict[str, Any]:
    may_see_errors = has_permission(request, "django_docraptor.view_renderjob")
    return {
        "job": job,
        "has_expired": job.hosted and job.state == State.COMPLETED and not job.is_public,
        "is_slow": is_slow(job),
        "is_told": is_slow(job) and is_told(job),
        "refresh": 0 if job.is_final else refresh_interval(job),
        "may_retry": may_retry(request, job),
        "error_details": job.errors if may_see_errors else "",
        "return_url": safe_return_url(request, request.GET.get("return_url", "")) or "/",
    }


def refresh_interval(job: RenderJob) -> int:
    """Return the seconds until the status page refreshes.

    The job must be annotated with the database's time.
    """
    began = job.sent_at or job.created_at
    age = ((job.claimed_at or began) - began).total_seconds()
    return round(min(MAX_REFRESH, max(MIN_REFRESH, age * REFRESH_FRACTION)))
