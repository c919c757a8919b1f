"""An invoice that becomes issued makes its document."""

from typing import Any

from django.db.models.signals import post_save
from django.dispatch import receiver

from example_project.shop.documents import InvoicePDF
from example_project.shop.models import Invoice


@receiver(post_save, sender=Invoice, dispatch_uid="shop.make_invoice_pdf")
def make_invoice_pdf(instance: Invoice, raw: bool, **kwargs: Any) -> None:
    """Order the PDF once, however often the issued invoice is saved.

    The worker renders it after commit, so lines that are saved after the invoice are on it.
    """
    if instance.is_issued and not raw:
        key = f"shop.invoice.{instance.pk}"
        InvoicePDF.enqueue(instance, owner=instance.customer, idempotency_key=key)
