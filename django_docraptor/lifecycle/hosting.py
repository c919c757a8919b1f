"""Internal. Expire hosted documents.

A hosted document is not downloaded, because every download counts towards
``hosted_download_limit``. Its public URL gives access to anyone, so it is saved in the row only,
never in logs or events.
"""

import logging
import time
from contextlib import suppress
from typing import Final

from django.db import router, transaction
from django.db.models import QuerySet
from django.utils import timezone

from django_docraptor.exceptions import DocRaptorError, NotFoundError
from django_docraptor.lifecycle.clients import open_client
from django_docraptor.models import DiscardedDocument, RenderJob
from django_docraptor.models.clock import Now
from django_docraptor.models.files import time_of_next_try
from django_docraptor.models.prepared import prepared
from django_docraptor.states import EventKind

logger = logging.getLogger(__name__)

# Documents of deleted jobs that a run expires, and seconds after which it leaves them to the next.
BATCH_SIZE: Final = 20
RUN_SECONDS: Final = 5.0

# Columns that change when a document is published or expires.
REFRESHED_FIELDS = ["state", "download_id", "public_url", "hosted_expires_at", "expired_at"]


def expire(job: RenderJob, *, note: str = "") -> bool:
    """Expire a completed hosted document.

    Safe to repeat and to run concurrently. DocRaptor is called before the row changes, so an
    expired row is always correct. Existing copies are not affected.

    Returns:
        Whether this call expired it.

    Raises:
        CallError: the document may still be public; the row is unchanged, so call it again.
    """
    job.refresh_from_db(fields=REFRESHED_FIELDS)
    if not job.is_public:
        return False
    _call_expire(job.account, job.download_id)
    rows = RenderJob.objects.filter(pk=job.pk, expired_at=None, erased_at=None)
    with transaction.atomic(using=router.db_for_write(RenderJob)):
        is_expired = bool(rows.update(expired_at=Now(), public_url=""))
        if is_expired:
            job.record_event(EventKind.EXPIRED, note=note)
    job.refresh_from_db(fields=REFRESHED_FIELDS)
    return is_expired


def _call_expire(account: str, download_id: str) -> None:
    """Let DocRaptor expire a document.

    Raises:
        CallError: the document may still be public.
    """
    with suppress(NotFoundError):  # DocRaptor no longer has it: it has expired by itself
        open_client(account).ask("expire", lambda client: client.expire(download_id))


def expire_discarded() -> int:
    """Expire the hosted documents of deleted and erased jobs, as many as a short time allows.

    Returns:
        The number of documents that are no longer public.
    """
    expired, stop = 0, time.monotonic() + RUN_SECONDS
    for document in _due_documents(BATCH_SIZE).fetch():
        if time.monotonic() > stop:
            break
        expired += expire_document(document)
    return expired


@prepared(DiscardedDocument)
def _due_documents(limit: int) -> QuerySet[DiscardedDocument]:
    return DiscardedDocument.objects.filter(due_at__lte=Now()).order_by("due_at")[:limit]


def expire_document(document: DiscardedDocument) -> bool:
    """Expire one document, whose next try is noted first: a call may hang, or kill its worker.

    Returns:
        Whether it is no longer public.
    """
    failures = document.failures
    row = DiscardedDocument.objects.filter(pk=document.pk)
    due_at = time_of_next_try(failures)
    if not row.filter(failures=failures).update(failures=failures + 1, due_at=due_at):
        return False  # another process is at it
    is_over = True
    try:
        if document.expires_at is None or document.expires_at > timezone.now():
            is_over = _expire_now(document)
    except DocRaptorError as error:
        logger.warning(
            "The hosted document of a deleted job (account %s) is still public: %s",
            document.account,
            error,
        )
        return False
    if not is_over:
        return False
    row.delete()
    return True


def _expire_now(document: DiscardedDocument) -> bool:
    """Expire a document; of one that was being made, ask for its status first.

    Returns:
        Whether it is not public, and will not be.

    Raises:
        DocRaptorError: it may be public.
    """
    download_id = document.download_id
    if not download_id:
        try:
            keyed, status_id = open_client(document.account), document.status_id
            remote = keyed.ask("get_status", lambda client: client.get_status(status_id))
        except NotFoundError:  # DocRaptor no longer has it
            return True
        if not remote.is_completed:
            return remote.is_failed
        download_id = remote.download_id
    _call_expire(document.account, download_id)
    return True
