from datetime import date

from django import forms

from django_docraptor import Document, QuerysetDocument, document_completed, document_failed, mail
from shop.models import Invoice


class InvoicePDF(Document[Invoice]):
    model = Invoice
    template_name = "shop/invoice.html"
    options = {"prince_options": {"media": "print"}}
    language = "en-gb"
    deliver_to = "pdf"

    def get_name(self):
        return f"invoice-{self.source.number}.pdf"

    def get_idempotency_key(self):
        return f"invoice-{self.source.number}"

    @classmethod
    def may_download(cls, user, job):
        invoice = job.source
        return super().may_download(user, job) or (
            isinstance(invoice, Invoice) and invoice.customer_id == user.pk
        )


InvoicePDF.on_save(
    when=lambda invoice: invoice.is_issued,
    owner=lambda invoice: invoice.customer,
)


class ReminderForm(forms.Form):
    pay_by = forms.DateField()


class Reminder(Document[Invoice]):
    model = Invoice
    template_name = "shop/reminder.html"
    form_class = ReminderForm

    def get_name(self):
        return f"reminder-{self.source.number}.pdf"

    def get_context(self):
        return {"pay_by": date.fromisoformat(self.params["pay_by"])}


class ReportForm(forms.Form):
    document_type = forms.ChoiceField(choices=[("pdf", "PDF"), ("xlsx", "Excel")])


class InvoiceReport(QuerysetDocument[Invoice]):
    model = Invoice
    template_name = "shop/report.html"
    form_class = ReportForm

    def get_name(self):
        return f"invoices.{self.get_document_type()}"

    def get_queryset(self):
        return super().get_queryset().select_related("customer").prefetch_related("lines")

    def get_context(self):
        return {"total": sum(invoice.total for invoice in self.rows)}


document_completed.connect(mail.notify_owner)
document_failed.connect(mail.notify_owner)
