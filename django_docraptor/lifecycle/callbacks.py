"""Internal. Record DocRaptor's callbacks.

A callback is only a hint: it shortens the wait, but the status call decides.
"""

import uuid
from collections.abc import Mapping
from functools import partial
from typing import Any

from django.db import router
from django.db.models import Case, DateTimeField, F, Value, When

from django_docraptor import instrumentation
from django_docraptor.models import RenderEvent, RenderJob, record_heartbeat
from django_docraptor.models.clock import Now
from django_docraptor.models.conflicts import repeat_conflicts
from django_docraptor.models.measurements import publish_step
from django_docraptor.models.statements import Child, Update, update_with_child
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
    if _record_while_queued(job_id, attempt) or _record_in_any_state(job_id, attempt):
        record_heartbeat("called_back_at")
        _publish(job_id)
        return True
    _record_late_callback(job_id, attempt)
    return False


def _publish(job_id: uuid.UUID) -> None:
    """Tell receivers of metrics how long after its acceptance the callback came."""
    if not instrumentation.receivers:
        return
    job = RenderJob.objects.filter(pk=job_id).first()
    if job is not None and job.callback_at is not None:
        since = job.submitted_at or job.callback_at  # it may come before the response
        seconds = (job.callback_at - since).total_seconds()
        publish_step(job, "callback", max(0.0, seconds))


def _record_while_queued(job_id: uuid.UUID, attempt: int) -> bool:
    """Record a callback in the common case: this statement is put together in half the time."""
    changes = {"callback_at": Now(), "due_at": Now(), "lease_token": ""}
    return _record(job_id, attempt, changes, state=State.QUEUED)


def _record_in_any_state(job_id: uuid.UUID, attempt: int) -> bool:
    """Set ``callback_at`` and, in POLL_NOW_STATES, make the job due now, in one UPDATE."""
    due_now = When(state__in=POLL_NOW_STATES, then=Now())
    # A poll in progress loses its lease, so that its older response cannot postpone the job.
    released = When(state__in=POLL_NOW_STATES, then=Value(""))
    changes = {
        "callback_at": Now(),
        "due_at": Case(due_now, default=F("due_at"), output_field=DateTimeField()),
        "lease_token": Case(released, default=F("lease_token")),
    }
    return _record(job_id, attempt, changes)


def _record(job_id: uuid.UUID, attempt: int, changes: Mapping[str, Any], **where: Any) -> bool:
    """Record the first callback for an attempt, with its event, in one transaction."""
    uncalled = {"id": job_id, "attempt": attempt, "callback_at": None, **where}
    event = {"attempt": attempt, "kind": EventKind.CALLBACK}
    states = ("from_state", "to_state")
    if "state" in where:
        child = Child(RenderEvent, "job", {**event, **dict.fromkeys(states, where["state"])})
    else:
        child = Child(RenderEvent, "job", event, dict.fromkeys(states, "state"))
    write = partial(
        update_with_child,
        Update(RenderJob, uncalled, changes),
        child,
        using=(using := router.db_for_write(RenderJob)),
    )
    return bool(repeat_conflicts(write, using=using))


def _record_late_callback(job_id: uuid.UUID, attempt: int) -> None:
    """Record, once, a callback for an earlier attempt: DocRaptor created that document."""
    job = RenderJob.objects.filter(pk=job_id, attempt__gt=attempt).first()
    if job is None or job.events.filter(kind=EventKind.CALLBACK, attempt=attempt).exists():
        return
    message = f"DocRaptor finished attempt {attempt} after the job had moved on to a later attempt."
    job.attempt, current_attempt = attempt, job.attempt
    job.record_event(EventKind.CALLBACK, note=message, detail={"current_attempt": current_attempt})
