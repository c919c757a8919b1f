"""Hosted documents: QUEUED, WORKING → COMPLETED, and their end.

Nothing is fetched: each download may be one of the few that ``hosted_download_limit`` allows. The
public address opens the document to whoever has it, so it is in the row, and in no log or history.
"""

from contextlib import suppress
from urllib.parse import urlsplit

from django.db import router, transaction
from django.db.models.functions import Now

from django_docraptor.client import RemoteStatus
from django_docraptor.exceptions import NotFoundError
from django_docraptor.lifecycle.backoff import fail
from django_docraptor.lifecycle.remote import client_for
from django_docraptor.models import RenderJob
from django_docraptor.states import Kind, Reason, State

# What changes when a document is published, and when it ends.
COLUMNS = ["state", "download_id", "public_url", "hosted_expires_at", "expired_at"]


def published(job: RenderJob, remote: RemoteStatus) -> None:
    """DocRaptor has the document, and anyone with its address may read it: the job is done."""
    if not _is_address(remote.download_url):
        said = "DocRaptor says that the document is finished, but not at which public address."
        fail(job, Reason.REMOTE_LOST, said)
        return
    job.move(
        State.COMPLETED,
        kind=Kind.COMPLETED,
        leased=True,
        detail={"hosted": True},
        download_id=remote.download_id,
        public_url=remote.download_url,
        number_of_pages=remote.number_of_pages,
        message=remote.message,
        rendered_at=Now(),
        error_code="",
        errors="",
    )


def end(job: RenderJob, *, note: str = "") -> bool:
    """End a finished hosted document. Returns whether this call is the one that did.

    Safe to repeat, and to run twice at once. DocRaptor is asked first, so a row that says "ended"
    is right. Copies that somebody has made are out of reach.

    Raises:
        CallError: it may still be public; the row says so, and another call may end it.
    """
    job.refresh_from_db(fields=COLUMNS)
    if not job.is_public:
        return False
    with suppress(NotFoundError):  # there is no such document: it has ended by itself
        client_for(job.account).expire(job.download_id)
    rows = RenderJob.objects.filter(pk=job.pk, expired_at__isnull=True)
    with transaction.atomic(using=router.db_for_write(RenderJob)):
        ended = bool(rows.update(expired_at=Now(), public_url=""))
        if ended:
            job.record(Kind.EXPIRED, note=note)
    job.refresh_from_db(fields=COLUMNS)
    return ended


def _is_address(url: str) -> bool:
    """Whether a browser may be sent there."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False
