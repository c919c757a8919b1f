"""System checks of document classes: each mistake gives exactly its own id, with a remedy."""

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
def declare() -> Iterator[Declare]:
    """Declare a document with some attributes for the time of the test."""
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
def test_check_document(declare: Declare, attributes: dict[str, Any], expected: list[str]) -> None:
    """A mistake is found under its id, named with its class, and has a hint."""
    messages = check_document(declare(**attributes))
    assert [str(message.id) for message in messages] == [
        f"django_docraptor.{number}" for number in expected
    ]
    assert all(message.hint and message.msg.startswith("Checked.") for message in messages)


def test_unknown_option_names_the_nearest(declare: Declare) -> None:
    """A slip of the pen is recognized."""
    (message,) = check_document(declare(options={"prince_options": {"medai": "print"}}))
    assert message.hint == "Did you mean 'media'?"


@pytest.mark.django_db
def test_mistake_reaches_manage_py_check(declare: Declare) -> None:
    """The check is registered with Django and looks at all registered classes."""
    declare(document_type="docx")
    assert "django_docraptor.E010" in {message.id for message in run_checks()}


def test_check_of_some_apps(declare: Declare) -> None:
    """``manage.py check shop`` looks at the shop's documents only."""
    declare(document_type="docx")
    assert check_documents([apps.get_app_config("shop")]) == []
    assert len(check_documents(None)) == 1


def test_base_class_without_a_template() -> None:
    """What has no template is no document, so nothing is checked."""
    type("Base", (Document,), {"document_type": "docx"})
    assert check_documents(None) == []
