"""A customer places an order, and reads its PDF; another customer may not."""

from django.urls import reverse
from oscar.apps.order.signals import order_placed
from oscar.core.loading import get_class
from oscar.test.factories import create_basket, create_order
from steps import assert_downloads, assert_pdf, client_of, completed_job, user

from django_docraptor.models import RenderJob


def main() -> None:
    """Place an order as oscar's checkout does."""
    ada, bob = user("ada"), user("bob")
    order = create_order(number="100017", basket=create_basket(), user=ada)
    if not RenderJob.objects.exists():  # oscar sends it at the end of its checkout views
        order_placed.send(sender=get_class("order.utils", "OrderCreator"), order=order, user=ada)
    job = completed_job(document="orders.OrderPDF")
    assert job.name == "order-100017.pdf", job.name
    assert_downloads(job, owner=ada, other=bob)
    url = reverse("order-pdf", args=[order.number])
    assert_pdf(client_of(ada).get(url))
    assert client_of(bob).get(url).status_code == 404
    assert RenderJob.objects.count() == 1
    assert client_of(ada).get(reverse("catalogue:index")).status_code == 200
    print("an order of the shop, its PDF, and the view for its customer")
