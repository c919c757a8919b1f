"""No hot query reads a whole table, however long the history is.

On SQLite here; ``tests/e2e/test_query_plans.py`` runs the same on PostgreSQL. What is explained is
what the engine really runs, whatever that is.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse

from django_docraptor import health, lifecycle
from django_docraptor.lifecycle import submission
from django_docraptor.models import Account, RenderEvent, RenderInput, RenderJob, seconds_from_now
from django_docraptor.retention import prune, retention_limits
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import POLLED_STATES, State
from tests.apps.shop.models import Invoice
from tests.support import history
from tests.support.jobs import enqueue, run_until_finished
from tests.support.query_plans import LARGE, captured_plans

pytestmark = pytest.mark.django_db

JOBS = 20_000
LIST = "admin:django_docraptor_renderjob_changelist"
PAGE = "admin:django_docraptor_renderjob_change"


@pytest.fixture(scope="module", autouse=True)
def _history(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """A history in the tables, and statistics about it; gone afterwards."""
    with django_db_blocker.unblock():
        history.create_history(JOBS)
        history.execute("ANALYZE")
    yield
    with django_db_blocker.unblock():
        for table in reversed(history.TABLES):
            history.execute(f"DELETE FROM {table}")
        history.execute("ANALYZE")


@pytest.fixture
def browser(client: Client) -> Client:
    """A superuser in the admin."""
    client.force_login(User.objects.create_superuser("ada"))
    return client


def old_job() -> RenderJob:
    """One of the finished jobs."""
    return RenderJob.objects.filter(state=State.COMPLETED).order_by("created_at")[0]


def test_a_scan_is_seen() -> None:
    """The reader of plans finds what it is there to find."""
    with captured_plans() as found:
        list(RenderJob.objects.filter(sha256="none"))
        list(RenderEvent.objects.filter(message="none"))
        RenderJob.objects.count()
    assert len(found.scans) == 3
    assert all(any(table in scan for table in LARGE) for scan in found.scans)


def test_a_job_from_order_to_end(sandbox: Sandbox, documents_dir: Any) -> None:
    """Every statement of a document's life."""
    enqueue()
    with captured_plans() as found:
        job = run_until_finished(enqueue())
    assert job.state == State.COMPLETED
    assert len(found.statements) > 10
    assert found.scans == []


def test_a_job_with_a_source(sandbox: Sandbox, documents_dir: Any) -> None:
    """Nor does the one of an order that may supersede an older one."""
    invoice = Invoice.objects.create(number="7")
    with captured_plans() as found:
        enqueue(source=invoice)
    assert found.scans == []


OPERATIONS: dict[str, Callable[[], object]] = {
    "hold paused": lambda: RenderJob.objects.postpone_paused(),
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
def test_engine(name: str, sandbox: Sandbox) -> None:
    """What ticks and workers ask, with jobs that are due."""
    Account.objects.create(name="paused", paused_until=seconds_from_now(600))
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


def test_callback() -> None:
    """The UPDATE of a callback, also of one that comes late."""
    job = old_job()
    with captured_plans() as found:
        lifecycle.record_callback(job.pk, job.attempt)
        lifecycle.record_callback(job.pk, job.attempt - 1)
    assert any(sql.startswith("UPDATE") for sql in found.statements)
    assert found.scans == []


@pytest.mark.parametrize("query", [{}, {"state__exact": "failed"}], ids=["all", "failed"])
def test_admin_list(browser: Client, query: dict[str, str]) -> None:
    """The list of jobs, and that of the failed ones."""
    with captured_plans() as found:
        assert b"invoice-" in browser.get(reverse(LIST), query).content
    assert found.scans == []


@pytest.mark.parametrize("column", ["pk", "status_id"])
def test_admin_search(browser: Client, column: str) -> None:
    """A search for a job by what names it."""
    job = old_job()
    with captured_plans() as found:
        answer = browser.get(reverse(LIST), {"q": str(getattr(job, column))})
    assert job.name in answer.content.decode()
    assert found.scans == []


def test_job_page(browser: Client) -> None:
    """A job with its history and its input."""
    job = old_job()
    with captured_plans() as found:
        assert job.name in browser.get(reverse(PAGE, args=[job.pk])).content.decode()
    assert found.scans == []


@pytest.mark.parametrize("share", [0.01, 0.5])
def test_prune(share: float) -> None:
    """A batch of a prune, of jobs and of inputs: of few that are old, and of many."""
    age = timedelta(seconds=history.SECONDS_BETWEEN_JOBS * JOBS * (1 - share))
    for jobs, inputs in ((age, None), (None, age)):
        with captured_plans() as found:
            removed = next(prune(retention_limits(jobs=jobs, inputs=inputs), batch_size=10))
        assert removed.jobs + removed.inputs == 10
        assert found.scans == []


def test_prune_after_a_prune() -> None:
    """Where the old inputs are gone, nothing searches the whole history for them."""
    RenderInput.objects.all().delete()
    with captured_plans() as found:
        assert list(prune(retention_limits(inputs=timedelta(days=1)))) == []
    assert found.scans == []


def test_statistics_know_the_history() -> None:
    """The plans above are made for a long history, not for an empty table."""
    assert connection.vendor in ("sqlite", "postgresql")
    assert RenderJob.objects.count() == JOBS
    assert RenderEvent.objects.count() == 5 * JOBS
