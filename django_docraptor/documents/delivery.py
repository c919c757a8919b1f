"""A finished document goes into a file field of the object that it was made from.

It is driven by the event that carries ``document_completed``, so a worker that dies in between
leaves it to the next tick. A failure is a line of the job's history which is itself due again.
"""

import os
import traceback
from pathlib import Path
from typing import Any, cast

from django.contrib.contenttypes.models import ContentType
from django.core.files.storage import Storage
from django.db import router, transaction
from django.db.models import F, FileField, Model, Q

from django_docraptor import registry
from django_docraptor.lifecycle.backoff import delay
from django_docraptor.models import SIGNAL_LEASE, RenderEvent, RenderJob, after, logger
from django_docraptor.signals import delivery_due, document_completed
from django_docraptor.states import Kind
from django_docraptor.storage import file_name

# Tries after which a person must look: more than an hour of a storage that is down.
MAX_DELIVERIES = 20
# Hexadecimal digits of the job's key in a delivered file's name: no two jobs share a name.
KEY_DIGITS = 12


def listen() -> None:
    """Deliver from now on; called once some document has ``deliver_to``."""
    for signal in (document_completed, delivery_due):
        signal.connect(receive, dispatch_uid="django_docraptor.delivery")


def receive(job: RenderJob, **kwargs: Any) -> None:
    """Deliver a job's document; note a failure, and when to try again."""
    recipe = registry.find(job.document)
    if recipe is None:
        return
    try:
        recipe.deliver(job)
    except Exception as error:  # noqa: BLE001 - storages raise whatever their library raises
        logger.error("Job %s could not be delivered", job.pk, exc_info=error)
        note_failure(job, error)


def note_failure(job: RenderJob, error: Exception) -> None:
    """Write the failure down whole; the line is due again, a bounded number of times."""
    tries = job.events.filter(kind=Kind.NOT_DELIVERED).count() + 1
    due = after(SIGNAL_LEASE + delay(tries)) if tries < MAX_DELIVERIES else None
    story = "".join(traceback.format_exception(error))
    with transaction.atomic(using=router.db_for_write(RenderJob)):
        event = job.record(Kind.NOT_DELIVERED, note=story, detail={"tries": tries})
        RenderEvent.objects.filter(pk=event.pk).update(signal_due_at=due)


def load_source(job: RenderJob) -> Model | None:
    """What a job is made from, where it is written: a replica may lag behind the order."""
    if not job.content_type_id:
        return None
    model = ContentType.objects.get_for_id(job.content_type_id).model_class()
    if model is None:
        return None
    rows = model._base_manager.using(router.db_for_write(model))
    return rows.filter(pk=job.object_id).first()


def deliver(job: RenderJob, field_name: str) -> bool:
    """Store a copy through the field's own storage, and point the field to it.

    Safe to repeat, and to run twice at once. A newer job's file stays. The object is not saved and
    no signal is sent: one column changes. Returns whether the field got the file by this call.
    """
    source = load_source(job)
    if source is None or job.hosted or not _is_wanted(job):
        logger.info("Job %s: nothing to deliver", job.pk)
        return False
    field = cast(FileField, source._meta.get_field(field_name))
    saved = _copy(job, source, field)
    delivered = False
    try:
        delivered = _point(job, source, field, saved)
    finally:
        if not delivered:
            _discard(source, field, saved)
    return delivered


def _is_wanted(job: RenderJob) -> bool:
    """Whether neither this document nor a newer one of the same source is there already."""
    delivered = RenderJob.objects.filter(
        document=job.document,
        content_type_id=job.content_type_id,
        object_id=job.object_id,
        events__kind=Kind.DELIVERED,
    )
    if delivered.filter(pk=job.pk).exists():
        return False
    rivals = RenderJob.objects.filter(Q(pk=job.pk) | Q(pk__in=delivered.values("pk")))
    return rivals.newest_first().first() == job


def _copy(job: RenderJob, source: Model, field: FileField) -> str:
    """Store the file. Its name has the job's key, for storages that overwrite what is there."""
    shown = Path(file_name(job.name, job.document_type)).name
    root, ending = os.path.splitext(field.generate_filename(source, shown))
    name = f"{root}-{job.pk.hex[:KEY_DIGITS]}{ending}"
    with job.file.open("rb") as file:
        return str(field.storage.save(name, file, max_length=field.max_length))


def _point(job: RenderJob, source: Model, field: FileField, saved: str) -> bool:
    """Point the column to the file, under the row's lock. Returns whether it was still wanted."""
    rows = _rows(source)
    with (
        transaction.atomic(using=router.db_for_write(RenderJob)),
        transaction.atomic(using=rows.db),
    ):
        # A write first: it takes the row's lock on every database.
        if not rows.update(**{field.attname: F(field.attname)}) or not _is_wanted(job):
            return False
        before = rows.values_list(field.attname, flat=True).get()
        rows.update(**{field.attname: saved})
        job.record(Kind.DELIVERED, detail={"field": field.name, "file": saved})
        if before and before != saved:
            storage = field.storage
            transaction.on_commit(lambda: _delete(storage, before, job), using=rows.db, robust=True)
    return True


def _delete(storage: Storage, name: str, job: RenderJob) -> None:
    """Remove the file that a delivered one has replaced; failing leaves a file too many."""
    try:
        storage.delete(name)
    except Exception:  # noqa: BLE001 - as above
        logger.exception("Job %s: the file that its own replaces stays in the storage", job.pk)


def _discard(source: Model, field: FileField, saved: str) -> None:
    """Remove a copy that the field did not get, unless it has it from elsewhere."""
    if not _rows(source).filter(**{field.attname: saved}).exists():
        field.storage.delete(saved)


def _rows(source: Model) -> Any:
    return type(source)._base_manager.using(source._state.db).filter(pk=source.pk)
