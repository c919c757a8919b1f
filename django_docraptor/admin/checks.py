"""Internal. System checks for admins that use DocumentAdminMixin.

Check IDs continue those of ``documents.checks``.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib.admin import ModelAdmin
from django.core.checks import CheckMessage, Error

from django_docraptor.admin.enqueue import DocumentClass, accepts_model


def check_document_models(
    model_admin: "ModelAdmin[Any]", documents: Sequence[DocumentClass]
) -> Iterator[CheckMessage]:
    """Report documents whose model is not the admin's own: they cannot be generated there."""
    admin_model = model_admin.model.__name__
    for document in documents:
        if not accepts_model(document, model_admin.model):
            document_model = getattr(document.model, "__name__", None)
            yield Error(
                f"{type(model_admin).__name__}.documents contains {document.__name__}, whose "
                f"model is {document_model}, not {admin_model}.",
                hint="Move it to the admin of its own model, or fix its `model`.",
                obj=type(model_admin),
                id="django_docraptor.E021",
            )
