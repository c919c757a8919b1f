"""Internal. The document class: template, options, and methods that generate documents."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, contextmanager
from copy import copy
from datetime import datetime, timedelta
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Generic, Unpack, cast, overload

from asgiref.sync import sync_to_async
from django.apps import apps
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db.models import Model
from django.db.models.signals import ModelSignal, post_save
from django.dispatch import Signal
from django.forms import Form
from django.utils import timezone, translation
from django.utils.functional import Promise

from django_docraptor import registry
from django_docraptor.account_settings import DEFAULT_ACCOUNT, account_names
from django_docraptor.documents.adapter import DocumentAdapter
from django_docraptor.documents.triggers import (
    Condition,
    S,
    Trigger,
    TriggerOptions,
    delay_seconds,
)
from django_docraptor.documents.type_arguments import model_argument
from django_docraptor.keywords import DocumentOptions, check_keywords, locale_errors, mapping_errors
from django_docraptor.models import RenderJob
from django_docraptor.states import State
from django_docraptor.time_zones import text_to_zone

if TYPE_CHECKING:
    from django_docraptor.client import SavedDocument
    from django_docraptor.job_specs import JobSpec


class Document(Generic[S]):
    """Declares how one kind of document is generated from an object or from parameters.

    ``Document[Invoice]`` is generated from an invoice, ``Document[None]`` from parameters alone.
    Every subclass with a ``template_name``, or with ``get_url()``, is registered under
    ``<app label>.<class name>``.
    """

    #: Model of the source, by default that in the brackets of ``Document[Invoice]``; ``None`` for a
    #: document generated from parameters alone.
    model: ClassVar[type[Model] | None] = None
    #: Template that a worker renders to HTML.
    template_name: ClassVar[str] = ""
    #: ``"pdf"``, ``"xlsx"`` or ``"xls"``.
    document_type: ClassVar[str] = "pdf"
    #: DocRaptor's options; they override ``DOCRAPTOR["DEFAULTS"]``.
    options: ClassVar[Mapping[str, Any]] = {}
    #: Whether documents are free and watermarked; ``None``: use ``DOCRAPTOR["TEST_MODE"]``.
    test: ClassVar[bool | None] = None
    #: Name of the account that makes, and pays for, the document.
    account: ClassVar[str] = DEFAULT_ACCOUNT
    #: Jobs with a higher priority are submitted first.
    priority: ClassVar[int] = 0
    #: Language and time zone for rendering; ``None``: those active when it is enqueued.
    language: ClassVar[str | None] = None
    time_zone: ClassVar[str | None] = None
    #: Name of a file field of the source that also gets a copy of the finished document.
    deliver_to: ClassVar[str] = ""
    #: Alias in ``STORAGES`` for the file; blank for the default document storage.
    storage: ClassVar[str] = ""
    #: Hosted by DocRaptor at a URL that **anyone** who has it can read; the job has no file.
    hosted: ClassVar[bool] = False
    #: Time after enqueueing at which a hosted document expires; ``None``: never.
    hosted_lifetime: ClassVar[timedelta | None] = None
    #: Number of downloads after which a hosted document expires; ``None``: unlimited.
    hosted_download_limit: ClassVar[int | None] = None
    #: Age up to which an unchanged document of the same object is reused instead of being made, and
    #: billed, again; ``None``: never, but for a signal's at any age; ``timedelta(0)``: never.
    reuse: ClassVar[timedelta | None] = None
    #: How long finished jobs and their files are kept; ``None``: ``DOCRAPTOR["RETENTION"]``;
    #: ``timedelta.max``: forever.
    retention: ClassVar[timedelta | None] = None
    #: Whether the result of ``post_process()`` must be a whole document of the job's type.
    verify_post_processed: ClassVar[bool] = True
    #: Billed documents a ``day`` and a ``month``, of all accounts, and from which number on people
    #: are told (``soft_day``, ``soft_month``); ``None``: no limit.
    budget: ClassVar[Mapping[str, int] | None] = None
    #: Names of the preflight's rules that are turned off, such as ``{"relative-url"}``.
    preflight_ignore: ClassVar[Collection[str]] = frozenset()
    #: Name of the source's attribute, or method, with the time at which it was last changed: the
    #: admin then marks documents that are older. ``None``: its ``auto_now`` field; "": no mark.
    changed_at_field: ClassVar[str | None] = None
    #: Name in the admin; blank: derived from the class name.
    verbose_name: ClassVar[str | Promise] = ""
    #: Form that the admin shows first; its cleaned data become the parameters.
    form_class: ClassVar[type[Form] | None] = None
    #: Label stored in jobs; set on registration.
    label: ClassVar[str] = ""

    # Keywords of `enqueue()` and the like, beside `snapshot`.
    _docraptor_keywords: ClassVar[AbstractSet[str]] = (
        DocumentOptions.__required_keys__ | DocumentOptions.__optional_keys__
    )

    # None is the source of a Document[None] alone: for any other, checkers refuse it.
    def __init__(
        self,
        source: S = None,  # type: ignore[assignment]
        params: Mapping[str, Any] | None = None,
        *,
        requested_type: str = "",
    ) -> None:
        self.source: S = source
        self.params = params or {}
        self.requested_type = requested_type

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.label = ""
        model = None if "model" in vars(cls) else model_argument(cls)
        if model and (cls.model is None or issubclass(model, cls.model)):
            cls.model = model
        if cls.template_name or cls._docraptor_has_page():
            app = apps.get_containing_app_config(cls.__module__) if apps.apps_ready else None
            app_label = app.label if app else cls.__module__.partition(".")[0]
            cls.label = f"{app_label}.{cls.__name__}"
            origin = f"{cls.__module__}.{cls.__qualname__}"
            registry.register(cls.label, DocumentAdapter(cls), origin)
        if cls.label:
            cls._docraptor_connect()

    # --- Hooks for subclasses ----------------------------------------------------------------

    def get_name(self) -> str:
        """Return the file name of the document, at most 200 characters."""
        source: Model | None = self.source
        stem = type(self).__name__ if source is None else f"{type(self).__name__}-{source.pk}"
        return f"{stem}.{self.get_document_type()}"

    def get_url(self) -> str:
        """Return the URL from which DocRaptor fetches the HTML; "": the template is rendered.

        The path of a page of this site, such as ``"/invoices/17/"``, is fetched as the owner of the
        job sees it; its view is decorated with ``document_page``.
        """
        return ""

    def get_document_type(self) -> str:
        """Return the requested type (argument or parameter), or else the class's."""
        return self.requested_type or str(self.params.get("document_type", self.document_type))

    def get_options(self) -> Mapping[str, Any]:
        """Return DocRaptor's options."""
        return self.options

    def get_secret_options(self) -> Mapping[str, Any]:
        """Return DocRaptor's options that are never stored, such as a password of the PDF.

        Called in the worker for each attempt, with the source as it is then; and by
        ``render_now()``. They override ``get_options()``.
        """
        return {}

    def get_account(self) -> str:
        """Return the name of the account that makes, and pays for, the document.

        It may follow from the source, such as the account of an invoice's shop.
        """
        return self.account

    def get_language(self) -> str | None:
        """Return the document's language, such as the recipient's; ``None`` for the current one."""
        return self.language

    def get_time_zone(self) -> str | None:
        """Return the document's time zone, a name or an offset; ``None`` for the current one."""
        return self.time_zone

    def get_idempotency_key(self) -> str | None:
        """Return a key that identifies the document; ``None``: every call creates a new one.

        At most one job ever has the key, whether a signal, a view or your code enqueues it. The
        admin uses its own keys, because its users explicitly ask for a new document.
        """
        return None

    def get_hosted_expires_at(self) -> datetime | None:
        """Return when a hosted document expires; ``None``: never."""
        return None if self.hosted_lifetime is None else timezone.now() + self.hosted_lifetime

    def get_context(self) -> Mapping[str, Any]:
        """Return the template context. Called in the worker.

        ``source``, ``params`` and ``document_type`` are always present, and so is the source as
        ``object`` and under its model's name, such as ``invoice``.
        """
        return {}

    def get_base_context(self) -> dict[str, Any]:
        """Return the context that is always present; ``get_context`` overrides it."""
        return {
            **dict.fromkeys(self._docraptor_model_names(), self.source),
            "object": self.source,
            "source": self.source,
            "params": self.params,
            "document_type": self.get_document_type(),
        }

    def _docraptor_model_names(self) -> Iterator[str]:
        """Yield the names of the source's model, and of the declared one if it has another."""
        for model in (self.source.__class__, self.model):
            meta = getattr(model, "_meta", None)
            if self.source is not None and meta is not None:
                yield meta.model_name

    def render(self) -> str:
        """Return the HTML."""
        from django_docraptor.documents.undefined_variables import render_template

        context = {**self.get_base_context(), **self.get_context()}
        return render_template(self.template_name, context)

    def post_process(self, file: BinaryIO) -> "BinaryIO | str | os.PathLike[str]":
        """Change the downloaded file before it is stored, such as attaching XML or signing it.

        Called in a worker, with the source as it is now. If it raises an error that may pass, as in
        a template, it is called again later with the same file; after any other, the job fails with
        ``post_process_failed``, and a retry calls it again. Neither is billed. So it may be called
        several times for a job: let it have no other effect. Not called for hosted documents.

        Args:
            file: the downloaded document, opened for reading bytes. It is not changed.

        Returns:
            The file to store, opened for reading bytes, which is read from its beginning and
            closed; or the path of one, which stays. The given file, if nothing is to be changed.
        """
        return file

    def on_completed(self, job: RenderJob) -> None:
        """Do something with the finished document, such as sending it to the customer.

        Called in a worker after the commit, with the source as it is now. If it raises, it is
        called again with a growing delay, for ``DOCRAPTOR["RETRY_FOR"]``; and if a worker dies
        meanwhile. So it may be called twice for a job, even at once if it takes longer than a
        minute: make it idempotent.
        """

    def on_failed(self, job: RenderJob) -> None:
        """Do something about a failed job, such as telling a person; see ``job.error_code``.

        Called as ``on_completed()`` is, for each failure: a retried job may fail again, or be
        completed after all. Not called for a job that was cancelled.
        """

    @classmethod
    def get_preview_sources(cls) -> Iterable[S]:
        """Return sample objects for the previews: the first 20 are shown.

        Default: the newest five of ``model``; without a model, the document is shown once, without
        an object. They need not be saved.
        """
        from django_docraptor.documents.presentation import newest_objects

        sources: Any = [None] if cls.model is None else newest_objects(cls.model, 5)
        return cast("Iterable[S]", sources)

    @classmethod
    def get_preview_params(cls, source: S) -> Mapping[str, Any]:
        """Return the parameters with which the previews show a sample object.

        They are the initial values of ``form_class``, if there is one.
        """
        return {}

    @classmethod
    def may_download(cls, user: AbstractBaseUser, job: RenderJob) -> bool:
        """Return whether a logged-in, active user may download a finished document.

        Default: the owner, and users with permission to view jobs.
        """
        return job.may_be_read_by(user)

    # --- Public API --------------------------------------------------------------------------

    @classmethod
    def enqueue(
        cls,
        source: S = None,  # type: ignore[assignment] # as in __init__
        *,
        snapshot: bool = False,
        **kwargs: Unpack[DocumentOptions],
    ) -> RenderJob:
        """Enqueue one document, starting after commit.

        Args:
            source: the object it is generated from.
            snapshot: render the template now, so that the document shows the current data.
            kwargs: as for :func:`django_docraptor.enqueue`; they override the class.

        Raises:
            TypeError: a keyword is unknown.
            ValidationError: a field is invalid; nothing was saved.
        """
        from django_docraptor.shortcuts import enqueue_many

        return enqueue_many([cls.spec(source, snapshot=snapshot, **kwargs)])[0]

    @classmethod
    async def aenqueue(
        cls,
        source: S = None,  # type: ignore[assignment] # as in __init__
        *,
        snapshot: bool = False,
        **kwargs: Unpack[DocumentOptions],
    ) -> RenderJob:
        """Enqueue one document from async code: :meth:`enqueue`, hooks included, in a thread."""
        return await sync_to_async(cls.enqueue)(source, snapshot=snapshot, **kwargs)

    @classmethod
    def enqueue_many(
        cls,
        sources: Iterable[S],
        *,
        snapshot: bool = False,
        **kwargs: Unpack[DocumentOptions],
    ) -> list[RenderJob]:
        """Enqueue a document for each source, with few queries and one notification."""
        from django_docraptor.shortcuts import enqueue_many

        return enqueue_many(cls.spec(source, snapshot=snapshot, **kwargs) for source in sources)

    @overload
    @classmethod
    def render_now(
        cls, source: S = ..., target: None = None, **kwargs: Unpack[DocumentOptions]
    ) -> bytes: ...

    @overload
    @classmethod
    def render_now(
        cls, source: S, target: BinaryIO, **kwargs: Unpack[DocumentOptions]
    ) -> "SavedDocument": ...

    @classmethod
    def render_now(
        cls,
        source: S = None,  # type: ignore[assignment] # as in __init__
        target: BinaryIO | None = None,
        **kwargs: Unpack[DocumentOptions],
    ) -> "bytes | SavedDocument":
        """Render a document synchronously, without a job. For documents that take seconds.

        Args:
            source: the object it is generated from.
            target: file opened for writing bytes; without one, the bytes are returned.
            kwargs: as for :meth:`enqueue`.

        Raises:
            TypeError: a keyword is unknown.
            ValidationError: a field is invalid, or the class has a ``post_process()``; nothing was
                sent.
            CallError: the call failed; ``error.sent`` tells whether it may have been billed.
        """
        from django_docraptor.shortcuts import render_spec

        options: DocumentOptions = {"hosted": False, **kwargs}
        spec = cls.spec(source, snapshot=True, **options)
        if target is not None:
            return render_spec(target, spec)
        buffer = BytesIO()
        render_spec(buffer, spec)
        return buffer.getvalue()

    @classmethod
    def preview_html(
        cls,
        source: S = None,  # type: ignore[assignment] # as in __init__
        **kwargs: Unpack[DocumentOptions],
    ) -> str:
        """Return the HTML that would be sent now, in the document's language and time zone."""
        overrides: dict[str, Any] = {**kwargs}
        document = cls._docraptor_build(source, overrides)
        cls._docraptor_require_template()
        with document._docraptor_activate_locale(overrides):
            return document.render()

    @classmethod
    def deliver(cls, job: RenderJob) -> bool:
        """Copy a finished document to its source's file field, if ``deliver_to`` is set.

        This happens automatically; call it for documents generated before ``deliver_to`` was set.

        Returns:
            Whether this call updated the field.
        """
        from django_docraptor.documents.delivery import deliver

        return bool(cls.deliver_to) and deliver(job, cls.deliver_to)

    @classmethod
    def complete(cls, job: RenderJob) -> bool:
        """Call ``on_completed()`` or ``on_failed()`` for a finished job, if the class overrides it.

        This happens automatically; call it for documents for which it was given up.

        Returns:
            Whether it was called: not if the source no longer exists.
        """
        from django_docraptor.documents.hooks import call_hook

        is_hooked = {
            State.COMPLETED.value: cls.on_completed is not Document.on_completed,
            State.FAILED.value: cls.on_failed is not Document.on_failed,
        }
        return is_hooked.get(job.state, False) and call_hook(cls, job)

    @classmethod
    def spec(
        cls,
        source: S = None,  # type: ignore[assignment] # as in __init__
        *,
        snapshot: bool = False,
        **kwargs: Unpack[DocumentOptions],
    ) -> "JobSpec":
        """Return the JobSpec of one document: the class's declarations and the given overrides."""
        from django_docraptor.job_specs import JobSpec

        overrides: dict[str, Any] = {**kwargs}
        document = cls._docraptor_build(source, overrides)
        with document._docraptor_activate_locale(overrides) as locale:
            url = document.get_url()
            if not url:
                cls._docraptor_require_template(in_worker=not snapshot)
            values: dict[str, Any] = {
                "document": cls.label,
                "url": url,
                "name": document.get_name(),
                "document_type": document.get_document_type(),
                "options": document.get_options(),
                "idempotency_key": document.get_idempotency_key(),
                "account": document.get_account(),
                "priority": cls.priority,
                "test": cls.test,
                "storage": cls.storage,
                "reuse": cls.reuse,
                **locale,
            }
            if overrides.get("hosted", cls.hosted):
                values |= document._docraptor_hosting_options()
            if snapshot and not url:  # a page is as it is when DocRaptor fetches it
                values["content"] = document.render()
                _check_snapshot(values["content"])
        values |= overrides | {"params": document.params, "source": document.source}
        return JobSpec(**values)

    @classmethod
    def on(
        cls,
        signal: Signal,
        *,
        sender: Any = None,
        when: Condition[S] | None = None,
        get_source: Callable[..., S | None] | None = None,
        delay: timedelta | float | None = None,
        **kwargs: Unpack[TriggerOptions[S]],
    ) -> Trigger:
        """Enqueue a document whenever a signal is sent, in the sender's transaction.

        What is computed from the source (``when``, name, options, key, snapshot and so on) is
        computed again when the transaction is over, so that it sees what the transaction leaves.

        Args:
            signal: the signal.
            sender: as for ``Signal.connect``.
            when: called with the source, and with the keywords ``created`` and ``update_fields``
                of ``post_save`` if it takes them (for other signals ``False`` and ``None``);
                returns whether to enqueue.
            get_source: returns the source for the signal's arguments; default: their ``instance``.
            delay: seconds, or a timedelta, for which no signal must have been sent for the source
                before its document is generated; it waits for ten delays at most. Only then
                ``when`` is asked, and everything else is computed.
            kwargs: as for :meth:`enqueue`; a function is called with the source.

        Returns:
            The connection, with ``disconnect()``.

        Raises:
            TypeError: a keyword is unknown.
            ValueError: the delay is not positive, or longer than a day.
        """
        check_keywords(f"{cls.__name__}.on()", kwargs, cls._docraptor_keywords | {"snapshot"})
        if not cls.label and cls.render is Document.render:
            raise ImproperlyConfigured(f"{cls.__name__}.on() needs {cls.__name__}.template_name.")
        seconds = delay_seconds(delay)
        trigger = Trigger(
            signal, sender, cls, get_source or _instance, when, {**kwargs}, delay=seconds
        )
        trigger.connect()
        return trigger

    @classmethod
    def on_save(
        cls,
        when: Condition[S] | None = None,
        *,
        delay: timedelta | float | None = None,
        **kwargs: Unpack[TriggerOptions[S]],
    ) -> Trigger:
        """Enqueue a document whenever an object of ``model`` is saved.

        One document even for ten saves in a transaction. Takes what :meth:`on` does; ``delay`` is
        for code that saves related objects after it, without a transaction.
        """
        if cls.model is None:
            raise ImproperlyConfigured(
                f"{cls.__name__}.on_save() needs a model: declare the class as Document[Invoice], "
                "or set `model`."
            )
        signal: ModelSignal = post_save
        return cls.on(signal, sender=cls.model, when=when, delay=delay, **kwargs)

    # --- Internal ----------------------------------------------------------------------------

    @classmethod
    def _docraptor_connect(cls) -> None:
        """Connect what follows the end of a job, if the class asks for it."""
        completed = cls.on_completed is not Document.on_completed
        failed = cls.on_failed is not Document.on_failed
        if cls.deliver_to or completed or failed:
            from django_docraptor.documents import follow_ups

            follow_ups.connect_hooks(completed=completed, failed=failed)
            if cls.deliver_to:
                follow_ups.connect_delivery()

    @classmethod
    def _docraptor_build(cls, source: S, overrides: dict[str, Any]) -> "Document[S]":
        """Return the document for a source; pop ``params`` from the overrides."""
        check_keywords(cls.__name__, overrides, cls._docraptor_keywords)
        params = overrides.pop("params", None)
        params = {} if params is None else params
        if errors := dict(
            [*mapping_errors("params", params), *cls._docraptor_source_errors(source)]
        ):
            raise ValidationError(errors)
        return cls(
            cls._docraptor_as_declared(source),
            params,
            requested_type=overrides.get("document_type", ""),
        )

    @classmethod
    def _docraptor_has_page(cls) -> bool:
        """Return whether the class overrides ``get_url()``."""
        return cls.get_url is not Document.get_url

    @classmethod
    def _docraptor_require_template(cls, *, in_worker: bool = False) -> None:
        """Require a template, unless the class overrides ``render()`` and no worker renders it.

        Raises:
            ValidationError: it has none.
        """
        if not cls.template_name and (in_worker or cls.render is Document.render):
            message = (
                f"{cls.__name__} has no template_name. Set it in the class; without one, the class "
                "is a base class for documents."
            )
            raise ValidationError({"document": [message]})

    @classmethod
    def _docraptor_model_as_declared(cls, model: type[Model]) -> type[Model]:
        """Return the class as which an object of ``model`` is rendered.

        This is ``cls.model`` if that is a proxy of the same table, so that its methods are there.
        """
        declared = cls.model
        if declared is None or issubclass(model, declared):
            return model
        is_same_table = model._meta.concrete_model is declared._meta.concrete_model
        return declared if is_same_table else model

    @classmethod
    def _docraptor_as_declared(cls, source: S) -> S:
        """Return the source, as an object of the class that the worker will load."""
        given: Any = source.__class__
        if cls.model is None or cls._docraptor_model_as_declared(given) is given:
            return source
        declared: Any = cls._docraptor_model_as_declared(given)
        if type(source) is not given:  # a lazy object: a copy is what it wraps
            source = copy(source)
        view = declared.__new__(declared)
        view.__dict__ = source.__dict__  # the same object, with the methods of the proxy
        return cast("S", view)

    @classmethod
    def _docraptor_accepts_model(cls, model: type) -> bool:
        """Return whether objects of this class can be the source.

        Proxies count as their concrete model.
        """
        own_model = cls.model
        return own_model is None or issubclass(model, own_model._meta.concrete_model or own_model)

    @classmethod
    def _docraptor_source_errors(cls, source: object) -> Iterator[tuple[str, str]]:
        """Report a source of the wrong model."""
        if cls.model and not cls._docraptor_accepts_model(source.__class__):
            given = "None" if source is None else source.__class__.__name__
            yield (
                "source",
                f"{cls.__name__} requires a source of model {cls.model.__name__}, not {given}.",
            )

    @classmethod
    def _docraptor_accounts(cls) -> Collection[str]:
        """Return the accounts that may make the document, as far as the class tells."""
        may_differ = cls.get_account is not Document.get_account
        return (may_differ and account_names()) or (cls.account,)

    @classmethod
    def _docraptor_is_post_processed(cls) -> bool:
        return cls.post_process is not Document.post_process

    @classmethod
    def _docraptor_loaded(cls, job: RenderJob) -> "AbstractContextManager[Document[Any]]":
        from django_docraptor.documents.hooks import loaded

        return loaded(cls, job)

    @classmethod
    def _docraptor_has_secret_options(cls) -> bool:
        return cls.get_secret_options is not Document.get_secret_options

    def _docraptor_hosting_options(self) -> dict[str, Any]:
        """Return the keywords of a hosted document."""
        return {
            "hosted": True,
            "hosted_expires_at": self.get_hosted_expires_at(),
            "hosted_download_limit": self.hosted_download_limit,
        }

    @contextmanager
    def _docraptor_activate_locale(
        self, overrides: Mapping[str, Any]
    ) -> Iterator[dict[str, str | None]]:
        """Activate language and time zone: the overrides', else the document's, else the current.

        Raises:
            ValidationError: there is no such language or time zone.
        """
        language = overrides.get("language") or self.get_language()
        time_zone = overrides.get("time_zone") or self.get_time_zone()
        if errors := dict(locale_errors(language, time_zone)):
            raise ValidationError(errors)
        with (
            translation.override(language or translation.get_language()),
            timezone.override(
                text_to_zone(time_zone) if time_zone else timezone.get_current_timezone()
            ),
        ):
            yield {"language": language, "time_zone": time_zone}


def _instance(*, instance: Any = None, **kwargs: Any) -> Any:
    return instance


def _check_snapshot(content: str) -> None:
    if not content.strip():  # blank content would mean that a worker renders it
        raise ValidationError({"content": ["The template produced no output."]})
