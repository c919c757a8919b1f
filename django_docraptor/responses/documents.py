"""Internal. Respond to a request for a document: with the document, or with its status page."""

from dataclasses import replace
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.db import router, transaction
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils.cache import add_never_cache_headers

from django_docraptor.job_specs import JobSpec
from django_docraptor.models import RenderJob
from django_docraptor.responses.files import download_response
from django_docraptor.responses.idempotency import with_idempotency_key
from django_docraptor.responses.json_clients import state_response, wants_json
from django_docraptor.responses.permissions import may_download
from django_docraptor.responses.return_urls import referring_page
from django_docraptor.shortcuts import enqueue_many
from django_docraptor.states import State
from django_docraptor.waiting import in_transaction, wait_for_job

# Seconds that a request waits for its document by default.
DEFAULT_WAIT_SECONDS = 20.0


def document_response(
    request: HttpRequest,
    spec: JobSpec,
    *,
    wait: float = DEFAULT_WAIT_SECONDS,
    as_attachment: bool = False,
    return_url: str = "",
) -> HttpResponseBase:
    """Return the document if it is ready soon, or else a redirect to its status page.

    A client that asks for JSON, or sends a token, gets the state instead of the redirect: 202 while
    the document is unfinished. It asks again until it gets the file.

    The content is the idempotency key, so the same request by the same user is billed once:
    reloading, double clicks and prefetching cost nothing.

    Args:
        request: its user becomes the owner, unless the spec names one.
        spec: with ``content``, or with an ``idempotency_key``.
        wait: seconds to wait; ignored inside a transaction.
        as_attachment: whether the browser saves the document instead of showing it.
        return_url: page of the *Back* link; by default the referring page.

    Raises:
        PermissionDenied: the user is not logged in or may not have the document; no job was
            created.
        ValidationError: by field; no job was created.
    """
    if not request.user.is_authenticated:
        raise PermissionDenied
    spec = with_idempotency_key(replace(spec, owner=spec.owner or request.user))
    # A refusal rolls back the job and its notification.
    with transaction.atomic(using=router.db_for_write(RenderJob)):
        (job,) = enqueue_many([spec])
        if not may_download(request, job):
            raise PermissionDenied
    job = _wait_briefly(job, wait)
    if job.state == State.COMPLETED:
        return download_response(request, job, as_attachment=as_attachment)
    if wants_json(request):
        return state_response(request, job)
    return _redirect_to_status(job, as_attachment, return_url or referring_page(request))


def job_file_response(
    request: HttpRequest, job: RenderJob, *, as_attachment: bool = True
) -> HttpResponseBase:
    """Return a job's file, for a view of your own that authenticates its clients.

    If there is none, a client that asks for JSON or sends a token gets the state (202 or 409), and
    a browser is redirected to the status page.

    Args:
        request: Django's, or one of Django REST framework; ``request.user`` is the client's user.
        job: the job.
        as_attachment: whether the browser saves the document instead of showing it.

    Raises:
        Http404: the user may not have the document, or the storage has lost it.
    """
    if not may_download(request, job):
        raise Http404
    if job.state == State.COMPLETED:
        return download_response(request, job, as_attachment=as_attachment)
    if wants_json(request):
        return state_response(request, job)
    return HttpResponseRedirect(reverse("django_docraptor:status", args=[job.pk]))


def _wait_briefly(job: RenderJob, wait: float) -> RenderJob:
    """Wait for the job to finish, and return it in its current state."""
    try:
        return wait_for_job(job, timeout=0 if in_transaction() else wait)
    except (TimeoutError, RuntimeError):
        return job


def _redirect_to_status(
    job: RenderJob, as_attachment: bool, return_url: str
) -> HttpResponseRedirect:
    query = {} if as_attachment else {"inline": "1"}
    query |= {"return_url": return_url} if return_url else {}
    path = reverse("django_docraptor:status", args=[job.pk])
    response = HttpResponseRedirect(f"{path}?{urlencode(query)}" if query else path)
    add_never_cache_headers(response)
    return response
