"""Internal. Delete the files of deleted jobs, however the row is deleted, and of erased ones.

Their hosted documents are recorded in the same way; `lifecycle.hosting` expires them.

The transaction that deletes a row also inserts its file into ``DiscardedFile``, so a rollback keeps
both. The file is deleted after the commit, then its entry. A crash in between, or a storage that
refuses, leaves the entry: ticks and ``docraptor_prune`` continue the list. Deleting a file twice is
harmless, and so are concurrent runs.
"""

import logging
import time
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from django.apps import apps
from django.core.files.storage import Storage
from django.db import router
from django.db.models import Case, F, Q, QuerySet, Value, When

from django_docraptor import spool
from django_docraptor.instrumentation import log_fields
from django_docraptor.models import (
    DiscardedDocument,
    DiscardedFile,
    GroupState,
    RenderGroup,
    RenderJob,
    seconds_from_now,
)
from django_docraptor.models.clock import Now
from django_docraptor.models.commits import on_commit_once
from django_docraptor.models.files import COPY_PREFIX, REMOVABLE_NOW, time_of_next_try
from django_docraptor.models.groups import NO_GROUP_FILE
from django_docraptor.models.prepared import prepared
from django_docraptor.models.schemas import current_schema
from django_docraptor.states import FINAL_STATES, STORE_LEASE_SECONDS, State
from django_docraptor.storage import get_storage

logger = logging.getLogger(__name__)

# Concurrent calls to the storage: each takes tens of milliseconds on S3.
DELETE_THREADS: Final = 8
# Files that are deleted before the time is checked again, and seconds after which the remaining
# ones are left to a later run: a request may wait for them.
BATCH_SIZE, RUN_SECONDS = 32, 2.0
# Columns of a job that say which files it has or may have.
FILE_COLUMNS: Final = ("storage", "file", "reserved_name", "state")
# What becomes of a group of which a document was deleted or erased. The errors may name it.
INCOMPLETE: Final[dict[str, Any]] = {
    "state": Case(
        When(state=GroupState.COMPLETED, then=Value(GroupState.PARTIAL)), default=F("state")
    ),
    "errors": Case(
        When(errors="", then=Value("")),
        default=Value(
            "The file could not be made. A document was deleted or erased since: retry_group() "
            "looks at the others again."
        ),
    ),
}

# Whether the files of the rows that are being deleted are already recorded.
_are_recorded: ContextVar[bool] = ContextVar("are_recorded", default=False)


def record_files_of_row(job: RenderJob, *, using: str) -> None:
    """Record the files of a job that Django deletes: by itself, in a queryset or a cascade.

    They are those that the row has now: the object may have been read earlier.

    Args:
        job: the job.
        using: alias of the database that it is deleted from.
    """
    if _are_recorded.get() or using != router.db_for_write(RenderJob):
        return
    if job.hosted:
        _record_hosted_document(job)
    rows = RenderJob.objects.filter(pk=job.pk).select_for_update()
    recorded = record_files(rows.values_list(*FILE_COLUMNS))
    if job.group_id is not None:
        recorded += drop_group_files([job.group_id], **INCOMPLETE)
    if recorded:
        on_commit_once(_DeletionAfterCommit(), using=using)


def record_file_of_group(group: RenderGroup, *, using: str) -> None:
    """Record the file that a group has now.

    Args:
        group: the group.
        using: alias of the database that it is deleted from.
    """
    if using == router.db_for_write(RenderGroup):
        drop_group_files([group.pk])


def drop_group_files(
    keys: Collection[Any], *, subject: str = "", **changes: Any
) -> list[DiscardedFile]:
    """Record the files of groups, which are not to be read any more, in the current transaction.

    A worker that makes such a file at this moment loses its claim.

    Args:
        keys: of the groups.
        subject: of the erasure.
        changes: other columns to set by the same UPDATE.
    """
    rows = RenderGroup.objects.filter(pk__in=keys).order_by("pk")
    recorded = record_files(rows.select_for_update().values_list(*FILE_COLUMNS), subject=subject)
    rows.order_by().update(**NO_GROUP_FILE, **changes)
    if recorded:
        on_commit_once(_DeletionAfterCommit(), using=router.db_for_write(RenderGroup))
    for key in keys:
        RenderGroup.make_due_on_commit(key)
    return recorded


def _record_hosted_document(job: RenderJob) -> None:
    """Record the hosted document that the row has now."""
    row = RenderJob.objects.filter(pk=job.pk).select_for_update().first()
    if row is None or record_hosted(row):
        return
    if not row.is_final and row.attempt:
        logger.warning(
            "Job %s is deleted while DocRaptor makes its hosted document, which may become public "
            "at a URL that this site does not learn.",
            job.pk,
            extra=log_fields(job),
        )


def record_hosted(job: RenderJob, *, subject: str = "") -> bool:
    """Record the hosted document of a job that the current transaction deletes or erases.

    One that DocRaptor is making, or may have made, is found by its status later.

    Args:
        job: as its row is now.
        subject: of the erasure.

    Returns:
        Whether it has one that can be found.
    """
    is_published = bool(job.public_url)
    may_be_made = job.state != State.COMPLETED and bool(job.status_id)
    if not job.hosted or not (is_published or may_be_made):
        return False
    DiscardedDocument.objects.create(
        account=job.account,
        download_id=job.download_id if is_published else "",
        status_id="" if is_published else job.status_id,
        expires_at=job.hosted_expires_at,
        subject=subject,
    )
    return True


def discard(name: str, alias: str) -> None:
    """Delete a file that no row refers to, now or, if the storage refuses, later."""
    DiscardedFile.objects.bulk_create(
        [DiscardedFile(name=name, storage=alias)], ignore_conflicts=True
    )
    delete_files(list(DiscardedFile.objects.filter(name=name, storage=alias)))


def assign_files(keys: Iterable[uuid.UUID], subject: str) -> None:
    """Let an erasure count what jobs and groups have left before, such as at a retry.

    Args:
        keys: of jobs and groups; the names of their files and copies have them.
        subject: of the erasure.
    """
    is_of = Q(*(("name__contains", key.hex) for key in keys), _connector=Q.OR)
    if is_of:
        DiscardedFile.objects.filter(is_of, subject="").update(subject=subject)


def remove_erased_from_spool() -> None:
    """Remove from this machine's spool what another one's erasure could not reach.

    Of groups, a killed worker may have left copies of any of their documents.
    """
    if found := spool.job_ids():
        erased = RenderJob.objects.filter(pk__in=found, erased_at__isnull=False)
        idle = RenderGroup.objects.filter(pk__in=found, lease_token="")
        spool.remove_jobs(
            {key for rows in (erased, idle) for key in rows.values_list("pk", flat=True)}
        )


def record_files(rows: Iterable[tuple[Any, ...]], *, subject: str = "") -> list[DiscardedFile]:
    """Record the files of jobs that the current transaction deletes or erases.

    Args:
        rows: the FILE_COLUMNS of each job.
        subject: of the erasure.
    """
    files = {}
    for alias, file, reserved_name, state in rows:
        if file:
            files[file, alias] = DiscardedFile(name=file, storage=alias, subject=subject)
        if reserved_name and reserved_name != file:
            # A worker that is storing the file at this moment may yet save and then lose it.
            delay = 0 if state in FINAL_STATES else STORE_LEASE_SECONDS
            files[reserved_name, alias] = DiscardedFile(
                name=reserved_name,
                storage=alias,
                may_be_missing=True,
                due_at=seconds_from_now(delay),
                subject=subject,
            )
    recorded = [files[key] for key in sorted(files)]
    DiscardedFile.objects.bulk_create(recorded, ignore_conflicts=True)
    return recorded


@contextmanager
def files_recorded() -> Iterator[None]:
    """Delete rows whose files were recorded by the caller, all by one statement."""
    token = _are_recorded.set(True)
    try:
        yield
    finally:
        _are_recorded.reset(token)


@dataclass(frozen=True)
class _DeletionAfterCommit:
    """Deletes files after the commit; equal to any other, so that a transaction has only one."""

    def __call__(self) -> None:
        try:
            # The latest first: they are most likely this transaction's.
            delete_due_files(order="-id")
        except Exception:  # the transaction is committed, so its caller must not see an error
            logger.exception("Could not delete files of deleted jobs; the next tick tries again")


def delete_due_files(*, order: str = "due_at") -> int:
    """Delete the files that are due, as many as a short time allows.

    Returns:
        The number of files that no longer exist.
    """
    deleted, stop = 0, time.monotonic() + RUN_SECONDS
    due = _due_files(order, BATCH_SIZE)
    while (files := due.fetch()) and time.monotonic() < stop:
        deleted += delete_files(files)  # none of them is due any more
    return deleted


@prepared(DiscardedFile)
def _due_files(order: str, limit: int) -> QuerySet[DiscardedFile]:
    return DiscardedFile.objects.filter(due_at__lte=Now()).order_by(order)[:limit]


def deletable_files() -> QuerySet[DiscardedFile]:
    """Return the files that may be deleted now, also those that the storage refused just before."""
    return DiscardedFile.objects.filter(REMOVABLE_NOW)


def delete_files(files: Sequence[DiscardedFile]) -> int:
    """Delete files, then their entries; postpone those that the storage does not delete.

    Returns:
        The number of files that no longer exist.
    """
    spool.remove(file.name for file in files)
    if len(files) == 1 or current_schema():  # a storage may ask which tenant's the thread is
        results = [_delete_file(file) for file in files]
    else:
        with ThreadPoolExecutor(max_workers=DELETE_THREADS) as pool:
            results = list(pool.map(_delete_file, files))
    outcomes = list(zip(files, results, strict=True))
    deleted = [file for file, is_deleted in outcomes if is_deleted]
    _entries(deleted).delete()
    remaining = sorted((file for file, is_deleted in outcomes if not is_deleted), key=_failures)
    for failures, alike in groupby(remaining, _failures):
        due_at = time_of_next_try(failures)
        _entries(list(alike)).update(failures=F("failures") + 1, due_at=due_at)
    return len(deleted)


def _failures(file: DiscardedFile) -> int:
    return file.failures


def _entries(files: Sequence[DiscardedFile]) -> QuerySet[DiscardedFile]:
    """Return the rows of files, which may have been inserted without reading their keys."""
    names_by_alias: dict[str, list[str]] = {}
    for file in files:
        names_by_alias.setdefault(file.storage, []).append(file.name)
    conditions = [
        Q(storage=alias, name__in=names) for alias, names in sorted(names_by_alias.items())
    ]
    return DiscardedFile.objects.filter(Q(*conditions, _connector=Q.OR) if files else Q(pk=None))


def _delete_file(file: DiscardedFile) -> bool:
    """Delete a file. Some storages raise if it does not exist.

    Returns:
        Whether it no longer exists.
    """
    try:
        storage = _storage_of(file)
        if not file.may_be_missing or storage.exists(file.name):
            storage.delete(file.name)
    except Exception as error:  # noqa: BLE001 - storages raise whatever their library raises
        if _may_exist(file):
            _log_failure(file, error)
            return False
    return True


def _log_failure(file: DiscardedFile, error: Exception) -> None:
    """Log that a file was not deleted. A copy's name, also in the error, may name a person."""
    if file.storage.startswith(COPY_PREFIX):
        what = (
            f"of {file.storage.removeprefix(COPY_PREFIX)}, entry {file.pk}",
            type(error).__name__,
        )
    else:
        what = (file.name, str(error))
    logger.warning("Could not delete the file %s: %s", *what)


def _storage_of(file: DiscardedFile) -> Storage:
    """Return the storage of a job's file, or of a copy in a source's field.

    Raises:
        Exception: the alias, the model or the field no longer exists.
    """
    if not file.storage.startswith(COPY_PREFIX):
        return get_storage(file.storage)
    label, _, name = file.storage.removeprefix(COPY_PREFIX).rpartition(".")
    field: Any = apps.get_model(label)._meta.get_field(name)
    storage: Storage = field.storage
    return storage


def _may_exist(file: DiscardedFile) -> bool:
    try:
        return bool(_storage_of(file).exists(file.name))
    except Exception:  # noqa: BLE001 - as above, or the storage alias no longer exists
        return True
