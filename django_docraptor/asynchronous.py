"""The front door for async code. Each function is the one without the ``a``, off the event loop."""

from collections.abc import Iterable
from typing import Any, BinaryIO

from asgiref.sync import sync_to_async
from django.db import connections

from django_docraptor import shortcuts
from django_docraptor.client import Download
from django_docraptor.models import RenderJob
from django_docraptor.shortcuts import Order, Somebody
from django_docraptor.waiting import ajob_done

__all__ = [
    "acancel",
    "aenqueue",
    "aenqueue_many",
    "aexpire",
    "ajob_done",
    "arender_now",
    "aretry",
]


async def aenqueue(**order: Any) -> RenderJob:
    """Make one document: see :func:`django_docraptor.shortcuts.enqueue`."""
    return await sync_to_async(shortcuts.enqueue)(**order)


async def aenqueue_many(orders: Iterable[Order]) -> list[RenderJob]:
    """Make many documents: see :func:`django_docraptor.shortcuts.enqueue_many`."""
    return await sync_to_async(shortcuts.enqueue_many)(orders)


async def aretry(job: RenderJob, *, by: Somebody | None = None) -> bool:
    """Take up a failed job again: see :func:`django_docraptor.shortcuts.retry`."""
    return await sync_to_async(shortcuts.retry)(job, by=by)


async def acancel(job: RenderJob, *, by: Somebody | None = None) -> bool:
    """Give up an unfinished job: see :func:`django_docraptor.shortcuts.cancel`."""
    return await sync_to_async(shortcuts.cancel)(job, by=by)


async def aexpire(job: RenderJob, *, by: Somebody | None = None) -> bool:
    """End a hosted document: see :func:`django_docraptor.shortcuts.expire`."""
    return await sync_to_async(shortcuts.expire)(job, by=by)


async def arender_now(target: BinaryIO, **order: Any) -> Download:
    """Make a document into ``target``: see :func:`django_docraptor.shortcuts.render_now`.

    In a thread of its own: a call of up to 60 s must not hold up other synchronous code. Should
    the task be cancelled meanwhile, the call goes on in its thread, and may be billed.
    """
    return await sync_to_async(_render_now, thread_sensitive=False)(target, **order)


def _render_now(target: BinaryIO, **order: Any) -> Download:
    try:
        return shortcuts.render_now(target, **order)
    finally:  # an API_KEY callable may have asked the database, in a thread that nobody tidies
        connections.close_all()
