"""Timed operations on this process's database."""

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.test import Client
from django.test.client import ClientHandler
from django.urls import reverse
from django.utils import timezone

from benchmarks.growth.cpu_clock import Clock, cpu_clock
from django_docraptor import health, lifecycle, retention, usage
from django_docraptor.client import RemoteStatus
from django_docraptor.lifecycle import accounts, polling, submission
from django_docraptor.models import RenderJob, seconds_from_now
from django_docraptor.models.clock import Now
from django_docraptor.models.due_accounts import first_due_by_account
from django_docraptor.states import LEASE_SECONDS, POLLED_STATES, State
from django_docraptor.storage import document_storage
from tests.support import history

# Calls that are not timed.
WARM_UP = 2
# Pending jobs beside a history.
PENDING_JOBS = 20
# The account of the jobs that are due to be polled: one batch.
POLLED_ACCOUNT = "polled"
# The account of a backlog, which is not that of the other jobs.
BACKLOG_ACCOUNT = "backlog"


def elapsed_ms() -> float:
    """Return milliseconds, to be subtracted."""
    return time.perf_counter() * 1000


def time_operation(name: str, repeats: int, clock: Clock = elapsed_ms) -> list[float]:
    """Return the milliseconds of each call of an operation, after some that are not timed."""
    operation = OPERATIONS[name]()
    timings = []
    for number in range(-WARM_UP, repeats):
        release_claims()
        started = clock()
        operation()
        if number >= 0:
            timings.append(clock() - started)
    return timings


def cpu_of_operation(name: str, repeats: int) -> list[float]:
    """Return the CPU milliseconds of each call, here and in the database server."""
    return time_operation(name, repeats, cpu_clock())


def time_with_in_flight(count: int, repeats: int) -> dict[str, float]:
    """Return median milliseconds with so many unfinished jobs: half pending, half being polled."""
    set_unfinished_jobs(count, polled=count // 2)
    names = ("tick", "claim", "poll_batch")
    return {name: round(statistics.median(time_operation(name, repeats)), 2) for name in names}


def tick() -> None:
    """Do what every tick does, even if nothing is due."""
    lifecycle.recover()
    lifecycle.read_schedule()


def claim() -> None:
    """Claim pending jobs for free slots, as the submit step does."""
    assert submission.claim_for_slots("default", submission.BATCH_SIZE)


def poll_batch() -> None:
    """Poll a batch without the calls: claim the due jobs and schedule their next poll."""
    remote = RemoteStatus(status="working")
    for job in claim_poll():
        polling.handle_status(job, remote)


def set_unfinished_jobs(count: int, *, polled: int) -> None:
    """Replace all unfinished jobs.

    Args:
        count: how many there are afterwards.
        polled: how many of them DocRaptor has accepted. One batch of these is due.
    """
    RenderJob.objects.active().delete()
    RenderJob.objects.bulk_create(
        [*map(pending_job, range(count - polled)), *map(polled_job, range(polled))]
    )


def pending_job(number: int) -> RenderJob:
    """Return a job that is due to be submitted."""
    return RenderJob(
        name=f"pending-{number}.pdf", document_type="pdf", state=State.PENDING, due_at=Now()
    )


def polled_job(number: int) -> RenderJob:
    """Return a job to be polled, now or later; of another account, so that slots are free."""
    return RenderJob(
        name=f"working-{number}.pdf",
        document_type="pdf",
        account=POLLED_ACCOUNT if number < polling.BATCH_SIZE else "later",
        state=State.WORKING,
        attempt=1,
        status_id=f"unfinished-{number}",
        sent_at=Now(),
        deadline_at=seconds_from_now(600),
        due_at=Now() if number < polling.BATCH_SIZE else seconds_from_now(300),
    )


def add_pending_jobs() -> None:
    """Add a few pending jobs and a batch of polled ones."""
    RenderJob.objects.bulk_create(
        [*map(pending_job, range(PENDING_JOBS)), *map(polled_job, range(polling.BATCH_SIZE))]
    )


def release_claims() -> None:
    """Make the jobs due again that the last call claimed."""
    # Only what says so is found by an index of the unfinished jobs.
    unfinished = RenderJob.objects.filter(due_at__isnull=False)
    claimed = unfinished.filter(state=State.PENDING, account="default")
    claimed = claimed.exclude(lease_token="")
    claimed.update(lease_token="", due_at=Now())
    unfinished.filter(state=State.WORKING, account=POLLED_ACCOUNT).update(
        lease_token="", due_at=Now()
    )


def prune(jobs: int, batch: int = retention.BATCH_SIZE) -> dict[str, float]:
    """Prune so many of the oldest jobs, with real files in a directory."""
    rows = RenderJob.objects.filter(due_at=None).order_by("finished_at")
    for name in rows.exclude(file="").values_list("file", flat=True)[:jobs]:
        document_storage.save(name, ContentFile(b"%PDF"))
    last = rows.values_list("finished_at", flat=True)[jobs]
    # Between that job and the next one, because time passes until the database compares.
    limits = retention.retention_limits(
        jobs=timezone.now() - last + timedelta(seconds=history.SECONDS_BETWEEN_JOBS / 2)
    )
    started = time.perf_counter()
    total = sum(retention.prune(limits, batch_size=batch), retention.PruneResult())
    seconds = time.perf_counter() - started
    return {
        "jobs": total.jobs,
        "files": total.files,
        "jobs_per_second": round(total.jobs / seconds),
        "longest_transaction_ms": round(total.longest_transaction * 1000, 1),
    }


def admin_page(
    name: str, *arguments: Any, must_have_rows: bool = True, **query: str
) -> Callable[[], None]:
    """Return a function that requests an admin page as a superuser.

    Args:
        name: of the page.
        arguments: of its URL.
        must_have_rows: it must show jobs; otherwise it may find none.
        query: its query string.
    """
    client = _admin_client()
    path = reverse(f"admin:django_docraptor_renderjob_{name}", args=arguments)

    def get() -> None:
        response: Any = client.get(path, query)
        assert response.status_code == 200, response
        assert not must_have_rows or b".pdf" in response.content

    return get


def oldest_job() -> RenderJob:
    """Return the completed job that was enqueued first."""
    return RenderJob.objects.filter(state=State.COMPLETED).order_by("created_at")[0]


def search(**query: str) -> Callable[[], None]:
    """Return a function that requests the list with a search or filter that finds nothing."""
    return admin_page("changelist", must_have_rows=False, **query)


def _admin_client() -> Client:
    """Return a client of a superuser."""
    user = User.objects.filter(username="growth").first()
    client = Client()
    client.force_login(user or User.objects.create_superuser("growth"))
    return client


class PlainHandler(ClientHandler):
    """Answers with the URLs of :mod:`benchmarks.growth.plain_admin`."""

    def get_response(self, request: Any) -> Any:
        request.urlconf = "benchmarks.growth.plain_admin"
        return super().get_response(request)


def plain_list() -> Callable[[], None]:
    """Return a function that requests Django's own list of jobs, of which none is found."""
    client = _admin_client()
    client.handler = PlainHandler(enforce_csrf_checks=False)

    def get() -> None:
        path = reverse("admin:django_docraptor_renderjob_changelist")
        response: Any = client.get(path, {"id__exact": "00000000-0000-4000-8000-000000000000"})
        assert response.status_code == 200, response
        assert b".pdf" not in response.content

    return get


def claim_poll() -> list[RenderJob]:
    """Claim a batch of jobs to poll, as the poll step does."""
    lease = LEASE_SECONDS[State.QUEUED]
    jobs = accounts.claim(POLLED_STATES, limit=polling.BATCH_SIZE, lease=lease)
    assert jobs
    return jobs


def get_by_key() -> Callable[[], object]:
    """Return a function that reads one job by its primary key."""
    key = oldest_job().pk
    return lambda: RenderJob.objects.get(pk=key)


def read_month() -> None:
    """Read what was used in the month of the history that has most jobs, as the command does."""
    last = datetime.now(UTC).date()
    report = usage.read_usage(last - timedelta(days=30), last, *usage.GROUPS)
    assert report[usage.DOCUMENT].total.live.billed


def read_budget() -> None:
    """Count what was billed in a month, as a budget does for each document."""
    assert usage.billed_since(datetime.now(UTC) - timedelta(days=30), account="default")


OPERATIONS: dict[str, Callable[[], Callable[[], object]]] = {
    "tick": lambda: tick,
    "claim": lambda: claim,
    "poll_batch": lambda: poll_batch,
    "admin_list": lambda: admin_page("changelist"),
    "admin_search": lambda: admin_page("changelist", q=oldest_job().status_id),
    "job_page": lambda: admin_page("change", oldest_job().pk),
    "usage": lambda: read_month,
    "budget": lambda: read_budget,
    # With a backlog.
    "job_by_key": get_by_key,
    "due_accounts": lambda: lambda: first_due_by_account(State.PENDING),
    "admission": lambda: claim,
    "claim_poll": lambda: claim_poll,
    "schedule": lambda: lifecycle.read_schedule,
    "health_report": lambda: health.health_report,
    "list_newest": lambda: admin_page("changelist"),
    "list_oldest": lambda: admin_page("changelist", o="7"),
    "list_pending": lambda: admin_page("changelist", state__exact="pending"),
    "plain_list": plain_list,
    "search_name": lambda: search(q="no-such-name"),
    "search_key": lambda: search(q="00000000-0000-4000-8000-000000000000"),
    "filter_type": lambda: search(document_type__exact="xls"),
    "filter_test": lambda: search(test__exact="0"),
    "filter_document": lambda: search(document="shop.NoSuchDocument"),
    "filter_error_code": lambda: search(error_code="document_gone"),
    "filter_owner": lambda: search(owner__id__exact="1000000"),
    "key_prefix": lambda: RenderJob.objects.with_key_prefix("response:none").count,
}
