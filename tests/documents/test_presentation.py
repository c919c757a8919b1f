"""Titles of document classes, and what is entered in forms."""

from decimal import Decimal

import pytest

from django_docraptor.documents import presentation
from tests.apps.shop.admin import InvoiceList
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice

pytestmark = pytest.mark.django_db


def test_form_params_are_storable(invoice: Invoice) -> None:
    """Objects become their keys and decimals text; a value that cannot be stored is refused."""
    cleaned = {"one": invoice, "many": Invoice.objects.all(), "least": Decimal("1.50")}
    assert presentation.form_params(cleaned) == {
        "one": invoice.pk,
        "many": [invoice.pk],
        "least": "1.50",
    }
    with pytest.raises(TypeError):
        presentation.form_params({"file": object()})


def test_document_title_has_the_words_of_the_class() -> None:
    """A document without a ``verbose_name`` is called by the words of its class name."""

    class Named:
        verbose_name = "Rechnung 100%"

    titles = [presentation.document_title(each) for each in (InvoicePDF, InvoiceList, Named)]
    assert titles == ["Invoice PDF", "Invoice List", "Rechnung 100%"]


def test_newest_objects_are_the_models_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """``get_latest_by`` says what is newest; without it, the primary key does."""
    for number in ("2", "3", "1"):
        Invoice.objects.create(number=number)

    def newest() -> list[str]:
        return [invoice.number for invoice in presentation.newest_objects(Invoice, 2)]

    assert newest() == ["1", "3"]
    monkeypatch.setattr(Invoice._meta, "get_latest_by", "number")
    assert newest() == ["3", "2"]
    monkeypatch.setattr(Invoice._meta, "get_latest_by", ["-number"])
    assert newest() == ["1", "2"]
