"""The column with the latest documents, and an object's list of documents."""

from typing import Any

import pytest
from django.contrib.admin import AdminSite
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

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
from tests.support.admin_documents import JOBS, LIST, invoices, make_job, page
from tests.support.admin_jobs import client_with

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.apps.shop.urls")]


def test_column_shows_the_latest(clerk: Client, invoice: Invoice) -> None:
    """The column shows the latest job's state, and the file of the latest finished one."""
    done = make_job(invoice, State.COMPLETED)
    assert f'<a href="{done.get_absolute_url()}">Download</a>' in clerk.get(LIST).content.decode()
    make_job(invoice, State.FAILED)
    text = clerk.get(LIST).content.decode()
    assert "✕</span> failed" in text
    assert "✓</span> completed" not in text
    assert f'<a href="{done.get_absolute_url()}">Download previous version</a>' in text


def test_column_without_documents(clerk: Client, invoice: Invoice) -> None:
    """Another object's document, and another document, are not this one's."""
    make_job(Invoice.objects.create(number="other"), State.COMPLETED)
    assert latest.documents_cell(invoice, [InvoicePDF]) == "—"
    make_job(invoice, State.FAILED, Reminder)
    assert latest.documents_cell(invoice, [InvoicePDF]) == "—"


def test_column_has_no_link_for_who_may_not_download(invoice: Invoice) -> None:
    """The state is shown to who sees the object, the file to who may have it."""
    job = make_job(invoice, State.COMPLETED)
    text = client_with("view_invoice").get(LIST).content.decode()
    assert "completed" in text
    assert job.get_absolute_url() not in text


def test_list_without_rows(clerk: Client) -> None:
    """An empty list is a list."""
    assert clerk.get(LIST).context["cl"].result_count == 0


def test_list_of_reports_alone(rf: Any, invoice: Invoice) -> None:
    """Where no document is made of one object, no query looks for one."""

    class Reports(InvoiceAdmin):
        documents = [InvoiceList]

    request = rf.get("/")
    request.user = User.objects.create_superuser("root")
    with CaptureQueriesContext(connection) as queries:
        assert list(Reports(Invoice, site).get_changelist_instance(request).result_list)
    assert not [query for query in queries if "renderjob" in query["sql"]]


def test_no_links_where_jobs_have_no_pages(rf: Any) -> None:
    """A site without the jobs' admin links to none, not even for a superuser."""
    request = rf.get("/")
    request.user = User.objects.create_superuser("root")
    assert latest.may_view_jobs(site, request)
    assert not latest.may_view_jobs(AdminSite(), request)


def test_column_may_be_placed(rf: Any) -> None:
    """A project that names the column has it once, where it wants it."""

    class Placed(InvoiceAdmin):
        list_display = ["latest_documents", "number"]

    class Without(InvoiceAdmin):
        documents = [InvoiceList]

    request = rf.get("/")
    assert Placed(Invoice, site).get_list_display(request) == ["latest_documents", "number"]
    assert Without(Invoice, site).get_list_display(request) == ["number", "total"]
    assert InvoiceAdmin(Invoice, site).get_list_display(request)[-1] == "latest_documents"


def test_list_takes_the_same_queries_for_any_number(clerk: Client) -> None:
    """No query for each row."""
    taken = []
    for count in (1, 4):
        for invoice in invoices(count):
            make_job(invoice, State.COMPLETED)
            make_job(invoice, State.FAILED, Reminder)
        with CaptureQueriesContext(connection) as queries:
            clerk.get(LIST)
        taken.append(len(queries))
    assert taken[1] == taken[0]


def test_history_lists_the_latest(clerk: Client, invoice: Invoice, monkeypatch: Any) -> None:
    """The page lists the latest jobs of its object, linked to their pages."""
    monkeypatch.setattr(latest, "MAX_JOBS_SHOWN", 2)
    jobs = [make_job(invoice, State.FAILED, error_code="rejected") for _ in range(3)]
    make_job(Invoice.objects.create(number="other"), State.COMPLETED)
    response = clerk.get(page(invoice))
    assert len(response.context["document_jobs"]) == 2
    shown = response.content.decode()
    assert sum(f"{JOBS}{job.pk}/change/" in shown for job in jobs) == 2
    assert "<code>rejected</code>" in shown


def test_history_for_who_may_not_view_jobs(invoice: Invoice) -> None:
    """The declared documents only, without links to pages that are not theirs."""
    job = make_job(invoice, State.COMPLETED)
    job_of_another = make_job(invoice, State.COMPLETED)
    RenderJob.objects.filter(pk=job_of_another.pk).update(document="", name="secret.pdf")
    text = client_with("view_invoice").get(page(invoice)).content.decode()
    assert "invoice-2026-1.pdf" in text
    assert "secret.pdf" not in text
    assert JOBS not in text
    assert job.get_absolute_url() not in text
