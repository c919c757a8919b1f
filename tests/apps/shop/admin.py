"""Invoices in the admin, with their documents: free ones, billed ones, and with options."""

from django import forms
from django.contrib import admin

from django_docraptor.admin import DocumentAdminMixin, RenderJobAdmin
from django_docraptor.documents import Document, QuerysetDocument
from django_docraptor.models import RenderJob
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice

# A site of its own: in the tests of the jobs' admin, invoices have no admin page.
site = admin.AdminSite(name="shop")
site.register(RenderJob, RenderJobAdmin)


class Reminder(Document[Invoice]):
    """A letter that is billed."""

    model = Invoice
    template_name = "shop/invoice.html"
    test = False

    def get_name(self) -> str:
        """Too long if the number is as long as it may be."""
        return f"{self.source.number * 5}.pdf"


class Period(forms.Form):
    """What a statement is about."""

    since = forms.DateField()
    document_type = forms.ChoiceField(choices=[("pdf", "PDF"), ("xlsx", "XLSX")], initial="pdf")


class Statement(Document[Invoice]):
    """A document with options, free."""

    model = Invoice
    template_name = "shop/invoice.html"
    form_class = Period


class InvoiceList(QuerysetDocument[Invoice]):
    """One table of many invoices."""

    model = Invoice
    template_name = "shop/invoices.html"


class BilledList(InvoiceList):
    """One table of many invoices that is billed, with options."""

    test = False
    form_class = Period


@admin.register(Invoice, site=site)
class InvoiceAdmin(DocumentAdminMixin, admin.ModelAdmin):
    """Invoices with everything that the mixin offers."""

    list_display = ["number", "total"]
    search_fields = ["number"]
    ordering = ["number"]
    list_per_page = 5
    documents = [InvoicePDF, Reminder, Statement, InvoiceList, BilledList]
