"""Declare documents as classes, in an app's ``documents.py``; they are found like ``admin.py``."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

from django.apps import apps
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Model
from django.template.loader import render_to_string

from django_docraptor import registry
from django_docraptor.models import RenderInput, RenderJob
from django_docraptor.shortcuts import Order, enqueue_many

S = TypeVar("S", bound=Model)


class SourceGoneError(LookupError):
    """The object that a document is made from no longer exists."""


class Document(Generic[S]):
    """A recipe: how one kind of document is made from an object, or from parameters.

    Every subclass with a ``template_name`` is registered under ``<app label>.<class name>``.
    """

    #: Model of the source; ``None`` for a document made from parameters alone.
    model: ClassVar[type[Model] | None] = None
    #: Template that a worker renders to the HTML.
    template_name: ClassVar[str] = ""
    #: ``"pdf"``, ``"xlsx"`` or ``"xls"``.
    document_type: ClassVar[str] = "pdf"
    #: DocRaptor's options, over ``DOCRAPTOR["DEFAULTS"]``.
    options: ClassVar[Mapping[str, Any]] = {}
    #: Higher goes first.
    priority: ClassVar[int] = 0
    #: Name under which jobs refer to this class; set when it is registered.
    label: ClassVar[str] = ""

    def __init__(self, source: S | None = None, params: Mapping[str, Any] | None = None) -> None:
        self.source = source
        self.params = params or {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.template_name:
            app = apps.get_containing_app_config(cls.__module__) if apps.apps_ready else None
            home = app.label if app else cls.__module__.partition(".")[0]
            cls.label = f"{home}.{cls.__name__}"
            registry.register(cls.label, _ClassRecipe(cls))

    def get_name(self) -> str:
        """File name of the document, at most 200 characters."""
        stem = f"{type(self).__name__}-{self.source.pk}" if self.source else type(self).__name__
        return f"{stem}.{self.get_document_type()}"

    def get_document_type(self) -> str:
        """Type of the document; a parameter ``document_type`` wins over the class's."""
        return str(self.params.get("document_type", self.document_type))

    def get_options(self) -> Mapping[str, Any]:
        """DocRaptor's options."""
        return self.options

    def get_context(self) -> Mapping[str, Any]:
        """Template context, made in the worker. ``source`` and ``params`` are always there."""
        return {}

    def render(self) -> str:
        """The HTML."""
        context = {"source": self.source, "params": self.params, **self.get_context()}
        return render_to_string(self.template_name, context)

    @classmethod
    def enqueue(cls, source: S | None = None, **order: Any) -> RenderJob:
        """Make one document. Takes what :func:`django_docraptor.shortcuts.enqueue` takes."""
        return enqueue_many([cls.order(source, **order)])[0]

    @classmethod
    def enqueue_many(
        cls, sources: Iterable[S], *, owner: AbstractBaseUser | None = None, **order: Any
    ) -> list[RenderJob]:
        """Make a document of each source, with few queries and one bell."""
        return enqueue_many(cls.order(source, owner=owner, **order) for source in sources)

    @classmethod
    def order(cls, source: S | None = None, **order: Any) -> Order:
        """The order for one document, with what the class says and the call does not."""
        document = cls(source, order.get("params"))
        said: dict[str, Any] = {
            "document": cls.label,
            "name": document.get_name(),
            "document_type": document.get_document_type(),
            "options": document.get_options(),
            "priority": cls.priority,
        }
        return Order(source=source, **(said | order))


class _ClassRecipe:
    """A document class as the life cycle sees it."""

    def __init__(self, document: type[Document[Any]]) -> None:
        self.document = document

    def render(self, job: RenderJob, stored: RenderInput) -> str:
        """The HTML for a job. Raises SourceGoneError, or whatever the template raises."""
        source = job.source
        if job.object_id and source is None:
            raise SourceGoneError(f"The source {job.content_type} {job.object_id} is gone.")
        return self.document(source, stored.params).render()
