"""The sources of the shop's documents."""

from datetime import date
from decimal import Decimal

from django.conf import settings
from django.contrib.contenttypes.fields import GenericRelation
from django.contrib.contenttypes.models import ContentType
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


class Line(models.Model):
    """A line of an invoice."""

    invoice = models.ForeignKey(Invoice, on_delete=models.CASCADE, related_name="lines")
    text = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.text


class Label(models.Model):
    """A label of any number of invoices."""

    invoices = models.ManyToManyField(Invoice, related_name="labels")
    text = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.text


class Subscription(models.Model):
    """A subscription whose jobs are deleted with it, and which is deleted with its customer."""

    customer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    jobs = GenericRelation("django_docraptor.RenderJob")

    def __str__(self) -> str:
        return f"Subscription {self.pk}"

    def content_type(self) -> ContentType:
        """Return the model's content type."""
        return ContentType.objects.get_for_model(self)
