"""The latest documents of objects."""

from typing import Any

import pytest

from django_docraptor.documents import (
    attach_latest_documents,
    latest_document,
)
from django_docraptor.models import RenderJob, seconds_from_now
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.jobs import MakeJob

pytestmark = pytest.mark.django_db


def test_latest_document_is_the_newest_completed_one(
    make_completed_job: MakeJob, delivered_document, invoice: Invoice
) -> None:
    """The latest document is the newest completed job of the class and the object."""
    assert latest_document(invoice, delivered_document) is None
    older, newer = make_completed_job(), make_completed_job()
    RenderJob.objects.filter(pk=older.pk).update(created_at=seconds_from_now(-9))
    delivered_document.enqueue(invoice)
    assert latest_document(invoice, delivered_document) == newer
    assert latest_document(invoice, InvoicePDF) is None
    assert latest_document(Invoice.objects.create(number="18"), delivered_document) is None


def test_attach_latest_documents_needs_two_queries(
    make_completed_job: MakeJob,
    delivered_document,
    invoice: Invoice,
    django_assert_max_num_queries: Any,
) -> None:
    """Each object gets its latest job or None, with two queries for all of them."""
    older, newer = make_completed_job(), make_completed_job()
    RenderJob.objects.filter(pk=older.pk).update(created_at=seconds_from_now(-9))
    for number in range(20):
        Invoice.objects.create(number=str(number))
    invoices = Invoice.objects.order_by("pk")
    with django_assert_max_num_queries(2):
        attached = attach_latest_documents(invoices, delivered_document)
    with django_assert_max_num_queries(0):
        assert [one.latest_document for one in invoices] == [newer] + [None] * 20
    assert attached == list(invoices)


def test_attach_latest_documents_of_nothing_needs_no_query(
    delivered_document, django_assert_max_num_queries: Any
) -> None:
    """Without objects there is no query."""
    with django_assert_max_num_queries(0):
        assert attach_latest_documents([], delivered_document) == []
