"""Internal. Respond to clients that are no browsers: the state of a document, and errors, as JSON.

A page to look at, or a redirect to the login page, is of no use to them.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase, JsonResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers

from django_docraptor.models import RenderJob
from django_docraptor.states import State

P = ParamSpec("P")

HTML: Final = "text/html"
JSON: Final = "application/json"
# Seconds after which a client should ask again: a fraction of the job's age, within these bounds.
MIN_RETRY, MAX_RETRY, RETRY_FRACTION = 1, 30, 0.2


def wants_json(request: HttpRequest) -> bool:
    """Return whether the client asks for JSON rather than for HTML.

    So does one that sends a token and does not ask for HTML.
    """
    accepted = request.headers.get("Accept", "").lower()
    if "html" in accepted:
        return "json" in accepted and request.get_preferred_type([HTML, JSON]) == JSON
    return "json" in accepted or "Authorization" in request.headers


def state_response(
    request: HttpRequest, job: RenderJob, *, wants_file: bool = True
) -> JsonResponse:
    """Return a job's state as JSON.

    Args:
        request: of a user who may download the document.
        job: the job.
        wants_file: whether the client asked for the document, not for its state.

    Returns:
        202 with ``Retry-After`` while the job is unfinished. Then 200; or 409 to a client that
        asked for the document, of which there is none.
    """
    status = 202 if not job.is_final else 409 if wants_file else 200
    response = JsonResponse(_state(request, job), status=status)
    if not job.is_final:
        response["Retry-After"] = str(_retry_after(job))
    add_never_cache_headers(response)
    return response


def _state(request: HttpRequest, job: RenderJob) -> dict[str, Any]:
    """Return what the owner of a document may know of it; errors may quote a project's code."""
    path = reverse("django_docraptor:status", args=[job.pk])
    is_completed = job.state == State.COMPLETED
    return {
        "id": str(job.pk),
        "name": job.name,
        "state": job.state,
        "is_final": job.is_final,
        "error_code": job.error_code if job.state == State.FAILED else "",
        "created_at": job.created_at.isoformat(),
        "status_url": request.build_absolute_uri(path),
        "download_url": request.build_absolute_uri(job.get_absolute_url())
        if is_completed
        else None,
    }


def _retry_after(job: RenderJob) -> int:
    age = (timezone.now() - job.created_at).total_seconds()
    return round(min(MAX_RETRY, max(MIN_RETRY, age * RETRY_FRACTION)))


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
    "client with a token asks the view that returned the document again."
)
