"""The callback: a form-encoded POST after success, and never after a failure.

Sent from threads of its own, so that a slow receiver delays no document.
"""

import logging
from http.client import HTTPException
from urllib.parse import urlencode

from django_docraptor.sandbox.documents import COMPLETED, Document, Store
from django_docraptor.sandbox.faults import FaultList
from django_docraptor.sandbox.outgoing import is_allowed, send
from django_docraptor.sandbox.scheduler import Scheduler
from django_docraptor.sandbox.settings import Settings

logger = logging.getLogger("django_docraptor.sandbox")

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Postman:
    """Brings the callbacks of one sandbox."""

    def __init__(self, settings: Settings, store: Store, faults: FaultList) -> None:
        self._settings = settings
        self._store = store
        self._faults = faults
        self._scheduler = Scheduler("sandbox-callbacks", workers=4)

    def start(self) -> None:
        """Start the threads."""
        self._scheduler.start()

    def stop(self) -> None:
        """DropError what is undelivered and join the threads."""
        # A receiver that hangs holds its thread for longer than a stop may take.
        self._scheduler.stop(timeout=1.0)

    def schedule(self, document: Document) -> None:
        """Plan the callbacks of a finished document: one, unless a fault says otherwise."""
        if not wants_callback(document):
            return
        options = document.options
        fault = self._faults.trigger("callback", options.tag, options.name)
        action = fault.action if fault else ""
        deliveries = {"drop": 0, "duplicate": fault.count if fault else 2}.get(action, 1)
        method = "GET" if action == "to_get" else "POST"
        for _ in range(deliveries):
            self._scheduler.after(
                fault.delay if fault else 0.0, lambda: self.deliver(document, method)
            )

    def deliver(self, document: Document, method: str = "POST") -> None:
        """Send one callback now; what the receiver answers changes nothing."""
        url = document.options.callback_url
        forgotten = self._store.find(document.status_id) is not document
        if forgotten or not wants_callback(document) or not self._may_call(url):
            return
        fields = urlencode(
            {"download_id": document.download_id, "download_url": document.download_url}
        )
        self._store.called_back(document)
        try:
            if method == "GET":
                send("GET", f"{url}{'&' if '?' in url else '?'}{fields}")
            else:
                send("POST", url, fields.encode(), FORM)
        except (OSError, HTTPException, ValueError) as error:
            logger.warning("callback failed: %s", type(error).__name__)

    def _may_call(self, url: str) -> bool:
        allowed = is_allowed(url, self._settings.callback_hosts)
        if not allowed:
            logger.warning("callback not sent: allow its host with --allow-callbacks-to HOST")
        return allowed


def wants_callback(document: Document) -> bool:
    """Whether the service would call back: asynchronous, successful, and asked to."""
    asked = bool(document.options.callback_url) and document.asynchronous
    return asked and document.state == COMPLETED
