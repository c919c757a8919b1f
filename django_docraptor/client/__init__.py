"""DocRaptor's HTTP API, one method for each call.

Knows HTTP and what a failure proves; knows nothing of Django's ORM, settings, jobs or retries: a
call is made once, and its error says whether it may be made again.
"""

from django_docraptor.client.answers import Download, LogEntry, RemoteStatus
from django_docraptor.client.calls import Client
from django_docraptor.client.transport import Timeouts

__all__ = ["Client", "Download", "LogEntry", "RemoteStatus", "Timeouts"]
