from datetime import date

from django.contrib.auth.models import User
from django.test import TestCase

from django_docraptor.testing import DocRaptorTestMixin
from shop.documents import InvoicePDF
from shop.models import Invoice


class InvoiceTests(DocRaptorTestMixin, TestCase):
    def test_issued_invoice_has_a_pdf_with_its_total(self):
        ines = User.objects.create_user("ines", "ines@customers.example")
        invoice = Invoice.objects.create(customer=ines, number="A-1", address="York")
        invoice.lines.create(description="Laid paper", quantity=2, unit_price="18.75")
        self.docraptor.render()
        self.docraptor.assert_not_rendered()  # a draft

        invoice.issued_on = date(2026, 1, 5)
        invoice.save()
        self.docraptor.render()
        self.docraptor.assert_rendered(InvoicePDF, source=invoice, contains="£45.00", count=1)
        invoice.refresh_from_db()
        assert invoice.pdf
