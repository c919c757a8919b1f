"""Label → recipe: how a worker finds out what to send for a job.

A recipe renders a job to content; it knows nothing about queueing.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Protocol

from django.contrib.auth.base_user import AbstractBaseUser

from django_docraptor.exceptions import ConfigurationError
from django_docraptor.models import RenderInput, RenderJob


class Recipe(Protocol):
    """What a document class must do for the life cycle."""

    @property
    def retention(self) -> timedelta | None:
        """How long its finished jobs are kept; ``None``: as ``RETENTION`` says."""

    def render(self, job: RenderJob, stored: RenderInput) -> str:
        """The HTML to send. May raise anything; the traceback goes into the job's history."""

    def may_download(self, user: AbstractBaseUser, job: RenderJob) -> bool:
        """Whether that user, who is logged in and active, may have the finished document."""

    def deliver(self, job: RenderJob) -> None:
        """Bring the finished document to where it belongs besides the job, if anywhere."""


_recipes: dict[str, Recipe] = {}


def register(label: str, recipe: Recipe) -> None:
    """Make a recipe known under its label; the last one wins (as on a code reload)."""
    _recipes[label] = recipe


def unregister(label: str) -> None:
    """Forget a recipe."""
    _recipes.pop(label, None)


def get(label: str) -> Recipe:
    """The recipe of a label. Raises ConfigurationError if no app declares it."""
    try:
        return _recipes[label]
    except KeyError:
        raise ConfigurationError(
            f"No document is registered as {label!r}: is its app in INSTALLED_APPS, and is its "
            "class in that app's documents.py?"
        ) from None


def find(label: str) -> Recipe | None:
    """The recipe of a label, if some app declares it."""
    return _recipes.get(label)


def all_recipes() -> Mapping[str, Recipe]:
    """Every registered recipe by label."""
    return dict(_recipes)
