"""How long finished jobs are kept, and their removal in short steps while the system runs.

A file is put on a list in the same transaction that deletes its row, is deleted through the storage
after the commit, and then comes off the list. So whoever is killed, wherever: no row says COMPLETED
without its file, and no file is forgotten, since the next run works the list off. Deleting a file
twice is harmless, and so are two runs at once.

Unfinished jobs are never touched, nor is a job whose signal has still to be sent, nor one whose
hosted document is public: without its row nobody could end it.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.db import OperationalError, connections, router, transaction
from django.db.models import Exists, Model, OuterRef, ProtectedError, Q, QuerySet, RestrictedError
from django.db.models.functions import Now

from django_docraptor import registry, spool
from django_docraptor.conf import conf
from django_docraptor.models import (
    DiscardedFile,
    RenderEvent,
    RenderInput,
    RenderJob,
    after,
    logger,
)
from django_docraptor.states import FINAL, State
from django_docraptor.storage import storage_for

M = TypeVar("M", bound=Model)
T = TypeVar("T")
BATCH = 200
# How often a transaction is begun that the database undoes.
TRIES = 3
# Calls to the storage at a time: one in a bucket takes tens of milliseconds.
FILES_AT_ONCE = 8
# Files that the storage refuses, after which a run deletes no more rows.
MOST_REFUSED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """For how long the finished jobs of a document are kept, and their inputs; ``None``: for ever.

    Args:
        label: of the document; blank for jobs without one.
    """

    label: str
    jobs: timedelta | None
    inputs: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What one batch, or a whole run, has removed.

    Args:
        refused: files that the storage did not delete; they stay on the list.
        protected: jobs that a model of the project protects from deletion.
        seconds: of the longest transaction.
    """

    jobs: int = 0
    inputs: int = 0
    files: int = 0
    refused: int = 0
    protected: int = 0
    seconds: float = 0.0

    def __add__(self, other: "Removed") -> "Removed":
        return Removed(
            jobs=self.jobs + other.jobs,
            inputs=self.inputs + other.inputs,
            files=self.files + other.files,
            refused=self.refused + other.refused,
            protected=self.protected + other.protected,
            seconds=max(self.seconds, other.seconds),
        )


def limits(
    labels: Sequence[str] = (),
    *,
    jobs: timedelta | None = None,
    inputs: timedelta | None = None,
) -> Iterator[Limit]:
    """What ``RETENTION`` and the documents say, each document's own word over the setting's.

    Args:
        labels: only these documents; by default all that have jobs.
        jobs: in place of ``RETENTION["jobs"]``; for ``labels``, in place of their own word, too.
        inputs: in place of ``RETENTION["inputs"]``.
    """
    inputs = conf.retention.get("inputs") if inputs is None else inputs
    default = conf.retention.get("jobs") if jobs is None else jobs
    for label in labels or stored_labels():
        own = None if labels and jobs is not None else own_retention(label)
        yield Limit(
            label=label, jobs=_bounded(default if own is None else own), inputs=_bounded(inputs)
        )


def own_retention(label: str) -> timedelta | None:
    """What a document says for itself."""
    recipe = registry.find(label)
    return recipe.retention if recipe else None


def stored_labels() -> Iterator[str]:
    """The documents that have jobs: one look at the index for each, however many jobs there are."""
    rows = RenderJob.objects.order_by("document").values_list("document", flat=True)
    label = rows.first()
    while label is not None:
        yield label
        label = rows.filter(document__gt=label).first()


def count(limit: Limit) -> Removed:
    """What a run would remove now."""
    return Removed(
        jobs=_old_jobs(limit.label, limit.jobs).count() if limit.jobs is not None else 0,
        inputs=_old_inputs(limit.label, limit.inputs).count() if limit.inputs is not None else 0,
    )


def prune(limits: Iterable[Limit], *, batch: int = BATCH) -> Iterator[Removed]:
    """Remove what is older than the limits, a batch at each step; stop wherever you like.

    Args:
        batch: rows of one transaction.
    """
    left_behind = [file.name for file in DiscardedFile.objects.all()]
    refused = 0
    for limit in limits:
        for removed in _prune_one(limit, batch):
            refused += removed.refused
            yield removed
            if refused >= MOST_REFUSED:
                return
    for first in range(0, len(left_behind), batch):
        still = DiscardedFile.objects.filter(pk__in=left_behind[first : first + batch])
        yield _delete_files(list(still))


def _prune_one(limit: Limit, batch: int) -> Iterator[Removed]:
    if limit.jobs is not None:
        old_jobs = _old_jobs(limit.label, limit.jobs)
        for keys in _batches(old_jobs, "finished_at", batch):
            yield _remove(old_jobs.filter(pk__in=keys))
    if limit.inputs is not None:
        for keys in _batches(_old_inputs(limit.label, limit.inputs), "job__finished_at", batch):
            began = time.monotonic()
            gone, _by_model = _tried(RenderInput.objects.filter(pk__in=keys).delete)
            yield Removed(inputs=gone, seconds=time.monotonic() - began)


def _old_jobs(label: str, age: timedelta) -> QuerySet[RenderJob]:
    unsent = RenderEvent.objects.filter(job=OuterRef("pk"), signal_due_at__isnull=False)
    ended = Q(public_url="") | Q(hosted_expires_at__lte=Now())
    return RenderJob.objects.filter(
        ended,
        ~Exists(unsent),
        document=label,
        state__in=FINAL,
        finished_at__lt=after(-age.total_seconds()),
    )


def _old_inputs(label: str, age: timedelta) -> QuerySet[RenderInput]:
    """Of completed jobs: the others may be tried again."""
    return RenderInput.objects.filter(
        job__document=label,
        job__state=State.COMPLETED,
        job__finished_at__lt=after(-age.total_seconds()),
    )


def _batches(rows: QuerySet[M], column: str, size: int) -> Iterator[list[Any]]:
    """The keys of rows, oldest first. Each batch begins behind the last one, whatever became of it.

    Read outside any transaction: SQLite has one writer at a time.
    """
    rows = rows.order_by(column, "pk")
    found: list[tuple[datetime, Any]] = list(rows.values_list(column, "pk")[:size])
    while found:
        yield [key for _moment, key in found]
        moment, key = found[-1]
        same = Q(**{column: moment, "pk__gt": key})
        behind = rows.filter(same | Q(**{f"{column}__gt": moment}), **{f"{column}__gte": moment})
        found = list(behind.values_list(column, "pk")[:size])


def _remove(rows: QuerySet[RenderJob]) -> Removed:
    """Delete these jobs, then their files."""
    began = time.monotonic()
    try:
        jobs, files = _tried(lambda: _delete_rows(rows))
    except (ProtectedError, RestrictedError) as error:
        keys = list(rows.values_list("pk", flat=True))
        if len(keys) > 1:
            return sum((_remove(rows.filter(pk=key)) for key in keys), Removed())
        logger.warning("Job %s is kept: %s", *keys, error.args[0])
        return Removed(protected=len(keys))
    return Removed(jobs=jobs, seconds=time.monotonic() - began) + _delete_files(files)


def _tried(delete: Callable[[], T]) -> T:
    """Run a transaction, and again if the database undid it.

    MariaDB reads a small table whole for a DELETE, locks the rows of another run on its way, and
    then ends one of the two as a deadlock.
    """
    for _try in range(TRIES - 1):
        try:
            return delete()
        except OperationalError as error:
            logger.info("A batch is deleted once more: %s", error)
    return delete()


def _delete_rows(rows: QuerySet[RenderJob]) -> tuple[int, list[DiscardedFile]]:
    """Delete what is still old and final, and list its files. Skips what somebody else holds."""
    using = router.db_for_write(RenderJob)
    skips = connections[using].features.has_select_for_update_skip_locked
    with transaction.atomic(using=using):
        jobs = list(
            rows.select_for_update(skip_locked=skips).values_list(
                "pk", "storage", "file", "pending_name"
            )
        )
        files = {(name, alias) for _key, alias, *names in jobs for name in names if name}
        listed = [DiscardedFile(name=name, storage=alias) for name, alias in sorted(files)]
        DiscardedFile.objects.bulk_create(listed, ignore_conflicts=True)
        RenderJob.objects.filter(pk__in=[key for key, *_rest in jobs]).only("pk").delete()
    return len(jobs), listed


def _delete_files(files: Sequence[DiscardedFile]) -> Removed:
    """Delete files, then take them off the list."""
    spool.clear(file.name for file in files)
    with ThreadPoolExecutor(max_workers=FILES_AT_ONCE) as pool:
        answers = list(pool.map(_is_gone, files))
    gone = [file.name for file, answer in zip(files, answers, strict=True) if answer]
    DiscardedFile.objects.filter(pk__in=gone).delete()
    return Removed(files=len(gone), refused=len(files) - len(gone))


def _is_gone(file: DiscardedFile) -> bool:
    """Delete a file; one that is not there is gone, though some storages complain about it."""
    try:
        storage_for(file.storage).delete(file.name)
    except Exception as error:  # noqa: BLE001 - storages raise whatever their library raises
        if _is_there(file):
            logger.warning("The file %s could not be deleted: %s", file.name, error)
            return False
    return True


def _is_there(file: DiscardedFile) -> bool:
    try:
        return bool(storage_for(file.storage).exists(file.name))
    except Exception:  # noqa: BLE001 - as above, or no such storage any more
        return True


def _bounded(age: timedelta | None) -> timedelta | None:
    return None if age == timedelta.max else age
