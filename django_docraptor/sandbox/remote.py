"""The same handles as `Sandbox`, for a sandbox in another process.

Standard library only: a test process needs no `[sandbox]` extra for it.
"""

import json
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from django_docraptor.sandbox.faults import Fault
from django_docraptor.sandbox.ledger import ApiCall, Ledger

TIMEOUT = 10.0


class RemoteSandboxError(RuntimeError):
    """The sandbox refused; the text is its reason."""


class RemoteSandbox:
    """Drives a running sandbox over HTTP."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        # A proxy from the environment would be asked for this machine's own port.
        self._opener = build_opener(ProxyHandler({}))

    @property
    def ledger(self) -> Ledger:
        """A snapshot of what has been accepted, billed and called so far."""
        return Ledger.from_json(self._call("GET", "ledger"))

    @property
    def calls(self) -> list[ApiCall]:
        """The requests received so far, without credentials and without `/sandbox/` calls."""
        return [ApiCall.from_json(call) for call in self._call("GET", "calls")]

    @property
    def faults(self) -> list[dict[str, object]]:
        """The planned faults, each with how often it was `matched` and `triggered`."""
        return list(self._call("GET", "faults"))

    def add_fault(self, *faults: Fault) -> None:
        """Plan faults; of those that match a call, the first that is due is played."""
        self._call("POST", "faults", [fault.as_json() for fault in faults])

    def clear_faults(self) -> None:
        """Forget all faults."""
        self._call("DELETE", "faults")

    def change_settings(self, **settings: object) -> None:
        """Change settings, from now on; raise RemoteSandboxError naming the one that is wrong."""
        self._call("PATCH", "settings", settings)

    def reset(self) -> None:
        """Forget documents, requests and faults, and take back all changes of settings."""
        self._call("POST", "reset")

    def _call(self, method: str, path: str, data: object = None) -> Any:
        body = None if data is None else json.dumps(data).encode()
        request = Request(f"{self.url}/sandbox/{path}", body, method=method)  # noqa: S310
        try:
            with self._opener.open(request, timeout=TIMEOUT) as response:
                return json.load(response)
        except HTTPError as error:
            with error:
                raise RemoteSandboxError(json.load(error)["error"]) from None
