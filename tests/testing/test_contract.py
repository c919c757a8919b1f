"""One contract for DocRaptor: the service in memory, the sandbox, and DocRaptor itself.

The last needs ``DOCRAPTOR_LIVE=1`` and a key in ``DOCRAPTOR_API_KEY``; all documents are free test
documents. A failure shows what DocRaptor says instead.
"""

import hashlib
import io
import os
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from django_docraptor.client import Client, LogEntry, RemoteStatus
from django_docraptor.exceptions import (
    CallError,
    DocumentTooLargeError,
    ForbiddenError,
    RejectedError,
    Sent,
)
from django_docraptor.payloads import DocumentRequest
from django_docraptor.sandbox import Sandbox
from django_docraptor.testing import InMemoryClient
from django_docraptor.testing.client import in_memory
from django_docraptor.testing.service import InMemoryService

KINDS = [
    "memory",
    "sandbox",
    pytest.param(
        "live",
        marks=pytest.mark.skipif(
            os.environ.get("DOCRAPTOR_LIVE") != "1",
            reason="set DOCRAPTOR_LIVE=1 and DOCRAPTOR_API_KEY to call DocRaptor",
        ),
    ),
]


@pytest.fixture(params=KINDS)
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client of each service."""
    if request.param == "memory":
        with in_memory(InMemoryService()):
            yield InMemoryClient(api_key="memory")
    elif request.param == "sandbox":
        with Sandbox() as sandbox:
            yield Client(api_key="sandbox", base_url=sandbox.url)
    else:
        yield Client(api_key=os.environ["DOCRAPTOR_API_KEY"])


def a_request(**options: Any) -> DocumentRequest:
    """Return a request for a free document, with a tag that no other has."""
    defaults: dict[str, Any] = {"name": "contract.pdf", "content": "<p>Contract</p>"}
    return DocumentRequest(**defaults | {"tag": f"contract-{secrets.token_hex(8)}"} | options)


def finished(client: Client, status_id: str) -> RemoteStatus:
    """Return the status of a document when it is finished."""
    stop = time.monotonic() + 120
    while time.monotonic() < stop:
        remote = client.get_status(status_id)
        if remote.status not in ("queued", "working"):
            return remote
        time.sleep(0.05 if "127.0.0.1" in client.base_url else 1)
    raise AssertionError(f"still {remote}")


def facts(error: CallError) -> tuple[Any, ...]:
    """Return what the engine concludes from an error."""
    return type(error), error.status, error.retryable, error.sent


def logged(client: Client, request: DocumentRequest, **options: Any) -> LogEntry | None:
    """Return the entry of a request in the log's first page."""
    return next(
        (entry for entry in client.list_doc_logs(**options) if entry.tag == request.tag), None
    )


@pytest.mark.parametrize(("document_type", "head"), [("pdf", b"%PDF-"), ("xlsx", b"PK")])
def test_document(client: Client, document_type: str, head: bytes) -> None:
    """An asynchronous document is finished, and its file is as announced."""
    content = "<table><tr><td>Contract</td></tr></table>"
    request = a_request(name=f"c.{document_type}", document_type=document_type, content=content)
    remote = finished(client, client.create_async_doc(request))
    target = io.BytesIO()
    saved = client.download(remote.download_id, target)
    assert (remote.is_completed, remote.validation_errors) == (True, "")
    assert remote.message.startswith("Completed at ")
    assert remote.download_url.endswith(f"/download/{remote.download_id}")
    assert remote.number_of_pages == (1 if document_type == "pdf" else None)
    assert target.getvalue().startswith(head)
    assert (saved.size, saved.sha256) == (
        len(target.getvalue()),
        hashlib.sha256(target.getvalue()).hexdigest(),
    )
    kinds = {"pdf": "application/pdf", "xlsx": "spreadsheetml.sheet"}
    assert kinds[document_type] in saved.content_type
    assert saved.number_of_pages is None


def test_synchronous_document(client: Client) -> None:
    """A synchronous one is in the response, with its number of pages."""
    target = io.BytesIO()
    saved = client.create_doc(a_request(), target)
    assert target.getvalue().startswith(b"%PDF-")
    assert (saved.size, saved.number_of_pages) == (len(target.getvalue()), 1)


def test_invalid_document(client: Client) -> None:
    """An invalid document fails later if it is asynchronous, else at once, with the same reason."""
    request = a_request(content="<p><b>Contract</p>", strict="html")
    remote = finished(client, client.create_async_doc(request))
    assert (remote.is_failed, remote.download_id) == (True, "")
    with pytest.raises(RejectedError) as caught:
        client.create_doc(request, io.BytesIO())
    assert facts(caught.value) == (RejectedError, 422, False, Sent.YES)
    assert caught.value.message == remote.validation_errors != ""


def test_unknown_ids(client: Client) -> None:
    """What DocRaptor does not have, it refuses."""
    with pytest.raises(ForbiddenError) as caught:
        client.get_status("11111111-1111-4111-8111-111111111111")
    assert facts(caught.value) == (ForbiddenError, 403, False, Sent.YES)
    for call in (lambda: client.download("1" * 32, io.BytesIO()), lambda: client.expire("1" * 32)):
        with pytest.raises(RejectedError) as refused:
            call()
        assert facts(refused.value) == (RejectedError, 400, False, Sent.YES)


def test_download_id_is_no_status_id(client: Client) -> None:
    """The two are not exchangeable."""
    status_id = client.create_async_doc(a_request())
    remote = finished(client, status_id)
    with pytest.raises(ForbiddenError):
        client.get_status(remote.download_id)
    with pytest.raises(RejectedError):
        client.download(status_id, io.BytesIO())


def test_document_that_is_too_large(client: Client) -> None:
    """The client's own limit holds for each service."""
    client.max_document_bytes = 10
    with pytest.raises(DocumentTooLargeError):
        client.create_doc(a_request(), io.BytesIO())


def test_hosted_document(client: Client) -> None:
    """A hosted document has a URL until it is expired."""
    remote = finished(client, client.create_hosted_async_doc(a_request()))
    assert remote.download_url.startswith("http")
    client.expire(remote.download_id)
    at_once = client.create_hosted_doc(a_request())
    assert at_once.is_completed
    assert at_once.download_url != remote.download_url
    client.expire(at_once.download_id)


def test_not_hosted_document_does_not_expire(client: Client) -> None:
    """Only a hosted document can be expired."""
    remote = finished(client, client.create_async_doc(a_request()))
    with pytest.raises(RejectedError):
        client.expire(remote.download_id)


def test_log(client: Client) -> None:
    """The log lists all attempts, newest first, with what the engine needs of each."""
    before = datetime.now(UTC) - timedelta(hours=2)
    good, bad = a_request(name="good.pdf"), a_request(content="<p><b></p>", strict="html")
    status_id = client.create_async_doc(good)
    finished(client, status_id)
    finished(client, client.create_async_doc(bad))
    page = client.list_doc_logs()
    entry, failed = logged(client, good), logged(client, bad)
    assert entry is not None
    assert failed is not None
    assert page.index(failed) < page.index(entry)
    assert (entry.status_id, entry.success, entry.test) == (status_id, True, True)
    assert (entry.name, entry.document_type) == ("good.pdf", "pdf")
    assert (failed.success, failed.validation_errors != "") == (False, True)
    assert page.served_at is not None
    assert entry.created_at is not None
    assert abs(page.served_at - entry.created_at) < timedelta(minutes=5)
    assert logged(client, good, start=before) is not None
    assert logged(client, good, end=before) is None
    assert logged(client, good, start=entry.created_at + timedelta(minutes=5)) is None


def test_listing_of_documents(client: Client) -> None:
    """The list of documents has those that succeeded."""
    good, bad = a_request(name="listed.pdf"), a_request(content="<p><b></p>", strict="html")
    finished(client, client.create_async_doc(good))
    finished(client, client.create_async_doc(bad))
    (newest,) = client.list_docs(per_page=1)
    assert (newest.name, newest.document_type, newest.test) == ("listed.pdf", "pdf", True)


def test_pages_of_the_log(client: Client) -> None:
    """Pages follow one another without a gap."""
    requests = [a_request() for _ in range(3)]
    for request in requests:
        finished(client, client.create_async_doc(request))
    pages = [client.list_doc_logs(page=number, per_page=1) for number in (1, 2, 3)]
    assert [entry.tag for page in pages for entry in page] == [r.tag for r in reversed(requests)]
    if not isinstance(client, InMemoryClient) and "127.0.0.1" not in client.base_url:
        return  # a used account's log does not end here
    assert client.list_doc_logs(page=4, per_page=1) == []
