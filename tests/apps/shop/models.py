"""The source of the shop's documents."""

from decimal import Decimal

from django.db import models


class Invoice(models.Model):
    """An invoice, with a field for its document."""

    # Types, for pyright: it does not run django-stubs' plugin for mypy.
    number: "models.CharField[str, str]" = models.CharField(max_length=50)
    total: "models.DecimalField[Decimal | int, Decimal]" = models.DecimalField(
        max_digits=10, decimal_places=2, default=0
    )
    pdf = models.FileField(upload_to="invoices", blank=True)

    def __str__(self) -> str:
        return self.number
