"""Internal. Hold the documents of an object of which too many were asked for.

A receiver that saves the object of a finished document asks for the next one, and so on. If each of
them differs, because the template prints the time, only their number shows that this is an error.
A person decides: a held job is never sent by itself, however long it waits.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import router, transaction
from django.db.models import Count, Max, Q, QuerySet

from django_docraptor.conf import Conf, conf
from django_docraptor.instrumentation import log_fields
from django_docraptor.models import RenderEvent, RenderJob, seconds_from_now
from django_docraptor.models.clock import Now
from django_docraptor.models.sources import SourceKey, same_sources, source_of
from django_docraptor.states import HELD_UNTIL, EventKind, State

logger = logging.getLogger(__name__)

# A document that DocRaptor may have made, or that was copied and announced as a new one.
COUNTED_KINDS = (EventKind.SUBMITTING, EventKind.REUSED)
# An attempt that DocRaptor did not accept after all.
UNCOUNTED_KINDS = (EventKind.NOT_ACCEPTED, EventKind.NEVER_ACCEPTED)


@dataclass(frozen=True, slots=True)
class Limit:
    """So many documents of one object within so many seconds."""

    documents: float
    seconds: float


def source_limit() -> Limit | None:
    """Return the limit of MAX_PER_SOURCE, or ``None`` if it is switched off."""
    given = conf.max_per_source
    if given is None:
        return None
    values = {**(Conf.max_per_source.default or {}), **given}
    return Limit(values["documents"], values["seconds"])


def let_through(jobs: list[RenderJob]) -> list[RenderJob]:
    """Hold the claimed jobs whose object has had too many documents, and return the others.

    One query for any number of jobs, and none if no job has a source.
    """
    limit = source_limit()
    with_source = [job for job in jobs if job.object_id]
    if limit is None or not with_source:
        return jobs
    counts = _count_documents(with_source, limit)
    passed = []
    for job in jobs:
        count = counts.get(source_of(job), 0)
        if job.held_at is not None:  # its time was changed by hand
            job.update_leased(lease_token="", due_at=HELD_UNTIL)
        elif job.object_id and count >= limit.documents and not _is_released(job):
            hold(job, limit)
        else:
            passed.append(job)
            counts[source_of(job)] = count + 1
    return passed


def _count_documents(jobs: Iterable[RenderJob], limit: Limit) -> dict[SourceKey, int]:
    """Return the number of documents of each job's object within the window."""
    start = seconds_from_now(-limit.seconds)
    rows = RenderEvent.objects.filter(same_sources(jobs, prefix="job__"), at__gt=start)
    # Jobs that ended earlier have no such events: they need not be looked for.
    rows = rows.filter(Q(job__finished_at__isnull=True) | Q(job__finished_at__gt=start))
    groups = rows.values_list("job__document", "job__content_type_id", "job__object_id").annotate(
        counted=Count("pk", filter=Q(kind__in=COUNTED_KINDS)),
        uncounted=Count("pk", filter=Q(kind__in=UNCOUNTED_KINDS)),
        released_at=Max("at", filter=Q(kind=EventKind.RELEASED)),
    )
    counts = {}
    for document, content_type, key, counted, uncounted, released_at in groups.order_by():
        source, count = (document, content_type, key), counted - uncounted
        if count >= limit.documents and released_at is not None:  # they count from then on
            count = _count_since(rows, source, released_at)
        counts[source] = count
    return counts


def _count_since(rows: QuerySet[RenderEvent], source: SourceKey, moment: datetime) -> int:
    later = rows.filter(
        at__gt=moment,
        job__document=source[0],
        job__content_type_id=source[1],
        job__object_id=source[2],
    )
    counted = later.filter(kind__in=COUNTED_KINDS).count()
    return counted - later.filter(kind__in=UNCOUNTED_KINDS).count()


def _is_released(job: RenderJob) -> bool:
    """Return whether a person has released the job, and it was not sent since."""
    return job.events.filter(kind=EventKind.RELEASED, attempt=job.attempt).exists()


def hold(job: RenderJob, limit: Limit) -> None:
    """Hold a claimed job until a person releases it."""
    text = (
        f"Held: {limit.documents:g} documents of this object were sent within "
        f"{limit.seconds:g} s, so something may ask for it again and again, such as a receiver of "
        "document_completed that saves the object. Release this job if it is wanted, or cancel it. "
        "DOCRAPTOR['MAX_PER_SOURCE'] is the limit."
    )
    with transaction.atomic(using=router.db_for_write(RenderJob)):
        columns = {"lease_token": "", "held_at": Now(), "due_at": HELD_UNTIL, "errors": text}
        if job.update_leased(**columns):
            job.record_event(EventKind.HELD, note=text)
            logger.error(
                "Job %s is held: too many documents of one object", job.pk, extra=log_fields(job)
            )


def release(job: RenderJob, note: str) -> bool:
    """Let a held job go. The documents of its object are counted from now on.

    Returns:
        Whether it was held.
    """
    held = RenderJob.objects.filter(pk=job.pk, state=State.PENDING, held_at__isnull=False)
    with transaction.atomic(using=router.db_for_write(RenderJob)):
        is_released = bool(held.update(held_at=None, due_at=Now(), errors=""))
        if is_released:
            job.record_event(EventKind.RELEASED, note=note)
    job.refresh_from_db(fields=["state", "held_at", "due_at", "errors"])
    return is_released
