"""DocRaptor's callback as the hint it is: it shortens the wait, and is never the truth."""

import uuid

from django.db import router, transaction
from django.db.models import Case, DateTimeField, F, Subquery, Value, When
from django.db.models.functions import Now

from django_docraptor.health import note
from django_docraptor.models import RenderEvent, RenderJob
from django_docraptor.states import Kind, State

WAKES = (State.QUEUED, State.WORKING, State.UNCONFIRMED)


def note_callback(job_key: uuid.UUID, attempt: int) -> bool:
    """Record that DocRaptor called back for an attempt, once. Returns whether it was news.

    While the create call has not returned yet (SUBMITTING), only the fact is noted; the write that
    ends the create sees it. So no wake-up is lost in either order, and a replay changes nothing.
    """
    woken = When(state__in=WAKES, then=Now())
    # A poll that is under way loses its lease, so that its older answer cannot end the hurry.
    released = When(state__in=WAKES, then=Value(""))
    with transaction.atomic(using=router.db_for_write(RenderJob)):
        fresh = RenderJob.objects.filter(pk=job_key, attempt=attempt, callback_at__isnull=True)
        if fresh.update(
            callback_at=Now(),
            due_at=Case(woken, default=F("due_at"), output_field=DateTimeField()),
            lease_token=Case(released, default=F("lease_token")),
        ):
            note("called_back_at")
            state = Subquery(RenderJob.objects.filter(pk=job_key).values("state"))
            RenderEvent.objects.create(
                job_id=job_key,
                attempt=attempt,
                kind=Kind.CALLBACK,
                from_state=state,
                to_state=state,
            )
            return True
    _note_old_attempt(job_key, attempt)
    return False


def _note_old_attempt(job_key: uuid.UUID, attempt: int) -> None:
    """A callback for an attempt that was left behind proves that it was made: say so, once."""
    job = RenderJob.objects.filter(pk=job_key, attempt__gt=attempt).first()
    if job is None or job.events.filter(kind=Kind.CALLBACK, attempt=attempt).exists():
        return
    message = f"Attempt {attempt} was finished by DocRaptor after the job had moved on."
    job.attempt, now = attempt, job.attempt
    job.record(Kind.CALLBACK, note=message, detail={"current_attempt": now})
