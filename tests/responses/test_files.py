"""Documents as file responses: headers, one synchronous call, storages."""

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage
from django.http import Http404

from django_docraptor import shortcuts
from django_docraptor.exceptions import NotADocumentError, ServerError
from django_docraptor.models import RenderJob
from django_docraptor.responses import DocumentResponse, download_response
from django_docraptor.sandbox import Fault, Sandbox
from tests.apps.shop.documents import InvoicePDF
from tests.apps.shop.models import Invoice
from tests.support.jobs import HTML, run_until_finished
from tests.support.responses import make_spec, read_body

pytestmark = pytest.mark.django_db


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
    named = f"inline; filename*=utf-8''gr%C3%B6%C3%9Fe.{document_type}"
    assert response["Content-Disposition"] == named
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


class UnsignedStorage(FileSystemStorage):
    """A storage that could sign its URLs, and is configured not to."""

    querystring_auth = False

    def url(self, name: str, expire: int = 0) -> str:
        return f"https://files.example/{name}"


class CustomDomainStorage(FileSystemStorage):
    """A storage with a custom domain, whose class decides whether URLs are signed."""

    custom_domain = "files.example"

    def url(self, name: str, expire: int = 0) -> str:
        return f"https://{self.custom_domain}/{name}"


class S3CustomDomainStorage(CustomDomainStorage):
    """Like S3's: only CloudFront's key signs here, whatever `querystring_auth` is."""

    querystring_auth = True
    cloudfront_signer: object = None


class CloudFrontStorage(S3CustomDomainStorage):
    """Like S3's with CloudFront's key."""

    cloudfront_signer = object()


def use_storage(storage: type[FileSystemStorage], settings: Any, documents: Path) -> None:
    """Change the storage's class; the files stay where they are."""
    backend = {"BACKEND": f"{__name__}.{storage.__name__}", "OPTIONS": {"location": documents}}
    settings.STORAGES = settings.STORAGES | {"docraptor": backend}


def test_download_response_without_a_file_is_404(sandbox: Sandbox, documents_dir) -> None:
    """A completed job whose file was deleted has no document."""
    job = run_until_finished(shortcuts.enqueue(name="hello.pdf", content=HTML))
    job.file = ""
    with pytest.raises(Http404):
        download_response(job)


def test_download_response_streams_from_an_unsigned_storage(
    sandbox: Sandbox, settings: Any, documents_dir: Path
) -> None:
    """A URL that does not expire is never given to a user: the file is streamed."""
    job = run_until_finished(shortcuts.enqueue(name="hello.pdf", content=HTML))
    use_storage(UnsignedStorage, settings, documents_dir)
    assert read_body(download_response(job)).startswith(b"%PDF-")


@pytest.mark.parametrize(
    ("storage", "status"),
    [(S3CustomDomainStorage, 200), (CloudFrontStorage, 302), (CustomDomainStorage, 302)],
    ids=["s3", "cloudfront", "azure"],
)
def test_download_response_redirects_only_to_expiring_urls(
    sandbox: Sandbox,
    settings: Any,
    documents_dir: Path,
    storage: type[CustomDomainStorage],
    status: int,
) -> None:
    """With a custom domain, S3's URLs expire only with CloudFront's key; Azure's always do."""
    job = run_until_finished(shortcuts.enqueue(name="hello.pdf", content=HTML))
    use_storage(storage, settings, documents_dir)
    response = download_response(job)
    assert response.status_code == status
    if status == 200:
        assert read_body(response).startswith(b"%PDF-")
