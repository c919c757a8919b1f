"""Internal. Views of projects that DocRaptor may fetch: pages that need a login."""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, Final, TypeVar

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.decorators import login_not_required, login_required
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import add_never_cache_headers

from django_docraptor.conf import conf
from django_docraptor.instrumentation import log_fields
from django_docraptor.lifecycle.leases import lease_for
from django_docraptor.models import RenderJob
from django_docraptor.page_urls import PARAMETER, is_page, is_same_page, read_page_token
from django_docraptor.states import State
from django_docraptor.views.error_responses import unlogged_error
from django_docraptor.views.secret_urls import hide_in_headers

logger = logging.getLogger(__name__)

V = TypeVar("V", bound=Callable[..., Any])
# States in which DocRaptor may fetch the page of an attempt.
FETCHING_STATES: Final = (State.SUBMITTING, State.UNCONFIRMED, State.QUEUED, State.WORKING)


def document_page(view: V) -> V:
    """Let DocRaptor fetch the page of a view that needs a login.

    Users need a login, as with ``login_required``. A request with the signed URL of a job's attempt
    is answered as its owner would be: ``request.user`` is the owner, and ``request.docraptor_job``
    the job. The URL works for the page of that job only, for GET, until DocRaptor must be ready or
    the job is. Anything else with a token gets 404, never the login page.

    Args:
        view: a function, also an asynchronous one, or what ``as_view()`` returns.
    """
    for_users = login_required(view, login_url=getattr(view, "login_url", None))

    @wraps(view)
    def page(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if PARAMETER not in request.GET:
            return for_users(request, *args, **kwargs)
        job = _admit(request)
        return _seal(view(request, *args, **kwargs), job) if job else _refusal()

    @wraps(view)
    async def async_page(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if PARAMETER not in request.GET:
            return await for_users(request, *args, **kwargs)
        job = await sync_to_async(_admit)(request)
        return _seal(await view(request, *args, **kwargs), job) if job else _refusal()

    wrapper: Any = login_not_required(async_page if iscoroutinefunction(view) else page)
    wrapper.is_document_page = True  # for the preflight
    result: V = wrapper
    return result


def _admit(request: HttpRequest) -> RenderJob | None:
    """Make a request with a valid token one of the job's owner, without the token.

    Returns:
        The job; ``None`` if the request is to be refused.
    """
    token = _take_token(request)
    job = _find_job(token) if request.method == "GET" else None
    if job is None or not is_page(job.input.url):
        return None
    if not is_same_page(job.input.url, path_info=request.path_info, query=request.GET):
        _log_refusal(job, f"its signed URL was used for another page, {request.path[:200]!r}")
        return None
    owner: Any = job.owner
    if owner is None or not owner.is_active:
        _log_refusal(job, "its owner was deleted or is not active")
        return None
    _act_as(request, owner)
    vars(request)["docraptor_job"] = job
    # A cached page that varies by the cookie is another one for each job.
    request.META["HTTP_COOKIE"] = f"docraptor_job={job.pk}"
    return job


def _act_as(request: HttpRequest, user: AbstractBaseUser) -> None:
    async def auser() -> AbstractBaseUser:
        return user

    vars(request).update(user=user, auser=auser)


def _log_refusal(job: RenderJob, reason: str) -> None:
    """Log why DocRaptor does not get a page although it has a valid URL: its job will fail."""
    logger.warning(
        "Job %s: its page was not given to DocRaptor, because %s",
        job.pk,
        reason,
        extra=log_fields(job),
    )


def _take_token(request: HttpRequest) -> str:
    """Remove the token from the request: an error report or a link on the page must not have it."""
    query = request.GET.copy()
    tokens = query.pop(PARAMETER)
    query._mutable = False
    text = query.urlencode()
    vars(request)["GET"] = query
    request.META["QUERY_STRING"] = text
    scope = getattr(request, "scope", None)
    if scope:  # access logs of ASGI servers
        scope["query_string"] = text.encode()
    for token in tokens:
        hide_in_headers(request, str(token))
    return str(tokens[0]) if len(tokens) == 1 else ""


def _find_job(token: str) -> RenderJob | None:
    max_age = lease_for(State.SUBMITTING) + conf.deadline
    token_data = read_page_token(token, max_age=max_age)
    if token_data is None:
        return None
    key, attempt = token_data
    rows = RenderJob.objects.filter(pk=key, attempt=attempt, state__in=FETCHING_STATES)
    return rows.select_related("input", "owner").filter(input__isnull=False).first()


def _seal(response: HttpResponseBase, job: RenderJob) -> HttpResponseBase:
    """Keep a response private; refuse a redirect."""
    if 300 <= response.status_code < 400:
        target = response.get("Location", "").partition("?")[0]
        _log_refusal(job, f"the view redirected to {target[:200]}")
        return _refusal()
    return _keep_private(response)


def _refusal() -> HttpResponseBase:
    return _keep_private(unlogged_error(404))


def _keep_private(response: HttpResponseBase) -> HttpResponseBase:
    """Keep a response from caches, and its URL from other sites."""
    add_never_cache_headers(response)
    response["Referrer-Policy"] = "no-referrer"
    return response
