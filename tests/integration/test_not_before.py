"""``not_before``: nothing is sent earlier, and until then nothing calls the document late."""

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client, RequestFactory
from django.utils import timezone

from django_docraptor import lifecycle
from django_docraptor.estimates import estimate_of
from django_docraptor.health import health_report
from django_docraptor.models import RenderJob, seconds_from_now
from django_docraptor.responses.progress import MAX_REFRESH, progress_of
from django_docraptor.sandbox import Sandbox
from django_docraptor.shortcuts import JobSpec, enqueue_many, enqueue_or_update, render_now, retry
from django_docraptor.states import State
from django_docraptor.testing.engine import advance
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.admin_jobs import VIEW, get_text, job_url, staff_client
from tests.support.jobs import HTML, create_job, enqueue, pause_account, run_until_finished

pytestmark = pytest.mark.django_db
TOMORROW = timedelta(days=1)


@pytest.fixture
def invoice() -> Invoice:
    """An object with a document."""
    return Invoice.objects.create(number="17")


def tomorrow() -> datetime:
    """Return the time in a day."""
    return timezone.now() + TOMORROW


def reload(job: RenderJob) -> RenderJob:
    """Return the job with the database's time, as a page reads it."""
    return RenderJob.objects.annotate(database_now=seconds_from_now(0)).get(pk=job.pk)


def test_nothing_is_sent_before_the_time(sandbox: Sandbox) -> None:
    """The job is pending until then, and completed after it."""
    time = tomorrow()
    job = enqueue(not_before=time)
    assert (job.state, job.due_at, job.not_before) == (State.PENDING, time, time)
    lifecycle.run_once()
    assert sandbox.ledger.accepted() == []
    advance(TOMORROW.total_seconds() + 1)
    assert run_until_finished(job).state == State.COMPLETED


def test_each_of_many_has_its_time(sandbox: Sandbox) -> None:
    """Of a batch, those without a time are sent at once."""
    time = tomorrow()
    times = (None, time, None)
    jobs = enqueue_many(JobSpec(name="a.pdf", content=HTML, not_before=each) for each in times)
    assert [RenderJob.objects.get(pk=job.pk).not_before for job in jobs] == list(times)
    assert lifecycle.submit() == 2
    assert len(sandbox.ledger.accepted()) == 2
    assert RenderJob.objects.get(state=State.PENDING).due_at == time


def test_document_class_takes_it(invoice: Invoice) -> None:
    """So does ``Document.enqueue()``."""
    time = tomorrow()
    assert InvoicePDF.enqueue(invoice, not_before=time).not_before == time


def test_time_that_has_passed_means_now() -> None:
    """It is not kept: the job would be late from the beginning."""
    job = enqueue(not_before=timezone.now() - TOMORROW)
    assert job.not_before is None
    assert not any(late.lag > 60 for late in health_report().late)
    assert RenderJob.objects.due().get() == job


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (datetime(2026, 12, 1), "2026-12-01T00:00:00 is naive"),  # noqa: DTZ001 - what is refused
        ("2026-12-01", "aware datetime or None, not str"),
        (timedelta(days=1), "not timedelta"),
        (datetime.max.replace(tzinfo=timezone.get_current_timezone()), "at most 36500 days"),
    ],
)
def test_other_values_are_refused(value: Any, message: str) -> None:
    """The error names the keyword, the value and what to pass."""
    with pytest.raises(ValidationError, match=message) as caught:
        enqueue(not_before=value)
    assert set(caught.value.message_dict) == {"not_before"}
    assert not RenderJob.objects.exists()


def test_hosted_document_must_not_expire_before_it() -> None:
    """It would be billed and expire at once."""
    with pytest.raises(ValidationError, match="must be earlier than hosted_expires_at"):
        enqueue(hosted=True, hosted_expires_at=tomorrow(), not_before=tomorrow())


def test_synchronous_call_refuses_it(tmp_path: Any) -> None:
    """It renders at once."""
    with (tmp_path / "a.pdf").open("wb") as file, pytest.raises(ValidationError, match="at once"):
        render_now(file, name="a.pdf", content=HTML, not_before=tomorrow())


def test_nothing_calls_it_late(client: Client) -> None:
    """Neither health, nor the status page, which says when it will be generated."""
    job = enqueue(not_before=tomorrow())
    RenderJob.objects.filter(pk=job.pk).update(created_at=seconds_from_now(-86_400))
    assert not any(late.lag > 60 for late in health_report().late)
    progress = progress_of(RequestFactory().get("/"), reload(job))
    assert not progress.is_late
    assert not progress.is_longer
    assert progress.elapsed == 0
    assert progress.heading == "Your document is scheduled"
    assert re.fullmatch(r"It will be generated on .*, \d\d:\d\d\.", progress.message)
    assert progress.refresh == MAX_REFRESH


def test_admin_shows_the_time() -> None:
    """The list and the page of the job say so."""
    enqueue(not_before=tomorrow())
    sam = staff_client(VIEW)
    job = RenderJob.objects.get()
    for url in ("/admin/django_docraptor/renderjob/", job_url(job)):
        assert "not before" in get_text(sam, url).lower()


def test_waiting_on_purpose_makes_no_estimate_longer() -> None:
    """The time until then is not the time that a document takes."""
    now = timezone.now()
    for _ in range(5):
        create_job(
            State.COMPLETED,
            document=InvoicePDF.label,
            created_at=now - 2 * TOMORROW,
            not_before=now - TOMORROW,
            finished_at=now - TOMORROW + timedelta(seconds=8),
        )
    estimate = estimate_of(InvoicePDF.label)
    assert estimate is not None
    assert estimate.longest == 8
    job = RenderJob.objects.first()
    assert job is not None
    assert job.time_taken == timedelta(seconds=8)


def test_resumed_account_starts_none_earlier() -> None:
    """Whatever else was postponed: the time was named by a person."""
    job = enqueue(not_before=tomorrow())
    pause_account("default", "refused")
    RenderJob.objects.filter(pk=job.pk).update(errors="refused", failures=1)
    lifecycle.resume("default")
    assert RenderJob.objects.get(pk=job.pk).due_at == job.not_before


def test_retry_starts_none_earlier() -> None:
    """A failed job whose time is still to come is pending until then."""
    job = create_job(State.FAILED, not_before=tomorrow())
    assert retry(job)
    assert RenderJob.objects.get(pk=job.pk).due_at == job.not_before


def test_latest_request_decides_about_a_pending_document(invoice: Invoice) -> None:
    """A newer request for the document of an object moves it, forward or back."""
    first, second = tomorrow(), tomorrow() + TOMORROW
    for time in (first, second, None):
        job = enqueue_or_update(InvoicePDF.spec(invoice, not_before=time))
        job.refresh_from_db()
        assert job.not_before == time
        assert time is None or job.due_at == time
    assert RenderJob.objects.due().count() == RenderJob.objects.count() == 1


def test_trigger_takes_a_function(
    invoice: Invoice, django_capture_on_commit_callbacks: Any
) -> None:
    """A saved object can say when its document is generated."""
    time = tomorrow()
    trigger = InvoicePDF.on_save(not_before=lambda invoice: time)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            invoice.save()
            job = RenderJob.objects.get()
            assert job.not_before == time
        job.refresh_from_db()
        assert (job.not_before, job.due_at) == (time, time)
    finally:
        trigger.disconnect()
