"""Internal. Insert new jobs, one or many. Knows nothing about their content."""

from collections.abc import Iterable
from typing import Any

from django.db import router, transaction

from django_docraptor.models.events import RenderEvent
from django_docraptor.models.inputs import RenderInput
from django_docraptor.models.jobs import RenderJob
from django_docraptor.states import EventKind

# Above this number of jobs, it is faster to read the database's clock once.
CLOCK_READ_THRESHOLD = 50


def insert_jobs(pairs: Iterable[tuple[RenderJob, RenderInput]], *, batch_size: int = 1000) -> None:
    """Insert jobs with their inputs and first events, in one transaction.

    For many jobs, the first one reads the database's clock and the others reuse the value:
    PostgreSQL inserts plain values column by column, which is faster.
    """
    pairs = list(pairs)
    jobs = [job for job, _job_input in pairs]
    event_fields: dict[str, Any] = {}
    with transaction.atomic(using=router.db_for_write(RenderJob), savepoint=False):
        if len(jobs) > CLOCK_READ_THRESHOLD:
            first, *jobs = jobs
            RenderJob.objects.bulk_create([first])
            now = RenderJob.objects.values_list("created_at", flat=True).get(pk=first.pk)
            event_fields["at"] = now
            for job in jobs:
                job.created_at = job.due_at = now
        RenderJob.objects.bulk_create(jobs, batch_size=batch_size)
        RenderInput.objects.bulk_create(
            [job_input for _job, job_input in pairs], batch_size=batch_size
        )
        RenderEvent.objects.bulk_create(
            [
                RenderEvent(
                    job_id=job.pk, kind=EventKind.ENQUEUED, to_state=job.state, **event_fields
                )
                for job, _job_input in pairs
            ],
            batch_size=batch_size,
        )
