"""Internal. Share a private file by a link that expires, and revoke the link.

Projects import these functions from ``django_docraptor``. No permission is checked here: the
caller decides who may share.
"""

import uuid
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import router, transaction
from django.utils.translation import gettext as _

from django_docraptor.conf import conf
from django_docraptor.models import RenderJob, ShareLink, seconds_from_now
from django_docraptor.setting_values import MAX_SHARE_LIFETIME, share_lifetime_error
from django_docraptor.shortcuts import AnyUser, describe_actor
from django_docraptor.states import EventKind, State

# What every database stores in the column.
MAX_DOWNLOADS = 1_000_000_000


def share(
    job: RenderJob,
    *,
    expires_in: timedelta | None = None,
    by: AnyUser | None = None,
    max_downloads: int | None = None,
) -> ShareLink:
    """Create a link by which anyone who has its URL may download a job's private file.

    Send ``link.url``. It needs no login, and opens a page with a download button.

    Args:
        job: a completed job with a file.
        expires_in: after which the link stops working, at most 365 days; default:
            ``DOCRAPTOR["SHARE_LINK_LIFETIME"]``.
        by: the acting user.
        max_downloads: number of downloads after which it stops working; ``None``: unlimited.

    Raises:
        ValidationError: by field; no link was created.
    """
    return create_link(job, uuid.uuid4(), expires_in=expires_in, by=by, max_downloads=max_downloads)


def create_link(
    job: RenderJob,
    link_id: uuid.UUID,
    *,
    expires_in: timedelta | None,
    by: AnyUser | None,
    max_downloads: int | None,
) -> ShareLink:
    """Create a link with this ID, as `share` does.

    Raises:
        ValidationError: by field; no link was created.
        IntegrityError: a link has this ID already.
    """
    _validate(job, expires_in, max_downloads)
    lifetime = conf.share_link_lifetime if expires_in is None else expires_in
    user: Any = by if by is not None and by.is_authenticated else None
    using = router.db_for_write(ShareLink)
    with transaction.atomic(using=using):
        if not RenderJob.objects.lock_unerased(job.pk):
            raise ValidationError({"job": [_no_file(job)]})
        link = ShareLink.objects.create(
            pk=link_id,
            job=job,
            created_by=user,
            expires_at=seconds_from_now(lifetime.total_seconds()),
            max_downloads=max_downloads,
        )
        link.refresh_from_db(fields=["created_at", "expires_at"])
        detail = {"link": link.short_id, "expires_at": link.expires_at.isoformat()}
        if max_downloads is not None:
            detail["max_downloads"] = str(max_downloads)
        job.record_event(EventKind.SHARED, note=describe_actor(by), detail=detail)
    return link


def revoke(link: ShareLink, *, by: AnyUser | None = None) -> bool:
    """Revoke a share link: its URL stops working at once. Downloaded copies are not affected.

    Args:
        link: the link.
        by: the acting user, for the job's history.

    Returns:
        Whether it was not revoked before.
    """
    using = router.db_for_write(ShareLink)
    with transaction.atomic(using=using):
        if not link.mark_revoked():
            return False
        detail = {"link": link.short_id}
        link.job.record_event(EventKind.SHARE_REVOKED, note=describe_actor(by), detail=detail)
    link.refresh_from_db(fields=["revoked_at"])
    return True


def _validate(job: RenderJob, expires_in: timedelta | None, max_downloads: int | None) -> None:
    """Raise what is wrong with the arguments of `share`, by field."""
    errors = {
        "job": job_error(job),
        "expires_in": None if expires_in is None else _lifetime_error(expires_in),
        "max_downloads": _downloads_error(max_downloads),
    }
    found = {field: [error] for field, error in errors.items() if error}
    if found:
        raise ValidationError(found)


def job_error(job: RenderJob) -> str | None:
    """Return why a job's document cannot be shared by a link, or ``None``."""
    if job.hosted:
        text = _(
            "Job %(job)s is hosted: anyone can read its document already. Send job.public_url "
            "instead."
        )
    elif job.state != State.COMPLETED:
        text = _(
            "Job %(job)s is %(state)s: only a completed job has a file to share. Wait for "
            "document_completed, or use wait_for_job()."
        )
    elif not job.file:
        return _no_file(job)
    else:
        return None
    return text % {"job": job.pk, "state": job.state}


def _no_file(job: RenderJob) -> str:
    return _("Job %(job)s has no file to share: it was deleted.") % {"job": job.pk}


def _lifetime_error(value: timedelta) -> str | None:
    if not share_lifetime_error(value):
        return None
    text = _(
        "expires_in %(value)r must be a positive timedelta of at most %(days)d days. Without it, "
        "a setting decides."
    )
    return text % {"value": value, "days": MAX_SHARE_LIFETIME.days}


def _downloads_error(value: int | None) -> str | None:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if value is None or (is_number and 1 <= value <= MAX_DOWNLOADS):
        return None
    text = _(
        "max_downloads %(value)r must be a number from 1 to %(maximum)d. Use None for unlimited "
        "downloads."
    )
    return text % {"value": value, "maximum": MAX_DOWNLOADS}
