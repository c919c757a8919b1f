"""A local server that implements DocRaptor's API, for development and tests.

It communicates with the application only over HTTP and imports nothing from it:

    python -m django_docraptor.sandbox --port 8001
"""

from typing import TYPE_CHECKING, Any

from django_docraptor.sandbox import recorded
from django_docraptor.sandbox.faults import Fault, FaultError
from django_docraptor.sandbox.ledger import ApiCall, Ledger, LedgerEntry
from django_docraptor.sandbox.remote import RemoteSandbox, RemoteSandboxError
from django_docraptor.sandbox.settings import SettingError

if TYPE_CHECKING:
    from django_docraptor.sandbox.local import Sandbox

else:  # hidden from type checkers, which would take any name for an Any

    def __getattr__(name: str) -> Any:
        """Import the server, which needs the extra `[sandbox]`; `RemoteSandbox` does not."""
        if name != "Sandbox":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from django_docraptor.sandbox.local import Sandbox

        return Sandbox


__all__ = [
    "ApiCall",
    "Fault",
    "FaultError",
    "Ledger",
    "LedgerEntry",
    "RemoteSandbox",
    "RemoteSandboxError",
    "Sandbox",
    "SettingError",
    "recorded",
]
