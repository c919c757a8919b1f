"""More documents of one object than are plausible are held until a person lets them go."""

import itertools
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from django_docraptor import (
    cancel,
    health_problems,
    lifecycle,
    release,
    retry,
)
from django_docraptor.documents import Document
from django_docraptor.lifecycle import brake
from django_docraptor.lifecycle.submission import claim_for_slots, prepare_batch
from django_docraptor.models import Heartbeat, RenderEvent, RenderJob, heartbeat
from django_docraptor.models.clock import Now
from django_docraptor.sandbox import Fault, Sandbox
from django_docraptor.shortcuts import resume_account
from django_docraptor.signals import document_completed, document_failed
from django_docraptor.states import HELD_UNTIL, EventKind, HoldReason, State
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.jobs import enqueue, event_kinds, run_until_finished, skip_time

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def limit(settings: Any, sandbox: Sandbox) -> int:
    """So many documents of one object an hour, so that the tests need not make twenty."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_PER_SOURCE": {"documents": 3}}
    return 3


@pytest.fixture
def clock_document() -> type[Document[Invoice]]:
    """A document that each save asks for, and that is different each time."""
    numbers = itertools.count()

    class Clock(Document[Invoice]):
        """Registered during the test."""

        model = Invoice
        template_name = "shop/invoice.html"

        def render(self) -> str:
            return f"<p>{next(numbers)}</p>"

    Clock.on_save()
    return Clock


@pytest.fixture
def saving_receiver() -> Iterator[None]:
    """A receiver of finished and failed jobs that saves the source."""

    def save_source(job: RenderJob, **kwargs: Any) -> None:
        job.source.save()

    for signal in (document_completed, document_failed):
        signal.connect(save_source)
    yield
    for signal in (document_completed, document_failed):
        signal.disconnect(save_source)


def run_rounds(count: int) -> None:
    """Finish what can be finished, so many times."""
    for _ in range(count):
        for job in RenderJob.objects.running():
            run_until_finished(job, until=lambda job: job.is_final or job.held_at is not None)


def held_job(limit: int = 3) -> RenderJob:
    """Return a job that is held."""
    invoice = Invoice.objects.create(number="17")
    InvoicePDF.enqueue_many([invoice] * (limit + 1))
    lifecycle.submit()
    return RenderJob.objects.held().get()


# --- the loop --------------------------------------------------------------------------------


@pytest.mark.fault("E9")
def test_endless_loop_is_held_and_released_by_one_action(
    sandbox: Sandbox, clock_document, saving_receiver, limit: int
) -> None:
    """A loop of documents that all differ is held after so many, told, and goes on if released."""
    invoice = Invoice.objects.create(number="17")
    run_rounds(10)
    assert sandbox.ledger.create_calls == limit
    held = RenderJob.objects.active().get()
    assert (held.state, held.attempt, held.due_at, held.lease_token) == (
        "pending",
        0,
        HELD_UNTIL,
        "",
    )
    assert held.held_at is not None
    assert "MAX_PER_SOURCE" in held.errors
    assert event_kinds(held) == ["enqueued", "held"]
    (problem,) = health_problems()
    assert "1 job is held" in problem
    assert held.name in problem
    for _ in range(5):  # later saves wait in the same row
        invoice.save()
    assert RenderJob.objects.active().count() == 1
    assert release(held)
    assert not health_problems()
    run_rounds(10)
    assert sandbox.ledger.create_calls == 2 * limit
    assert RenderJob.objects.held().count() == 1
    assert event_kinds(held)[:5] == ["enqueued", "held", "updated", "released", "submitting"]


def test_loop_of_failures_is_held(
    sandbox: Sandbox, clock_document, saving_receiver, limit: int
) -> None:
    """A loop in which each document fails is held, too."""
    sandbox.add_fault(Fault(on="create", action="status", status_code=422, times=99))
    Invoice.objects.create(number="17")
    run_rounds(10)
    assert sandbox.ledger.create_calls == limit
    assert RenderJob.objects.held().count() == 1


def test_loop_of_copies_by_other_code_is_held(sandbox: Sandbox, limit: int) -> None:
    """A receiver that asks for the same document by `reuse` is billed once, and held in the end."""
    from datetime import timedelta

    def ask_again(job: RenderJob, **kwargs: Any) -> None:
        InvoicePDF.enqueue(job.source, reuse=timedelta(days=1))

    document_completed.connect(ask_again)
    try:
        InvoicePDF.enqueue(Invoice.objects.create(number="17"))
        run_rounds(10)
    finally:
        document_completed.disconnect(ask_again)
    assert sandbox.ledger.create_calls == 1
    assert RenderJob.objects.filter(state=State.COMPLETED).count() == limit
    assert RenderJob.objects.held().count() == 1


def test_loop_of_retries_is_held(sandbox: Sandbox, limit: int) -> None:
    """Code that retries each failure by itself is held: attempts count, not jobs."""
    sandbox.add_fault(Fault(on="create", action="status", status_code=422, times=99))

    def try_again(job: RenderJob, **kwargs: Any) -> None:
        retry(job)

    document_failed.connect(try_again)
    try:
        InvoicePDF.enqueue(Invoice.objects.create(number="17"))
        run_rounds(10)
    finally:
        document_failed.disconnect(try_again)
    assert sandbox.ledger.create_calls == limit
    assert RenderJob.objects.held().get().attempt == limit


# --- what counts -----------------------------------------------------------------------------


def test_batch_of_one_object_is_held_beyond_the_limit(sandbox: Sandbox, limit: int) -> None:
    """Within one batch, the documents are counted, too."""
    held_job(limit)
    assert sandbox.ledger.create_calls == limit


def test_limit_is_each_objects_own(sandbox: Sandbox) -> None:
    """Other objects, other document classes and jobs without a source are not affected."""
    held_job()
    calls = sandbox.ledger.create_calls
    other = Invoice.objects.create(number="18")
    InvoicePDF.enqueue(other)
    enqueue(source=other, content="<p>x</p>", document="")
    for _ in range(5):
        enqueue()
    lifecycle.submit()
    assert sandbox.ledger.create_calls == calls + 7
    assert RenderJob.objects.held().count() == 1


def test_older_documents_do_not_count(sandbox: Sandbox, limit: int) -> None:
    """What was sent before the window does not count."""
    invoice = Invoice.objects.create(number="17")
    for _ in range(2 * limit):
        InvoicePDF.enqueue(invoice)
        lifecycle.submit()
        RenderEvent.objects.update(at="2020-01-01T00:00Z")
    assert sandbox.ledger.create_calls == 2 * limit


def test_attempts_that_were_not_accepted_do_not_count(sandbox: Sandbox, limit: int) -> None:
    """A job that DocRaptor refuses for now, again and again, is not held, and holds no other."""
    sandbox.add_fault(Fault(on="create", action="status", status_code=429, times=8 * limit))
    invoice = Invoice.objects.create(number="17")
    job = run_until_finished(InvoicePDF.enqueue(invoice))
    assert (job.state, job.attempt) == (State.COMPLETED, 8 * limit + 1)
    assert event_kinds(job).count("submitting") < 8 * limit  # not every failure is told
    assert run_until_finished(InvoicePDF.enqueue(invoice)).state == State.COMPLETED


def test_brake_may_be_switched_off(sandbox: Sandbox, settings: Any) -> None:
    """With ``None`` there is no limit, and nothing is read for it."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"MAX_PER_SOURCE": None}
    invoice = Invoice.objects.create(number="17")
    InvoicePDF.enqueue_many([invoice] * 10)
    lifecycle.submit()
    assert sandbox.ledger.create_calls == 10


def test_default_is_twenty_an_hour(settings: Any) -> None:
    """Without the setting, 20 documents an hour pass; part of it keeps the rest."""
    settings.DOCRAPTOR = {}
    assert brake.source_limit() == brake.SourceLimit(20, 3600)
    settings.DOCRAPTOR = {"MAX_PER_SOURCE": {"seconds": 60}}
    assert brake.source_limit() == brake.SourceLimit(20, 60)


@pytest.mark.parametrize(("with_source", "queries"), [(True, 1), (False, 0)])
def test_brake_reads_once_per_batch(sandbox: Sandbox, with_source: bool, queries: int) -> None:
    """However many jobs and objects a batch has, one query counts; none if there is no source."""
    for number in range(5):
        invoice = Invoice.objects.create(number=str(number)) if with_source else None
        enqueue(source=invoice)
    jobs = claim_for_slots("default", 16).jobs
    with CaptureQueriesContext(connection) as captured:
        assert brake.let_through(jobs) == jobs
    assert len(captured) == queries


# --- a held job ------------------------------------------------------------------------------


def test_held_job_is_never_sent_by_itself(sandbox: Sandbox, limit: int) -> None:
    """Neither the end of the window nor a changed time sends a held job."""
    job = held_job(limit)
    RenderEvent.objects.update(at="2020-01-01T00:00Z")
    skip_time(100_000)
    lifecycle.run_once()
    RenderJob.objects.filter(pk=job.pk).update(due_at=Now())
    lifecycle.run_once()
    job.refresh_from_db()
    assert (job.attempt, job.due_at, job.lease_token) == (0, HELD_UNTIL, "")
    assert event_kinds(job) == ["enqueued", "held"]
    assert sandbox.ledger.create_calls == limit


def test_resumed_account_releases_nothing(sandbox: Sandbox) -> None:
    """To resume the account of a held job does not let the job go."""
    job = held_job()
    assert resume_account("default").due == 0
    job.refresh_from_db()
    assert (job.due_at, job.held_at is None) == (HELD_UNTIL, False)


def test_release_is_recorded_with_its_actor(sandbox: Sandbox, admin_user) -> None:
    """A release is recorded once, and only a held job can be released."""
    job = held_job()
    assert release(job, by=admin_user)
    assert (job.held_at, job.errors, job.state) == (None, "", State.PENDING)
    assert not release(job, by=admin_user)
    assert job.events.get(kind=EventKind.RELEASED).message == "by admin"
    assert not release(enqueue())
    assert run_until_finished(job).state == State.COMPLETED


def test_every_released_job_is_sent(sandbox: Sandbox, limit: int) -> None:
    """Released jobs are sent, even if they are more than the limit; the next one is held again."""
    invoice = Invoice.objects.create(number="17")
    InvoicePDF.enqueue_many([invoice] * 3 * limit)
    lifecycle.submit()
    held = list(RenderJob.objects.held())
    assert [release(job) for job in held] == [True] * 2 * limit
    lifecycle.submit()
    assert sandbox.ledger.create_calls == 3 * limit
    InvoicePDF.enqueue(invoice)
    lifecycle.submit()
    assert RenderJob.objects.held().count() == 1


def test_jobs_are_released_together_or_each_alone(sandbox: Sandbox, limit: int) -> None:
    """What another process has released meanwhile is left alone, and does not keep the others."""
    InvoicePDF.enqueue_many([Invoice.objects.create(number="17")] * (limit + 3))
    lifecycle.submit()
    jobs = list(RenderJob.objects.held())
    assert release(jobs[0])
    RenderJob.objects.filter(pk=jobs[1].pk).update(attempt=1)  # later than the object was read
    assert lifecycle.release([job.pk for job in jobs], "by mail \U0001f4e8") == 2
    assert not RenderJob.objects.held().exists()
    events = RenderEvent.objects.filter(kind=EventKind.RELEASED)
    assert sorted(events.values_list("job", "attempt")) == sorted(
        (job.pk, int(job == jobs[1])) for job in jobs
    )


def test_release_from_a_budget_is_no_release_from_the_brake(
    sandbox: Sandbox, limit: int, settings: Any
) -> None:
    """It lets the job pass its budgets; how many documents its object had counts as before."""
    settings.DOCRAPTOR = settings.DOCRAPTOR | {"BUDGET": {"day": 0}}
    InvoicePDF.enqueue_many([Invoice.objects.create(number="17")] * 2 * limit, test=False)
    lifecycle.submit()
    by_budget = list(RenderJob.objects.held().filter(held_for=HoldReason.BUDGET))
    assert [release(job) for job in by_budget] == [True] * limit
    lifecycle.submit()
    by_source = list(RenderJob.objects.held().filter(held_for=HoldReason.SOURCE))
    assert (sandbox.ledger.create_calls, len(by_source)) == (limit, limit)
    assert release(by_source[0])
    lifecycle.submit()
    assert sandbox.ledger.create_calls == limit


def test_other_document_classes_do_not_count_after_a_release(sandbox: Sandbox, limit: int) -> None:
    """After a release, too, only the documents of the same class of the object are counted."""

    class Reminder(Document[Invoice]):
        """Registered during the test."""

        model = Invoice
        template_name = "shop/invoice.html"

    released = held_job(limit)
    assert release(released)
    Reminder.enqueue_many([released.source] * (limit - 1))
    lifecycle.submit()
    InvoicePDF.enqueue(released.source)
    Reminder.enqueue(released.source)
    lifecycle.submit()
    assert not RenderJob.objects.held().exists()
    assert sandbox.ledger.create_calls == 2 * limit + 2


def test_held_job_may_be_cancelled(sandbox: Sandbox) -> None:
    """A cancelled job is no longer held."""
    job = held_job()
    assert cancel(job)
    job.refresh_from_db()
    assert (job.state, job.held_at) == (State.CANCELLED, None)
    assert not health_problems()


def test_engine_is_idle_beside_a_held_job(sandbox: Sandbox, monkeypatch) -> None:
    """A held job is no work: a tick is one query, and --until-idle ends and names it."""
    # The heartbeat that this process has recorded in another test is not in this database.
    monkeypatch.setattr(heartbeat, "_last_recorded", {})
    job = held_job()
    output = StringIO()
    call_command("docraptor_tick", "--until-idle", interval=0.05, timeout=20, stdout=output)
    assert Heartbeat.record_if_idle("ticked_at")
    assert lifecycle.read_schedule().next_due_at is None
    assert RenderJob.objects.held().get() == job


def test_worker_without_its_claim_holds_nothing(sandbox: Sandbox, limit: int) -> None:
    """A job that another worker has taken over is neither held nor sent."""
    invoice = Invoice.objects.create(number="17")
    InvoicePDF.enqueue_many([invoice] * (limit + 1))
    jobs = claim_for_slots("default", 16).jobs
    RenderJob.objects.update(lease_token="theirs", due_at=F("due_at"))
    assert prepare_batch(jobs) == ([], [])
    assert not RenderJob.objects.held().exists()
    assert not RenderEvent.objects.filter(kind=EventKind.HELD).exists()


def test_health_counts_held_jobs(sandbox: Sandbox, limit: int) -> None:
    """The report has their number, and the sentence says what to do."""
    InvoicePDF.enqueue_many([Invoice.objects.create(number="17")] * (limit + 2))
    lifecycle.submit()
    (problem,) = health_problems()
    assert "2 jobs are held" in problem
    assert "Release them" in problem
