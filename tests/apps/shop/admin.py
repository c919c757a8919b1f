"""Invoices in the admin with documents: free, billed, and with options."""

from django import forms
from django.contrib import admin

from django_docraptor.admin import DocumentAdminMixin, RenderJobAdmin
from django_docraptor.documents import Document, QuerysetDocument
from django_docraptor.models import RenderJob
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice

# A separate site, since invoices have no admin page in the tests of the jobs' admin.
site = admin.AdminSite(name="shop")
site.register(RenderJob, RenderJobAdmin)


class Reminder(Document[Invoice]):
    """A billed document."""

    model = Invoice
    template_name = "shop/invoice.html"
    test = False

    def get_name(self) -> str:
        """Return a name that is too long if the number has its maximum length."""
        return f"{self.source.number * 5}.pdf"


class Period(forms.Form):
    """The options of a statement."""

    since = forms.DateField()
    document_type = forms.ChoiceField(choices=[("pdf", "PDF"), ("xlsx", "XLSX")], initial="pdf")


class Statement(Document[Invoice]):
    """A free document with options."""

    model = Invoice
    template_name = "shop/invoice.html"
    form_class = Period


class InvoiceList(QuerysetDocument[Invoice]):
    """A report over invoices."""

    model = Invoice
    template_name = "shop/invoices.html"


class BilledList(InvoiceList):
    """A billed report over invoices, with options."""

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
