"""System checks of document classes: each mistake gives its own check ID, with a hint."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.checks import run_checks

from django_docraptor import registry
from django_docraptor.documents import Document
from django_docraptor.documents.checks import check_document, check_documents
from django_docraptor.signals import delivery_due, document_completed
from tests.apps.shop.models import Invoice

Declare = Callable[..., type[Document[Any]]]


@pytest.fixture
def declare_document() -> Iterator[Declare]:
    """Return a function that declares a document with some attributes."""
    labels: list[str] = []

    def make(**attributes: Any) -> type[Document[Any]]:
        body = {"model": Invoice, "template_name": "shop/invoice.html", **attributes}
        document: type[Document[Any]] = type("Checked", (Document,), body)
        labels.append(document.label)
        return document

    yield make
    for label in labels:
        registry.unregister(label)
    for signal in (document_completed, delivery_due):  # connected by `deliver_to`
        signal.disconnect(dispatch_uid="django_docraptor.delivery")


@pytest.mark.check("E009", "E010", "E011", "E012", "E013", "E014", "E018", "E019", "W005")
@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, []),
        ({"model": None}, []),
        ({"template_name": "shop/nothing.html"}, ["E009"]),
        ({"template_name": "shop/nothing.html", "render": lambda self: "x"}, []),
        ({"document_type": "docx"}, ["E010"]),
        ({"document_type": None}, ["E010"]),
        ({"options": {"javascript": "yes"}}, ["E011"]),
        ({"options": {"prince_options": {"css_dpi": "many"}}}, ["E011"]),
        ({"options": {"name": "mine"}}, ["E011"]),
        ({"options": ["javascript"]}, ["E011"]),
        ({"options": {"callback_url": "https://shop.example/ready"}}, ["E011"]),
        ({"options": {"tag": "t" * 162}}, ["E011"]),
        ({"options": {"tag": "t" * 161}}, []),
        ({"options": {"javascrpt": True}}, ["W005"]),
        ({"options": {"prince_options": {"medai": "print"}}}, ["W005"]),
        ({"model": "shop.Invoice"}, ["E012"]),
        ({"model": AbstractBaseUser}, ["E012"]),
        ({"deliver_to": "pdf"}, []),
        ({"deliver_to": "number"}, ["E013"]),
        ({"deliver_to": "nothing"}, ["E013"]),
        ({"deliver_to": "pdf", "model": None}, ["E013"]),
        ({"language": "klingon"}, ["E014"]),
        ({"time_zone": "Mars/Olympus"}, ["E014"]),
        ({"language": "de", "time_zone": "Europe/Vienna", "test": False, "priority": -1}, []),
        ({"test": "no"}, ["E014"]),
        ({"priority": 99_999}, ["E014"]),
        ({"priority": "high"}, ["E014"]),
        ({"document_type": "docx", "priority": True}, ["E010", "E014"]),
        ({"hosted": "yes"}, ["E014"]),
        ({"hosted": True, "hosted_lifetime": 30}, ["E014"]),
        ({"hosted": True, "hosted_lifetime": timedelta(0)}, ["E014"]),
        ({"hosted": True, "hosted_download_limit": 0}, ["E014"]),
        ({"hosted": True, "hosted_lifetime": timedelta(days=1), "hosted_download_limit": 1}, []),
        ({"hosted": True, "deliver_to": "pdf"}, ["E018"]),
        ({"storage": "default"}, []),
        ({"storage": "nowhere"}, ["E019"]),
        ({"storage": "staticfiles"}, ["E019"]),
    ],
)
def test_each_mistake_has_its_check_id(
    declare_document: Declare, attributes: dict[str, Any], expected: list[str]
) -> None:
    """A mistake is reported with its ID, its class and a hint."""
    messages = check_document(declare_document(**attributes))
    assert [str(message.id) for message in messages] == [
        f"django_docraptor.{number}" for number in expected
    ]
    assert all(message.hint and message.msg.startswith("Checked.") for message in messages)


@pytest.mark.check("W005")
def test_unknown_option_suggests_a_similar_one(declare_document: Declare) -> None:
    """A misspelt option is recognised."""
    (message,) = check_document(declare_document(options={"prince_options": {"medai": "print"}}))
    assert message.hint == "Did you mean 'media'?"


@pytest.mark.django_db
def test_checks_of_documents_are_registered(declare_document: Declare) -> None:
    """The check is registered with Django and covers all registered classes."""
    declare_document(document_type="docx")
    assert "django_docraptor.E010" in {message.id for message in run_checks()}


def test_check_of_one_app_covers_its_documents_only(declare_document: Declare) -> None:
    """``manage.py check shop`` checks the documents of that app only."""
    declare_document(document_type="docx")
    assert check_documents([apps.get_app_config("shop")]) == []
    assert len(check_documents(None)) == 1


def test_class_without_a_template_is_not_checked() -> None:
    """A class without a template is not a document."""
    type("Base", (Document,), {"document_type": "docx"})
    assert check_documents(None) == []
