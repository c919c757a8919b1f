"""``Document[Invoice]`` names the model: nothing has to be said twice."""

from typing import Any, Generic, TypeVar

import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db.models import Model

from django_docraptor.documents import Document, QuerysetDocument
from django_docraptor.documents.checks import check_document
from tests.apps.shop.models import Invoice, OverdueInvoice

M = TypeVar("M", bound=Model)
K = TypeVar("K")


class ShopDocument(Document[M]):
    """A generic base class of a project."""


class Keyed(ShopDocument[M], Generic[K, M]):
    """One with a second parameter, which is not the model."""


class InvoiceDocument(Document[Invoice]):
    """A base class that has chosen the model."""


class ShopReport(QuerysetDocument[M]):
    """A generic base class of reports."""


class Mixin:
    """A class beside a document class."""


class ByName(Document["Invoice"]):
    """A model in quotes."""


class ByUnknownName(Document["Nowhere"]):  # type: ignore[name-defined]
    """A model in quotes that is imported for type checkers only."""


@pytest.mark.parametrize(
    ("bases", "model"),
    [
        ((Document[Invoice],), Invoice),
        ((Document[OverdueInvoice],), OverdueInvoice),
        ((Mixin, Document[Invoice]), Invoice),
        ((ShopDocument[Invoice],), Invoice),
        ((Keyed[Group, Invoice],), Invoice),
        ((InvoiceDocument,), Invoice),
        ((QuerysetDocument[Invoice],), Invoice),
        ((ShopReport[Invoice],), Invoice),
        ((ByName,), Invoice),
        ((ByUnknownName,), None),
        ((Document[None],), None),
        ((Document[Any],), None),
        ((Document,), None),
        ((ShopDocument,), None),
        ((QuerysetDocument,), None),
        ((Document[Invoice | Group],), None),
        ((Document[AbstractBaseUser],), None),
    ],
)
def test_model_is_that_in_the_brackets(bases: tuple[Any, ...], model: type[Model] | None) -> None:
    """The model follows from the type, also through a base class; anything else gives no model."""

    class Derived(*bases):  # type: ignore[misc]
        """A class that does not set ``model``."""

    assert Derived.model is model


def test_model_in_the_class_wins() -> None:
    """What the class sets is kept: a proxy of the type's model, or None for any source."""

    class Proxied(Document[Invoice]):
        """Rendered as the proxy."""

        model = OverdueInvoice

    class Loose(Document[Invoice]):
        """Accepts any source, as before."""

        model = None

    assert (Proxied.model, Loose.model) == (OverdueInvoice, None)


def test_narrower_type_narrows_the_model() -> None:
    """A subclass for a proxy has the proxy as its model."""

    class Base(Document[M]):
        """A base class with a model of its own."""

        model = Invoice

    class Narrow(Base[OverdueInvoice]):
        """Extends it for the proxy."""

    assert Narrow.model is OverdueInvoice


@pytest.mark.check("E012")
@pytest.mark.parametrize(
    ("base", "model", "expected"),
    [
        (Document[Invoice], Group, "Document[Invoice]"),
        (Document[OverdueInvoice], Invoice, "Document[OverdueInvoice]"),
        (QuerysetDocument[Invoice], Group, "QuerysetDocument[Invoice]"),
        (ShopDocument[Invoice], Group, "Document[Invoice]"),
    ],
)
def test_conflict_is_an_error(base: Any, model: type[Model], expected: str) -> None:
    """A model that is not the type's is reported, with both."""

    class Torn(base):  # type: ignore[misc]
        """Two models."""

        template_name = "shop/invoice.html"

    Torn.model = model
    (message,) = check_document(Torn)
    assert message.id == "django_docraptor.E012"
    assert message.msg == (
        f"Torn.model is {model.__name__}, but the class is declared as {expected}."
    )
    assert model.__name__ in str(message.hint)


@pytest.mark.django_db
def test_derived_model_is_required_of_the_source() -> None:
    """A source of another model is refused, and a save of one of the model makes a document."""

    class Derived(Document[Invoice]):
        """A class that does not set ``model``."""

        template_name = "shop/invoice.html"

    group = Group.objects.create(name="a")
    with pytest.raises(ValidationError, match="requires a source of model Invoice, not Group"):
        Derived.enqueue(group)  # type: ignore[arg-type]
    Derived.on_save().disconnect()
