"""No frequent query scans a whole table, however long the history is.

On SQLite here; ``tests/e2e/test_query_plans.py`` runs the same on PostgreSQL and MariaDB. The tests
explain the statements that the engine executes.
"""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.db import connection
from django.db.models import F
from django.test import Client
from django.urls import reverse

from django_docraptor import (
    JobSpec,
    cancel_group,
    enqueue_group,
    estimates,
    health,
    lifecycle,
    retry_group,
    revoke,
    share,
)
from django_docraptor.admin import filters, search
from django_docraptor.lifecycle import submission
from django_docraptor.lifecycle.accounts import claim
from django_docraptor.models import (
    RenderEvent,
    RenderGroup,
    RenderInput,
    RenderJob,
    UsageDay,
    UsageMark,
)
from django_docraptor.models.clock import Now, seconds_from_now
from django_docraptor.retention import prune, retention_limits
from django_docraptor.sandbox import Sandbox
from django_docraptor.states import FINAL_STATES, POLLED_STATES, State
from django_docraptor.usage import billed_since, count_before_deletion, fold
from tests.apps.shop.models import Invoice
from tests.support import history
from tests.support.databases import writes
from tests.support.jobs import enqueue, pause_account, wait_for_renders
from tests.support.query_plans import LARGE, captured_plans

pytestmark = [pytest.mark.django_db, pytest.mark.databases]

# QUERY_PLAN_JOBS=1000000: the plans for a long history, which takes minutes to create.
JOBS = int(os.environ.get("QUERY_PLAN_JOBS", "20000"))
LIST = "admin:django_docraptor_renderjob_changelist"
PAGE = "admin:django_docraptor_renderjob_change"


@pytest.fixture(scope="module", autouse=True)
def _history(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Finished jobs in the tables, and statistics about them, deleted afterwards."""
    with django_db_blocker.unblock():
        history.create_history(JOBS)
        history.sum_up()
        history.analyze()
    yield
    with django_db_blocker.unblock():
        UsageDay.objects.all().delete()
        UsageMark.objects.all().delete()
        for table in reversed(history.TABLES):
            history.execute(f"DELETE FROM {table}")
        history.analyze()


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


@pytest.fixture
def _small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that are as small a share of these jobs as the real ones are of a long history."""
    monkeypatch.setattr(filters, "MAX_LISTED", 100)
    monkeypatch.setattr(search, "MAX_SEARCHED", 500)


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
    "claim to poll": lambda: claim(POLLED_STATES, limit=64, lease=60),
    "claim to collect": lambda: claim([State.DOWNLOADING], limit=1, lease=60),
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
    assert any(writes(sql, "UPDATE") for sql in found.statements)
    assert found.scans == []


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"state__exact": "failed"},
        {"error_code": "render_failed"},
        {"time": "day"},
        {"time": "month", "state__exact": "completed", "test__exact": "0"},
        {"attention": "look"},
        {"attention": "unfinished", "o": "3"},
        {"q": "invoice-"},
        {"q": "invoice-", "state__exact": "failed", "owner": "1"},
        {"document": "-", "account": "default"},
    ],
    ids=str,
)
@pytest.mark.usefixtures("_small_bounds")
def test_no_scan_by_the_admin_list(admin_client: Client, query: dict[str, str]) -> None:
    """The list of jobs with its numbers scans no table, nor does a filter or a bounded search."""
    with captured_plans() as found:
        response = admin_client.get(reverse(LIST), query)
        assert b'class="docraptor-numbers"' in response.content
    assert found.scans == []


@pytest.mark.usefixtures("_small_bounds")
def test_no_scan_by_what_needs_a_look(admin_client: Client) -> None:
    """Failed, unconfirmed and late jobs are found by indexes beside a long history."""
    old = [{"state": state, "due_at": seconds_from_now(-600)} for state in POLLED_STATES]
    RenderJob.objects.bulk_create(
        RenderJob(name="due.pdf", document_type="pdf", **columns)
        for columns in [*old, {"state": State.UNCONFIRMED, "due_at": Now()}]
    )
    with captured_plans() as found:
        response = admin_client.get(reverse(LIST), {"attention": "look"})
        assert response.content.count(b">due.pdf<") == 3
    assert found.scans == []


def test_no_scan_by_the_usage(admin_client: Client, sandbox: Sandbox) -> None:
    """A month's usage and a budget's number are read from the sums and what is newer."""
    enqueue()
    with captured_plans() as found:
        page = admin_client.get(f"{reverse(LIST)}usage/")
        count = billed_since(datetime.now(UTC) - timedelta(days=30), account="default")
        assert fold() == 0
    assert count > JOBS / 2 or JOBS * history.SECONDS_BETWEEN_JOBS > 30 * 86_400
    assert b"docraptor-chart" in page.content
    assert found.scans == []


def test_no_scan_by_summing_up() -> None:
    """A batch reads the events that follow, and the histories of their jobs."""
    last = RenderEvent.objects.latest("pk").pk
    UsageMark.objects.update(event_id=last - 100)
    before = billed_since(datetime(2000, 1, 1, tzinfo=UTC))
    RenderEvent.objects.filter(pk__gt=last - 100).update(at=F("at") - timedelta(hours=1))
    with captured_plans() as found:
        assert fold() == 100
    assert found.scans == []
    assert billed_since(datetime(2000, 1, 1, tzinfo=UTC)) == before


def test_no_scan_by_a_deletion() -> None:
    """What a job has used is counted before it is deleted."""
    job = old_job()
    with captured_plans() as found:
        count_before_deletion([job.pk])
    assert found.scans == []


def test_no_scan_by_the_statistics(admin_client: Client) -> None:
    """The statistics read the newest jobs by the index of the time."""
    with captured_plans() as found:
        assert b"docraptor-chart" in admin_client.get(f"{reverse(LIST)}statistics/").content
    assert found.scans == []


@pytest.mark.parametrize(
    "term",
    [lambda job: str(job.pk), lambda job: job.status_id, lambda job: job.tag],
    ids=["pk", "status_id", "tag"],
)
def test_no_scan_by_an_admin_search(admin_client: Client, term: Callable[[Any], str]) -> None:
    """A search for a job by its ID scans no table."""
    job = old_job()
    with captured_plans() as found:
        answer = admin_client.get(reverse(LIST), {"q": term(job)})
    assert job.name in answer.content.decode()
    assert found.scans == []


@pytest.mark.usefixtures("_small_bounds")
def test_no_scan_by_a_search_for_a_customers_number(admin_client: Client) -> None:
    """The first digits of a key are a range of the index of the keys."""
    job = old_job()
    with captured_plans() as found:
        answer = admin_client.get(reverse(LIST), {"q": f"{job.pk.hex[:4]}-{job.pk.hex[4:8]}"})
    assert found.scans == []
    if connection.vendor != "mysql":  # it has the newest only: its keys have another order
        assert job.name in answer.content.decode()


def test_no_scan_by_a_job_page(admin_client: Client) -> None:
    """The page of a job with its events and input scans no table."""
    job = old_job()
    with captured_plans() as found:
        assert job.name in admin_client.get(reverse(PAGE, args=[job.pk])).content.decode()
    assert found.scans == []


def test_no_scan_by_an_estimate() -> None:
    """How long a document usually takes is read from the end of an index."""
    with captured_plans() as found:
        assert estimates._read_seconds("growth.Document1") == (7, 7)
    assert len(found.statements) == 1
    assert found.scans == []


@pytest.mark.parametrize("every", [200, 2])
def test_no_scan_by_my_documents(client: Client, every: int) -> None:
    """The documents of a user scan no table, whether few or half of all jobs are theirs."""
    owner = User.objects.create_user("customer")
    numbers = [str(number) for number in range(0, JOBS, every)]
    for first in range(0, len(numbers), 10_000):
        few = numbers[first : first + 10_000]
        RenderJob.objects.filter(object_id__in=few).update(owner=owner)
    client.force_login(owner)
    with captured_plans() as found:
        page = client.get(reverse("django_docraptor:my-documents"))
    assert page.status_code == 200
    assert found.scans == []


def test_no_scan_by_a_download(admin_client: Client, documents_dir: Any) -> None:
    """A download, by its owner or by a share link, scans no table to record it."""
    job = old_job()
    job.file.save("growth.pdf", ContentFile(b"%PDF-1.7"), save=True)
    with captured_plans() as found:
        link = share(job)
        page = Client().get(link.get_absolute_url())
        for browser, url in (
            (admin_client, job.get_absolute_url()),
            (Client(), f"{link.get_absolute_url()}?download"),
        ):
            assert browser.get(url).getvalue() == b"%PDF-1.7"
        assert revoke(link)
    assert page.status_code == 200
    assert found.scans == []


@pytest.mark.parametrize("old", [0.01, 0.5])
def test_no_scan_by_a_prune(old: float) -> None:
    """A batch of a prune scans no table, whether few or many jobs are old."""
    age = timedelta(seconds=history.SECONDS_BETWEEN_JOBS * JOBS * (1 - old))
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
    assert connection.vendor in ("sqlite", "postgresql", "mysql")
    assert RenderJob.objects.count() == JOBS
    assert RenderEvent.objects.count() == 5 * JOBS


def test_groups_scan_no_table(settings: Any) -> None:
    """Neither the end of a document of a group, nor a look at the group, reads other jobs."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"RUNNER": "none"}
    specs = [JobSpec(name=f"{number}.pdf", content="x") for number in range(20)]
    group = enqueue_group(specs, name="Invoices")
    RenderGroup.objects.update(due_at=seconds_from_now(-1))
    with captured_plans() as plans:
        RenderGroup.make_due_if_finished(group.pk)
        assert not RenderGroup.has_work()
        assert group.progress().unfinished == 20
        assert lifecycle.merge_groups() == 1
        lifecycle.reopen([group.pk])
        retry_group(group)
        cancel_group(group)
    assert len(plans.statements) > 20
    assert plans.scans == []
