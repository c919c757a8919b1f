"""Internal. Enqueue documents on signals.

The job is part of the transaction in which the signal was sent, so a rollback removes it. Fixtures
(``raw``) and migration models are ignored. An exception, such as a name that is too long,
propagates to the caller of ``save()``: silently losing a document would be worse.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from inspect import Parameter, signature
from typing import Any, Final, Generic, Protocol, TypeAlias, TypedDict, TypeVar

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import router, transaction
from django.db.models import Model
from django.dispatch import Signal

from django_docraptor.job_specs import JobSpec
from django_docraptor.models import RenderJob
from django_docraptor.shortcuts import enqueue_or_update

S = TypeVar("S", bound="Model | None")
S_contra = TypeVar("S_contra", bound="Model | None", contravariant=True)
# Module of the model classes that migrations create.
MIGRATION_MODULE: Final = "__fake__"
# Arguments of `post_save` that `when` may take, and their values for a signal that has none.
SAVE_ARGUMENTS: Final[Mapping[str, Any]] = {"created": False, "update_fields": None}


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
    snapshot: bool | Callable[[S], bool]


@dataclass(eq=False)
class Trigger:
    """Connects a signal to a document class."""

    signal: Signal
    sender: Any
    model: type[Model]
    get_source: Callable[..., Any]
    when: Callable[..., bool] | None
    build_spec: Callable[..., JobSpec]
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def connect(self) -> None:
        """Connect the signal."""
        self.signal.connect(self.handle_signal, sender=self.sender, weak=False)

    def disconnect(self) -> bool:
        """Disconnect the signal.

        Returns:
            Whether it was connected.
        """
        return self.signal.disconnect(self.handle_signal, sender=self.sender)

    def handle_signal(self, **kwargs: Any) -> None:
        """Enqueue the document if the signal's source qualifies."""
        if kwargs.get("raw") or type(kwargs.get("instance")).__module__ == MIGRATION_MODULE:
            return
        source = self.get_source(**kwargs)
        if not isinstance(source, self.model) or not _is_in_write_database(source):
            return
        if self.when is None or self.when(source, **self._save_arguments(kwargs)):
            self.enqueue(source)

    def _save_arguments(self, sent: Mapping[str, Any]) -> dict[str, Any]:
        """Return the keywords for ``when``: what the save was, as far as it takes them."""
        return {name: sent.get(name, SAVE_ARGUMENTS[name]) for name in self._accepted_arguments}

    @cached_property
    def _accepted_arguments(self) -> set[str]:
        try:
            first, *others = signature(self.when or bool).parameters.values()
        except (TypeError, ValueError):  # no signature, or no parameters
            return set()
        by_name = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
        accepted = {item.name for item in others if item.kind in by_name}
        if any(item.kind == Parameter.VAR_KEYWORD for item in (first, *others)):
            accepted |= SAVE_ARGUMENTS.keys()
        return accepted & SAVE_ARGUMENTS.keys() - {first.name}  # the first one is the source

    def enqueue(self, source: Model) -> None:
        """Enqueue in the source's transaction, or after its commit if jobs are in another database.

        In the second case a crash between the two loses the job.
        """
        using = source._state.db
        if using == router.db_for_write(RenderJob):
            self.enqueue_now(source)
        else:
            # A lambda, since Django's robust hooks fail on callables without a name.
            transaction.on_commit(lambda: self.enqueue_now(source), using=using, robust=True)

    def enqueue_now(self, source: Model) -> None:
        """Resolve callable overrides, then enqueue."""
        overrides = {
            name: value(source) if callable(value) else value
            for name, value in self.overrides.items()
        }
        enqueue_or_update(self.build_spec(source, **overrides), by_trigger=True)


def _is_in_write_database(source: Model) -> bool:
    """Return whether the object is in the database in which a worker looks it up."""
    return source._state.db == router.db_for_write(type(source))
