"""Internal. HTTP responses with documents: access, delivery, and unfinished documents.

A view's document is an ordinary job. The request waits briefly: a quick document is in the first
response, a slow one redirects to the status page. No synchronous call is made, because it could
time out with unknown outcome and cost.
"""

from django_docraptor.responses.documents import (
    DEFAULT_WAIT_SECONDS,
    document_response,
    job_file_response,
)
from django_docraptor.responses.download_records import record_download, record_downloads
from django_docraptor.responses.files import (
    CONTENT_TYPES,
    DocumentResponse,
    download_response,
    file_response,
)
from django_docraptor.responses.groups import group_file_response, group_status_response
from django_docraptor.responses.json_clients import (
    errors_as_json,
    state_response,
    status_response,
    wants_json,
)
from django_docraptor.responses.permissions import may_download

__all__ = [
    "CONTENT_TYPES",
    "DEFAULT_WAIT_SECONDS",
    "DocumentResponse",
    "document_response",
    "download_response",
    "errors_as_json",
    "file_response",
    "group_file_response",
    "group_status_response",
    "job_file_response",
    "may_download",
    "record_download",
    "record_downloads",
    "state_response",
    "status_response",
    "wants_json",
]
