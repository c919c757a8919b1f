"""The confirmation of an order, which the shop keeps as a PDF."""

from django.dispatch import receiver
from oscar.apps.order.signals import order_placed
from oscar.core.loading import get_model

from django_docraptor import Document

Order = get_model("order", "Order")


class OrderPDF(Document[Order]):
    """An order with its lines; the one that the view returns is the one that was placed."""

    model = Order
    template_name = "orders/order.html"

    def get_name(self):
        """Return the name of the file."""
        return f"order-{self.source.number}.pdf"

    def get_idempotency_key(self):
        """Return the same key for the signal and for the view."""
        return f"order-{self.source.number}"


@receiver(order_placed)
def enqueue_order(order, user, **kwargs):
    """Enqueue the PDF in the transaction of the checkout."""
    OrderPDF.enqueue(order, owner=user)
