"""Documents in the shop's admin, as a browser sees them."""

import re
from typing import Any

from django.db.models.functions import Now
from django.test import Client
from django.utils.html import strip_tags

from django_docraptor.models import RenderJob
from django_docraptor.states import State
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice

LIST = "/shop-admin/shop/invoice/"
JOBS = "/shop-admin/django_docraptor/renderjob/"
CHANGE, ORDER, VIEW_JOBS = "change_invoice", "add_renderjob", "view_renderjob"
HOSTILE = "<script>alert('hostile')</script>"


def invoices(count: int) -> list[Invoice]:
    """So many invoices."""
    return [Invoice.objects.create(number=f"2026-{number:03}") for number in range(count)]


def page(invoice: Invoice) -> str:
    """Address of an invoice's page."""
    return f"{LIST}{invoice.pk}/change/"


def button(invoice: Invoice, document: Any = InvoicePDF) -> str:
    """Address of a button."""
    return f"{LIST}{invoice.pk}/documents/{document.label}/"


def action(document: Any) -> str:
    """Name of a document's action."""
    return f"docraptor_{document.label.replace('.', '_')}"


def select(client: Client, document: Any, chosen: list[Invoice], **data: Any) -> Any:
    """Choose an action for some objects."""
    keys = [invoice.pk for invoice in chosen]
    data = {"action": action(document), "index": 0, "_selected_action": keys, **data}
    return client.post(data.pop("url", LIST), data, follow=True)


def hidden(response: Any) -> dict[str, list[str]]:
    """The hidden fields of the page that asks, as a browser sends them again."""
    form = response.content.decode().partition('<form method="post" novalidate>')[2]
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form):
        found.setdefault(name, []).append(value)
    return found


def said(response: Any) -> str:
    """The messages of a page, as text."""
    return " ".join(strip_tags(str(message)) for message in response.context["messages"])


def make_job(invoice: Invoice, state: State, document: Any = InvoicePDF, **columns: Any) -> Any:
    """A job of an invoice in a state."""
    job = document.enqueue(invoice)
    if state == State.COMPLETED:
        columns = {"file": "docraptor/there.pdf", **columns}
    if state in (State.COMPLETED, State.FAILED):
        columns = {"due_at": None, "finished_at": Now(), **columns}
    RenderJob.objects.filter(pk=job.pk).update(state=state, **columns)
    return job
