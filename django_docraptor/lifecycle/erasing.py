"""Internal. Erase what a job says about a person, and keep a line for the bill.

The row stays, without name, owner, source and key: when, for which account and document class,
test or live, how many attempts, pages and bytes, and how it ended. It never moves again, so that
whatever a worker brings later finds nothing to write to.

Each job is one short transaction, which also lists what is outside of the database. That is removed
after the commit (`discarded_files`, `hosting`), and tried again by ticks. One thing remains: what
was at work on the job at that moment may yet write an event, such as the traceback of a delivery.
So a tick looks once more when all claims have ended.
"""

import logging
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import router, transaction
from django.db.models import FileField, Model, ProtectedError, QuerySet, RestrictedError

from django_docraptor import discarded_files, spool
from django_docraptor.instrumentation import log_fields
from django_docraptor.lifecycle.transitions import mark_cancelled
from django_docraptor.models import (
    DiscardedFile,
    ErasedJob,
    RenderEvent,
    RenderGroup,
    RenderInput,
    RenderJob,
    ShareLink,
    seconds_from_now,
)
from django_docraptor.models.clock import Now
from django_docraptor.models.conflicts import RowsChangedError, repeat_conflicts
from django_docraptor.models.files import COPY_PREFIX
from django_docraptor.models.prepared import prepared
from django_docraptor.states import STORE_LEASE_SECONDS, EventKind, State

logger = logging.getLogger(__name__)

# Jobs that a tick looks through at once.
BATCH_SIZE: Final = 100
# Times that an erasure starts again because a copy of the file was delivered meanwhile.
MAX_ROUNDS: Final = 10
# Events that say who had the document, and nothing for the bill.
PERSONAL_KINDS: Final = (
    EventKind.SHARED,
    EventKind.SHARE_REVOKED,
    EventKind.DOWNLOADED,
    EventKind.DELIVERED,
)
# Details of other events that are numbers, codes or DocRaptor's IDs.
KEPT_DETAILS: Final = frozenset(
    {
        "accepted",
        "attempt",
        "current_attempt",
        "evidence",
        "failures",
        "hosted",
        "reason",
        "render_seconds",
    }
    | {"sent", "size", "status", "status_id", "store_seconds", "warnings"}
)
# What is left of a row's texts and references. The name is replaced, too.
ERASED_COLUMNS: Final[dict[str, Any]] = {
    "group": None,
    "group_position": None,
    "content_type": None,
    "object_id": "",
    "owner": None,
    "idempotency_key": None,
    "request_hash": "",
    "download_id": "",
    "errors": "",
    "message": "",
    "generation_log": "",
    "file": "",
    "reserved_name": "",
    "sha256": "",
    "downloads": 0,
    "public_url": "",
    "lease_token": "",
    "trace_parent": "",
}


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of a job's file in a field of its source.

    Args:
        field: the field's label, such as ``shop.Invoice.pdf``.
    """

    field: str
    name: str


def erase_jobs(keys: Collection[Any], *, subject: str) -> Counter[str]:
    """Erase jobs, each in a transaction of its own. Safe to repeat.

    Args:
        keys: of the jobs.
        subject: by which what is left over is found again.

    Returns:
        How much of what was erased, and how many files and documents were listed.
    """
    counts: Counter[str] = Counter()
    groups = RenderJob.objects.filter(pk__in=keys, group__isnull=False).values_list("group")
    merged = {group for (group,) in groups}
    discarded_files.assign_files({*keys, *merged}, subject)
    for key in keys:
        counts += _erase(key, subject)
    counts["log_entries"] += _delete_log_entries(keys)
    counts["spool"] += spool.remove_jobs({*keys, *merged})
    return counts


def erase_group(group: RenderGroup, *, subject: str) -> Counter[str]:
    """Delete a group with its file. Its jobs say what the bill needs, and stay as they are.

    If a row of the project protects the group, it stays without what it says about a person.
    """
    with transaction.atomic(using=router.db_for_write(RenderGroup)):
        discarded_files.assign_files([group.pk], subject)
        files = discarded_files.drop_group_files([group.pk], subject=subject)
        try:
            group.delete()
        except (ProtectedError, RestrictedError):
            RenderGroup.objects.filter(pk=group.pk).update(
                name=str(group.pk), owner=None, idempotency_key=None, errors=""
            )
    return Counter(groups=1, files=len(files), spool=spool.remove_jobs({group.pk}))


def finish_erasures() -> int:
    """Erase what was written about erased jobs while they were being erased.

    Returns:
        The number of jobs that were looked through.
    """
    rows = {row.pk: row.job_id for row in _due_erasures(BATCH_SIZE).fetch()}
    if not rows:
        return 0
    for key in rows.values():
        _erase_traces(key)
    _delete_log_entries(rows.values())
    spool.remove_jobs(set(rows.values()))
    ErasedJob.objects.filter(pk__in=rows).delete()
    return len(rows)


@prepared(ErasedJob)
def _due_erasures(limit: int) -> QuerySet[ErasedJob]:
    return ErasedJob.objects.filter(due_at__lte=Now()).order_by("due_at")[:limit]


def _erase(key: Any, subject: str) -> Counter[str]:
    using = router.db_for_write(RenderJob)

    def write() -> Counter[str] | None:
        cleared = clear_copies(key)
        with transaction.atomic(using=using):
            return _erase_row(key, subject, cleared)

    # A copy that was delivered in between: its field is emptied first, as a delivery locks them in
    # this order.
    for _ in range(MAX_ROUNDS):
        if (counts := repeat_conflicts(write, using=using)) is not None:
            return counts
    raise RowsChangedError(f"Copies of {key} were delivered all the time: erase it again.")


def _erase_row(key: Any, subject: str, cleared: set[Copy]) -> Counter[str] | None:
    """Erase one job, with its row locked; ``None`` if it has a copy whose field is not cleared."""
    job = RenderJob.objects.select_for_update().filter(pk=key, erased_at=None).first()
    if job is None:
        return Counter()
    if not cleared.issuperset(copies_of(job)):
        return None
    counts = Counter(jobs=1)
    columns = tuple(getattr(job, name) for name in discarded_files.FILE_COLUMNS)
    columns = tuple(str(value) for value in columns)
    counts["files"] = len(discarded_files.record_files([columns], subject=subject))
    if job.group_id is not None:
        dropped = discarded_files.drop_group_files(
            [job.group_id], subject=subject, **discarded_files.INCOMPLETE
        )
        counts["files"] += len(dropped)
    counts["copies"] = _record_copies(job, subject)
    counts["hosted"] = discarded_files.record_hosted(job, subject=subject)
    if not job.is_final:
        counts["cancelled"] = 1
        counts["sending"] = job.state in (State.SUBMITTING, State.UNCONFIRMED)
        counts["unreachable"] = job.hosted and not counts["hosted"] and bool(counts["sending"])
        if not mark_cancelled(job, ""):
            raise RowsChangedError
    counts += _erase_traces(key)
    RenderJob.objects.filter(pk=key).update(**ERASED_COLUMNS, name=job.reference, erased_at=Now())
    ErasedJob.objects.update_or_create(
        job_id=key,
        defaults={"subject": subject, "due_at": seconds_from_now(STORE_LEASE_SECONDS)},
    )
    transaction.on_commit(
        lambda: logger.info("Job %s: erased", key, extra=log_fields(job)),
        using=router.db_for_write(RenderJob),
        robust=True,
    )
    return counts


def _erase_traces(key: Any) -> Counter[str]:
    """Erase what other tables say about a job, all but the bare events."""
    events = RenderEvent.objects.filter(job_id=key)
    counts: Counter[str] = Counter()
    counts["inputs"] = RenderInput.objects.filter(pk=key).delete()[0]
    counts["share_links"] = ShareLink.objects.filter(job_id=key).delete()[0]
    personal = events.filter(kind__in=PERSONAL_KINDS)
    counts["downloads"] = personal.filter(kind=EventKind.DOWNLOADED).count()
    personal.delete()
    counts["texts"] = events.exclude(message="").update(message="")
    events.filter(signal_due_at__isnull=False).update(signal_due_at=None)
    for event_key, detail in list(events.values_list("pk", "detail")):
        kept = {name: value for name, value in detail.items() if name in KEPT_DETAILS}
        if kept != detail:
            events.filter(pk=event_key).update(detail=kept)
    return counts


def clear_copies(key: Any) -> set[Copy]:
    """Empty the fields that refer to copies of a job's file, before these are deleted.

    No signal is sent. A field that has another file by now is left alone.

    Returns:
        The copies.
    """
    job = RenderJob.objects.filter(pk=key).first()
    copies = set(copies_of(job)) if job else set()
    for copy in copies:
        label, _, name = copy.field.rpartition(".")
        try:
            model = apps.get_model(label)
            field = cast(FileField, model._meta.get_field(name))
            rows = _rows_of_source(model, cast(RenderJob, job).object_id)
        except (LookupError, FieldDoesNotExist, ValidationError, ValueError):
            continue  # the model has changed since
        empty = None if field.null else ""
        rows.filter(**{field.attname: copy.name}).update(**{field.attname: empty})
    return copies


def copies_of(job: RenderJob) -> Iterator[Copy]:
    """Yield the copies that the history of a job says were delivered."""
    if job.content_type is None:
        return
    label = f"{job.content_type.app_label}.{job.content_type.model}"
    for detail in job.events.filter(kind=EventKind.DELIVERED).values_list("detail", flat=True):
        if detail.get("file") and detail.get("field"):
            yield Copy(f"{label}.{detail['field']}", detail["file"])


def _rows_of_source(model: type[Model], object_id: str) -> Any:
    rows = model._base_manager.using(router.db_for_write(model))
    return rows.filter(pk=model._meta.pk.to_python(object_id))


def _record_copies(job: RenderJob, subject: str) -> int:
    """List the copies for deletion."""
    files = [
        DiscardedFile(
            name=copy.name,
            storage=f"{COPY_PREFIX}{copy.field}",
            may_be_missing=True,
            subject=subject,
        )
        for copy in copies_of(job)
    ]
    DiscardedFile.objects.bulk_create(files, ignore_conflicts=True)
    return len(files)


def _delete_log_entries(keys: Collection[Any]) -> int:
    """Delete the entries of Django's admin log about jobs."""
    if not apps.is_installed("django.contrib.admin"):
        return 0
    return int(log_entries(keys).delete()[0])


def log_entries(keys: Collection[Any]) -> Any:
    """Return the entries of Django's admin log about jobs; the admin must be installed."""
    from django.contrib.admin.models import LogEntry
    from django.contrib.contenttypes.models import ContentType

    rows = LogEntry.objects.using(router.db_for_write(LogEntry))
    content_type = ContentType.objects.get_for_model(RenderJob)
    return rows.filter(content_type=content_type, object_id__in=[str(key) for key in keys])
