"""Internal. Enqueue documents on signals.

The job is part of the transaction in which the signal was sent, so a rollback removes it. What it
says is decided again when the transaction is over (`renewal`). Fixtures (``raw``) and migration
models are ignored. An exception, such as a name that is too long, propagates to the caller of
``save()``: silently losing a document would be worse.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from inspect import Parameter, signature
from itertools import count
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    Protocol,
    TypeAlias,
    TypedDict,
    TypeVar,
)

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import router, transaction
from django.db.models import Model
from django.dispatch import Signal

from django_docraptor.models import RenderJob

if TYPE_CHECKING:
    from django_docraptor.documents.declaration import Document
    from django_docraptor.job_specs import JobSpec

S = TypeVar("S", bound="Model | None")
S_contra = TypeVar("S_contra", bound="Model | None", contravariant=True)
# Module of the model classes that migrations create.
MIGRATION_MODULE: Final = "__fake__"
# Module of the base class of documents, whose own methods depend on the source's key at most.
BASE_MODULE: Final = "django_docraptor.documents.declaration"
# Arguments of `post_save` that `when` may take, and their values for a signal that has none.
SAVE_ARGUMENTS: Final[Mapping[str, Any]] = {"created": False, "update_fields": None}
MAX_DELAY_SECONDS: Final = 86400.0

#: Connected triggers by their key, by which a worker finds those that enqueued a job.
connected: dict[str, "Trigger"] = {}


class SaveCondition(Protocol[S_contra]):
    """A ``when`` that takes both keywords."""

    def __call__(
        self, source: S_contra, /, *, created: bool, update_fields: frozenset[str] | None
    ) -> bool:
        """Return whether to enqueue."""


class CreatedCondition(Protocol[S_contra]):
    """A ``when`` that takes ``created``."""

    def __call__(self, source: S_contra, /, *, created: bool) -> bool:
        """Return whether to enqueue."""


class FieldsCondition(Protocol[S_contra]):
    """A ``when`` that takes ``update_fields``."""

    def __call__(self, source: S_contra, /, *, update_fields: frozenset[str] | None) -> bool:
        """Return whether to enqueue."""


Condition: TypeAlias = (
    Callable[[S], bool] | SaveCondition[S] | CreatedCondition[S] | FieldsCondition[S]
)


class TriggerOptions(TypedDict, Generic[S], total=False):
    """Keywords of ``Document.on()``: each is a value, or a function that is called with the source.

    They are those of ``Document.enqueue()``.
    """

    name: str | Callable[[S], str]
    document_type: str | Callable[[S], str]
    options: Mapping[str, Any] | Callable[[S], Mapping[str, Any]]
    params: Mapping[str, Any] | Callable[[S], Mapping[str, Any]]
    test: bool | Callable[[S], bool | None] | None
    owner: AbstractBaseUser | Callable[[S], AbstractBaseUser | None] | None
    priority: int | Callable[[S], int]
    idempotency_key: str | Callable[[S], str | None] | None
    account: str | Callable[[S], str]
    language: str | Callable[[S], str | None] | None
    time_zone: str | Callable[[S], str | None] | None
    storage: str | Callable[[S], str]
    hosted: bool | Callable[[S], bool]
    hosted_expires_at: datetime | Callable[[S], datetime | None] | None
    hosted_download_limit: int | Callable[[S], int | None] | None
    reuse: timedelta | Callable[[S], timedelta | None] | None
    not_before: datetime | Callable[[S], datetime | None] | None
    snapshot: bool | Callable[[S], bool]


# Methods of a document class that compute what a job says from its source.
SOURCE_METHODS: Final = (
    "get_name",
    "get_document_type",
    "get_options",
    "get_language",
    "get_time_zone",
    "get_idempotency_key",
    "get_hosted_expires_at",
)


@dataclass(eq=False, repr=False)
class Trigger:
    """Connects a signal to a document class."""

    signal: Signal
    sender: Any
    document: "type[Document[Any]]"
    get_source: Callable[..., Any]
    when: Callable[..., bool] | None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    delay: float = 0.0
    key: str = field(init=False, default="")

    def connect(self) -> None:
        """Connect the signal."""
        self.key = _add(self)
        self.signal.connect(self.handle_signal, sender=self.sender, weak=False)

    def disconnect(self) -> bool:
        """Disconnect the signal.

        Returns:
            Whether it was connected.
        """
        connected.pop(self.key, None)
        return self.signal.disconnect(self.handle_signal, sender=self.sender)

    def handle_signal(self, **kwargs: Any) -> None:
        """Enqueue the document if the signal's source qualifies."""
        if kwargs.get("raw") or type(kwargs.get("instance")).__module__ == MIGRATION_MODULE:
            return
        source = self.get_source(**kwargs)
        if not isinstance(source, self.document.model or Model):
            return
        if _is_in_write_database(source):
            self.handle_source(source, self._save_arguments(kwargs))

    def handle_source(self, source: Model, save: Mapping[str, Any]) -> None:
        """Enqueue a source's document, as far as that can be decided now.

        Within a transaction the source may not be complete: it is decided again after the commit,
        and with a delay when the source has been quiet. Jobs in another database than the source
        are stored after the commit; a crash between the two loses the job.
        """
        from django_docraptor.documents.renewal import decide_on_commit
        from django_docraptor.rechecks import Recheck
        from django_docraptor.stored_jobs import store_or_update

        using = source._state.db or ""
        is_same_database = using == router.db_for_write(RenderJob)
        recheck = Recheck.now(self.key, save, delay=self.delay)
        if is_same_database and self.delay:
            store_or_update(self.build_spec(source), recheck, by_trigger=True)
        elif not is_same_database or transaction.get_connection(using).in_atomic_block:
            is_decided = is_same_database and not self._depends_on_source
            decision = decide_on_commit(self, source, None if is_decided else recheck, using=using)
            if is_same_database and self.accepts(source, save):
                decision.store(self.build_spec(source))
        elif self.accepts(source, save):
            store_or_update(self.build_spec(source), by_trigger=True)

    @cached_property
    def _depends_on_source(self) -> bool:
        """Whether anything is computed from the source, which may change until the commit."""
        base = next(cls for cls in self.document.__mro__ if cls.__module__ == BASE_MODULE)
        return (
            self.when is not None
            or bool(self.overrides.get("snapshot"))
            or any(map(callable, self.overrides.values()))
            or any(
                getattr(self.document, name) is not getattr(base, name) for name in SOURCE_METHODS
            )
        )

    def accepts(self, source: Model, save: Mapping[str, Any]) -> bool:
        """Return whether ``when`` holds for a save."""
        return self.when is None or bool(self.when(source, **save))

    def build_spec(self, source: Model) -> "JobSpec":
        """Return the description of the source's document, with callable overrides resolved."""
        overrides = {
            name: value(source) if callable(value) else value
            for name, value in self.overrides.items()
        }
        return self.document.spec(source, **overrides)

    def build_fallback_spec(self, source: Model) -> "JobSpec":
        """Return a description that calls no code of the project, for a job that shows an error."""
        from django_docraptor.job_specs import JobSpec

        fixed = {
            name: value
            for name, value in self.overrides.items()
            if name != "snapshot" and not callable(value)
        }
        document_type = fixed.get("document_type", self.document.document_type)
        values: dict[str, Any] = {
            "name": f"{self.document.__name__}-{source.pk}.{document_type}",
            "document_type": document_type,
            "test": self.document.test,
            "storage": self.document.storage,
        }
        values |= fixed | {"document": self.document.label, "source": source}
        return JobSpec(**values)

    def _save_arguments(self, sent: Mapping[str, Any]) -> dict[str, Any]:
        """Return the keywords for ``when``: what the save was, as far as it takes them."""
        return {name: sent.get(name, SAVE_ARGUMENTS[name]) for name in self._accepted_arguments}

    @cached_property
    def _accepted_arguments(self) -> list[str]:
        try:
            first, *others = signature(self.when or bool).parameters.values()
        except (TypeError, ValueError):  # no signature, or no parameters
            return []
        by_name = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
        accepted = {item.name for item in others if item.kind in by_name}
        if any(item.kind == Parameter.VAR_KEYWORD for item in (first, *others)):
            accepted |= SAVE_ARGUMENTS.keys()
        accepted -= {first.name}  # the first one is the source
        return [name for name in SAVE_ARGUMENTS if name in accepted]


def _add(trigger: Trigger) -> str:
    """Make a connected trigger known, and return its key.

    It is the document's label and a number in the order of the connections, which is the same in
    every process.
    """
    keys = (f"{trigger.document.label}#{number}" for number in count())
    key = next(key for key in keys if connected.get(key) in (None, trigger))
    connected[key] = trigger
    return key


def _is_in_write_database(source: Model) -> bool:
    """Return whether the object is in the database in which a worker looks it up."""
    return source._state.db == router.db_for_write(type(source))


def delay_seconds(delay: timedelta | float | None) -> float:
    """Return a delay in seconds.

    Raises:
        TypeError: it is neither a timedelta nor a number.
        ValueError: it is not positive, or too long.
    """
    if delay is None:
        return 0.0
    if isinstance(delay, timedelta):
        delay = delay.total_seconds()
    if not isinstance(delay, int | float) or isinstance(delay, bool):
        raise TypeError(f"delay must be a timedelta or seconds, not {type(delay).__name__}.")
    if not 0 < delay <= MAX_DELAY_SECONDS:
        raise ValueError(f"delay must be more than 0 s and at most a day, not {delay} s.")
    return float(delay)
