"""Internal. Record DocRaptor's callbacks.

A callback is only a hint: it shortens the wait, but the status call decides.
"""

import uuid

from django.db import router, transaction
from django.db.models import Case, DateTimeField, F, Subquery, Value, When

from django_docraptor.health import record_heartbeat
from django_docraptor.models import RenderEvent, RenderJob
from django_docraptor.models.clock import Now
from django_docraptor.states import EventKind, State

POLL_NOW_STATES = (State.QUEUED, State.WORKING, State.UNCONFIRMED)


def record_callback(job_id: uuid.UUID, attempt: int) -> bool:
    """Record the first callback for an attempt and make its job due.

    If the create call has not returned yet (SUBMITTING), only ``callback_at`` is set, and the write
    after the create call sees it. So no wake-up is lost in either order, and a repeated callback
    changes nothing.

    Returns:
        Whether it was the first.
    """
    with transaction.atomic(using=router.db_for_write(RenderJob)):
        state = _record_and_reschedule(job_id, attempt)
        if state is not None:
            record_heartbeat("called_back_at")
            RenderEvent.objects.create(
                job_id=job_id,
                attempt=attempt,
                kind=EventKind.CALLBACK,
                from_state=state,
                to_state=state,
            )
            return True
    _record_late_callback(job_id, attempt)
    return False


def _record_and_reschedule(job_id: uuid.UUID, attempt: int) -> State | Subquery | None:
    """Set ``callback_at`` and, in POLL_NOW_STATES, make the job due now, in one UPDATE.

    Returns:
        The job's state, or ``None`` if a callback was already recorded.
    """
    uncalled = RenderJob.objects.filter(pk=job_id, attempt=attempt, callback_at__isnull=True)
    # The common case: Django builds this UPDATE in half the time of the one below.
    if uncalled.filter(state=State.QUEUED).update(callback_at=Now(), due_at=Now(), lease_token=""):
        return State.QUEUED
    due_now = When(state__in=POLL_NOW_STATES, then=Now())
    # A poll in progress loses its lease, so that its older response cannot postpone the job.
    released = When(state__in=POLL_NOW_STATES, then=Value(""))
    updated = uncalled.update(
        callback_at=Now(),
        due_at=Case(due_now, default=F("due_at"), output_field=DateTimeField()),
        lease_token=Case(released, default=F("lease_token")),
    )
    return Subquery(RenderJob.objects.filter(pk=job_id).values("state")) if updated else None


def _record_late_callback(job_id: uuid.UUID, attempt: int) -> None:
    """Record, once, a callback for an earlier attempt: DocRaptor created that document."""
    job = RenderJob.objects.filter(pk=job_id, attempt__gt=attempt).first()
    if job is None or job.events.filter(kind=EventKind.CALLBACK, attempt=attempt).exists():
        return
    message = f"DocRaptor finished attempt {attempt} after the job had moved on to a later attempt."
    job.attempt, current_attempt = attempt, job.attempt
    job.record_event(EventKind.CALLBACK, note=message, detail={"current_attempt": current_attempt})
