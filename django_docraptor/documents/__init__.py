"""Internal. Declare documents as classes in an app's ``documents.py``, found like ``admin.py``.

Projects import these names from ``django_docraptor``.

``declaration``  :class:`Document`: the declaration, and methods that generate it
``adapter``      a document class as the lifecycle sees it
``triggers``     signals that enqueue a document
``delivery``     copy finished documents to a file field of their source
``repetition``   the document of a finished job once more
``latest``       the latest document of an object, and of many objects
``reports``      :class:`QuerysetDocument`: one document over many rows
``presentation`` titles, sample objects, and the data of forms
``inspection``   what would fail at DocRaptor, with its template lines
``type_arguments``  the model in the brackets of ``Document[Invoice]``
``undefined_variables``  variables of a template that have no value, for the preflight
``checks``       system checks for document classes
"""

from typing import TYPE_CHECKING, Any

from django.core.checks import CheckMessage, register

from django_docraptor.documents.declaration import Document
from django_docraptor.lazy_names import import_on_use

if TYPE_CHECKING:
    from django_docraptor.documents.adapter import SourceGoneError
    from django_docraptor.documents.latest import attach_latest_documents, latest_document
    from django_docraptor.documents.repetition import again
    from django_docraptor.documents.reports import QuerysetDocument, Rows
    from django_docraptor.documents.triggers import Trigger

else:  # hidden from type checkers, which would take any name for an Any
    __getattr__ = import_on_use(
        __name__,
        {
            "adapter": ["SourceGoneError"],
            "latest": ["attach_latest_documents", "latest_document"],
            "repetition": ["again"],
            "reports": ["QuerysetDocument", "Rows"],
            "triggers": ["Trigger"],
        },
    )

__all__ = [
    "Document",
    "QuerysetDocument",
    "Rows",
    "SourceGoneError",
    "Trigger",
    "again",
    "attach_latest_documents",
    "latest_document",
]


@register
def check_documents(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Check the project's document classes; without one, the checks are not imported."""
    if not Document.__subclasses__():
        return []
    from django_docraptor.documents import checks

    return checks.check_documents(app_configs)
