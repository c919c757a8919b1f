"""Internal. DocRaptor's HTTP API, one method for each call.

Knows HTTP and what a failure proves; knows nothing about Django's ORM, settings, jobs or retries.
Every call is made once; its error tells whether it may be repeated.
"""

from django_docraptor.client.calls import Client
from django_docraptor.client.parsing import LogEntry, LogPage, RemoteStatus, SavedDocument
from django_docraptor.client.transport import Timeouts

__all__ = ["Client", "LogEntry", "LogPage", "RemoteStatus", "SavedDocument", "Timeouts"]
