"""Internal. The document classes of the project, as the list of previews shows them."""

import inspect
from dataclasses import dataclass

from django.apps import apps

from django_docraptor import registry
from django_docraptor.documents.adapter import DocumentAdapter
from django_docraptor.documents.presentation import document_title
from django_docraptor.preflight.locations import Location, relative_path
from django_docraptor.previews.samples import DocumentClass


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A document class.

    Args:
        label: by which it is registered.
        title: for people.
        made_of: its template, or "a page of this site".
        made_for: name of its model; blank without one.
        document_type: such as ``pdf``.
        location: of the class.
    """

    label: str
    title: str
    made_of: str
    made_for: str
    document_type: str
    location: Location

    @property
    def shown_location(self) -> str:
        """The location, relative to the working directory if possible."""
        return relative_path(self.location)


def find_document(label: str) -> DocumentClass | None:
    """Return the class that is registered under a label, or ``None``."""
    registered = registry.find(label)
    return registered.document if isinstance(registered, DocumentAdapter) else None


def entries_by_app() -> dict[str, list[Entry]]:
    """Return the document classes by the name of their app, sorted."""
    found: dict[str, list[Entry]] = {}
    for label in sorted(registry.all_documents()):
        if document := find_document(label):
            found.setdefault(_app_name(label), []).append(describe(document))
    return found


def describe(document: DocumentClass) -> Entry:
    """Return what the list shows of a document class."""
    model = document.model
    return Entry(
        label=document.label,
        title=document_title(document),
        made_of=document.template_name or "a page (get_url)",
        made_for=model._meta.object_name or "" if model else "",
        document_type=document.document_type.upper(),
        location=_class_location(document),
    )


def _app_name(label: str) -> str:
    app_label = label.partition(".")[0]
    try:
        return str(apps.get_app_config(app_label).verbose_name)
    except LookupError:
        return app_label


def _class_location(document: DocumentClass) -> Location:
    try:
        line = inspect.getsourcelines(document)[1]
        return Location(inspect.getsourcefile(document) or document.__module__, line)
    except (OSError, TypeError):  # declared in a shell, or by type()
        return Location(document.__module__, 0)
