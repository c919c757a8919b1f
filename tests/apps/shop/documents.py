"""Documents of the shop."""

from django_docraptor.documents import Document
from tests.apps.shop.models import Invoice


class InvoicePDF(Document[Invoice]):
    """One invoice."""

    model = Invoice
    template_name = "shop/invoice.html"
    options = {"prince_options": {"media": "print"}}

    def get_name(self) -> str:
        return f"invoice-{self.source.number}.pdf"


class Broken(Document[Invoice]):
    """A document whose template raises."""

    template_name = "shop/broken.html"

    def get_context(self):
        raise RuntimeError("no such total")
