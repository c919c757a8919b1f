"""Label → recipe."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.base_user import AbstractBaseUser

from django_docraptor import registry
from django_docraptor.exceptions import ConfigurationError
from django_docraptor.models import RenderInput, RenderJob


class Recipe:
    """The least that the life cycle needs."""

    def render(self, job: RenderJob, stored: RenderInput) -> str:
        return "<p>rendered</p>"

    def may_download(self, user: AbstractBaseUser, job: RenderJob) -> bool:
        return False

    def deliver(self, job: RenderJob) -> None:
        return None


@pytest.fixture
def recipe() -> Iterator[Recipe]:
    """A recipe that is registered during the test."""
    one = Recipe()
    registry.register("tests.recipe", one)
    yield one
    registry.unregister("tests.recipe")


def test_get(recipe: Recipe) -> None:
    """A registered recipe is found under its label."""
    assert registry.get("tests.recipe") is recipe


def test_find(recipe: Recipe) -> None:
    """Who can do without a recipe is told that there is none."""
    assert registry.find("tests.recipe") is recipe
    assert registry.find("tests.nothing") is None


def test_register_again(recipe: Recipe) -> None:
    """The last one wins, as on a code reload."""
    other = Recipe()
    registry.register("tests.recipe", other)
    assert registry.get("tests.recipe") is other


def test_get_unknown() -> None:
    """An unknown label is a configuration error that says what to look at."""
    with pytest.raises(ConfigurationError, match=r"'tests\.nothing'.*INSTALLED_APPS"):
        registry.get("tests.nothing")


def test_unregister(recipe: Recipe) -> None:
    """A forgotten recipe is unknown; forgetting it twice is no error."""
    registry.unregister("tests.recipe")
    registry.unregister("tests.recipe")
    with pytest.raises(ConfigurationError):
        registry.get("tests.recipe")


def test_all_recipes_is_a_copy(recipe: Recipe) -> None:
    """What a caller does to the list of all recipes does not change the registry."""
    registry.all_documents().clear()  # type: ignore[attr-defined] # what it may not do
    assert registry.all_documents()["tests.recipe"] is recipe


def test_documents_are_found() -> None:
    """Every app's documents.py is imported at start-up, like admin.py."""
    assert {"shop.InvoicePDF", "shop.Broken"} <= set(registry.all_documents())
