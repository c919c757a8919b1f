"""The customer's own orders as PDFs."""

from django.views.generic import DetailView

from django_docraptor import DocumentMixin
from orders.documents import Order, OrderPDF


class OrderDocument(DocumentMixin, DetailView):
    """The PDF of an order of the user."""

    document = OrderPDF
    slug_field = slug_url_kwarg = "number"
    wait = 0

    def get_queryset(self):
        """Return the orders of the user."""
        return Order.objects.filter(user=self.request.user)
