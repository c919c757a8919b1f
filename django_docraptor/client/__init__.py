"""Internal. DocRaptor's HTTP API, one method for each call.

Knows HTTP and what a failure proves; knows nothing about Django's ORM, settings, jobs or retries.
Every call is made once; its error tells whether it may be repeated.

Each name is imported when it is first used, and the HTTP library with the client, because most
processes of a project send nothing to DocRaptor.
"""

from typing import TYPE_CHECKING

from django_docraptor.lazy_names import import_on_use

if TYPE_CHECKING:
    from django_docraptor.client.calls import Client
    from django_docraptor.client.parsing import LogEntry, LogPage, RemoteStatus, SavedDocument
    from django_docraptor.client.timeouts import Timeouts

else:  # hidden from type checkers, which would take any name for an Any
    __getattr__ = import_on_use(
        __name__,
        {
            "calls": ["Client"],
            "parsing": ["LogEntry", "LogPage", "RemoteStatus", "SavedDocument"],
            "timeouts": ["Timeouts"],
        },
    )

__all__ = ["Client", "LogEntry", "LogPage", "RemoteStatus", "SavedDocument", "Timeouts"]
