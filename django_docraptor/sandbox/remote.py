"""The interface of `Sandbox` for a sandbox in another process.

Uses only the standard library, so a test process does not need the `[sandbox]` extra.
"""

import json
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from django_docraptor.sandbox.faults import Fault
from django_docraptor.sandbox.ledger import ApiCall, Ledger

TIMEOUT_SECONDS = 10.0


class RemoteSandboxError(RuntimeError):
    """The sandbox rejected a request; the message is its reason."""


class RemoteSandbox:
    """Control a running sandbox over HTTP."""

    def __init__(self, url: str) -> None:
        """Control the sandbox at `url`, the one that it prints when it starts."""
        self.url = url.rstrip("/")
        # Ignore proxies from the environment: the sandbox is local.
        self._opener = build_opener(ProxyHandler({}))

    @property
    def ledger(self) -> Ledger:
        """A snapshot of the accepted and billed documents and of the call counters."""
        return Ledger.from_json(self._send("GET", "ledger"))

    @property
    def calls(self) -> list[ApiCall]:
        """The calls received so far, without credentials, excluding those under `/sandbox/`."""
        return [ApiCall.from_json(call) for call in self._send("GET", "calls")]

    @property
    def faults(self) -> list[dict[str, object]]:
        """The planned faults, with how many calls `matched` and how many `triggered` them."""
        return list(self._send("GET", "faults"))

    def add_fault(self, *faults: Fault) -> None:
        """Add faults. If several match a call, the first that is due is triggered."""
        self._send("POST", "faults", [fault.as_json() for fault in faults])

    def clear_faults(self) -> None:
        """Remove all faults."""
        self._send("DELETE", "faults")

    def change_settings(self, **settings: object) -> None:
        """Change settings; if one is invalid, nothing is changed.

        Raises:
            RemoteSandboxError: a setting is unknown or invalid.
        """
        self._send("PATCH", "settings", settings)

    def reset(self) -> None:
        """Delete documents, calls and faults, and restore the initial settings."""
        self._send("POST", "reset")

    def _send(self, method: str, path: str, data: object = None) -> Any:
        body = None if data is None else json.dumps(data).encode()
        request = Request(f"{self.url}/sandbox/{path}", body, method=method)  # noqa: S310
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as response:
                return json.load(response)
        except HTTPError as error:
            with error:
                raise RemoteSandboxError(json.load(error)["error"]) from None
