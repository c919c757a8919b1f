"""Internal. Respond to clients that are no browsers: the state of a document, and errors, as JSON.

A page to look at, or a redirect to the login page, is of no use to them.
"""

import hashlib
import json
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, cast

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import reverse
from django.utils.cache import add_never_cache_headers, get_conditional_response

from django_docraptor.models import RenderJob
from django_docraptor.responses.permissions import may_download
from django_docraptor.responses.progress import Progress, progress_of
from django_docraptor.responses.retries import may_retry
from django_docraptor.shortcuts import retry
from django_docraptor.states import State

P = ParamSpec("P")

HTML: Final = "text/html"
JSON: Final = "application/json"


def wants_json(request: HttpRequest) -> bool:
    """Return whether the client asks for JSON rather than for HTML.

    So does one that sends a token and does not ask for HTML.
    """
    accepted = request.headers.get("Accept", "").lower()
    if "html" in accepted:
        return "json" in accepted and request.get_preferred_type([HTML, JSON]) == JSON
    return "json" in accepted or "Authorization" in request.headers


def status_response(
    request: HttpRequest, job: RenderJob, *, status_url: str = "", download_url: str = ""
) -> HttpResponseBase:
    """Return a job's status as JSON, for a view of your own that authenticates its clients.

    A POST request retries a failed job first, as the button of the status page does. A request
    with ``If-None-Match`` gets 304 if nothing has changed but the time.

    Args:
        request: Django's, or one of Django REST framework; ``request.user`` is the client's user.
        job: the job.
        status_url: URL of your view, for ``status_url`` and ``retry_url``; by default that of the
            package's own view, which knows sessions only.
        download_url: URL at which the client gets the file; by default the package's own.

    Raises:
        Http404: the user may not have the document.
    """
    if not may_download(request, job):
        raise Http404
    if request.method == "POST" and may_retry(request, job):
        retry(job, by=request.user)
    return state_response(
        request, job, wants_file=False, status_url=status_url, download_url=download_url
    )


def state_response(
    request: HttpRequest,
    job: RenderJob,
    *,
    wants_file: bool = True,
    status_url: str = "",
    download_url: str = "",
) -> HttpResponseBase:
    """Return a job's state as JSON.

    Args:
        request: of a user who may download the document.
        job: the job.
        wants_file: whether the client asked for the document, not for its state.
        status_url: URL of the state; by default the package's own.
        download_url: URL of the file; by default the package's own.

    Returns:
        202 with ``Retry-After`` while the job is unfinished. Then 200; or 409 to a client that
        asked for the document, of which there is none. 304 if it knows the state already.
    """
    progress = progress_of(request, job)
    job = progress.job
    urls = (
        request.build_absolute_uri(status_url or reverse("django_docraptor:status", args=[job.pk])),
        request.build_absolute_uri(download_url or job.get_absolute_url()),
    )
    state = _state(progress, *urls)
    status = 202 if not job.is_final else 409 if wants_file else 200
    response: HttpResponseBase = JsonResponse(state, status=status)
    if request.method in ("GET", "HEAD") and not wants_file:
        response = _conditional_response(request, response, state)
    if not job.is_final:
        response["Retry-After"] = str(progress.refresh)
    add_never_cache_headers(response)
    return response


def _state(progress: Progress, status_url: str, download_url: str) -> dict[str, Any]:
    """Return what the owner of a document may know of it; errors may quote a project's code."""
    job, estimate = progress.job, progress.estimate
    return {
        "id": str(job.pk),
        "reference": job.reference,
        "name": job.name,
        "state": job.state,
        "is_final": job.is_final,
        "error_code": job.error_code if job.state == State.FAILED else "",
        "reason": progress.reason,
        "stage": progress.stage.value,
        "label": str(progress.stage.label),
        "message": f"{progress.heading}. {progress.message}".strip(),
        "elapsed_seconds": round(progress.elapsed, 1),
        "estimate": {
            "usual_seconds": estimate.usual,
            "longest_usual_seconds": estimate.longest,
        }
        if estimate
        else None,
        "is_longer": progress.is_longer,
        "is_late": progress.is_late,
        "can_retry": progress.may_retry,
        "created_at": job.created_at.isoformat(),
        "status_url": status_url,
        "retry_url": status_url if progress.may_retry else None,
        "download_url": download_url if progress.is_ready else None,
    }


# What changes with each second.
_VOLATILE: Final = ("elapsed_seconds", "message")


def _conditional_response(
    request: HttpRequest, response: HttpResponseBase, state: dict[str, Any]
) -> HttpResponseBase:
    """Return 304 if the client knows the state; the tag is weak, since the time is not in it."""
    lasting = {name: value for name, value in state.items() if name not in _VOLATILE}
    digest = hashlib.sha256(json.dumps(lasting, sort_keys=True).encode()).hexdigest()[:32]
    etag = f'W/"{digest}"'
    response["ETag"] = etag
    conditional: HttpResponseBase | None = get_conditional_response(
        request, etag=etag, response=cast(HttpResponse, response)
    )
    return conditional or response


def errors_as_json(
    view: Callable[Concatenate[HttpRequest, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Make a view tell refusals (403, 404) as JSON to those who want it."""

    @wraps(view)
    def wrapped(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        try:
            return view(request, *args, **kwargs)
        except (PermissionDenied, Http404) as error:
            if not wants_json(request):
                raise
            is_missing = isinstance(error, Http404)
            detail = "There is no such document." if is_missing else FORBIDDEN
            return JsonResponse({"detail": detail}, status=404 if is_missing else 403)

    return wrapped


FORBIDDEN: Final = (
    "This page knows only users who are logged in to the site, and documents that are theirs. A "
    "client with a token needs a view that authenticates it and returns status_response()."
)
