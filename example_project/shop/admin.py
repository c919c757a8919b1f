"""Invoices in the admin: edit them, issue them, make a report of them."""

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from django_docraptor.admin import DocumentAdminMixin
from example_project.shop.documents import InvoicePDF, InvoiceReport
from example_project.shop.models import Invoice, InvoiceLine


class InvoiceLineInline(admin.TabularInline):
    """Lines below their invoice."""

    model = InvoiceLine
    extra = 1


@admin.register(Invoice)
class InvoiceAdmin(DocumentAdminMixin, admin.ModelAdmin):
    """Invoices: their newest PDF, and actions over the selection."""

    documents = [InvoicePDF]
    list_display = ["number", "customer", "issued_at", "due", "total"]
    list_filter = [("issued_at", admin.EmptyFieldListFilter)]
    search_fields = ["number", "customer__username"]
    inlines = [InvoiceLineInline]
    actions = ["issue", "make_report"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Invoice]:
        """Fetch the lines with the invoices: the totals need them."""
        return super().get_queryset(request).select_related("customer").prefetch_related("lines")

    @admin.action(description="Issue selected invoices", permissions=["change"])
    def issue(self, request: HttpRequest, queryset: QuerySet[Invoice]) -> None:
        """Issue the drafts; a receiver makes their documents."""
        with transaction.atomic():
            drafts = list(queryset.filter(issued_at=None))
            for invoice in drafts:
                invoice.issue()
        self.message_user(request, f"{len(drafts)} invoices issued.", messages.SUCCESS)

    @admin.action(description="Report of selected invoices (PDF and XLSX)", permissions=["view"])
    def make_report(self, request: HttpRequest, queryset: QuerySet[Invoice]) -> None:
        """Order the report and say where it will be."""
        jobs = InvoiceReport.over(queryset, owner=request.user)
        names = " and ".join(job.name for job in jobs)
        link = format_html('In the making: <a href="{}">{}</a>', reverse("documents"), names)
        self.message_user(request, link, messages.SUCCESS)
