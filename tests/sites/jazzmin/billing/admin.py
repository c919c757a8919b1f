"""Invoices with a button for their document."""

from billing.documents import InvoicePDF
from billing.models import Invoice
from django.contrib import admin

from django_docraptor import DocumentAdminMixin


@admin.register(Invoice)
class InvoiceAdmin(DocumentAdminMixin, admin.ModelAdmin):
    """An invoice, with a button, an action and a column for its PDF."""

    documents = [InvoicePDF]
    list_display = ["number", "customer", "total"]
