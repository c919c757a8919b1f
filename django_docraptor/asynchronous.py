"""Internal. Async versions of ``shortcuts`` and ``sharing``.

Each runs the function without the ``a`` in a thread.

``enqueue_or_update`` has none: it is for transactions, which Django has only in synchronous code.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, BinaryIO, Unpack

from asgiref.sync import sync_to_async
from django.db import connections

from django_docraptor import sharing, shortcuts
from django_docraptor.documents.repetition import again
from django_docraptor.job_specs import JobSpec
from django_docraptor.keywords import EnqueueOptions
from django_docraptor.models import RenderJob, ShareLink
from django_docraptor.shortcuts import AnyUser

if TYPE_CHECKING:
    from django_docraptor.client import SavedDocument


async def aenqueue(**kwargs: Unpack[EnqueueOptions]) -> RenderJob:
    """Enqueue one document: see :func:`django_docraptor.enqueue`."""
    return await sync_to_async(shortcuts.enqueue)(**kwargs)


async def aenqueue_many(specs: Iterable[JobSpec]) -> list[RenderJob]:
    """Enqueue many documents: see :func:`django_docraptor.enqueue_many`."""
    return await sync_to_async(shortcuts.enqueue_many)(specs)


async def aretry(job: RenderJob, *, by: AnyUser | None = None) -> bool:
    """Retry a failed job: see :func:`django_docraptor.retry`."""
    return await sync_to_async(shortcuts.retry)(job, by=by)


async def aagain(
    job: RenderJob,
    *,
    by: AnyUser | None = None,
    from_current: bool = False,
    idempotency_key: str | None = None,
) -> RenderJob:
    """Generate a document once more: see :func:`django_docraptor.again`."""
    return await sync_to_async(again)(
        job, by=by, from_current=from_current, idempotency_key=idempotency_key
    )


async def acancel(job: RenderJob, *, by: AnyUser | None = None) -> bool:
    """Cancel an unfinished job: see :func:`django_docraptor.cancel`."""
    return await sync_to_async(shortcuts.cancel)(job, by=by)


async def arelease(job: RenderJob, *, by: AnyUser | None = None) -> bool:
    """Let a held job go: see :func:`django_docraptor.release`."""
    return await sync_to_async(shortcuts.release)(job, by=by)


async def aexpire(job: RenderJob, *, by: AnyUser | None = None) -> bool:
    """Expire a hosted document: see :func:`django_docraptor.expire`."""
    return await sync_to_async(shortcuts.expire)(job, by=by)


async def ashare(
    job: RenderJob,
    *,
    expires_in: timedelta | None = None,
    by: AnyUser | None = None,
    max_downloads: int | None = None,
) -> ShareLink:
    """Share a private file by a link: see :func:`django_docraptor.share`."""
    return await sync_to_async(sharing.share)(
        job, expires_in=expires_in, by=by, max_downloads=max_downloads
    )


async def arevoke(link: ShareLink, *, by: AnyUser | None = None) -> bool:
    """Revoke a share link: see :func:`django_docraptor.revoke`."""
    return await sync_to_async(sharing.revoke)(link, by=by)


async def arender_now(target: BinaryIO, **kwargs: Unpack[EnqueueOptions]) -> "SavedDocument":
    """Render a document synchronously into ``target``.

    See :func:`django_docraptor.render_now`. It runs in its own thread, because a call of
    up to 60 s must not block other synchronous code. If the task is cancelled, the call continues
    in its thread and may be billed.
    """
    return await sync_to_async(_render_and_close_connections, thread_sensitive=False)(
        target, **kwargs
    )


def _render_and_close_connections(
    target: BinaryIO, **kwargs: Unpack[EnqueueOptions]
) -> "SavedDocument":
    try:
        return shortcuts.render_now(target, **kwargs)
    finally:  # an API_KEY callable may have opened a connection, which nothing else closes here
        connections.close_all()
