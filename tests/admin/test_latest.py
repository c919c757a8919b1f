"""The column with the latest documents, and an object's list of documents."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin import AdminSite
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_docraptor.admin import latest
from django_docraptor.models import RenderJob
from django_docraptor.states import State
from tests.apps.shop.admin import (
    InvoiceAdmin,
    InvoiceList,
    Reminder,
    site,
)
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.admin_documents import (
    JOBS,
    LIST,
    create_document_job,
    create_invoices,
    invoice_url,
)
from tests.support.admin_jobs import staff_client

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.apps.shop.urls")]


def test_column_shows_the_latest(clerk: Client, invoice: Invoice) -> None:
    """The column shows the latest job's state, and the file of the latest finished one."""
    done = create_document_job(invoice, State.COMPLETED)
    assert f'<a href="{done.get_absolute_url()}">Download</a>' in clerk.get(LIST).content.decode()
    create_document_job(invoice, State.FAILED)
    text = clerk.get(LIST).content.decode()
    assert "✕</span> failed" in text
    assert "✓</span> completed" not in text
    assert f'<a href="{done.get_absolute_url()}">Download previous version</a>' in text


def test_column_ignores_other_objects_and_documents(clerk: Client, invoice: Invoice) -> None:
    """Jobs of another object or another document are not shown."""
    create_document_job(Invoice.objects.create(number="other"), State.COMPLETED)
    assert latest.documents_cell(invoice, [InvoicePDF]) == "—"
    create_document_job(invoice, State.FAILED, Reminder)
    assert latest.documents_cell(invoice, [InvoicePDF]) == "—"


def test_column_has_no_link_without_download_permission(invoice: Invoice) -> None:
    """The state is shown to users who may view the object, the file only to permitted users."""
    job = create_document_job(invoice, State.COMPLETED)
    text = staff_client("view_invoice").get(LIST).content.decode()
    assert "completed" in text
    assert job.get_absolute_url() not in text


def test_empty_list_is_shown(clerk: Client) -> None:
    """A list without rows is shown."""
    assert clerk.get(LIST).context["cl"].result_count == 0


def test_list_with_reports_only_needs_no_query(rf: Any, invoice: Invoice) -> None:
    """If no document is generated from one object, no query searches for one."""

    class Reports(InvoiceAdmin):
        documents = [InvoiceList]

    request = rf.get("/")
    request.user = User.objects.create_superuser("root")
    with CaptureQueriesContext(connection) as queries:
        assert list(Reports(Invoice, site).get_changelist_instance(request).result_list)
    assert not [query for query in queries if "renderjob" in query["sql"]]


def test_no_links_if_the_site_has_no_jobs_admin(rf: Any) -> None:
    """On a site without the jobs' admin there are no links to it, not even for a superuser."""
    request = rf.get("/")
    request.user = User.objects.create_superuser("root")
    assert latest.may_view_jobs(site, request)
    assert not latest.may_view_jobs(AdminSite(), request)


def test_column_may_be_named_in_list_display(rf: Any) -> None:
    """A project that names the column in ``list_display`` has it once, at that position."""

    class Placed(InvoiceAdmin):
        list_display = ["latest_documents", "number"]

    class Without(InvoiceAdmin):
        documents = [InvoiceList]

    request = rf.get("/")
    assert Placed(Invoice, site).get_list_display(request) == ["latest_documents", "number"]
    assert Without(Invoice, site).get_list_display(request) == ["number", "total"]
    assert InvoiceAdmin(Invoice, site).get_list_display(request)[-1] == "latest_documents"


def test_list_needs_a_constant_number_of_queries(clerk: Client) -> None:
    """The number of queries does not grow with the rows."""
    taken = []
    for count in (1, 4):
        for invoice in create_invoices(count):
            create_document_job(invoice, State.COMPLETED)
            create_document_job(invoice, State.FAILED, Reminder)
        with CaptureQueriesContext(connection) as queries:
            clerk.get(LIST)
        taken.append(len(queries))
    assert taken[1] == taken[0]


def test_column_marks_documents_that_are_older(
    clerk: Client, invoice: Invoice, monkeypatch: Any
) -> None:
    """The object was saved after the content of its latest document was rendered."""
    job = create_document_job(invoice, State.COMPLETED)
    monkeypatch.setattr(InvoicePDF, "changed_at_field", "changed_at")
    monkeypatch.setattr(Invoice, "changed_at", job.created_at, raising=False)
    RenderJob.objects.update(sent_at=job.created_at + timedelta(minutes=5))
    assert "changed since" not in clerk.get(LIST).content.decode()
    monkeypatch.setattr(Invoice, "changed_at", job.created_at + timedelta(minutes=6))
    assert "changed since</span>" in clerk.get(LIST).content.decode()
    create_document_job(invoice, State.PENDING)
    assert "changed since" not in clerk.get(LIST).content.decode()


def test_mark_needs_a_constant_number_of_queries(clerk: Client, monkeypatch: Any) -> None:
    """One query finds the age of all documents of the page."""
    monkeypatch.setattr(InvoicePDF, "changed_at_field", "changed_at")
    monkeypatch.setattr(Invoice, "changed_at", timezone.now() + timedelta(days=1), raising=False)
    taken = []
    for count in (1, 4):
        for invoice in create_invoices(count):
            create_document_job(invoice, State.COMPLETED)
        RenderJob.objects.update(sent_at=timezone.now())
        with CaptureQueriesContext(connection) as queries:
            text = clerk.get(LIST).content.decode()
        taken.append(len(queries))
    assert text.count("changed since</span>") == 5
    assert taken[1] == taken[0]


def test_history_lists_the_latest(clerk: Client, invoice: Invoice, monkeypatch: Any) -> None:
    """The page lists the latest jobs of its object, linked to their pages."""
    monkeypatch.setattr(latest, "MAX_JOBS_SHOWN", 2)
    jobs = [create_document_job(invoice, State.FAILED, error_code="rejected") for _ in range(3)]
    create_document_job(Invoice.objects.create(number="other"), State.COMPLETED)
    response = clerk.get(invoice_url(invoice))
    assert len(response.context["document_jobs"]) == 2
    shown = response.content.decode()
    assert sum(f"{JOBS}{job.pk}/change/" in shown for job in jobs) == 2
    assert "<code>rejected</code>" in shown


def test_list_of_documents_without_view_permission(invoice: Invoice) -> None:
    """Users who may not view jobs see the declared documents only, without links."""
    job = create_document_job(invoice, State.COMPLETED)
    job_of_another = create_document_job(invoice, State.COMPLETED)
    RenderJob.objects.filter(pk=job_of_another.pk).update(document="", name="secret.pdf")
    text = staff_client("view_invoice").get(invoice_url(invoice)).content.decode()
    assert "invoice-2026-1.pdf" in text
    assert "secret.pdf" not in text
    assert JOBS not in text
    assert job.get_absolute_url() not in text
