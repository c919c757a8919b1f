"""Internal. Hold jobs that are not to be sent: one mechanism, with a reason.

``SOURCE``: a receiver that saves the object of a finished document asks for the next one, and so
on. If each of them differs, because the template prints the time, only their number shows that this
is an error. A person decides. ``BUDGET``: no place is left until the next period. ``LIVE``: this
host may not make production documents. A person releases a job from what it is held for: then it is
sent, however full its budgets are, or however many documents its object has had; but no release
makes a host spend that may not.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import router, transaction
from django.db.models import Count, Max, Q, QuerySet

from django_docraptor.budget_limits import Limit, limits_of
from django_docraptor.conf import Conf, conf
from django_docraptor.exceptions import ConfigurationError
from django_docraptor.instrumentation import log_fields
from django_docraptor.lifecycle.budgets import HELD_FOR, Reached, is_release, released_keys
from django_docraptor.models import RenderEvent, RenderJob, seconds_from_now
from django_docraptor.models.clock import Now
from django_docraptor.models.conflicts import RowsChangedError
from django_docraptor.models.jobs import NOT_HELD
from django_docraptor.models.sources import SourceKey, same_sources, source_of
from django_docraptor.models.text import write_texts
from django_docraptor.states import HELD_UNTIL, EventKind, HoldReason, State

logger = logging.getLogger(__name__)

LIVE_TEXT = (
    "Held: this is a production document, and DOCRAPTOR['ALLOW_LIVE'] does not allow them on the "
    "host that was to send it. Release it where they are allowed, or cancel it."
)
# Seconds after which a budget that could not be told is asked for again.
UNKNOWN_BUDGET_SECONDS = 120.0
# A document that DocRaptor may have made, or that was copied and announced as a new one.
COUNTED_KINDS = (EventKind.SUBMITTING, EventKind.REUSED)
# An attempt that DocRaptor did not accept after all.
UNCOUNTED_KINDS = (EventKind.NOT_ACCEPTED, EventKind.NEVER_ACCEPTED)


@dataclass(frozen=True, slots=True)
class SourceLimit:
    """So many documents of one object within so many seconds."""

    documents: float
    seconds: float


def source_limit() -> SourceLimit | None:
    """Return the limit of MAX_PER_SOURCE, or ``None`` if it is switched off."""
    given = conf.max_per_source
    if given is None:
        return None
    values = {**(Conf.max_per_source.default or {}), **given}
    return SourceLimit(values["documents"], values["seconds"])


def let_through(jobs: list[RenderJob]) -> list[RenderJob]:
    """Hold the claimed jobs that are not to be sent, and return the others.

    One query for any number of jobs with a source.
    """
    is_live_allowed = conf.is_live_allowed
    passed = []
    for job in jobs:
        if not (job.test or is_live_allowed):
            hold(job, HoldReason.LIVE, LIVE_TEXT)
        elif job.held_for == HoldReason.SOURCE:  # its time was changed by hand
            job.update_leased(lease_token="", due_at=HELD_UNTIL)
        else:
            passed.append(job)
    return _within_source_limit(passed)


def _within_source_limit(jobs: list[RenderJob]) -> list[RenderJob]:
    """Hold the jobs whose object has had too many documents, and return the others."""
    limit = source_limit()
    with_source = [job for job in jobs if job.object_id]
    if limit is None or not with_source:
        return jobs
    counts = _count_documents(with_source, limit)
    passed = []
    for job in jobs:
        count = counts.get(source_of(job), 0)
        if job.object_id and count >= limit.documents and not _is_released(job):
            hold(job, HoldReason.SOURCE, _source_text(limit))
        else:
            passed.append(job)
            counts[source_of(job)] = count + 1
    return passed


def _is_released(job: RenderJob) -> bool:
    return job.pk in released_keys([job], HoldReason.SOURCE)


def _count_documents(jobs: Iterable[RenderJob], limit: SourceLimit) -> dict[SourceKey, int]:
    """Return the number of documents of each job's object within the window."""
    start = seconds_from_now(-limit.seconds)
    rows = RenderEvent.objects.filter(same_sources(jobs, prefix="job__"), at__gt=start)
    # Jobs that ended earlier have no such events: they need not be looked for.
    rows = rows.filter(Q(job__finished_at__isnull=True) | Q(job__finished_at__gt=start))
    groups = rows.values_list("job__document", "job__content_type_id", "job__object_id").annotate(
        counted=Count("pk", filter=Q(kind__in=COUNTED_KINDS)),
        uncounted=Count("pk", filter=Q(kind__in=UNCOUNTED_KINDS)),
        released_at=Max("at", filter=is_release(HoldReason.SOURCE)),
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


def limits_by_job(jobs: Iterable[RenderJob]) -> dict[RenderJob, tuple[Limit, ...]]:
    """Return the limits of each job, none for test documents.

    A job whose budget cannot be told is held for a moment, and not returned.
    """
    limits: dict[RenderJob, tuple[Limit, ...]] = {}
    for job in jobs:
        try:
            limits[job] = () if job.test else limits_of(job.account, job.document, job.owner_id)
        except ConfigurationError as error:
            until = seconds_from_now(UNKNOWN_BUDGET_SECONDS)
            hold(job, HoldReason.BUDGET, f"Held: {error}", until=until)
    return limits


def hold_for_budget(job: RenderJob, reached: Reached) -> None:
    """Hold a claimed job until the next period of a budget begins, or a person releases it."""
    text = f"Held: {reached}. This job goes on then, or when it is released."
    hold(job, HoldReason.BUDGET, text, until=reached.ends_at)


def _source_text(limit: SourceLimit) -> str:
    return (
        f"Held: {limit.documents:g} documents of this object were sent within "
        f"{limit.seconds:g} s, so something may ask for it again and again, such as a receiver of "
        "document_completed that saves the object. Release this job if it is wanted, or cancel it. "
        "DOCRAPTOR['MAX_PER_SOURCE'] is the limit."
    )


def hold(job: RenderJob, reason: HoldReason, text: str, *, until: Any = HELD_UNTIL) -> None:
    """Hold a claimed job until a person releases it, or until a time.

    Args:
        job: it.
        reason: why.
        text: the same for people.
        until: when it goes on by itself; default: never.
    """
    is_new = job.held_for != reason or job.errors != text
    columns: dict[str, Any] = {"lease_token": "", "held_for": reason, "due_at": until}
    columns |= {"errors": text} | ({"held_at": Now()} if job.held_at is None else {})
    with transaction.atomic(using=router.db_for_write(RenderJob)):
        if job.update_leased(**columns) and is_new:
            job.record_event(EventKind.HELD, note=text)
            # That a budget is used up is told once, and not for each job.
            level = logging.INFO if reason == HoldReason.BUDGET else logging.ERROR
            logger.log(level, "Job %s is held: %s", job.pk, reason.value, extra=log_fields(job))


def release(keys: Sequence[Any], note: str) -> int:
    """Let held jobs go, past what each is held for, by a few statements.

    If that is the number of its object's documents, they are counted from now on. If some of
    several are no longer held, or another process has them, each is released alone.

    Args:
        keys: of the jobs.
        note: who did it.

    Returns:
        How many were held.
    """
    using = router.db_for_write(RenderJob)
    if write_texts(note, lambda text: _release_together(keys, text, using=using), using=using):
        return len(keys)
    return sum(release([key], note) for key in keys) if len(keys) > 1 else 0


def _release_together(keys: Sequence[Any], note: str, *, using: str) -> bool:
    """Release all of these jobs, or none if one of them is not held."""
    held = RenderJob.objects.filter(pk__in=keys, state=State.PENDING, held_at__isnull=False)
    columns: dict[str, Any] = {"kind": EventKind.RELEASED, "message": note}
    columns |= {"from_state": State.PENDING, "to_state": State.PENDING}
    try:
        with transaction.atomic(using=using):
            rows = list(held.select_for_update().values_list("pk", "attempt", "held_for"))
            if held.update(due_at=Now(), errors="", **NOT_HELD) < len(keys):
                raise RowsChangedError
            RenderEvent.objects.bulk_create(
                RenderEvent(job_id=key, attempt=attempt, detail={HELD_FOR: reason}, **columns)
                for key, attempt, reason in rows
            )
    except RowsChangedError:
        return False
    return True
