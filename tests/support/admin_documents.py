"""The shop's admin with its documents, as a browser sees it."""

import re
from typing import Any

from django.test import Client
from django.utils.html import strip_tags

from django_docraptor.models import RenderJob
from django_docraptor.models.clock import Now
from django_docraptor.states import State
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice

LIST = "/shop-admin/shop/invoice/"
JOBS = "/shop-admin/django_docraptor/renderjob/"
CHANGE, ORDER, VIEW_JOBS = "change_invoice", "add_renderjob", "view_renderjob"
HOSTILE = "<script>alert('hostile')</script>"


def create_invoices(count: int) -> list[Invoice]:
    """Return so many new invoices."""
    return [Invoice.objects.create(number=f"2026-{number:03}") for number in range(count)]


def invoice_url(invoice: Invoice) -> str:
    """Return the URL of an invoice's page."""
    return f"{LIST}{invoice.pk}/change/"


def button_url(invoice: Invoice, document: Any = InvoicePDF) -> str:
    """Return the URL of a document's button."""
    return f"{LIST}{invoice.pk}/documents/{document.label}/"


def action_name(document: Any) -> str:
    """Return the name of a document's action."""
    return f"docraptor_{document.label.replace('.', '_')}"


def run_action(client: Client, document: Any, chosen: list[Invoice], **data: Any) -> Any:
    """Run a document's action on some objects."""
    keys = [invoice.pk for invoice in chosen]
    data = {"action": action_name(document), "index": 0, "_selected_action": keys, **data}
    return client.post(data.pop("url", LIST), data, follow=True)


def hidden_fields(response: Any) -> dict[str, list[str]]:
    """Return the hidden fields of a confirmation page, as a browser sends them again."""
    form = response.content.decode().partition('<form method="post" novalidate>')[2]
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form):
        found.setdefault(name, []).append(value)
    return found


def messages_of(response: Any) -> str:
    """Return the messages of a page as text."""
    return " ".join(strip_tags(str(message)) for message in response.context["messages"])


def create_document_job(
    invoice: Invoice, state: State, document: Any = InvoicePDF, **columns: Any
) -> Any:
    """Return a job of an invoice in the given state."""
    job = document.enqueue(invoice)
    if state == State.COMPLETED:
        columns = {"file": "docraptor/there.pdf", **columns}
    if state in (State.COMPLETED, State.FAILED):
        columns = {"due_at": None, "finished_at": Now(), **columns}
    RenderJob.objects.filter(pk=job.pk).update(state=state, **columns)
    return job
