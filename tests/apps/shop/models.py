"""The sources of the shop's documents."""

from datetime import date
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


class OverdueInvoice(Invoice):
    """An invoice of which the customer is reminded: the same table, another class."""

    class Meta:
        proxy = True

    def reminder(self) -> str:
        return f"Please pay {self.number}"


class DayReport(models.Model):
    """What was sold on a day, which is its primary key."""

    day: "models.DateField[date | str, date]" = models.DateField(primary_key=True)

    def __str__(self) -> str:
        return str(self.day)


class ShopDayReport(DayReport):
    """The same of one shop: an inherited model."""

    shop = models.CharField(max_length=20)

    def __str__(self) -> str:
        return f"{self.shop} {self.day}"
