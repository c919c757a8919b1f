"""Internal. Copy finished documents to a file field of their source.

It is a follow-up of ``document_completed``, which is repeated until it succeeds (`follow_ups`).
"""

import logging
from typing import Any, cast

from django.contrib.contenttypes.models import ContentType
from django.db import router, transaction
from django.db.models import F, FileField, Model, Q

from django_docraptor import lifecycle
from django_docraptor.exceptions import DocRaptorError
from django_docraptor.instrumentation import log_fields, raised_at
from django_docraptor.models import RenderJob
from django_docraptor.names import STORAGE_PREFIX, copy_name, file_name
from django_docraptor.states import EventKind

logger = logging.getLogger(__name__)


class StoredNameError(DocRaptorError):
    """The name that a storage returned for a copy is unusable."""

    code = "stored_name"


def source_model(job: RenderJob) -> type[Model] | None:
    """Return the model of a job's source, which is never a proxy; ``None`` if there is none."""
    if not job.content_type_id:
        return None
    return ContentType.objects.get_for_id(job.content_type_id).model_class()


def load_source(job: RenderJob, model: type[Model] | None = None) -> Model | None:
    """Return a job's source from the primary database: a replica may lag behind.

    Args:
        model: the class of the object, such as a proxy of the source's model.
    """
    model = model or source_model(job)
    if model is None:
        return None
    rows = model._base_manager.using(router.db_for_write(model))
    return rows.filter(pk=model._meta.pk.to_python(job.object_id)).first()


def deliver(job: RenderJob, field_name: str) -> bool:
    """Store a copy in the field's storage and update the field.

    Safe to repeat, and to run twice at once. A newer job's file is kept. The object is not name
    and no signal is sent: one column changes.

    Returns:
        Whether this call updated the field.
    """
    source = load_source(job)
    if source is None or job.hosted or not _should_deliver(job):
        logger.info("Job %s: nothing to deliver", job.pk, extra=log_fields(job))
        return False
    field = cast(FileField, source._meta.get_field(field_name))
    name = _store_copy(job, source, field)
    delivered = False
    try:
        delivered = _update_field(job, source, field, name)
    finally:
        if not delivered:
            _delete_unused(source, field, name)
    return delivered


def _should_deliver(job: RenderJob) -> bool:
    """Return whether neither this document nor a newer one was delivered."""
    delivered = RenderJob.objects.filter(
        document=job.document,
        content_type_id=job.content_type_id,
        object_id=job.object_id,
        events__kind=EventKind.DELIVERED,
    )
    if delivered.filter(pk=job.pk).exists():
        return False
    candidates = RenderJob.objects.filter(Q(pk=job.pk) | Q(pk__in=delivered.values("pk")))
    return candidates.latest_first().first() == job


def _store_copy(job: RenderJob, source: Model, field: FileField) -> str:
    """Store a copy, named after the job's ID: a storage may overwrite files of the same name.

    Raises:
        StoredNameError: the column cannot refer to the copy.
    """
    path = field.generate_filename(source, file_name(job.name, job.document_type))
    name = copy_name(job.pk, path, field.max_length)
    with job.file.open("rb") as file:
        stored: object = field.storage.save(name, file, max_length=field.max_length)
    if problem := lifecycle.stored_name_problem(stored, field.max_length):
        field.storage.delete(lifecycle.name_to_delete(stored, name))
        raise StoredNameError(problem)
    return str(stored)


def _update_field(job: RenderJob, source: Model, field: FileField, name: str) -> bool:
    """Update the column with the row locked.

    Returns:
        Whether it was updated.
    """
    rows = _rows(source)
    with (
        transaction.atomic(using=router.db_for_write(RenderJob)),
        transaction.atomic(using=rows.db),
    ):
        # Write first: this locks the row on every database.
        if not rows.update(**{field.attname: F(field.attname)}):
            return False
        # An erasure that waits for this lock finds the copy; after it, there is none.
        if not RenderJob.objects.lock_unerased(job.pk) or not _should_deliver(job):
            return False
        old_name = rows.values_list(field.attname, flat=True).get()
        rows.update(**{field.attname: name})
        job.record_event(EventKind.DELIVERED, detail={"field": field.name, "file": name})
        if old_name and old_name != name:
            transaction.on_commit(
                lambda: _delete_replaced(source, field, old_name, job), using=rows.db, robust=True
            )
    return True


def _delete_replaced(source: Model, field: FileField, name: str, job: RenderJob) -> None:
    """Delete the replaced file, unless a row uses it. On failure an unused file remains."""
    try:
        if not _is_used(source, name, job):
            field.storage.delete(name)
    except Exception as error:  # noqa: BLE001 - storages raise whatever their library raises
        logger.error(
            "Job %s: could not delete the replaced file: %s",
            job.pk,
            raised_at(error),
            extra=log_fields(job),
        )


def _is_used(source: Model, name: str, job: RenderJob) -> bool:
    """Return whether a row refers to a file: a copy of the source, another field of it, or a job.

    Columns of other models are not known. One storage may hold the files of all of them.
    """
    columns = [column for column in source._meta.get_fields() if isinstance(column, FileField)]
    uses = Q(*((column.attname, name) for column in columns), _connector=Q.OR)
    if _table(source).filter(uses).exists():
        return True
    jobs = RenderJob.objects.filter(file=name)
    if not name.startswith(f"{STORAGE_PREFIX}/"):  # no job of another object has it
        jobs = jobs.filter(content_type_id=job.content_type_id, object_id=job.object_id)
    return jobs.exists()


def _delete_unused(source: Model, field: FileField, name: str) -> None:
    """Delete a copy, unless the field refers to it."""
    if not _rows(source).filter(**{field.attname: name}).exists():
        field.storage.delete(name)


def _rows(source: Model) -> Any:
    return _table(source).filter(pk=source.pk)


def _table(source: Model) -> Any:
    return type(source)._base_manager.using(source._state.db)
