"""Jobs in any state, and their rows."""

from typing import Any

from django_docraptor.models import RenderJob, after
from django_docraptor.states import FINAL, Kind, State
from tests.conftest import enqueue


def put(state: State, **columns: Any) -> RenderJob:
    """A job in any state, as some earlier process left it."""
    job = enqueue()
    due_at = None if state in FINAL else after(3600)
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
    return job.move(State.COMPLETED, kind=Kind.COMPLETED)
