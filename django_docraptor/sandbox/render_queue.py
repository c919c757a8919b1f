"""Rendering of accepted documents in background threads.

Decides when a document is rendered and which fault affects it. Handles no requests.
"""

import logging

from django_docraptor.sandbox import recorded
from django_docraptor.sandbox.callbacks import CallbackSender
from django_docraptor.sandbox.documents import Document, DocumentStore
from django_docraptor.sandbox.faults import Fault, FaultList
from django_docraptor.sandbox.options import validation_errors
from django_docraptor.sandbox.rendering import RenderError, render
from django_docraptor.sandbox.scheduler import Scheduler
from django_docraptor.sandbox.settings import Settings

logger = logging.getLogger(__name__)

MAX_HOSTED_BYTES = 100 * 1024 * 1024


class RenderQueue:
    """Render the documents of one sandbox in a few threads."""

    def __init__(
        self,
        settings: Settings,
        store: DocumentStore,
        faults: FaultList,
        callback_sender: CallbackSender,
    ) -> None:
        """Share the sandbox's settings, documents, faults and callbacks."""
        self._settings = settings
        self._store = store
        self._faults = faults
        self._callback_sender = callback_sender
        self._scheduler = Scheduler("sandbox-render", workers=4)

    def start(self) -> None:
        """Start the threads."""
        self._scheduler.start()

    def stop(self) -> None:
        """Discard unfinished documents and join the threads."""
        self._scheduler.stop()

    @property
    def is_busy(self) -> bool:
        """Whether a document is rendered at present, or should be."""
        return self._scheduler.is_busy

    def add(self, document: Document) -> None:
        """Start rendering an accepted document."""
        self._scheduler.call_later(0.0, lambda: self._process(document))

    def render_now(self, document: Document) -> None:
        """Render the document and send its callback before returning, ignoring the delay."""
        if self._start_and_validate(document):
            self._render(document, self._trigger_fault(document))
            self._callback_sender.send(document)

    def _process(self, document: Document) -> None:
        if not self._start_and_validate(document):
            return
        fault = self._trigger_fault(document)
        if fault is None or fault.action != "stall":
            self._schedule_finish(document, fault)
        elif not document.asynchronous:
            # A synchronous call must end even if its document stalls.
            self._schedule_timeout(document)

    def _start_and_validate(self, document: Document) -> bool:
        self._store.start(document)
        reasons = self._refusals(document) or validation_errors(document.options)
        if reasons:
            # Late validation: the asynchronous create call has already returned 200.
            self._store.fail(document, tuple(reasons))
        return not reasons

    def _refusals(self, document: Document) -> list[str]:
        """Return why the account may not have this document; empty if it may."""
        if self._settings.refusal:
            return [self._settings.refusal]
        limit = self._settings.document_limit
        is_over = limit is not None and self._store.is_beyond(document, limit)
        return [recorded.OVER_LIMIT] if is_over else []

    def _trigger_fault(self, document: Document) -> Fault | None:
        return self._faults.trigger("render", document.options.tag, document.options.name)

    def _time_limit(self, document: Document) -> float:
        settings = self._settings
        return settings.asynchronous_limit if document.asynchronous else settings.synchronous_limit

    def _schedule_finish(self, document: Document, fault: Fault | None) -> None:
        delay = self._settings.delay + (fault.delay if fault else 0.0)
        if delay > self._time_limit(document):
            self._schedule_timeout(document)
        else:
            self._scheduler.call_later(delay, lambda: self._finish(document, fault))

    def _schedule_timeout(self, document: Document) -> None:
        self._scheduler.call_later(self._time_limit(document), lambda: self._time_out(document))

    def _finish(self, document: Document, fault: Fault | None) -> None:
        self._render(document, fault)
        self._callback_sender.schedule(document)

    def _time_out(self, document: Document) -> None:
        self._store.fail(document, (recorded.timeout(document.options.document_type),))

    def _render(self, document: Document, fault: Fault | None) -> None:
        if fault is not None and fault.action == "fail":
            self._store.fail(document, tuple(fault.reason.split("\n")), fault.reported_state)
            return
        if fault is not None and fault.action == "warn":
            self._store.warn(document, tuple(fault.reason.split("\n")))
        try:
            output = render(document.options, self._settings)
        except RenderError as error:
            self._store.fail(document, error.reasons)
        except Exception:
            # A renderer may raise any exception, but the document must finish.
            logger.exception("Rendering failed")
            self._store.fail(document, (recorded.UNKNOWN_REASONS,))
        else:
            if document.hosted and output.size > MAX_HOSTED_BYTES:
                self._store.fail(document, (recorded.HOSTED_TOO_LARGE,))
            else:
                self._store.complete(document, output)
