"""Documents as file responses: headers, one synchronous call, storages."""

import asyncio
import threading
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from django.core.files.storage import FileSystemStorage
from django.http import Http404

from django_docraptor import shortcuts
from django_docraptor.exceptions import NotADocumentError, ServerError
from django_docraptor.models import RenderJob
from django_docraptor.responses import DocumentResponse, file_response
from django_docraptor.sandbox import Fault, Sandbox
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.jobs import HTML, run_until_finished
from tests.support.responses import make_spec, read_body

pytestmark = pytest.mark.django_db

MEBIBYTE = 1024 * 1024


# --- DocumentResponse ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document_type", "content_type"),
    [
        ("pdf", "application/pdf"),
        ("xls", "application/vnd.ms-excel"),
        ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ],
)
def test_document_response_has_safe_headers(document_type: str, content_type: str) -> None:
    """A document has its type, length and name, and is neither cached nor sniffed."""
    response = DocumentResponse(BytesIO(b"12345"), name="größe", document_type=document_type)
    assert response["Content-Type"] == content_type
    assert response["Content-Length"] == "5"
    named = f"gro_e.{document_type}\"; filename*=UTF-8''gr%C3%B6%C3%9Fe.{document_type}"
    assert response["Content-Disposition"] == f'inline; filename="{named}'
    assert response["X-Content-Type-Options"] == "nosniff"
    assert {"private", "no-store"} <= set(response["Cache-Control"].split(", "))


def test_document_response_as_attachment() -> None:
    """With `as_attachment` the browser saves the document."""
    response = DocumentResponse(BytesIO(b"1"), name="a", document_type="pdf", as_attachment=True)
    assert response["Content-Disposition"] == 'attachment; filename="a.pdf"'


def test_render_now_streams_from_a_temporary_file(sandbox: Sandbox, settings: Any) -> None:
    """One synchronous call is streamed from a spool file that is deleted afterwards."""
    response = DocumentResponse.render_now(make_spec(test=True))
    assert len(list(settings.DOCRAPTOR["SPOOL_DIR"].iterdir())) == 1
    content = read_body(response)
    assert content.startswith(b"%PDF-")
    assert response["Content-Length"] == str(len(content))
    assert [entry.asynchronous for entry in sandbox.ledger.accepted()] == [False]
    assert not RenderJob.objects.exists()
    assert list(settings.DOCRAPTOR["SPOOL_DIR"].iterdir()) == []


def test_render_now_takes_the_spec_of_a_class(sandbox: Sandbox) -> None:
    """A declared document is rendered with its current content."""
    invoice = Invoice.objects.create(number="17")
    response = DocumentResponse.render_now(
        InvoicePDF.spec(invoice, snapshot=True), as_attachment=True
    )
    assert response["Content-Disposition"] == 'attachment; filename="invoice-17.pdf"'
    assert read_body(response).startswith(b"%PDF-")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(on="create", action="status", status_code=500), ServerError),
        (Fault(on="create", action="cut", mode="close", keep_bytes=40), NotADocumentError),
    ],
    ids=["error", "cut"],
)
def test_render_now_error_leaves_no_file(
    sandbox: Sandbox, settings: Any, fault: Fault, error: type[Exception]
) -> None:
    """A response that is not a document raises an error and leaves no file."""
    sandbox.add_fault(fault)
    with pytest.raises(error):
        DocumentResponse.render_now(make_spec(test=True))
    assert list(settings.DOCRAPTOR["SPOOL_DIR"].iterdir()) == []


def test_render_now_error_is_redacted(sandbox: Sandbox, settings: Any) -> None:
    """The error quotes the response without the API key and names no deleted file."""
    key = settings.DOCRAPTOR["API_KEY"]
    sandbox.add_fault(Fault(on="create", action="status", status_code=200, reason=f"Bad key {key}"))
    with pytest.raises(NotADocumentError, match="Bad key") as caught:
        DocumentResponse.render_now(make_spec(test=True))
    assert key not in str(caught.value)
    assert ".bad" not in str(caught.value)


# --- serve -----------------------------------------------------------------------------------


class SigningStorage(FileSystemStorage):
    """A storage whose URLs expire; each service has parameters of its own."""

    def url(self, name: str, parameters: Any = None, expire: int = 0) -> str:
        assert 0 < expire <= 60
        return f"https://files.example/{name}?{urlencode(parameters or {})}&signature=1"


class UnsignedStorage(SigningStorage):
    """A storage that could sign its URLs, and is configured not to."""

    querystring_auth = False


class S3CustomDomainStorage(SigningStorage):
    """Like S3's: only CloudFront's key signs here, whatever `querystring_auth` is."""

    custom_domain = "files.example"
    querystring_auth = True
    cloudfront_signer: object = None


class CloudFrontStorage(S3CustomDomainStorage):
    """Like S3's with CloudFront's key, which passes parameters on as they are."""

    cloudfront_signer = object()

    def url(self, name: str, parameters: Any = None, expire: int = 0) -> str:
        assert set(parameters) == {"response-content-disposition"}
        return super().url(name, parameters, expire)


class AzureStorage(FileSystemStorage):
    """Like Azure's, which refuses S3's parameters."""

    custom_domain = "files.example"

    def url(self, name: str, expire: int = 0, parameters: Any = None, mode: str = "r") -> str:
        return self._sign(name, expire=expire, **(parameters or {}))

    def _sign(self, name: str, *, expire: int, content_disposition: str = "") -> str:
        assert 0 < expire <= 60
        return f"https://files.example/{name}?{urlencode({'rscd': content_disposition})}&sig=1"


class GoogleStorage(FileSystemStorage):
    """Like Google Cloud Storage's, which takes the time as a parameter."""

    def url(self, name: str, parameters: Any = None) -> str:
        return self._sign(name, **(parameters or {}))

    def _sign(self, name: str, expiration: Any = None, response_disposition: str = "") -> str:
        assert 0 < expiration.total_seconds() <= 60
        query = {"response-content-disposition": response_disposition}
        return f"https://files.example/{name}?{urlencode(query)}&X-Goog-Signature=1"


class PublicGoogleStorage(GoogleStorage):
    """Like Google's with a public bucket, whose URLs never expire."""

    def _sign(self, name: str, expiration: Any = None, response_disposition: str = "") -> str:
        return f"https://files.example/{name}"


class NamelessStorage(FileSystemStorage):
    """A storage that signs its URLs, and knows nothing of a file's name for readers."""

    def url(self, name: str, expire: int = 0) -> str:
        return f"https://files.example/{name}?signature=1"


class KeylessStorage(FileSystemStorage):
    """A storage without the key to sign with, as Google's on a machine without a key file."""

    def url(self, name: str, parameters: Any = None, expire: int = 0) -> str:
        raise AttributeError("you need a private key to sign credentials")


def use_storage(storage: type[FileSystemStorage], settings: Any, documents: Path) -> None:
    """Change the storage's class; the files stay where they are."""
    backend = {"BACKEND": f"{__name__}.{storage.__name__}", "OPTIONS": {"location": documents}}
    settings.STORAGES = settings.STORAGES | {"docraptor": backend}


def test_download_response_without_a_file_is_404(sandbox: Sandbox, documents_dir) -> None:
    """A completed job whose file was deleted has no document."""
    job = run_until_finished(shortcuts.enqueue(name="hello.pdf", content=HTML))
    job.file = ""
    with pytest.raises(Http404):
        file_response(job)


@pytest.mark.parametrize(
    "storage", [SigningStorage, CloudFrontStorage, AzureStorage, GoogleStorage]
)
@pytest.mark.parametrize("as_attachment", [True, False])
def test_expiring_url_has_the_name_of_the_document(
    sandbox: Sandbox,
    settings: Any,
    documents_dir: Path,
    storage: type[FileSystemStorage],
    as_attachment: bool,
) -> None:
    """The service serves the file under the reader's name, to be saved or shown."""
    job = run_until_finished(shortcuts.enqueue(name="FV 17/11/2026.pdf", content=HTML))
    use_storage(storage, settings, documents_dir)
    response = file_response(job, as_attachment=as_attachment)
    assert response.status_code == 302
    query = dict(parse_qsl(urlsplit(response["Location"]).query))
    kind = "attachment" if as_attachment else "inline"
    assert f'{kind}; filename="FV 17-11-2026.pdf"' in query.values()


@pytest.mark.parametrize(
    "storage",
    [
        *(UnsignedStorage, S3CustomDomainStorage, PublicGoogleStorage),
        *(NamelessStorage, KeylessStorage),
    ],
)
def test_other_files_are_streamed(
    sandbox: Sandbox, settings: Any, documents_dir: Path, storage: type[FileSystemStorage]
) -> None:
    """A URL that never expires, or gives the file a number for a name, is given to no one."""
    job = run_until_finished(shortcuts.enqueue(name="FV 17/11/2026.pdf", content=HTML))
    use_storage(storage, settings, documents_dir)
    response = file_response(job)
    assert read_body(response).startswith(b"%PDF-")
    assert response["Content-Disposition"] == 'attachment; filename="FV 17-11-2026.pdf"'


# --- under ASGI ------------------------------------------------------------------------------


class Blocks(BytesIO):
    """A document of many blocks, which counts those that were read."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.left = self.count = count

    def seekable(self) -> bool:
        return False

    def read(self, size: int | None = -1) -> bytes:
        assert size
        assert 0 < size <= MEBIBYTE
        self.left -= 1
        return b"x" * size if self.left >= 0 else b""


def test_document_is_read_as_it_is_sent() -> None:
    """Under ASGI a block is read when the one before has been sent, and not in the event loop."""
    threads = set()

    class Watched(Blocks):
        def read(self, size: int | None = -1) -> bytes:
            threads.add(threading.get_ident())
            return super().read(size)

    file = Watched(50)
    response = DocumentResponse(file, name="a", document_type="pdf")

    async def receive() -> None:
        threads.clear()
        sent = 0
        async for block in response:
            sent += len(block) // response.block_size
            assert 50 - file.left <= sent + 1
        assert sent == 50
        assert threading.get_ident() not in threads

    asyncio.run(receive())
    response.close()
    assert file.closed


def test_middleware_may_wrap_the_file() -> None:
    """What a middleware puts in the file's place is sent, asynchronous or not."""
    response = DocumentResponse(BytesIO(b"abc"), name="a", document_type="pdf")
    response.streaming_content = (block.upper() for block in response.streaming_content)

    async def receive() -> bytes:
        return b"".join([block async for block in response])

    assert asyncio.run(receive()) == b"ABC"

    async def wrapped() -> Any:
        yield b"other"

    response.streaming_content = wrapped()
    assert asyncio.run(receive()) == b"other"
