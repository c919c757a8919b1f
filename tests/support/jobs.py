"""Jobs in any state, and what drives them."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db.models import F

from django_docraptor import lifecycle, shortcuts
from django_docraptor.models import Account, RenderEvent, RenderJob, seconds_from_now
from django_docraptor.states import FINAL_STATES, POLLED_STATES, EventKind, State

HTML = "<h1>Hello</h1>"


class Killed(BaseException):
    """A worker's death, as far as one process can play it: nothing catches it."""


def enqueue(**order: Any) -> RenderJob:
    """A job for a small document."""
    job = shortcuts.enqueue(**{"name": "hello.pdf", "content": HTML, **order})
    job.refresh_from_db()
    return job


def skip_time(seconds: float) -> None:
    """Let so many seconds pass for every unfinished job, and for pauses and signals."""
    past = timedelta(seconds=seconds)
    RenderJob.objects.active().update(
        due_at=F("due_at") - past, sent_at=F("sent_at") - past, deadline_at=F("deadline_at") - past
    )
    Account.objects.update(paused_until=F("paused_until") - past)
    RenderEvent.objects.update(signal_due_at=F("signal_due_at") - past)


def drive(
    job: RenderJob, *, until: Callable[[RenderJob], bool] | None = None, rounds: int = 40
) -> RenderJob:
    """Run the engine, skipping the waits, until the job is final (or until ``until``)."""
    for _ in range(rounds):
        lifecycle.run()
        job = RenderJob.objects.get(pk=job.pk)
        if (until or (lambda job: job.state in FINAL_STATES))(job):
            return job
        if job.state in POLLED_STATES:
            time.sleep(0.05)  # two minutes for the job: its render needs some real time as well
        _make_due(job)
    raise AssertionError(f"still {job.state} after {rounds} rounds: {job.errors}")


def _make_due(job: RenderJob) -> None:
    """End the job's present wait, and pauses; let its attempt age by two minutes."""
    minutes = timedelta(minutes=2)
    RenderJob.objects.filter(pk=job.pk).active().update(
        due_at=F("due_at") - timedelta(hours=1),
        sent_at=F("sent_at") - minutes,
        deadline_at=F("deadline_at") - minutes,
    )
    Account.objects.update(paused_until=None, circuit_open_until=None)


def state_of(job: RenderJob) -> str:
    """The row's state now."""
    return RenderJob.objects.values_list("state", flat=True).get(pk=job.pk)


def kinds(job: RenderJob) -> list[str]:
    """The kinds of the job's events, in order."""
    return list(job.events.values_list("kind", flat=True))


def read(job: RenderJob) -> bytes:
    """The stored file's bytes."""
    with job.file.open("rb") as file:
        return bytes(file.read())


def put(state: State, **columns: Any) -> RenderJob:
    """A job in any state, as some earlier process left it."""
    job = enqueue()
    due_at = None if state in FINAL_STATES else seconds_from_now(3600)
    RenderJob.objects.filter(pk=job.pk).update(
        **{"state": state, "attempt": 1, "due_at": due_at, **columns}
    )
    job.refresh_from_db()
    return job


def row(job: RenderJob) -> dict[str, Any]:
    """The row as it is in the database."""
    return RenderJob.objects.filter(pk=job.pk).values().get()


def complete(job: RenderJob) -> bool:
    """What the last step does to the state."""
    return job.move(State.COMPLETED, kind=EventKind.COMPLETED)
