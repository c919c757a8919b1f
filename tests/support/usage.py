"""Jobs with a history, as the engine would write it."""

from typing import Any

from django_docraptor.models import RenderEvent, RenderJob
from django_docraptor.models.clock import Now
from django_docraptor.states import FINAL_STATES, EventKind, State

WAY = (EventKind.SUBMITTING, EventKind.ACCEPTED, EventKind.RENDERED, EventKind.COMPLETED)


def used_job(
    *kinds: EventKind,
    state: State = State.COMPLETED,
    attempt: int = 1,
    detail: dict[str, Any] | None = None,
    **columns: Any,
) -> RenderJob:
    """Return a job with these events; default: those of a completed document.

    Args:
        kinds: the kinds of its events.
        state: its state.
        attempt: its attempt, and the events'.
        detail: of its last event.
        columns: of the job; default: of a production document.
    """
    is_final = state in FINAL_STATES
    columns = {
        "name": "used.pdf",
        "document_type": "pdf",
        "test": False,
        "number_of_pages": 3,
        "file_size": 1000,
        "due_at": None if is_final else Now(),
        "finished_at": Now() if is_final else None,
        "sent_at": Now(),
        **columns,
    }
    job = RenderJob.objects.create(state=state, attempt=attempt, **columns)
    kinds = kinds or WAY
    for kind in kinds:
        last = detail or {} if kind == kinds[-1] else {}
        RenderEvent.objects.create(job=job, attempt=attempt, kind=kind, to_state=state, detail=last)
    job.refresh_from_db()
    return job
