"""What the confirmation of a retry says: can it help, and what has changed."""

from typing import Any

import pytest
from django.test import Client

from django_docraptor.admin.retry_question import Content
from django_docraptor.lifecycle.composition import compose_request
from django_docraptor.lifecycle.reuse import request_hash
from django_docraptor.models import RenderInput, RenderJob
from django_docraptor.states import ErrorCode, State
from tests.apps.shop.documents import Broken, InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.admin_jobs import failed_job, get_text, job_url

pytestmark = pytest.mark.django_db


def snapshot_job(invoice: Invoice, **columns: Any) -> RenderJob:
    """Return a failed job with the HTML of the invoice as it is now."""
    invoice.refresh_from_db()  # the number of decimals is the column's
    content = InvoicePDF.preview_html(invoice)
    options = {"document": InvoicePDF.label, "source": invoice, "content": content}
    job: RenderJob = failed_job(options=options, **columns)
    return job


def worker_job(invoice: Invoice, document: Any = InvoicePDF, **columns: Any) -> RenderJob:
    """Return a failed job whose HTML a worker renders."""
    options = {"document": document.label, "source": invoice, "content": ""}
    job: RenderJob = failed_job(options=options, **columns)
    return job


def question_of(client: Client, job: RenderJob) -> Any:
    """Return what the confirmation page says."""
    return client.get(job_url(job, "retry")).context["question"]


def test_stored_html_is_compared_with_the_current_data(client: Client, invoice: Invoice) -> None:
    """The lines that have changed are shown, and that they are not sent."""
    job = snapshot_job(invoice)
    assert "What has changed: nothing" in get_text(client, job_url(job, "retry"))
    Invoice.objects.update(number="corrected")
    question = question_of(client, job)
    assert (question.content, question.comparison.changed) == (Content.STORED, 1)
    text = get_text(client, job_url(job, "retry"))
    assert "What has changed: 1 line" in text
    assert "<ins>corrected</ins>" in text
    assert "A retry sends the stored HTML again, whatever has changed since." in text
    assert "exactly what failed is sent again" in text


def test_lines_are_hidden_from_others(
    client: Client, invoice: Invoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may not read the document sees only how many lines have changed."""
    job = snapshot_job(invoice)
    Invoice.objects.update(number="canary")
    monkeypatch.setattr(InvoicePDF, "may_download", lambda user, job: False)
    text = get_text(client, job_url(job, "retry"))
    assert "What has changed: 1 line" in text
    assert "canary" not in text
    assert "2026-1" not in text


@pytest.mark.parametrize("may_read", [True, False])
def test_error_of_the_current_data_is_shown(
    client: Client, invoice: Invoice, monkeypatch: pytest.MonkeyPatch, may_read: bool
) -> None:
    """A template that raises is told, to those who may read the document."""
    job = worker_job(invoice, Broken, reason=ErrorCode.TEMPLATE_ERROR)
    monkeypatch.setattr(Broken, "may_download", lambda user, job: may_read)
    response = client.get(job_url(job, "retry"))
    text = response.content.decode()
    assert response.status_code == 200
    assert "No: the document cannot be rendered now, either." in text
    assert ("RuntimeError: no such total" in text) == may_read
    assert ("The error is hidden" in text) != may_read


def test_error_of_a_snapshots_current_data_stops_nothing(
    client: Client, invoice: Invoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stored HTML can be sent, whatever the template does now."""
    job = snapshot_job(invoice, reason=ErrorCode.DOCUMENT_GONE)
    monkeypatch.setattr(InvoicePDF, "get_context", lambda self: 1 / 0)
    question = question_of(client, job)
    assert question.error == "ZeroDivisionError: division by zero"
    assert question.help == "It may: nothing has to be corrected first."


def test_deleted_source_is_told(client: Client, invoice: Invoice) -> None:
    """A document whose object is gone cannot be rendered again."""
    job = worker_job(invoice)
    invoice.delete()
    assert "no longer exists" in question_of(client, job).error


def test_request_of_a_worker_is_compared_by_its_hash(client: Client, invoice: Invoice) -> None:
    """The same request fails again; another one may not."""
    job = worker_job(invoice)
    job.input = RenderInput.objects.get(pk=job.pk)
    RenderJob.objects.update(request_hash=request_hash(compose_request(job)))
    assert question_of(client, job).is_same is True
    assert "exactly what failed" in question_of(client, job).help
    Invoice.objects.update(number="corrected")
    assert question_of(client, job).is_same is False
    assert "something else than what failed" in question_of(client, job).help


def test_resumed_attempt_sends_nothing(client: Client, invoice: Invoice) -> None:
    """Nothing is rendered for an attempt that DocRaptor has accepted."""
    job = worker_job(invoice, Broken, reason=ErrorCode.TIMED_OUT)
    question = question_of(client, job)
    assert question.content is Content.RESUMED
    assert not question.error


def test_other_contents_are_told(client: Client) -> None:
    """A page, HTML without a class, and an input that was deleted."""
    page = failed_job(options={"content": "", "url": "https://shop.example/"})
    assert question_of(client, page).content is Content.PAGE
    plain = failed_job()
    assert question_of(client, plain).content is Content.STORED
    assert question_of(client, plain).comparison is None
    RenderInput.objects.all().delete()
    assert question_of(client, plain).content is Content.GONE
    assert "enqueue the document again" in question_of(client, plain).help


def test_hooks_write_nothing(
    client: Client, invoice: Invoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a document writes while it is rendered for the question is rolled back."""
    job = snapshot_job(invoice)

    def take_number(self: Any) -> Any:
        Invoice.objects.create(number="taken")
        return {}

    monkeypatch.setattr(InvoicePDF, "get_context", take_number)
    assert question_of(client, job).comparison is not None
    assert not Invoice.objects.filter(number="taken").exists()
    assert RenderJob.objects.get(pk=job.pk).state == State.FAILED


def test_many_jobs_are_not_rendered(client: Client, invoice: Invoice) -> None:
    """The list's action compares nothing: it may have 500 jobs."""
    jobs = [worker_job(invoice, Broken) for _ in range(2)]
    data = {"action": "retry_selected", "_selected_action": [job.pk for job in jobs]}
    response = client.post("/admin/django_docraptor/renderjob/", data)
    assert response.context["question"] is None
