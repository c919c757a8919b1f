"""Internal. DocRaptor's HTTP API, one method for each call.

Knows HTTP and what a failure proves; knows nothing about Django's ORM, settings, jobs or retries.
Every call is made once; its error tells whether it may be repeated.

The HTTP library is imported with the first client, because most processes of a project send nothing
to DocRaptor.
"""

from typing import TYPE_CHECKING, Any

from django_docraptor.client.parsing import LogEntry, LogPage, RemoteStatus, SavedDocument
from django_docraptor.client.timeouts import Timeouts

if TYPE_CHECKING:
    from django_docraptor.client.calls import Client

else:  # hidden from type checkers, which would take any name for an Any

    def __getattr__(name: str) -> Any:
        """Import the client."""
        if name != "Client":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from django_docraptor.client.calls import Client

        return Client


__all__ = ["Client", "LogEntry", "LogPage", "RemoteStatus", "SavedDocument", "Timeouts"]
