"""The documents of an invoice."""

from billing.models import Invoice
from django_docraptor import Document


class InvoicePDF(Document[Invoice]):
    """An invoice as a PDF, once for each customer."""

    model = Invoice
    template_name = "billing/invoice.html"

    def get_name(self) -> str:
        """Return the name of the file."""
        return f"invoice-{self.source.number}.pdf"
