"""How new jobs come into the database, one or many at once. Knows nothing of what is in them."""

from collections.abc import Iterable
from typing import Any

from django.db import router, transaction

from django_docraptor.models.events import RenderEvent
from django_docraptor.models.inputs import RenderInput
from django_docraptor.models.jobs import RenderJob
from django_docraptor.states import Kind

# Jobs stored at once from which it pays to ask the database's clock first.
MANY = 50


def store(jobs: Iterable[tuple[RenderJob, RenderInput]], *, batch_size: int = 1000) -> None:
    """Insert jobs with their inputs and first events, in one transaction.

    The first job of many asks for the database's clock; the others then carry its reading as plain
    values, which PostgreSQL takes in a column at a time.
    """
    pairs = list(jobs)
    new = [job for job, _input in pairs]
    told: dict[str, Any] = {}
    with transaction.atomic(using=router.db_for_write(RenderJob), savepoint=False):
        if len(new) > MANY:
            first, *new = new
            RenderJob.objects.bulk_create([first])
            told["at"] = RenderJob.objects.values_list("created_at", flat=True).get(pk=first.pk)
            for job in new:
                job.created_at = job.due_at = told["at"]
        RenderJob.objects.bulk_create(new, batch_size=batch_size)
        RenderInput.objects.bulk_create([entry for _job, entry in pairs], batch_size=batch_size)
        RenderEvent.objects.bulk_create(
            [
                RenderEvent(job_id=job.pk, kind=Kind.ENQUEUED, to_state=job.state, **told)
                for job, _input in pairs
            ],
            batch_size=batch_size,
        )
