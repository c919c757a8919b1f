"""Signals that order a document.

The order is part of the transaction that the signal was sent in: nothing is left after a rollback.
A fixture (``raw``) and a migration's model order nothing. An exception here, such as a name that is
too long, reaches whoever saved: a document that is lost in silence would be worse.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import router, transaction
from django.db.models import Model
from django.dispatch import Signal

from django_docraptor.models import RenderJob
from django_docraptor.shortcuts import Order, enqueue_latest

# Module of the model classes that migrations make.
HISTORICAL = "__fake__"


@dataclass(eq=False)
class Trigger:
    """A connection of a signal to a document class."""

    signal: Signal
    sender: Any
    model: type[Model]
    find_source: Callable[..., Any]
    when: Callable[[Any], bool] | None
    make_order: Callable[..., Order]
    order: Mapping[str, Any] = field(default_factory=dict)

    def connect(self) -> None:
        """Start to listen."""
        self.signal.connect(self.receive, sender=self.sender, weak=False)

    def disconnect(self) -> bool:
        """Stop to listen. Returns whether it did."""
        return self.signal.disconnect(self.receive, sender=self.sender)

    def receive(self, **kwargs: Any) -> None:
        """Order the document that a signal asks for, if it asks for one."""
        if kwargs.get("raw") or type(kwargs.get("instance")).__module__ == HISTORICAL:
            return
        source = self.find_source(**kwargs)
        if not isinstance(source, self.model) or not _is_at_home(source):
            return
        if self.when is None or self.when(source):
            self.enqueue(source)

    def enqueue(self, source: Model) -> None:
        """At once, in the source's transaction; from another database, after its commit."""
        using = source._state.db
        if using == router.db_for_write(RenderJob):
            self.enqueue_now(source)
        else:
            # A lambda, since Django's robust hooks fail on callables without a name.
            transaction.on_commit(lambda: self.enqueue_now(source), using=using, robust=True)

    def enqueue_now(self, source: Model) -> None:
        """Call the order's functions, then order."""
        order = {
            name: value(source) if callable(value) else value for name, value in self.order.items()
        }
        enqueue_latest(self.make_order(source, **order))


def _is_at_home(source: Model) -> bool:
    """Whether a worker will find the object: it looks in the database that the router names."""
    return source._state.db == router.db_for_write(type(source))
