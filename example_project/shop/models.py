"""Invoices. Nothing of documents here."""

from collections import defaultdict
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal

from django.conf import settings
from django.db import models
from django.utils import timezone

CENT = Decimal("0.01")
DAYS_TO_PAY = 30


def cents(amount: Decimal) -> Decimal:
    """Round to cents, half up."""
    return amount.quantize(CENT, ROUND_HALF_UP)


class Invoice(models.Model):
    """What a customer owes; a draft until it is issued."""

    customer = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="invoices"
    )
    number = models.CharField(max_length=20, unique=True)
    address = models.TextField(help_text="As it was when the invoice was issued.")
    issued_at = models.DateTimeField(null=True, blank=True, help_text="Empty: a draft.")
    due = models.DateField(null=True, blank=True)

    class Meta:
        ordering = ["-number"]

    def __str__(self) -> str:
        return f"Invoice {self.number}"

    @property
    def is_issued(self) -> bool:
        """Whether it is no draft any more."""
        return self.issued_at is not None

    def issue(self) -> None:
        """Make it valid from now, payable in 30 days."""
        self.issued_at = timezone.now()
        self.due = timezone.localdate() + timedelta(days=DAYS_TO_PAY)
        self.save(update_fields=["issued_at", "due"])

    @property
    def net(self) -> Decimal:
        """Sum of the lines, without VAT."""
        return sum((line.net for line in self.lines.all()), Decimal(0))

    @property
    def vat(self) -> list[tuple[Decimal, Decimal, Decimal]]:
        """Rate, net and VAT, for each rate that occurs."""
        nets: defaultdict[Decimal, Decimal] = defaultdict(Decimal)
        for line in self.lines.all():
            nets[line.vat_rate] += line.net
        return [(rate, net, cents(net * rate / 100)) for rate, net in sorted(nets.items())]

    @property
    def vat_total(self) -> Decimal:
        """VAT of all rates."""
        return sum((vat for _rate, _net, vat in self.vat), Decimal(0))

    @property
    def total(self) -> Decimal:
        """What is to be paid."""
        return self.net + self.vat_total


class InvoiceLine(models.Model):
    """One position of an invoice."""

    invoice = models.ForeignKey(Invoice, on_delete=models.CASCADE, related_name="lines")
    description = models.CharField(max_length=200)
    quantity = models.DecimalField(max_digits=8, decimal_places=2, default=1)
    unit_price = models.DecimalField(max_digits=10, decimal_places=2)
    vat_rate = models.DecimalField("VAT %", max_digits=4, decimal_places=1, default=20)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.description

    @property
    def net(self) -> Decimal:
        """Price of the whole quantity, without VAT."""
        return cents(self.quantity * self.unit_price)
