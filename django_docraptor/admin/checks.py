"""System checks of a project's own admins. Ids go on from those of documents."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib.admin import ModelAdmin
from django.core.checks import CheckMessage, Error

from django_docraptor.admin.orders import DocumentClass, fits


def check_models(
    model_admin: "ModelAdmin[Any]", documents: Sequence[DocumentClass]
) -> Iterator[CheckMessage]:
    """An admin's documents must be made from its own model: others could not be ordered there."""
    ours = model_admin.model.__name__
    for document in documents:
        if not fits(document, model_admin.model):
            theirs = getattr(document.model, "__name__", "no model")
            yield Error(
                f"{type(model_admin).__name__}.documents has {document.__name__}, which is made "
                f"from {theirs}, not from {ours}.",
                hint="Put it into the admin of its own model, or correct its `model`.",
                obj=type(model_admin),
                id="django_docraptor.E021",
            )
