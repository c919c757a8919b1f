"""Callbacks: a form-encoded POST after success, never after a failure.

Separate threads send them, so that a slow receiver does not delay rendering.
"""

import json
import logging
from http.client import HTTPException
from urllib.parse import urlencode

from django_docraptor.sandbox.documents import COMPLETED, Document, DocumentStore
from django_docraptor.sandbox.faults import FaultList
from django_docraptor.sandbox.outgoing import is_allowed_url, send_request
from django_docraptor.sandbox.scheduler import Scheduler
from django_docraptor.sandbox.settings import Settings

logger = logging.getLogger(__name__)

FORM_HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}
JSON_HEADERS = {"Content-Type": "application/json"}
# How the faults of callbacks send the IDs: DocRaptor documents no form.
FORMS = {"to_get": "query", "to_json": "json", "no_body": "none"}


class CallbackSender:
    """Send the callbacks of one sandbox."""

    def __init__(self, settings: Settings, store: DocumentStore, faults: FaultList) -> None:
        """Share the sandbox's settings, documents and faults."""
        self._settings = settings
        self._store = store
        self._faults = faults
        self._scheduler = Scheduler("sandbox-callbacks", workers=4)

    def start(self) -> None:
        """Start the threads."""
        self._scheduler.start()

    def stop(self) -> None:
        """Discard callbacks that have not been sent and join the threads."""
        # A receiver that hangs would block its thread for longer than stopping may take.
        self._scheduler.stop(timeout=1.0)

    def schedule(self, document: Document) -> None:
        """Schedule the callbacks of a finished document: one, unless a fault changes that."""
        if not should_call_back(document):
            return
        fault = self._faults.trigger("callback", document.options.tag, document.options.name)
        count, delay, form = 1, 0.0, "form"
        if fault is not None:
            count = {"drop": 0, "duplicate": fault.count}.get(fault.action, 1)
            delay = fault.delay
            form = FORMS.get(fault.action, "form")
        for _ in range(count):
            self._scheduler.call_later(delay, lambda: self.send(document, form))

    def send(self, document: Document, form: str = "form") -> None:
        """Send one callback now, and ignore the response.

        Args:
            document: the completed document.
            form: how its IDs are sent: as a "form", as "json", in the "query" of a GET, or "none".
        """
        url = document.options.callback_url
        was_reset = self._store.find(document.status_id) is not document
        if was_reset or not should_call_back(document) or not self._is_allowed(url):
            return
        fields = {"download_id": document.download_id, "download_url": document.download_url}
        self._store.count_callback(document)
        try:
            if form == "query":
                send_request("GET", f"{url}{'&' if '?' in url else '?'}{urlencode(fields)}")
            elif form == "json":
                send_request("POST", url, json.dumps(fields).encode(), JSON_HEADERS)
            elif form == "none":
                send_request("POST", url)
            else:
                send_request("POST", url, urlencode(fields).encode(), FORM_HEADERS)
        except (OSError, HTTPException, ValueError) as error:
            logger.warning("Callback failed: %s", type(error).__name__)

    def _is_allowed(self, url: str) -> bool:
        allowed = is_allowed_url(url, self._settings.callback_hosts)
        if not allowed:
            logger.warning("Callback not sent: allow its host with --allow-callbacks-to HOST")
        return allowed


def should_call_back(document: Document) -> bool:
    """Return whether DocRaptor would call back.

    It does if the document is asynchronous, completed, and has a callback URL.
    """
    has_url = bool(document.options.callback_url)
    return has_url and document.asynchronous and document.state == COMPLETED
