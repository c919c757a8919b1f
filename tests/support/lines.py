"""Invoices whose lines are saved after them."""

from django.db import transaction

from django_docraptor.models import RenderJob
from tests.apps.shop.models import Invoice, Line


def save_with_lines(lines: int, *, number: str = "17") -> Invoice:
    """Save an invoice, then its lines, in one transaction."""
    with transaction.atomic():
        invoice = Invoice.objects.create(number=number)
        for _ in range(lines):
            Line.objects.create(invoice=invoice, text="paper")
    return invoice


def has_lines(invoice: Invoice) -> bool:
    """Return whether the invoice has lines."""
    return invoice.lines.exists()


def has_no_lines(invoice: Invoice) -> bool:
    """Return whether the invoice has no lines."""
    return not invoice.lines.exists()


def only_job() -> RenderJob:
    """Return the only job, with its input."""
    return RenderJob.objects.select_related("input").get()
