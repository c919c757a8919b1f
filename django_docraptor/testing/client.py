"""Internal. The client of tests: the calls of `Client`, made to an `InMemoryService`.

It cannot open a connection: what it does not override raises.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, BinaryIO, NoReturn, cast

from django_docraptor.client import Client, LogEntry, LogPage, RemoteStatus, SavedDocument
from django_docraptor.client.parsing import STATUS_COMPLETED
from django_docraptor.client.transport import Transport
from django_docraptor.exceptions import NotSentError
from django_docraptor.payloads import DocumentRequest
from django_docraptor.testing.sent_documents import SentDocument
from django_docraptor.testing.service import InMemoryService

# The services of the tests that are running, the innermost last.
_services: list[InMemoryService] = []


@contextmanager
def in_memory(service: InMemoryService) -> Iterator[None]:
    """Let every `InMemoryClient` call this service."""
    _services.append(service)
    try:
        yield
    finally:
        _services.remove(service)


class _NoTransport:
    """Stands where a client has its connections."""

    def call(self, call: object) -> NoReturn:
        raise NotSentError("A test must not use the network: InMemoryClient lacks this call.")


class InMemoryClient(Client):
    """A client that never opens a connection, for ``DOCRAPTOR["CLIENT"]``.

    Without the fixture ``docraptor`` or the mixin, each call fails, and nothing is sent.
    """

    def __init__(self, **kwargs: Any) -> None:
        """Take the arguments of `Client`."""
        super().__init__(**kwargs)
        self._transport = cast(Transport, _NoTransport())

    @property
    def _service(self) -> InMemoryService:
        if not _services:
            raise NotSentError(
                "Nothing was sent: this test uses neither the fixture docraptor nor "
                "DocRaptorTestMixin."
            )
        return _services[-1]

    def create_doc(self, request: DocumentRequest, target: BinaryIO) -> SavedDocument:
        """Create a document synchronously."""
        return self._write(self._service.create(request, asynchronous=False, hosted=False), target)

    def create_async_doc(self, request: DocumentRequest) -> str:
        """Create a document asynchronously."""
        return self._service.create(request, asynchronous=True, hosted=False).status_id

    def create_hosted_doc(self, request: DocumentRequest) -> RemoteStatus:
        """Create a hosted document synchronously."""
        return self._status(self._service.create(request, asynchronous=False, hosted=True))

    def create_hosted_async_doc(self, request: DocumentRequest) -> str:
        """Create a hosted document asynchronously."""
        return self._service.create(request, asynchronous=True, hosted=True).status_id

    def get_status(self, status_id: str) -> RemoteStatus:
        """Return the status of a document, which is finished."""
        return self._status(self._service.status_of(status_id))

    def download(self, download_id: str, target: BinaryIO) -> SavedDocument:
        """Write a finished document to the target."""
        return self._write(self._service.finished(download_id), target)

    def expire(self, download_id: str) -> None:
        """Expire a hosted document."""
        self._service.finished(download_id, is_hosted=True).is_expired = True

    def list_docs(self, *, page: int = 1, per_page: int = 100) -> LogPage:
        """List created documents, newest first."""
        entries = [entry for entry in self._service.log(None, None) if entry.success]
        return _page(entries, page, per_page)

    def list_doc_logs(
        self,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        page: int = 1,
        per_page: int = 100,
    ) -> LogPage:
        """List all attempts, newest first."""
        return _page(self._service.log(start, end), page, per_page)

    def _status(self, sent: SentDocument) -> RemoteStatus:
        sent.is_asked_for = True
        if sent.error:
            return RemoteStatus(status="failed", validation_errors=sent.error)
        path = "hosted" if sent.hosted else "download"
        return RemoteStatus(
            status=STATUS_COMPLETED,
            download_id=sent.download_id,
            download_url=f"{self.base_url}/{path}/{sent.download_id}",
            message=f"Completed at {sent.created_at:%a %b %d %H:%M:%S +0000 %Y}",
            number_of_pages=sent.output.pages,
        )

    def _write(self, sent: SentDocument, target: BinaryIO) -> SavedDocument:
        output = sent.output
        self._check_size(output.size)
        for chunk in output.chunks():
            target.write(chunk)
        return SavedDocument(
            size=output.size,
            sha256=output.sha256(),
            content_type=output.content_type,
            number_of_pages=None if sent.asynchronous else output.pages,
        )


def _page(entries: list[LogEntry], page: int, per_page: int) -> LogPage:
    first = (page - 1) * per_page
    return LogPage(entries[first : first + per_page], served_at=datetime.now(UTC))
