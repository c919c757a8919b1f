"""The registry of documents by label."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.base_user import AbstractBaseUser

from django_docraptor import registry
from django_docraptor.exceptions import ConfigurationError
from django_docraptor.models import RenderInput, RenderJob


class StubDocument:
    """The smallest document that the engine accepts."""

    def render(self, job: RenderJob, stored: RenderInput) -> str:
        return "<p>rendered</p>"

    def may_download(self, user: AbstractBaseUser, job: RenderJob) -> bool:
        return False

    def deliver(self, job: RenderJob) -> None:
        return None


@pytest.fixture
def registered_document() -> Iterator[StubDocument]:
    """A document that is registered during the test."""
    one = StubDocument()
    registry.register("tests.document", one)
    yield one
    registry.unregister("tests.document")


def test_get_returns_the_registered_document(registered_document: StubDocument) -> None:
    """A registered document is found by its label."""
    assert registry.get("tests.document") is registered_document


def test_find_returns_none_for_an_unknown_label(registered_document: StubDocument) -> None:
    """`find()` returns None for an unknown label."""
    assert registry.find("tests.document") is registered_document
    assert registry.find("tests.nothing") is None


def test_later_registration_replaces_an_earlier_one(registered_document: StubDocument) -> None:
    """The last registration is used, as after a code reload."""
    other = StubDocument()
    registry.register("tests.document", other)
    assert registry.get("tests.document") is other


def test_get_raises_for_an_unknown_label() -> None:
    """An unknown label raises an error that says where to look."""
    with pytest.raises(ConfigurationError, match=r"'tests\.nothing'.*INSTALLED_APPS"):
        registry.get("tests.nothing")


def test_unregister_may_be_repeated(registered_document: StubDocument) -> None:
    """An unregistered document is unknown, and unregistering it again is no error."""
    registry.unregister("tests.document")
    registry.unregister("tests.document")
    with pytest.raises(ConfigurationError):
        registry.get("tests.document")


def test_all_documents_returns_a_copy(registered_document: StubDocument) -> None:
    """Changing the returned dict does not change the registry."""
    registry.all_documents().clear()  # type: ignore[attr-defined] # what it may not do
    assert registry.all_documents()["tests.document"] is registered_document


def test_documents_modules_are_imported_at_startup() -> None:
    """Every app's documents.py is imported at startup, as admin.py is."""
    assert {"shop.InvoicePDF", "shop.Broken"} <= set(registry.all_documents())
