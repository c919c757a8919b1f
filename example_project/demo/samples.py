"""Sample customers and invoices."""

from decimal import Decimal
from itertools import cycle, islice
from pathlib import Path

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractUser
from django.core.files.base import ContentFile
from django.db import transaction
from django.utils import timezone

from shop.models import Invoice, Line

SIGNATURE = Path(__file__).with_name("signature.svg")
CUSTOMERS = {
    "ines": ("Ines", "Okafor", "Okafor & Daughters Bookbinders\n3 Tanner's Yard\nYork YO1 7HU"),
    "tomas": (
        "Tomas",
        "Lind",
        "Lind Architects LLP\nThe Boathouse\n27 Canal Street\nLeeds LS1 4HR",
    ),
}
# Description, unit price, VAT rate.
PRODUCTS = [
    ("Laid paper, ivory, 120 g/m², A4, ream of 500", "18.40", 20),
    ("Fountain pen ink, iron gall, 50 ml", "9.95", 20),
    ("Notebook, thread-sewn, 192 pages, dotted", "14.50", 20),
    ("Bookbinder's linen thread, 25 m, natural", "6.20", 20),
    ("“A Field Guide to Typefaces”, paperback", "24.00", 0),
    ("Blotting paper, white, 20 sheets", "4.75", 20),
    ("Tracing paper roll, 90 g/m², 0.91 m by 20 m", "31.60", 20),
    ("Bone folder, 16 cm", "7.30", 20),
    ("Envelopes C5, laid, gummed, pack of 50", "12.85", 20),
    ("“Letters to a Young Printer”, hardback", "19.00", 0),
    ("Archival box, acid-free, A3", "22.15", 20),
]
QUANTITIES = [2, 12, 5, 1, 3, 8, 40]
# Customer and number of lines of each sample invoice; the last ones fill several pages.
INVOICES = [("ines", 6), ("tomas", 3), ("ines", 8), ("tomas", 90), ("ines", 45)]


def create_customers() -> dict[str, AbstractUser]:
    """Return the customers, creating missing ones."""
    return {
        name: get_user_model().objects.get_or_create(
            username=name,
            defaults={"first_name": first, "last_name": last, "email": f"{name}@customers.example"},
        )[0]
        for name, (first, last, _address) in CUSTOMERS.items()
    }


def issue_invoices() -> list[Invoice]:
    """Create and issue the sample invoices in one transaction."""
    customers = create_customers()
    with transaction.atomic():
        return [issue_invoice(customers[name], lines) for name, lines in INVOICES]


def issue_invoice(customer: AbstractUser, lines: int) -> Invoice:
    """Create and issue an invoice with this many lines."""
    invoice = Invoice.objects.create(
        customer=customer,
        number=f"{timezone.localdate().year}-{Invoice.objects.count() + 1:04d}",
        address=f"{customer.get_full_name()}\n{CUSTOMERS[customer.username][2]}",
        signature=ContentFile(SIGNATURE.read_bytes(), SIGNATURE.name),
    )
    products = islice(zip(cycle(PRODUCTS), cycle(QUANTITIES), strict=False), lines)
    Line.objects.bulk_create(
        Line(
            invoice=invoice,
            description=description,
            quantity=quantity,
            unit_price=Decimal(price),
            vat_rate=rate,
        )
        for (description, price, rate), quantity in products
    )
    invoice.issued_on = timezone.localdate()
    invoice.save(update_fields=["issued_on"])
    return invoice
