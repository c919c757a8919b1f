"""The operations that are timed, on the database of the present process."""

import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from django_docraptor import lifecycle, retention
from django_docraptor.client import RemoteStatus
from django_docraptor.lifecycle import polling, submission
from django_docraptor.models import RenderJob, seconds_from_now
from django_docraptor.states import LEASE_SECONDS, POLLED_STATES, State
from django_docraptor.storage import document_storage
from tests.support import history

# Calls before the clock runs.
WARM_UP = 2
# Jobs that wait beside a history.
WAITING = 20
# The account of those jobs at DocRaptor that are due: a batch of polls.
OTHER = "other"


def timings(name: str, repeats: int) -> list[float]:
    """Milliseconds of each call of an operation, after some that are not timed."""
    operation = OPERATIONS[name]()
    taken = []
    for number in range(-WARM_UP, repeats):
        let_go()
        began = time.perf_counter()
        operation()
        if number >= 0:
            taken.append((time.perf_counter() - began) * 1000)
    return taken


def against_in_flight(count: int, repeats: int) -> dict[str, float]:
    """Median milliseconds with so many unfinished jobs: half wait, half are at DocRaptor."""
    unfinished(count, polled=count // 2)
    names = ("tick", "claim", "poll_batch")
    return {name: round(statistics.median(timings(name, repeats)), 2) for name in names}


def tick() -> None:
    """What every tick does, whatever there is to do."""
    lifecycle.sweep()
    lifecycle.look()


def claim() -> None:
    """Admit pending jobs, as the submit step does."""
    assert submission.admit("default", submission.BATCH)


def poll_batch() -> None:
    """A batch of polls without the calls: take the due jobs, write that they go on."""
    still = RemoteStatus(status="working")
    due = RenderJob.objects.filter(state__in=POLLED_STATES)
    jobs = due.claim(limit=polling.BATCH, lease=LEASE_SECONDS[State.QUEUED])
    assert jobs
    for job in jobs:
        polling.answered(job, still)


def unfinished(count: int, *, polled: int) -> None:
    """Exactly so many unfinished jobs, ``polled`` of them at DocRaptor, a batch of those due."""
    RenderJob.objects.active().delete()
    RenderJob.objects.bulk_create(
        [*map(waiting, range(count - polled)), *map(at_docraptor, range(polled))]
    )


def waiting(number: int) -> RenderJob:
    """A job that is to be submitted."""
    return RenderJob(
        name=f"waiting-{number}.pdf", document_type="pdf", state=State.PENDING, due_at=Now()
    )


def at_docraptor(number: int) -> RenderJob:
    """A job that is to be polled, now or later; of another account, so that slots are free."""
    return RenderJob(
        name=f"working-{number}.pdf",
        document_type="pdf",
        account=OTHER if number < polling.BATCH else "later",
        state=State.WORKING,
        attempt=1,
        status_id=f"unfinished-{number}",
        sent_at=Now(),
        deadline_at=seconds_from_now(600),
        due_at=Now() if number < polling.BATCH else seconds_from_now(300),
    )


def let_go() -> None:
    """Make due again what the last call has put off."""
    taken = RenderJob.objects.filter(state=State.PENDING).exclude(lease_token="")
    taken.update(lease_token="", due_at=Now())
    RenderJob.objects.filter(state=State.WORKING, account=OTHER).update(
        lease_token="", due_at=Now()
    )


def prune(jobs: int, batch: int = retention.BATCH_SIZE) -> dict[str, float]:
    """Remove so many of the oldest jobs, with real files in a directory."""
    rows = RenderJob.objects.filter(due_at=None).order_by("finished_at")
    for name in rows.exclude(file="").values_list("file", flat=True)[:jobs]:
        document_storage.save(name, ContentFile(b"%PDF"))
    last = rows.values_list("finished_at", flat=True)[jobs]
    # Between that job and the next one: moments pass until the database compares.
    limits = retention.retention_limits(jobs=timezone.now() - last + timedelta(seconds=history.PACE / 2))
    began = time.perf_counter()
    total = sum(retention.prune(limits, batch_size=batch), retention.PruneResult())
    taken = time.perf_counter() - began
    return {
        "jobs": total.jobs,
        "files": total.files,
        "jobs_per_second": round(total.jobs / taken),
        "longest_transaction_ms": round(total.longest_transaction * 1000, 1),
    }


def page(name: str, *arguments: Any, **query: str) -> Callable[[], None]:
    """A page of the admin, got by a superuser through Django's handler."""
    user = User.objects.filter(username="growth").first()
    client = Client()
    client.force_login(user or User.objects.create_superuser("growth"))
    path = reverse(f"admin:django_docraptor_renderjob_{name}", args=arguments)

    def get() -> None:
        response: Any = client.get(path, query)
        assert response.status_code == 200, response
        assert b"invoice-" in response.content

    return get


def oldest() -> RenderJob:
    """The finished job that was ordered first."""
    return RenderJob.objects.filter(state=State.COMPLETED).order_by("created_at")[0]


OPERATIONS: dict[str, Callable[[], Callable[[], None]]] = {
    "tick": lambda: tick,
    "claim": lambda: claim,
    "poll_batch": lambda: poll_batch,
    "admin_list": lambda: page("changelist"),
    "admin_search": lambda: page("changelist", q=oldest().status_id),
    "job_page": lambda: page("change", oldest().pk),
}
