"""Connect triggers for the duration of a test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from django_docraptor.documents import Document
from django_docraptor.documents.triggers import Trigger

# A fixture that connects a trigger.
Connect = Callable[..., Trigger]


@contextmanager
def connections_of(document: type[Document[Any]]) -> Iterator[Connect]:
    """Yield the document's ``on_save()``, whose triggers are disconnected at the end."""
    with ExitStack() as stack:

        def connect(**options: Any) -> Trigger:
            trigger = document.on_save(**options)
            stack.callback(trigger.disconnect)
            return trigger

        yield connect
