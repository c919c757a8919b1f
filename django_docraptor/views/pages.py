"""Internal. Pages for people: the download, and the status page with its retry button."""

import uuid
from typing import Any, Final

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from django_docraptor.health import waiting_reasons
from django_docraptor.models import RenderJob
from django_docraptor.models.clock import Now
from django_docraptor.responses import (
    download_response,
    errors_as_json,
    job_file_response,
    may_download,
    status_response,
    wants_json,
)
from django_docraptor.responses.files import is_viewable
from django_docraptor.responses.permissions import has_permission
from django_docraptor.responses.progress import Progress, Stage, progress_of
from django_docraptor.responses.retries import bill_of_retry, may_retry, owner_retries_left
from django_docraptor.responses.return_urls import safe_return_url
from django_docraptor.shortcuts import retry
from django_docraptor.states import State

# Remembers that a page has started its download, so that Back and reload do not: only the browser
# that has loaded the page knows, and it may have no JavaScript.
STARTED_COOKIE: Final = "docraptor_started_{}"
STARTED_SECONDS: Final = 7 * 24 * 3600


@login_not_required
@require_safe
@never_cache
@errors_as_json
def download(request: HttpRequest, pk: uuid.UUID) -> HttpResponseBase:
    """Return the finished file to users who may download it, and 404 to all others.

    If there is none, browsers are sent to the status page, and clients that ask for JSON get the
    state.
    """
    return job_file_response(request, get_object_or_404(RenderJob, pk=pk))


@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@errors_as_json
def document_status(request: HttpRequest, pk: uuid.UUID) -> HttpResponseBase:
    """Show a job's status to users who may download it; a POST retries a failed job.

    Works without JavaScript: the page refreshes itself at growing intervals, unless ``?pause=1``
    says otherwise. When the job is complete, ``?inline=1`` shows the document; otherwise the first
    visit starts the download. Anonymous users are sent to the login page whether or not the
    document exists, because they come from e-mails. Clients that ask for JSON get the state, or the
    refusal, as JSON.
    """
    if not request.user.is_authenticated:
        if wants_json(request):
            raise PermissionDenied
        return redirect_to_login(request.get_full_path())
    job = get_object_or_404(RenderJob.objects.annotate(database_now=Now()), pk=pk)
    if wants_json(request):
        return status_response(request, job)
    if not may_download(request, job):
        raise Http404
    if request.method == "POST":
        if may_retry(request, job) and _has_read_the_bill(request, job):
            retry(job, by=request.user)
        return HttpResponseRedirect(request.get_full_path())
    if job.state == State.COMPLETED and request.GET.get("inline"):
        return download_response(request, job, as_attachment=False)
    return _status_page(request, job)


def _has_read_the_bill(request: HttpRequest, job: RenderJob) -> bool:
    """Return whether the page said what the retry costs now, if it costs anything."""
    bill = bill_of_retry(request, job)
    return bill is None or request.POST.get("bill") == bill.code


def _status_page(request: HttpRequest, job: RenderJob) -> HttpResponse:
    progress = progress_of(request, job)
    context = _status_context(request, progress)
    response = render(request, "django_docraptor/status.html", context)
    if context["starts_download"]:
        response.set_cookie(
            STARTED_COOKIE.format(job.pk.hex),
            "1",
            max_age=STARTED_SECONDS,
            path=request.path,
            secure=request.is_secure(),
            httponly=True,
            samesite="Lax",
        )
    return response


def _status_context(request: HttpRequest, progress: Progress) -> dict[str, Any]:
    job, stage = progress.job, progress.stage
    is_paused = bool(request.GET.get("pause"))
    starts_download = (
        stage == Stage.READY and STARTED_COOKIE.format(job.pk.hex) not in request.COOKIES
    )
    may_see_errors = has_permission(request, "django_docraptor.view_renderjob")
    is_owner = job.owner_id == request.user.pk
    shows_inline = stage == Stage.READY and is_viewable(job)
    return {
        "job": job,
        "progress": progress,
        "has_expired": stage == Stage.EXPIRED,
        "is_paused": is_paused,
        "pause_url": _url_with(request, pause="1"),
        "resume_url": _url_with(request, pause=None),
        "inline_url": _url_with(request, pause=None, inline="1") if shows_inline else "",
        "refresh": 0 if is_paused else progress.refresh,
        # HEAD shows no page that could start it.
        "starts_download": starts_download and not is_paused and request.method == "GET",
        "may_retry": progress.may_retry,
        "bill": bill_of_retry(request, job) if progress.may_retry else None,
        "retries_left": owner_retries_left(job) if progress.may_retry and is_owner else 0,
        "error_details": job.errors if may_see_errors else "",
        "reasons": waiting_reasons(job.account) if may_see_errors and not job.is_final else [],
        "return_url": safe_return_url(request, request.GET.get("return_url", "")) or "/",
    }


def _url_with(request: HttpRequest, **parameters: str | None) -> str:
    """Return the page's URL with other parameters; ``None`` removes one."""
    query = request.GET.copy()
    for name, value in parameters.items():
        query.pop(name, None)
        if value is not None:
            query[name] = value
    return f"{request.path}?{query.urlencode()}" if query else request.path
