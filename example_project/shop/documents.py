"""The shop's documents; django-docraptor finds this module like ``admin.py``."""

from base64 import b64encode
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import QuerySet
from django.template.loader import render_to_string

from django_docraptor.documents import Document
from django_docraptor.models import RenderJob
from django_docraptor.shortcuts import enqueue_many
from example_project.shop.models import Invoice


def logo() -> str:
    """The logo as a data URI: nothing has to be fetched to print it."""
    svg = render_to_string("shop/logo.svg")
    return f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}"


class InvoicePDF(Document[Invoice]):
    """An invoice, as the customer gets it."""

    model = Invoice
    template_name = "shop/invoice.html"

    def get_name(self) -> str:
        """The invoice's number, so that the customer finds it again."""
        return f"invoice-{self.source.number}.pdf"

    def get_options(self) -> dict[str, Any]:
        """A title for the reader's window."""
        return {"prince_options": {"pdf_title": str(self.source)}}

    def get_context(self) -> dict[str, Any]:
        """The invoice and its lines."""
        return {"invoice": self.source, "lines": self.source.lines.all(), "logo": logo()}


# Made once, however often the issued invoice is saved. The worker renders it after the commit, so
# lines that are saved after the invoice are on it.
InvoicePDF.on_save(
    when=lambda invoice: invoice.is_issued,
    owner=lambda invoice: invoice.customer,
    idempotency_key=lambda invoice: f"shop.invoice.{invoice.pk}",
)


class InvoiceReport(Document[Invoice]):
    """A table of invoices, as PDF and as XLSX. Parameters: ``ids`` and ``document_type``."""

    template_name = "shop/report.html"

    def get_name(self) -> str:
        """One name, two endings."""
        return f"invoice-report.{self.get_document_type()}"

    def get_context(self) -> dict[str, Any]:
        """The invoices, and how money is written: for readers, or for spreadsheets."""
        chosen = Invoice.objects.filter(pk__in=self.params["ids"]).order_by("number")
        invoices = list(chosen.select_related("customer").prefetch_related("lines"))
        return {
            "invoices": invoices,
            "net": sum(invoice.net for invoice in invoices),
            "vat": sum(invoice.vat_total for invoice in invoices),
            "total": sum(invoice.total for invoice in invoices),
            "money": "2u" if self.get_document_type() == "xlsx" else "2g",
            "logo": logo(),
        }

    @classmethod
    def over(cls, invoices: QuerySet[Invoice], *, owner: AbstractBaseUser) -> list[RenderJob]:
        """Make the report of some invoices, as PDF and as XLSX."""
        ids = list(invoices.order_by("pk").values_list("pk", flat=True))
        return enqueue_many(
            cls.order(owner=owner, params={"ids": ids, "document_type": document_type})
            for document_type in ("pdf", "xlsx")
        )
