"""Invoices and their customers."""

from django.conf import settings
from django.db import models


class Invoice(models.Model):
    """An invoice of a customer."""

    number = models.CharField(max_length=20, unique=True)
    customer = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="invoices"
    )
    total = models.DecimalField(max_digits=9, decimal_places=2)
    is_issued = models.BooleanField(default=False)

    def __str__(self) -> str:
        """Return the number."""
        return self.number
