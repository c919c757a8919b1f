"""What a document is, as a class: its template, its options, its verbs."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import fields
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any, BinaryIO, ClassVar, Generic, TypeVar, overload

from django.apps import apps
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db.models import Model
from django.db.models.signals import ModelSignal, post_save
from django.dispatch import Signal
from django.forms import Form
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.functional import Promise

from django_docraptor import registry, shortcuts
from django_docraptor.client import Download
from django_docraptor.documents.delivery import deliver, listen, load_source
from django_docraptor.documents.triggers import Trigger
from django_docraptor.models import RenderInput, RenderJob
from django_docraptor.orders import wrong_mapping, wrong_place
from django_docraptor.shortcuts import Order, enqueue_many

S = TypeVar("S", bound="Model | None")
ORDER_FIELDS = [field.name for field in fields(Order)]


class SourceGoneError(LookupError):
    """The object that a document is made from no longer exists."""


class Document(Generic[S]):
    """A recipe: how one kind of document is made from an object, or from parameters.

    ``Document[Invoice]`` is made from an invoice, ``Document[None]`` from parameters alone. Every
    subclass with a ``template_name`` is registered under ``<app label>.<class name>``.
    """

    #: Model of the source; ``None`` for a document made from parameters alone.
    model: ClassVar[type[Model] | None] = None
    #: Template that a worker renders to the HTML.
    template_name: ClassVar[str] = ""
    #: ``"pdf"``, ``"xlsx"`` or ``"xls"``.
    document_type: ClassVar[str] = "pdf"
    #: DocRaptor's options, over ``DOCRAPTOR["DEFAULTS"]``.
    options: ClassVar[Mapping[str, Any]] = {}
    #: Free and watermarked; ``None`` for ``DOCRAPTOR["TEST_MODE"]``.
    test: ClassVar[bool | None] = None
    #: Higher goes first.
    priority: ClassVar[int] = 0
    #: Language and time zone in which it is rendered; ``None`` for those of whoever orders it.
    language: ClassVar[str | None] = None
    time_zone: ClassVar[str | None] = None
    #: Name of a file field of the source that gets the finished document, too.
    deliver_to: ClassVar[str] = ""
    #: Alias in ``STORAGES`` of where the file goes; blank for the package's rule.
    storage: ClassVar[str] = ""
    #: DocRaptor keeps it, at an address that **anyone** who has it may read; the job has no file.
    hosted: ClassVar[bool] = False
    #: How long after the order it ends there; ``None``: it does not by itself.
    hosted_lifetime: ClassVar[timedelta | None] = None
    #: Downloads after which it ends there; ``None``: any number.
    hosted_download_limit: ClassVar[int | None] = None
    #: How long finished jobs are kept, with their files; ``None``: ``DOCRAPTOR["RETENTION"]``,
    #: ``timedelta.max``: for ever.
    retention: ClassVar[timedelta | None] = None
    #: What people call it in the admin; blank for the words of the class's name.
    verbose_name: ClassVar[str | Promise] = ""
    #: Form that the admin asks before it orders; its cleaned data become the parameters.
    form_class: ClassVar[type[Form] | None] = None
    #: Name under which jobs refer to this class; set when it is registered.
    label: ClassVar[str] = ""

    # What `order()` takes by name.
    _arguments: ClassVar[Set[str]] = {*ORDER_FIELDS, "snapshot"}

    def __init__(
        self,
        source: S | None = None,
        params: Mapping[str, Any] | None = None,
        *,
        ordered_type: str = "",
    ) -> None:
        self.source: S = source  # type: ignore[assignment] # None only in a Document[None]
        self.params = params or {}
        self.ordered_type = ordered_type

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.template_name:
            app = apps.get_containing_app_config(cls.__module__) if apps.apps_ready else None
            home = app.label if app else cls.__module__.partition(".")[0]
            cls.label = f"{home}.{cls.__name__}"
            registry.register(cls.label, ClassRecipe(cls))
        if cls.label and cls.deliver_to:
            listen()

    # --- what a project may override ---------------------------------------------------------

    def get_name(self) -> str:
        """File name of the document, at most 200 characters."""
        source: Model | None = self.source
        stem = type(self).__name__ if source is None else f"{type(self).__name__}-{source.pk}"
        return f"{stem}.{self.get_document_type()}"

    def get_document_type(self) -> str:
        """The type that was ordered, by argument or by parameter, else the class's."""
        return self.ordered_type or str(self.params.get("document_type", self.document_type))

    def get_options(self) -> Mapping[str, Any]:
        """DocRaptor's options."""
        return self.options

    def get_language(self) -> str | None:
        """Language of the document, such as its reader's; ``None`` for the present one."""
        return self.language

    def get_time_zone(self) -> str | None:
        """Key of the document's time zone; ``None`` for the present one."""
        return self.time_zone

    def get_idempotency_key(self) -> str | None:
        """What makes two orders the same document; ``None``: each order makes another one.

        At most one job ever has it, whoever orders: a signal, a view, or your code. The admin has
        keys of its own, since there somebody asks for another one.
        """
        return None

    def get_hosted_expires_at(self) -> datetime | None:
        """When a hosted document ends; ``None``: not by itself."""
        return None if self.hosted_lifetime is None else timezone.now() + self.hosted_lifetime

    def get_context(self) -> Mapping[str, Any]:
        """Template context, made in the worker.

        ``source``, ``params`` and ``document_type`` are always there.
        """
        return {}

    def get_base_context(self) -> dict[str, Any]:
        """What every template of this kind of document has, whatever ``get_context`` says."""
        return {
            "source": self.source,
            "params": self.params,
            "document_type": self.get_document_type(),
        }

    def render(self) -> str:
        """The HTML."""
        context = {**self.get_base_context(), **self.get_context()}
        return render_to_string(self.template_name, context)

    @classmethod
    def may_download(cls, user: AbstractBaseUser, job: RenderJob) -> bool:
        """Whether a user, who is logged in and active, may have a finished document.

        By default its owner, and who has the permission to view jobs.
        """
        return job.may_be_read_by(user)

    # --- what a project calls ----------------------------------------------------------------

    @classmethod
    def enqueue(cls, source: S | None = None, **order: Any) -> RenderJob:
        """Make one document, after commit.

        Takes what :func:`django_docraptor.shortcuts.enqueue` takes, and ``snapshot``: render the
        template now, for a document that must show what was true at this moment.

        Raises:
            ValidationError: naming the field; nothing was stored.
        """
        return enqueue_many([cls.order(source, **order)])[0]

    @classmethod
    def enqueue_many(cls, sources: Iterable[S], **order: Any) -> list[RenderJob]:
        """Make a document of each source, with few queries and one bell."""
        return enqueue_many(cls.order(source, **order) for source in sources)

    @classmethod
    @overload
    def render_now(cls, source: S | None = None, target: None = None, **order: Any) -> bytes: ...

    @classmethod
    @overload
    def render_now(cls, source: S | None, target: BinaryIO, **order: Any) -> Download: ...

    @classmethod
    def render_now(
        cls, source: S | None = None, target: BinaryIO | None = None, **order: Any
    ) -> bytes | Download:
        """Make a document synchronously, without a job: for those that take seconds.

        Args:
            target: a file to write it to; without one, its bytes are returned.

        Raises:
            ValidationError: naming the field; nothing was sent.
            CallError: the call failed; ``sent`` says whether it may be on the bill.
        """
        made = cls.order(source, snapshot=True, **{"hosted": False, **order})
        arguments = {name: getattr(made, name) for name in ORDER_FIELDS}
        if target is not None:
            return shortcuts.render_now(target, **arguments)
        buffer = BytesIO()
        shortcuts.render_now(buffer, **arguments)
        return buffer.getvalue()

    @classmethod
    def preview_html(cls, source: S | None = None, **order: Any) -> str:
        """The HTML that would be sent now, in the document's language and time zone."""
        document = cls.of(source, order)
        with document.at_its_place(order):
            return document.render()

    @classmethod
    def deliver(cls, job: RenderJob) -> bool:
        """Bring a finished document into its source's file field, if the class names one.

        This happens by itself; call it for documents that were made before there was a
        ``deliver_to``. Returns whether the field got the file by this call.
        """
        return bool(cls.deliver_to) and deliver(job, cls.deliver_to)

    @classmethod
    def order(cls, source: S | None = None, *, snapshot: bool = False, **order: Any) -> Order:
        """The order for one document, with what the class says and the call does not."""
        document = cls.of(source, order)
        hosted = order.get("hosted", cls.hosted)
        with document.at_its_place(order) as place:
            said: dict[str, Any] = {
                "document": cls.label,
                "name": document.get_name(),
                "document_type": document.get_document_type(),
                "options": document.get_options(),
                "idempotency_key": document.get_idempotency_key(),
                "priority": cls.priority,
                "test": cls.test,
                "storage": cls.storage,
                **place,
            }
            if hosted:
                said |= document.hosting()
            if snapshot:
                said["content"] = document.render()
                _check_snapshot(said["content"])
        return Order(**(said | order | {"params": document.params, "source": document.source}))

    @classmethod
    def on(
        cls,
        signal: Signal,
        *,
        sender: Any = None,
        when: Callable[[S], bool] | None = None,
        source: Callable[..., Any] | None = None,
        **order: Any,
    ) -> Trigger:
        """Make a document whenever a signal is sent, as part of the sender's transaction.

        Args:
            sender: as for ``Signal.connect``.
            when: decides by the source whether a document is wanted.
            source: finds the source in the signal's arguments; by default their ``instance``.
            order: as for :meth:`enqueue`; a function is called with the source.

        Returns:
            The connection, with ``disconnect()``.

        Raises:
            TypeError: an order has no such argument.
        """
        for name in order.keys() - cls._arguments:
            raise TypeError(f"{cls.__name__}.enqueue() has no argument {name!r}.")
        find = source or _instance
        trigger = Trigger(signal, sender, cls.model or Model, find, when, cls.order, order)
        trigger.connect()
        return trigger

    @classmethod
    def on_save(cls, when: Callable[[S], bool] | None = None, **order: Any) -> Trigger:
        """Make a document whenever an object of ``model`` is saved.

        Ten saves in one transaction make one document.
        """
        if cls.model is None:
            raise ImproperlyConfigured(f"{cls.__name__}.on_save() needs {cls.__name__}.model.")
        signal: ModelSignal = post_save
        return cls.on(signal, sender=cls.model, when=when, **order)

    # --- what the package calls --------------------------------------------------------------

    @classmethod
    def of(cls, source: S | None, order: dict[str, Any]) -> "Document[S]":
        """The document of a source as an order wants it; takes ``params`` out of the order."""
        params = order.pop("params", None)
        params = {} if params is None else params
        if problems := dict([*wrong_mapping("params", params), *cls._wrong_source(source)]):
            raise ValidationError(problems)
        return cls(source, params, ordered_type=order.get("document_type", ""))

    @classmethod
    def is_made_from(cls, model: type) -> bool:
        """Whether an object of that class can be the source. A proxy is its model, either way."""
        own = cls.model
        return own is None or issubclass(model, own._meta.concrete_model or own)

    @classmethod
    def _wrong_source(cls, source: object) -> Iterator[tuple[str, str]]:
        """What is not made from its own model would be a document of somebody else's."""
        if cls.model and not cls.is_made_from(source.__class__):
            given = "nothing" if source is None else source.__class__.__name__
            yield "source", f"{cls.__name__} is made from {cls.model.__name__}, not from {given}."

    def hosting(self) -> dict[str, Any]:
        """What an order for a hosted document says of it."""
        return {
            "hosted": True,
            "hosted_expires_at": self.get_hosted_expires_at(),
            "hosted_download_limit": self.hosted_download_limit,
        }

    @contextmanager
    def at_its_place(self, order: Mapping[str, Any]) -> Iterator[dict[str, str | None]]:
        """In the language and time zone of the order, else the document's, else the present."""
        language = order.get("language") or self.get_language()
        time_zone = order.get("time_zone") or self.get_time_zone()
        problems = dict(wrong_place(language, time_zone))
        if problems:
            raise ValidationError(problems)
        speaking = language or translation.get_language()
        with (
            translation.override(speaking),
            timezone.override(time_zone or timezone.get_current_timezone()),
        ):
            yield {"language": language, "time_zone": time_zone}


def _instance(*, instance: Any = None, **kwargs: Any) -> Any:
    return instance


def _check_snapshot(content: str) -> None:
    if not content.strip():  # blank content means: render it in the worker
        raise ValidationError({"content": ["The template rendered nothing."]})


class ClassRecipe:
    """A document class as the life cycle sees it."""

    def __init__(self, document: type[Document[Any]]) -> None:
        self.document = document

    @property
    def template_name(self) -> str:
        """For messages about what the template has rendered."""
        return self.document.template_name

    @property
    def retention(self) -> timedelta | None:
        """As the class says."""
        return self.document.retention

    def render(self, job: RenderJob, stored: RenderInput) -> str:
        """The HTML for a job. Raises SourceGoneError, or whatever the template raises."""
        source = load_source(job)
        if job.object_id and source is None:
            raise SourceGoneError(f"The source {job.content_type} {job.object_id} is gone.")
        return self.document(source, stored.params, ordered_type=job.document_type).render()

    def may_download(self, user: AbstractBaseUser, job: RenderJob) -> bool:
        """As the class says."""
        return self.document.may_download(user, job)

    def deliver(self, job: RenderJob) -> None:
        """Into the source's file field, where the class names one."""
        self.document.deliver(job)
