"""A second document of an invoice."""

from django_docraptor.documents import Document
from tests.apps.shop.models import Invoice


class Sheet(Document[Invoice]):
    """Another document of the same object: a workbook."""

    model = Invoice
    template_name = "shop/invoice.html"
    document_type = "xlsx"
