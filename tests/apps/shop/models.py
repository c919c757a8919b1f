"""A model that documents are made from."""

from django.db import models


class Invoice(models.Model):
    """Something that a customer gets."""

    number = models.CharField(max_length=50)
    total = models.DecimalField(max_digits=10, decimal_places=2, default=0)
    pdf = models.FileField(upload_to="invoices", blank=True)

    def __str__(self) -> str:
        return self.number
