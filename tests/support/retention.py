"""Finished jobs of any age, and storages that do not delete."""

import threading
from datetime import timedelta
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, InMemoryStorage

from django_docraptor.models import RenderEvent, RenderInput, RenderJob, seconds_from_now
from django_docraptor.states import EventKind, State
from django_docraptor.storage import document_storage

DAY = timedelta(days=1)


def finished_job(age: timedelta = 60 * DAY, *, file: bool = True, **columns: Any) -> RenderJob:
    """Return a job that finished ``age`` ago, with an input, an event and a stored file."""
    job = RenderJob.objects.create(
        **{"name": "old.pdf", "document_type": "pdf", "state": State.COMPLETED, **columns},
        finished_at=seconds_from_now(-age.total_seconds()),
    )
    RenderInput.objects.create(job=job, content="<h1>Old</h1>")
    RenderEvent.objects.create(job=job, kind=EventKind.COMPLETED, to_state=job.state)
    if file:
        saved = document_storage.save(f"docraptor/{job.pk.hex}.pdf", ContentFile(b"%PDF"))
        RenderJob.objects.filter(pk=job.pk).update(file=saved)
    return job


class ReadOnlyStorage(FileSystemStorage):
    """A storage whose files cannot be deleted."""

    def delete(self, name: str) -> None:
        raise OSError("read-only")


class ThreadStorage(FileSystemStorage):
    """A storage that finds its files in one thread only, as one of tenants does."""

    def delete(self, name: str) -> None:
        if threading.current_thread() is threading.main_thread():
            super().delete(name)


class StrictStorage(InMemoryStorage):
    """A storage that raises when a missing file is deleted, as some do."""

    def delete(self, name: str) -> None:
        if not self.exists(name):
            raise FileNotFoundError(name)
        super().delete(name)


def use_storage(settings: Any, backend: str, **options: Any) -> None:
    """Make a class the storage for documents."""
    storage = {"BACKEND": backend, "OPTIONS": options}
    settings.STORAGES = settings.STORAGES | {"docraptor": storage}
