"""The making of accepted documents: queued, working, completed or failed.

Decides when each step happens and which fault spoils it. Answers no requests.
"""

import logging

from django_docraptor.sandbox.callbacks import Postman
from django_docraptor.sandbox.documents import FAILED, Document, Store
from django_docraptor.sandbox.faults import Fault, FaultList
from django_docraptor.sandbox.options import invalid_reasons
from django_docraptor.sandbox.rendering import RenderError, render
from django_docraptor.sandbox.scheduler import Scheduler
from django_docraptor.sandbox.settings import Settings

logger = logging.getLogger("django_docraptor.sandbox")

UNKNOWN = "Document creation failed due to unknown reasons."
TIMED_OUT = "Timeout trying to create {} from document content."


class Press:
    """Makes the documents of one sandbox in a few threads."""

    def __init__(
        self, settings: Settings, store: Store, faults: FaultList, postman: Postman
    ) -> None:
        self._settings = settings
        self._store = store
        self._faults = faults
        self._postman = postman
        self._scheduler = Scheduler("sandbox-press", workers=4)

    def start(self) -> None:
        """Start the threads."""
        self._scheduler.start()

    def stop(self) -> None:
        """DropError what is unfinished and join the threads."""
        self._scheduler.stop()

    def put(self, document: Document) -> None:
        """Begin to make an accepted document."""
        self._scheduler.after(0.0, lambda: self._begin(document))

    def rush(self, document: Document) -> None:
        """Make the document and bring its callback before returning, whatever the delay."""
        if self._start(document):
            self._make(document, self._fault(document))
            self._postman.deliver(document)

    def _begin(self, document: Document) -> None:
        if not self._start(document):
            return
        fault = self._fault(document)
        if fault is None or fault.action != "stall":
            self._work(document, fault)
        elif not document.asynchronous:
            # A connection is not kept open for ever, not even by a document that is.
            self._scheduler.after(self._limit(document), lambda: self._time_out(document))

    def _start(self, document: Document) -> bool:
        self._store.start(document)
        reasons = invalid_reasons(document.options)
        if reasons:
            # Late validation: an asynchronous create was answered with 200 long ago.
            self._store.fail(document, tuple(reasons))
        return not reasons

    def _fault(self, document: Document) -> Fault | None:
        return self._faults.trigger("render", document.options.tag, document.options.name)

    def _limit(self, document: Document) -> float:
        settings = self._settings
        return settings.asynchronous_limit if document.asynchronous else settings.synchronous_limit

    def _work(self, document: Document, fault: Fault | None) -> None:
        delay = self._settings.delay + (fault.delay if fault else 0.0)
        if delay > self._limit(document):
            self._scheduler.after(self._limit(document), lambda: self._time_out(document))
        else:
            self._scheduler.after(delay, lambda: self._finish(document, fault))

    def _finish(self, document: Document, fault: Fault | None) -> None:
        self._make(document, fault)
        self._postman.schedule(document)

    def _time_out(self, document: Document) -> None:
        self._store.fail(document, (TIMED_OUT.format(document.options.document_type),))

    def _make(self, document: Document, fault: Fault | None) -> None:
        if fault is not None and fault.action == "fail":
            self._store.fail(document, tuple(fault.reason.split("\n")), fault.reported_state)
            return
        try:
            output = render(document.options, self._settings)
        except RenderError as error:
            self._store.fail(document, error.reasons, FAILED)
        except Exception:
            # A renderer may raise anything; whatever it is, the document must end.
            logger.exception("rendering failed")
            self._store.fail(document, (UNKNOWN,), FAILED)
        else:
            self._store.complete(document, output)
