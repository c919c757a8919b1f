"""Internal. Expire hosted documents.

A hosted document is not downloaded, because every download counts towards
``hosted_download_limit``. Its public URL gives access to anyone, so it is saved in the row only,
never in logs or events.
"""

from contextlib import suppress

from django.db import router, transaction

from django_docraptor.exceptions import NotFoundError
from django_docraptor.lifecycle.clients import client_for
from django_docraptor.models import RenderJob
from django_docraptor.models.clock import Now
from django_docraptor.states import EventKind

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
    with suppress(NotFoundError):  # DocRaptor no longer has it: it has expired by itself
        client_for(job.account).expire(job.download_id)
    rows = RenderJob.objects.filter(pk=job.pk, expired_at__isnull=True)
    with transaction.atomic(using=router.db_for_write(RenderJob)):
        is_expired = bool(rows.update(expired_at=Now(), public_url=""))
        if is_expired:
            job.record_event(EventKind.EXPIRED, note=note)
    job.refresh_from_db(fields=REFRESHED_FIELDS)
    return is_expired
