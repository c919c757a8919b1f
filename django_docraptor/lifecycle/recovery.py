"""Internal. Recover what dead workers have left: creates of unknown outcome and unsent signals."""

import logging

from django.db import router, transaction
from django.db.models import QuerySet

from django_docraptor.instrumentation import log_fields
from django_docraptor.lifecycle.transitions import mark_interrupted
from django_docraptor.models import (
    SIGNAL_LEASE_SECONDS,
    Heartbeat,
    RenderEvent,
    RenderJob,
    RenderJobQuerySet,
    seconds_from_now,
)
from django_docraptor.models.clock import Now
from django_docraptor.models.prepared import prepared
from django_docraptor.states import MAX_LAPSED_CLAIMS, EventKind, State

logger = logging.getLogger(__name__)

BATCH_SIZE = 100


def recover() -> int:
    """Recover interrupted creates and send overdue signals.

    Returns:
        The number of both.
    """
    return _recover_interrupted_creates() + _send_overdue_signals()


def _recover_interrupted_creates() -> int:
    return sum(mark_interrupted(job) for job in _interrupted_creates(BATCH_SIZE).fetch())


@prepared(RenderJob)
def _interrupted_creates(limit: int) -> RenderJobQuerySet:
    return RenderJob.objects.filter(state=State.SUBMITTING).due()[:limit]


def _send_overdue_signals() -> int:
    count = 0
    for event in _overdue_signals(BATCH_SIZE).fetch():
        unclaimed = RenderEvent.objects.filter(pk=event.pk, signal_due_at__lte=Now())
        lapses, due_at = event.signal_lapses + 1, seconds_from_now(SIGNAL_LEASE_SECONDS)
        if lapses >= MAX_LAPSED_CLAIMS:
            count += _give_up_signal(event, lapses)
        elif unclaimed.update(signal_lapses=lapses, signal_due_at=due_at):
            event.send_signal(event.job)
            count += 1
    return count


@prepared(RenderEvent)
def _overdue_signals(limit: int) -> QuerySet[RenderEvent]:
    overdue = RenderEvent.objects.filter(signal_due_at__lte=Now()).select_related("job")
    return overdue.order_by("signal_due_at", "id")[:limit]


def _give_up_signal(event: RenderEvent, lapses: int) -> bool:
    """Record that an event's receivers are not called again: they killed too many workers."""
    message = (
        f"{lapses} workers in a row died or hung while the receivers of the event "
        f'"{event.kind}" ran. They are not called again.'
    )
    unsent = RenderEvent.objects.filter(pk=event.pk, signal_due_at__isnull=False)
    with transaction.atomic(using=router.db_for_write(RenderEvent)):
        if not unsent.update(signal_due_at=None):
            return False
        event.job.record_event(EventKind.STEP_FAILED, note=message)
    what = f"receivers of {event.kind} of job {event.job_id}, after {lapses} workers died or hung"
    Heartbeat.record_giving_up(what)
    logger.error("Job %s: %s", event.job_id, message, extra=log_fields(event.job))
    return True
