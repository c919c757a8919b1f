from datetime import timedelta

from django.conf import settings
from django.db import models


class Invoice(models.Model):
    customer = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="invoices"
    )
    number = models.CharField(max_length=20, unique=True)
    address = models.TextField()
    issued_on = models.DateField(null=True, blank=True, help_text="Leave empty for a draft.")
    signature = models.FileField(upload_to="signatures", blank=True, help_text="Signature image.")
    pdf = models.FileField(upload_to="invoices", blank=True, editable=False)

    class Meta:
        ordering = ["-number"]

    def __str__(self):
        return f"Invoice {self.number}"

    @property
    def is_issued(self):
        return self.issued_on is not None

    @property
    def due(self):
        return self.issued_on + timedelta(days=30) if self.issued_on else None

    @property
    def net(self):
        return sum(line.net for line in self.lines.all())

    @property
    def vat(self):
        return sum(line.vat for line in self.lines.all())

    @property
    def total(self):
        return self.net + self.vat


class Line(models.Model):
    invoice = models.ForeignKey(Invoice, on_delete=models.CASCADE, related_name="lines")
    description = models.CharField(max_length=200)
    quantity = models.PositiveIntegerField(default=1)
    unit_price = models.DecimalField(max_digits=10, decimal_places=2)
    vat_rate = models.PositiveIntegerField("VAT %", default=20)

    def __str__(self):
        return self.description

    @property
    def net(self):
        return self.quantity * self.unit_price

    @property
    def vat(self):
        return round(self.net * self.vat_rate / 100, 2)
