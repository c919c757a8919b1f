"""The edges that the outside world sees: DocRaptor's callback, and the download."""

import logging
import uuid
from collections.abc import Callable

from django.contrib.auth.decorators import login_not_required
from django.core.files.storage import Storage
from django.db import Error, transaction
from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
)
from django.shortcuts import get_object_or_404
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe

from django_docraptor import tasks
from django_docraptor.callbacks import read_token
from django_docraptor.conf import conf
from django_docraptor.lifecycle import note_callback
from django_docraptor.models import RenderJob
from django_docraptor.states import State

logger = logging.getLogger("django_docraptor")

# Seconds for which a signed URL of the storage is good: enough to follow a redirect.
SIGNED_URL_EXPIRES = 60


@csrf_exempt
@login_not_required
@never_cache
@require_POST
@transaction.non_atomic_requests
def callback(request: HttpRequest, token: str) -> HttpResponse:
    """DocRaptor says that a document is ready: look soon.

    The body is never read: what it says is learned from the authenticated status call. 404 for
    whatever is not ours, without saying why; 204 for all that is, also twice; 503 while the
    database is down, in case DocRaptor tries again.
    """
    known = read_token(token)
    if known is None:
        return _unlogged(404)
    try:
        look_now = note_callback(*known)
    except Error:
        logger.exception("The database is down: a callback could not be noted")
        return _unlogged(503)
    if look_now and conf.ring_on_commit:
        tasks.ring(tasks.poll)
    return HttpResponse(status=204)


def _unlogged(status: int) -> HttpResponse:
    """An error that Django does not log by its URL, since the URL holds the token."""
    response = HttpResponse(status=status)
    response._has_been_logged = True  # type: ignore[attr-defined] # read by django.utils.log
    return response


@require_safe
@never_cache
def download(request: HttpRequest, key: uuid.UUID) -> HttpResponseBase:
    """The finished file, for its owner and for those who may view jobs; 404 for all others."""
    job = get_object_or_404(RenderJob, pk=key, state=State.COMPLETED)
    if not may_download(request, job):
        raise Http404
    return serve(job)


def may_download(request: HttpRequest, job: RenderJob) -> bool:
    """The policy: the job's owner, or a user with the permission to view jobs."""
    user = request.user
    if not user.is_authenticated or not user.is_active:
        return False
    return job.owner_id == user.pk or user.has_perm("django_docraptor.view_renderjob")


def serve(job: RenderJob) -> HttpResponseBase:
    """Redirect to a fresh signed URL where the storage makes one, else stream the file."""
    url = _signed_url(job.file.storage, job.file.name or "")
    if url:
        return HttpResponseRedirect(url)
    try:
        file = job.file.open("rb")
    except FileNotFoundError:
        logger.exception("Job %s: its file is gone from the storage", job.pk)
        raise Http404 from None
    response = FileResponse(file, as_attachment=True, filename=_file_name(job))
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _signed_url(storage: Storage, name: str) -> str:
    sign: Callable[..., str] = storage.url
    try:
        return sign(name, expire=SIGNED_URL_EXPIRES)
    except TypeError:  # a storage whose URLs do not expire: they would be public for ever
        return ""


def _file_name(job: RenderJob) -> str:
    ending = f".{job.document_type}"
    return job.name if job.name.lower().endswith(ending) else job.name + ending
