from django import forms
from django.contrib import admin
from django.db import models

from django_docraptor import DocumentAdminMixin
from shop.documents import InvoicePDF, InvoiceReport, Reminder
from shop.models import Invoice, Line


class LineInline(admin.TabularInline):
    model = Line
    extra = 1


@admin.register(Invoice)
class InvoiceAdmin(DocumentAdminMixin, admin.ModelAdmin):
    documents = [InvoicePDF, Reminder, InvoiceReport]
    list_display = ["number", "customer", "issued_on", "total"]
    inlines = [LineInline]
    formfield_overrides = {models.FileField: {"widget": forms.FileInput}}

    def get_queryset(self, request):
        return super().get_queryset(request).select_related("customer").prefetch_related("lines")
