"""No frequent query scans a whole table, however long the history is.

On SQLite here; ``tests/e2e/test_query_plans.py`` runs the same on PostgreSQL. The tests explain the
statements that the engine executes.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse

from django_docraptor import health, lifecycle
from django_docraptor.lifecycle import submission
from django_docraptor.models import RenderEvent, RenderInput, RenderJob
from django_docraptor.models.clock import Now
from django_docraptor.retention import prune, retention_limits
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import FINAL_STATES, POLLED_STATES, State
from tests.apps.shop.models import Invoice
from tests.support import history
from tests.support.jobs import enqueue, pause_account, wait_for_renders
from tests.support.query_plans import LARGE, captured_plans

pytestmark = pytest.mark.django_db

JOBS = 20_000
LIST = "admin:django_docraptor_renderjob_changelist"
PAGE = "admin:django_docraptor_renderjob_change"


@pytest.fixture(scope="module", autouse=True)
def _history(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Finished jobs in the tables, and statistics about them, deleted afterwards."""
    with django_db_blocker.unblock():
        history.create_history(JOBS)
        history.execute("ANALYZE")
    yield
    with django_db_blocker.unblock():
        for table in reversed(history.TABLES):
            history.execute(f"DELETE FROM {table}")
        history.execute("ANALYZE")


@pytest.fixture
def admin_client(client: Client) -> Client:
    """A superuser in the admin."""
    client.force_login(User.objects.create_superuser("ada"))
    return client


def run_to_its_end(job: RenderJob) -> RenderJob:
    """Run the engine until the job is finished, without statements for the other jobs."""
    for _ in range(20):
        lifecycle.run_once()
        job = RenderJob.objects.get(pk=job.pk)
        if job.state in FINAL_STATES:
            break
        wait_for_renders()
        RenderJob.objects.filter(pk=job.pk).active().update(due_at=Now())
    return job


def old_job() -> RenderJob:
    """Return one of the finished jobs."""
    return RenderJob.objects.filter(state=State.COMPLETED).order_by("created_at")[0]


def test_scan_is_detected() -> None:
    """A statement that scans a table is detected."""
    with captured_plans() as found:
        list(RenderJob.objects.filter(sha256="none"))
        list(RenderEvent.objects.filter(message="none"))
        RenderJob.objects.count()
    assert len(found.scans) == 3
    assert all(any(table in scan for table in LARGE) for scan in found.scans)


def test_no_scan_while_a_job_is_completed(sandbox: Sandbox, documents_dir: Any) -> None:
    """No statement from enqueue to completion scans a table."""
    enqueue()
    with captured_plans() as found:
        job = run_to_its_end(enqueue())
    assert job.state == State.COMPLETED
    assert len(found.statements) > 10
    assert found.scans == []


def test_no_scan_for_a_job_with_a_source(sandbox: Sandbox, documents_dir: Any) -> None:
    """Neither enqueueing for a source, nor counting and comparing its documents, scans a table."""
    invoice = Invoice.objects.create(number="7")
    run_to_its_end(enqueue(source=invoice))
    with captured_plans() as found:
        job = run_to_its_end(enqueue(source=invoice, reuse=timedelta(hours=1)))
    assert job.attempt == 0
    assert found.scans == []


OPERATIONS: dict[str, Callable[[], object]] = {
    "resume": lambda: lifecycle.resume("paused"),
    "restrictions": health.restrictions,
    "look": lifecycle.read_schedule,
    "sweep": lifecycle.recover,
    "run": lifecycle.run_once,
    "report": health.health_report,
    "admit": lambda: submission.claim_for_slots("default", 16),
    "claim to poll": lambda: RenderJob.objects.filter(state__in=POLLED_STATES).claim(
        limit=64, lease=60
    ),
    "claim to collect": lambda: RenderJob.objects.filter(state=State.DOWNLOADING).claim(
        limit=1, lease=60
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_scan_by_the_engine(name: str, sandbox: Sandbox) -> None:
    """The statements of ticks and workers scan no table while jobs are due."""
    pause_account("paused", "HTTP 401")
    waiting: list[dict[str, Any]] = [{"state": State.PENDING}] * 40
    waiting += [{"state": state, "account": "paused"} for state in (State.WORKING, State.PENDING)]
    RenderJob.objects.bulk_create(
        RenderJob(name="due.pdf", document_type="pdf", due_at=Now(), **columns)
        for columns in waiting
    )
    with captured_plans() as found:
        OPERATIONS[name]()
    assert found.statements
    assert found.scans == []


def test_no_scan_by_a_callback() -> None:
    """A callback's UPDATE scans no table, even for an old attempt."""
    job = old_job()
    with captured_plans() as found:
        lifecycle.record_callback(job.pk, job.attempt)
        lifecycle.record_callback(job.pk, job.attempt - 1)
    assert any(sql.startswith("UPDATE") for sql in found.statements)
    assert found.scans == []


@pytest.mark.parametrize("query", [{}, {"state__exact": "failed"}], ids=["all", "failed"])
def test_no_scan_by_the_admin_list(admin_client: Client, query: dict[str, str]) -> None:
    """The list of jobs scans no table, nor does the list of failed jobs."""
    with captured_plans() as found:
        assert b"invoice-" in admin_client.get(reverse(LIST), query).content
    assert found.scans == []


@pytest.mark.parametrize("column", ["pk", "status_id"])
def test_no_scan_by_an_admin_search(admin_client: Client, column: str) -> None:
    """A search for a job by its ID scans no table."""
    job = old_job()
    with captured_plans() as found:
        answer = admin_client.get(reverse(LIST), {"q": str(getattr(job, column))})
    assert job.name in answer.content.decode()
    assert found.scans == []


def test_no_scan_by_a_job_page(admin_client: Client) -> None:
    """The page of a job with its events and input scans no table."""
    job = old_job()
    with captured_plans() as found:
        assert job.name in admin_client.get(reverse(PAGE, args=[job.pk])).content.decode()
    assert found.scans == []


@pytest.mark.parametrize("share", [0.01, 0.5])
def test_no_scan_by_a_prune(share: float) -> None:
    """A batch of a prune scans no table, whether few or many jobs are old."""
    age = timedelta(seconds=history.SECONDS_BETWEEN_JOBS * JOBS * (1 - share))
    for jobs, inputs in ((age, None), (None, age)):
        with captured_plans() as found:
            removed = next(prune(retention_limits(jobs=jobs, inputs=inputs), batch_size=10))
        assert removed.jobs + removed.inputs == 10
        assert found.scans == []


def test_no_scan_by_a_prune_without_old_inputs() -> None:
    """If the old inputs were deleted, no statement searches the whole history for them."""
    RenderInput.objects.all().delete()
    with captured_plans() as found:
        assert list(prune(retention_limits(inputs=timedelta(days=1)))) == []
    assert found.scans == []


def test_history_is_long_enough() -> None:
    """The plans above are made for a long history, not for an empty table."""
    assert connection.vendor in ("sqlite", "postgresql")
    assert RenderJob.objects.count() == JOBS
    assert RenderEvent.objects.count() == 5 * JOBS
